#!/bin/sh
# Proves the packages that routers get: built here and in another folder, they are the same bytes,
# none is larger than a router with 8 MB of flash can take, and each holds the program of its
# architecture. Without BINARY or CROSS (see package.sh) the programs are built in both folders.
set -eu
cd "$(dirname "$0")/.."
limit=${IPK_BYTES_MAX:-400000}
here=$PWD/target/package-check/here
there=$PWD/target/package-check/there
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
[ -z "${BINARY:-}" ] || BINARY=$(realpath "$BINARY")
[ -z "${CROSS:-}" ] || CROSS=$(realpath "$CROSS")

rm -rf target/package-check
mkdir -p "$here" "$there/tree"
git archive HEAD | tar -C "$there/tree" -xf -
if [ -z "${BINARY:-}${CROSS:-}" ]; then
    make cross
    make -C "$there/tree" cross
fi
OUT=$here scripts/package.sh >/dev/null
OUT=$there "$there/tree/scripts/package.sh" >/dev/null

status=0
for package in "$here"/*.ipk; do
    name=$(basename "$package")
    bytes=$(wc -c <"$package")
    told=
    cmp -s "$package" "$there/$name" || told="$told, differs between two folders"
    [ "$bytes" -le "$limit" ] || told="$told, over $limit bytes"
    [ -z "$told" ] || status=1
    printf '%8d  %s%s\n' "$bytes" "$name" "$told"
done
diff -r "$here/apk" "$there/apk" || status=1
exit "$status"
