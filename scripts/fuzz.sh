#!/bin/sh
# Fuzzes every target, or ONLY one, each for SECONDS_EACH: from the committed seeds and from what
# earlier runs found (fuzz/corpus). Without a sanitizer: the code under test has no unsafe block,
# what is looked for are panics, broken promises, and time and memory without a bound.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
seconds=${SECONDS_EACH:-60}

command -v c++ >/dev/null || {
    echo "libFuzzer needs a C++ compiler; as root: apt-get install g++" >&2
    exit 1
}
PATH=$root/target/tools/bin:$PATH
command -v cargo-fuzz >/dev/null ||
    scripts/cargo install --locked --root target/tools --version '^0.13' cargo-fuzz

seeds() { # TARGET
    case $1 in
    sip_message) echo tests/data/rfc4475 ;;
    sdp) echo tests/data/sdp ;;
    uci) echo openwrt/net/cosip/files ;;
    *) echo "fuzz/seeds/$1" ;;
    esac
}

for target in sip_message sdp uci identity overlay_datagram channel_datagram new_secrets \
    portmap_pcp portmap_natpmp portmap_upnp; do
    [ "${ONLY:-$target}" = "$target" ] || continue
    echo "== $target, $seconds s"
    mkdir -p "fuzz/corpus/$target"
    RUSTC_BOOTSTRAP=1 scripts/cargo fuzz run --sanitizer none "$target" \
        "fuzz/corpus/$target" "$(seeds "$target")" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1
done
