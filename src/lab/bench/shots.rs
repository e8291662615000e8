//! Datagrams that others throw at one router, by a thread with addresses of its own.
//!
//! They have certificates of the town's provider, or bend one; they lie about nothing else than
//! what [`What`] says, so that each datagram gets as far as it can.

use crate::identity::certificate::CERTIFIED_KEYS_MAX;
use crate::identity::record::{AddressRecord, Contact, Key, Record};
use crate::identity::{Certificate, Identity, NetworkKeys};
use crate::lab::demo::Error;
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::router::{issuer, network_keys};
use crate::lab::issuer::Issuer;
use crate::net::NodeId;
use core::fmt::Display;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::poll::poll;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Addresses that datagrams come from; the first of them.
const SOURCES: u8 = 16;
const FIRST: u8 = 200;
const PORT: u16 = 5070;
/// Datagrams that each of them has ready.
const READY: usize = 32;
/// Most that are sent in a row.
const BURST: u64 = 100;
/// How long a router may take to answer a ping.
const PONG_MAX: Duration = Duration::from_secs(2);
/// How often answers are counted.
const COUNTED_EVERY: Duration = Duration::from_millis(50);

const VERSION: u8 = 1;
const PING: u8 = 1;
const PUT: u8 = 7;
const STORED: u8 = 8;
const HELLO: u8 = 0x40;
/// Version, key id, kind, sender and request.
const HEAD_BYTES: usize = 27;
/// In the answer to a put: behind token, flags, start, number of the list, address.
const STATUS_AT: usize = HEAD_BYTES + 8 + 2 + 4 + 7;
const HELLO_BYTES: usize = 985;
const TAG_BYTES: usize = 16;

/// What is thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// All that [`What::Forged`] is, but with a wrong tag: strangers, without the secret.
    Untagged,
    /// Puts from where nobody has proven to be, puts whose records or certificates are forged from
    /// where somebody has, and handshakes without a cookie.
    Forged,
    /// Puts of members, each newer than the one before.
    Puts,
}

/// So many datagrams a second.
pub(super) struct Shots {
    victim: SocketAddr,
    what: What,
    per_s: u32,
    sources: Vec<Source>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thrown {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) stored: u64,
    length: Duration,
}

impl Thrown {
    /// How many were sent each second.
    pub(super) fn per_s(&self) -> f64 {
        self.sent as f64 / self.length.as_secs_f64().max(0.001)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.stored += other.stored;
        self.length += other.length;
    }
}

/// One address, and who is there.
struct Source {
    socket: UdpSocket,
    identity: Identity,
    /// Its addresses, signed: nobody else's records are taken from here.
    list: Vec<u8>,
    aors: Vec<[u8; 32]>,
    keys: NetworkKeys,
    token: [u8; 8],
    /// What it sends again and again; empty where each is new.
    ready: Vec<Vec<u8>>,
    /// How many it has sent.
    sent: u64,
}

impl Shots {
    /// Gets ready to throw at a router's overlay port.
    ///
    /// # Errors
    /// [`Error`] where an address is not to be had, or the router does not answer.
    pub(super) fn new(
        addresses: Addresses,
        router: u8,
        what: What,
        per_s: u32,
    ) -> Result<Self, Error> {
        let failed = |error: &dyn Display| Error::new("what is thrown".to_owned(), error);
        let keys = network_keys().map_err(|error| failed(&error))?;
        let issuer = issuer(&keys)?;
        let victim = SocketAddr::new(addresses.wan(router), PORT);
        let source = |number: u8| {
            let at = SocketAddr::new(addresses.lan(FIRST + number), PORT);
            Source::new(number, at, victim, what, (&keys, &issuer))
        };
        let sources = (0..SOURCES).map(source).collect::<io::Result<_>>();
        Ok(Self { victim, what, per_s, sources: sources.map_err(|error| failed(&error))? })
    }

    /// Throws while `act` acts.
    pub(super) fn during<T>(&mut self, act: impl FnOnce() -> T) -> (T, Thrown) {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let thrower = scope.spawn(|| self.throw(&stop));
            let result = act();
            stop.store(true, Ordering::Relaxed);
            (result, thrower.join().unwrap_or_default())
        })
    }

    fn throw(&mut self, stop: &AtomicBool) -> Thrown {
        let (start, mut counted) = (Instant::now(), Instant::now());
        let mut thrown = Thrown::default();
        while !stop.load(Ordering::Relaxed) {
            let due = start.elapsed().as_micros() as u64 * u64::from(self.per_s) / 1_000_000;
            for _ in 0..due.saturating_sub(thrown.sent).min(BURST) {
                let at = (thrown.sent % self.sources.len() as u64) as usize;
                let (source, victim) = (&mut self.sources[at], self.victim);
                let datagram = source.next(self.what);
                // What cannot be sent is as good as lost.
                let _ = source.socket.send_to(&datagram, victim);
                thrown.sent += 1;
            }
            if counted.elapsed() >= COUNTED_EVERY {
                counted = Instant::now();
                self.sources.iter().for_each(|source| source.count(&mut thrown));
            }
            let _ = poll(&mut [], 1u8);
        }
        thrown.length = start.elapsed();
        thrown
    }
}

