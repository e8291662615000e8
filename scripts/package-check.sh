#!/bin/sh
# Proves the packages that routers get: built here and in another folder, programs included, they
# are the same bytes; each runs on its own processor; and neither a program nor a package is larger
# than what a router with 8 MB of flash can take, which is said last.
set -eu
cd "$(dirname "$0")/.."
limit=400000 # Bytes of an .ipk.
here=$PWD/target/package-check/here
there=$PWD/target/package-check/there
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH

rm -rf target/package-check
cross/build
cross/again
OUT=$here scripts/package.sh >/dev/null
OUT=$there target/again/scripts/package.sh >/dev/null
diff -r "$here" "$there"
echo "all packages and trees: the same bytes from two folders"
scripts/package-run.sh "$here"

status=0
cross/limits goal || status=1
for package in "$here"/*.ipk; do
    bytes=$(wc -c <"$package")
    told=
    if [ "$bytes" -gt "$limit" ]; then
        told=", too large"
        status=1
    fi
    printf '%10d %10s %10d  %s%s\n' "$bytes" "" "$limit" "$(basename "$package")" "$told"
done
exit "$status"
