#!/bin/sh
# Builds the Debian package of the provider's program for this machine's architecture: the same
# bytes from the same program and sources.
#
# SERVER  the program       [target/release/cosip-server]
# OUT     where it goes     [dist]
set -eu
cd "$(dirname "$0")/.."
umask 022
server=${SERVER:-target/release/cosip-server}
out=${OUT:-dist}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
arch=$(dpkg --print-architecture)
# When the sources changed last; without their history, no time at all.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
tree=$work/tree
doc=$tree/usr/share/doc/cosip-server

install -D -m 755 "$server" "$tree/usr/bin/cosip-server"
strip "$tree/usr/bin/cosip-server"
install -D -m 644 packaging/server/cosip-server.service \
    "$tree/usr/lib/systemd/system/cosip-server.service"
install -D -m 644 packaging/server/grafana.json "$tree/usr/share/cosip-server/grafana.json"
install -D -m 644 docs/isp.md "$doc/isp.md"
install -m 644 docs/security.md LICENSE "$doc"
install -D -m 755 packaging/server/debian/postinst "$tree/DEBIAN/postinst"
install -m 755 packaging/server/debian/prerm "$tree/DEBIAN/prerm"

# What the program is linked against, by the glibc that it was built with at least.
glibc=$(dpkg-query -W -f '${Version}' libc6 2>/dev/null | sed 's/[-+].*//')
size=$(du -k -s --apparent-size "$tree/usr" | cut -f 1)
cat >"$tree/DEBIAN/control" <<CONTROL
Package: cosip-server
Version: $version
Architecture: $arch
Maintainer: cosip maintainers <maintainers@cosip.invalid>
Depends: adduser, libc6 (>= $glibc), libgcc-s1
Suggests: postgresql
Section: net
Priority: optional
Installed-Size: $size
Description: certifies routers of a CoSIP network
 Phone service that keeps working when the provider's SIP server does not: the provider's side.
 Signs certificates for routers after the SIP server has vouched for their phones, revokes them,
 and lets routers join the overlay.
CONTROL
deb=$out/cosip-server_${version}_$arch.deb
# Files are no newer than the epoch, and root's.
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" \
    -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --uniform-compression -Zxz --build "$tree" "$deb" >/dev/null
echo "$deb"
