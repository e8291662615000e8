# A node of OpenDHT that takes orders, by Debian's python3-opendht.
# In: "put TAG KEY" or "get TAG KEY". Out, once it is told: "TAG ok|none MICROSECONDS": a put is
# acknowledged, the first value has come, or there is none.
import sys
import threading
import time

import opendht

port, seed, seed_port = int(sys.argv[1]), sys.argv[2], sys.argv[3]
node = opendht.DhtRunner()
node.run(port=port)
node.bootstrap(seed, seed_port)
lock = threading.Lock()
told = set()


def tell(tag, result, began):
    micros = int((time.monotonic() - began) * 1e6)
    with lock:
        if tag not in told:
            told.add(tag)
            print(tag, result, micros, flush=True)


def order(what, tag, key):
    began = time.monotonic()

    def found(value):
        tell(tag, "ok", began)
        return True

    def done(is_ok, nodes):
        tell(tag, "ok" if what == "put" and is_ok else "none", began)

    place = opendht.InfoHash.get(key)
    if what == "put":
        node.put(place, opendht.Value(key.encode()), done)
    else:
        node.get(place, found, done)


for line in sys.stdin:
    order(*line.split())
