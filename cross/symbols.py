"""Adds up the symbols of a 32- or 64-bit ELF program by the crate that they belong to.

A symbol's crates stand in its name (Rust's v0 mangling). Code of the standard library that was
made for another crate's types counts as that crate's. With a second argument: the largest symbols
whose crate or name contains it.
"""

import re
import struct
import sys

CRATE = re.compile(r"C(?:s[0-9A-Za-z]*_)?(\d+)_?(?=([a-z_][A-Za-z0-9_]*))")
STANDARD = {"core", "alloc", "std"}


def symbols(image):
    """Yields name and size of each function and object."""
    wide = image[4] == 2
    order = "<" if image[5] == 1 else ">"

    def unpack(form, at):
        return struct.unpack_from(order + form, image, at)

    table, = unpack("Q", 0x28) if wide else unpack("I", 0x20)
    entry, count = unpack("HH", 0x3A if wide else 0x2E)
    sections = []
    for index in range(count):
        at = table + index * entry
        kind, = unpack("I", at + 4)
        sections.append((kind, *(unpack("QQI", at + 24) if wide else unpack("III", at + 16))))
    for kind, start, size, link in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][1]
        for at in range(start, start + size, 24 if wide else 16):
            if wide:
                name, info, _, _, _, bytes_ = unpack("IBBHQQ", at)
            else:
                name, _, bytes_, info = unpack("IIIB", at)
            if info & 15 in (1, 2) and bytes_:  # STT_OBJECT, STT_FUNC
                end = image.index(0, names + name)
                yield image[names + name:end].decode(), bytes_


def crate_of(name):
    """The crate that `name` belongs to."""
    crates = [found[: int(length)] for length, found in CRATE.findall(name)]
    if not crates:
        return "musl, compiler-rt"
    return next((crate for crate in crates if crate not in STANDARD), "std")


def main():
    with open(sys.argv[1], "rb") as file:
        found = list(symbols(file.read()))
    if len(sys.argv) > 2:
        wanted = sorted((size, name) for name, size in found if sys.argv[2] in name)
        for size, name in reversed(wanted[-60:]):
            print(f"{size:10} {name}")
        return
    sums = {}
    for name, size in found:
        crate = crate_of(name)
        sums[crate] = sums.get(crate, 0) + size
    for crate, size in sorted(sums.items(), key=lambda item: -item[1]):
        print(f"{size:10} {crate}")


main()
