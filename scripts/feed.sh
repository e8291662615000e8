#!/bin/sh
# Writes what is handed in to OpenWrt: the release (OUT/cosip-VERSION.tar.gz, from the last commit)
# and OUT/feed with our packages as they belong into openwrt/telephony (or packages: net/cosip) and
# openwrt/luci, the release's hash in them, without translations: LuCI's come from Weblate.
#
# RELEASE_URL  the folder that the release will be downloaded from  [the origin's, on GitHub]
# MAINTAINER   Name <address>, as in the commit's Signed-off-by     [who git says commits here]
# OUT          where it goes                                          [dist]
set -eu
cd "$(dirname "$0")/.."
umask 022
out=${OUT:-dist}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
release=$out/cosip-$version.tar.gz

git rev-parse --verify -q HEAD >/dev/null || {
    echo "the release is made from a commit; there is none here" >&2
    exit 1
}
[ -z "$(git status --porcelain)" ] || echo "what is not committed stays out of the release" >&2

mkdir -p "$out"
git archive --format=tar --prefix="cosip-$version/" HEAD | gzip -9n >"$release"
hash=$(sha256sum "$release" | cut -d' ' -f1)

# What nobody told is taken from git, where it knows.
origin=$(git remote get-url origin 2>/dev/null |
    sed 's|^git@github.com:|https://github.com/|; s|\.git$||')
case $origin in
https://github.com/*/*) : "${RELEASE_URL:=$origin/releases/download/v$version}" ;;
esac
name=$(git config user.name || true)
address=$(git config user.email || true)
[ -z "$name" ] || [ -z "$address" ] || : "${MAINTAINER:=$name <$address>}"

fill_in() { # MAKEFILE: fills in what is only known now
    sed -i "s|^PKG_HASH:=.*|PKG_HASH:=$hash|" "$1"
    [ -z "${RELEASE_URL:-}" ] || sed -i "s|^PKG_SOURCE_URL:=.*|PKG_SOURCE_URL:=$RELEASE_URL|" "$1"
    [ -z "${MAINTAINER:-}" ] || sed -i "s|^PKG_MAINTAINER:=.*|PKG_MAINTAINER:=$MAINTAINER|" "$1"
}

rm -rf "$out/feed"
net=$out/feed/telephony/net
applications=$out/feed/luci/applications
mkdir -p "$net" "$applications"
cp -R openwrt/net/cosip "$net/"
fill_in "$net/cosip/Makefile"
cp -R openwrt/luci-app-cosip "$applications/"
fill_in "$applications/luci-app-cosip/Makefile"
find "$applications/luci-app-cosip/po" -mindepth 1 -maxdepth 1 ! -name templates -exec rm -r {} +
printf '%s\n' "$release" "$out/feed"
[ -n "${RELEASE_URL:-}" ] ||
    echo "the release's address is a placeholder: make feed RELEASE_URL=https://.." >&2
[ -n "${MAINTAINER:-}" ] ||
    echo "the maintainer is a placeholder: make feed MAINTAINER='Name <address>'" >&2
