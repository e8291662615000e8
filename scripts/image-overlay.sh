#!/bin/sh
# Writes the folder `files` that OpenWrt's ImageBuilder lays over an image: a provider's settings
# and the secret of its network. A router's own key is not among them; it makes one at its first
# boot, so no two routers share one.
#
# PROVIDER  the settings, as in /etc/config/cosip
# SECRET    the secret of the network            [network.key beside the settings]
# COSIP     a program that checks the settings   [target/release/cosip]
# OUT       where it goes                        [dist/image]
set -eu
cd "$(dirname "$0")/.."
umask 077
cosip=${COSIP:-target/release/cosip}
out=${OUT:-dist/image}

stop() {
    echo "$*" >&2
    exit 1
}

[ -n "${PROVIDER:-}" ] || stop "usage: make image-overlay PROVIDER=file [SECRET=file]"
[ -r "$PROVIDER" ] || stop "$PROVIDER cannot be read"
"$cosip" check -c "$PROVIDER" || stop "$PROVIDER: not as it has to be"

set_to() { # OPTION VALUE-PATTERN: whether a line that is no comment says so
    grep -Eq "^[[:space:]]*(option|list)[[:space:]]+'?$1'?[[:space:]]+['\"]?$2" "$PROVIDER"
}

set_to enabled '(1|yes|on|true|enabled)' || stop "$PROVIDER: option enabled '1' is missing"
grep -Eq '^[[:space:]]*config[[:space:]]+.?provider' "$PROVIDER" ||
    stop "$PROVIDER: a section 'provider' is missing"

secret_file() { # the value of that option, quoted or not
    sed -nE "s/^[[:space:]]*option[[:space:]]+['\"]?secret_file['\"]?[[:space:]]+//p" "$PROVIDER" |
        sed -E "s/^'([^']*)'.*/\1/; t; s/^\"([^\"]*)\".*/\1/; t; s/[[:space:]].*//" | tail -n 1
}

rm -rf "$out/files"
mkdir -p "$out/files/etc/config" "$out/files/etc/cosip"
install -m 600 "$PROVIDER" "$out/files/etc/config/cosip"
if ! set_to mode server; then
    set_to bootstrap . || stop "$PROVIDER: list bootstrap 'HOST:PORT' is missing: see docs/isp.md"
    secret=${SECRET:-$(dirname "$PROVIDER")/network.key}
    [ -r "$secret" ] ||
        stop "$secret is missing; to make one: head -c 32 /dev/urandom | xxd -p -c 64"
    ! grep -vEq '^[0-9A-Fa-f]{64}$' "$secret" || stop "$secret: 64 hex digits a line, nothing else"
    name=$(secret_file)
    name=${name#/etc/cosip/}
    case ${name:=network.key} in
    */*) stop "$PROVIDER: secret_file has to lie in /etc/cosip, which belongs to the daemon" ;;
    esac
    install -m 600 "$secret" "$out/files/etc/cosip/$name"
fi
chmod 755 "$out" "$out/files" "$out/files/etc" "$out/files/etc/config"
find "$out/files" -type f
