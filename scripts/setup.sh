#!/bin/sh
# Installs what building and testing needs and this machine lacks: Debian packages, and Debian's
# Rust where there is none or it is too old. Idempotent; touches nothing where nothing is missing.
# Without root it names what is missing and the command, and fails. `setup.sh cross`: what building
# and running for routers needs; `setup.sh router`: what playing a whole router needs besides;
# `setup.sh opendht`: the DHT that a swarm of routers is compared with.
set -eu
cd "$(dirname "$0")/.."

# gcc links; the rest are the peers and tools of the tests against real programs.
packages="ca-certificates gcc libc6-dev make
    baresip-core busybox chromium dnsmasq-base iproute2 kamailio kamailio-outbound-modules
    linphone-cli miniupnpd-nftables mount nftables postgresql shellcheck sip-tester systemd tshark
    util-linux"
# Debian keeps a Rust for its browsers that follows upstream closely.
rust_packages="cargo-web rustc-web rust-web-clippy rustfmt-web"
# Node's own packages bring npm along.
node_packages="nodejs npm"

# For routers: zig brings musl and the linker, by a version that is known to do it; for MIPS's
# instructions of 16 bits GNU's assemblers and linkers.
cross_packages="binutils-mips-linux-gnu binutils-mipsel-linux-gnu ca-certificates gcc libc6-dev make
    python3 python3-venv qemu-user-static"
cross_rust_packages="cargo-web rust-web-llvm rust-web-src rustc-web"
# Machines, what their file system is made with, and the networks that they hang on.
router_packages="apt busybox debian-archive-keyring dpkg iproute2 mount qemu-system-arm
    qemu-system-mips util-linux"
opendht_packages="dhtnode iproute2 mount nftables python3-opendht util-linux"
zig=target/tools/zig
zig_version=0.15.2

install_zig() {
    [ "$(cat "$zig/version" 2>/dev/null)" != "$zig_version" ] || return 0
    rm -rf "$zig"
    python3 -m venv "$zig"
    "$zig/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig_version"
    echo "$zig_version" >"$zig/version"
}

case ${1:-} in
cross)
    packages=$cross_packages
    cross/rust >/dev/null || packages="$packages $cross_rust_packages"
    ;;
router)
    packages=$router_packages
    ;;
opendht)
    packages=$opendht_packages
    ;;
*)
    scripts/cargo 2>/dev/null || packages="$packages $rust_packages"
    command -v npm >/dev/null || packages="$packages $node_packages"
    ;;
esac
missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    [ "${1:-}" != cross ] || install_zig
    exit 0
fi

command="apt-get install --no-install-recommends$missing"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing Debian packages:$missing" >&2
    echo "to install them, as root: $command" >&2
    exit 1
fi

# Nothing that is installed starts as a service: Debian asks this file before it starts one.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-cosip
restore() {
    rm -f "$policy"
    [ ! -e "$kept" ] || mv "$kept" "$policy"
}
[ ! -e "$kept" ] || restore # A run before this one was killed.
trap restore EXIT
trap 'exit 1' HUP INT TERM
[ ! -e "$policy" ] || mv "$policy" "$kept"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update
# shellcheck disable=SC2086 # A list of words.
apt-get -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install --no-install-recommends $missing
[ "${1:-}" != cross ] || install_zig