impl Source {
    fn new(
        number: u8,
        at: SocketAddr,
        victim: SocketAddr,
        what: What,
        (keys, issuer): (&NetworkKeys, &Issuer),
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(at)?;
        let identity = Identity::from_seed([0x40 + number; 32]).map_err(io::Error::other)?;
        let aor = |phone: usize| keys.aor_key(&format!("shot{number}-{phone}@lab.example"));
        let aors: Vec<_> = (0..CERTIFIED_KEYS_MAX).map(aor).collect();
        let listed: Vec<Key> = aors.iter().map(Key::of).collect();
        let certificate = issuer.certify(0x1_0000 + u64::from(number), &identity, &listed);
        let identity = identity.certified(std::slice::from_ref(&certificate));
        let (addresses, none) = ([at].into_iter().collect(), Default::default());
        let list = AddressRecord::sign(&identity, keys.network(), 1, &addresses, &none);
        let (list, keys) = (list.as_bytes().to_vec(), keys.clone());
        let (token, ready) = ([0; 8], Vec::new());
        let mut source = Self { socket, identity, list, aors, keys, token, ready, sent: 0 };
        let wanted = source.learn_token(victim)?;
        source.socket.set_nonblocking(true)?;
        if what != What::Puts {
            let bent = source.bent(&certificate)?;
            source.ready = (0..READY).map(|at| source.forged(at, &bent, wanted, what)).collect();
        }
        Ok(source)
    }

    /// Asks the router for a proof of this address; the router's id.
    fn learn_token(&mut self, victim: SocketAddr) -> io::Result<NodeId> {
        let mut ping = self.head(PING, &[0; 8]);
        // Nobody known, a client; and padding.
        ping.extend([0, 2]);
        ping.extend([0; 11]);
        self.socket.send_to(&self.tagged(ping), victim)?;
        self.socket.set_read_timeout(Some(PONG_MAX))?;
        let mut pong = [0; 1500];
        let (len, _) = self.socket.recv_from(&mut pong)?;
        let pong = pong.get(..len).filter(|pong| pong.len() >= HEAD_BYTES + 8);
        let pong = pong.ok_or(io::ErrorKind::InvalidData)?;
        self.token.copy_from_slice(&pong[HEAD_BYTES..HEAD_BYTES + 8]);
        let mut id = NodeId([0; 16]);
        id.0.copy_from_slice(&pong[3..19]);
        Ok(id)
    }

    /// This identity under a certificate whose signature does not hold.
    fn bent(&self, certificate: &Certificate) -> io::Result<Identity> {
        let mut bytes = certificate.as_bytes().to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        let bent = Certificate::parse(&bytes).map_err(io::Error::other)?;
        Ok(self.identity.clone().certified(&[bent]))
    }

    fn forged(&self, at: usize, bent: &Identity, wanted: NodeId, what: What) -> Vec<u8> {
        let mut datagram = match at % 4 {
            // Who has proven nothing.
            0 => self.put(&self.record(&self.identity, at, 1), &[0xa5; 8]),
            1 => {
                let mut record = self.record(&self.identity, at, 1);
                if let Some(last) = record.last_mut() {
                    *last ^= 1;
                }
                self.put(&record, &self.token)
            }
            2 => self.put(&self.record(bent, at, 1), &self.token),
            _ => {
                let mut hello = vec![VERSION, self.keys.key_id(), HELLO];
                hello.extend([at as u8; 8]);
                hello.extend(self.identity.id().0);
                hello.extend(wanted.0);
                hello.extend(self.aors[at % self.aors.len()]);
                hello.resize(HELLO_BYTES - TAG_BYTES, 0);
                self.tagged(hello)
            }
        };
        if let Some(last) = datagram.last_mut().filter(|_| what == What::Untagged) {
            *last ^= 1;
        }
        datagram
    }

    fn next(&mut self, what: What) -> Vec<u8> {
        let at = self.sent as usize;
        self.sent += 1;
        match what {
            What::Puts => self.put(&self.record(&self.identity, at, self.sent), &self.token),
            What::Untagged | What::Forged => self.ready[at % self.ready.len()].clone(),
        }
    }

    fn record(&self, identity: &Identity, at: usize, seq: u64) -> Vec<u8> {
        let contact = Contact::new("shot").unwrap_or_default();
        let aor = &self.aors[at % self.aors.len()];
        let network = self.keys.network();
        Record::sign(identity, network, aor, seq, Some(&contact)).as_bytes().to_vec()
    }

    fn put(&self, record: &[u8], token: &[u8; 8]) -> Vec<u8> {
        let mut put = self.head(PUT, token);
        for block in [record, &self.list] {
            put.extend((block.len() as u16).to_be_bytes());
            put.extend(block);
        }
        self.tagged(put)
    }

    fn head(&self, kind: u8, token: &[u8; 8]) -> Vec<u8> {
        let mut head = vec![VERSION, self.keys.key_id(), kind];
        head.extend(self.identity.id().0);
        head.extend(self.sent.to_be_bytes());
        head.extend(token);
        head
    }

    fn tagged(&self, mut datagram: Vec<u8>) -> Vec<u8> {
        let tag = self.keys.tag(&datagram);
        datagram.extend(tag);
        datagram
    }

    /// Counts the answers that have come.
    fn count(&self, thrown: &mut Thrown) {
        let mut answer = [0; 1500];
        while let Ok((len, _)) = self.socket.recv_from(&mut answer) {
            thrown.answered += 1;
            let stored = len > STATUS_AT && answer[2] == STORED && answer[STATUS_AT] == 0;
            thrown.stored += u64::from(stored);
        }
    }
}
