#!/bin/sh
# Runs the tests: all of them, or those whose name contains ONLY. What cannot run here (no root,
# a program that is not installed) is named at the end; with COSIP_TEST_ALL=1 it is a failure.
set -eu
cd "$(dirname "$0")/.."
features=lab,server

if [ "$(id -u)" = 0 ]; then
    scripts/setup.sh
elif ! scripts/setup.sh; then
    scripts/cargo || exit 1
    echo "going on with the tests that need none of these"
fi

if [ -z "${ONLY:-}" ]; then
    # What routers and `cargo install` get: the default features, and the daemon alone.
    scripts/cargo build --locked
    rm -rf target/install
    scripts/cargo install --locked --path . --debug --force --quiet --no-track \
        --target-dir target --root target/install
    installed=$(ls target/install/bin)
    if [ "$installed" != cosip ]; then
        echo "cargo install gives more or less than cosip alone: $installed" >&2
        exit 1
    fi
fi

mkdir -p target
export COSIP_LEFT_OUT="$PWD/target/left-out"
rm -f "$COSIP_LEFT_OUT"
status=0
scripts/cargo test --locked --no-fail-fast --features "$features" ${ONLY:+"$ONLY"} || status=$?

# What routers run: a program for each processor, in a package that works, and none has grown. From
# another folder one of them has to be the same bytes; `make package-check` compares all.
for_routers() {
    rm -rf target/packages
    cross/build && cross/again mips-unknown-linux-musl &&
        OUT=target/packages scripts/package.sh && scripts/package-run.sh target/packages &&
        cross/limits
}
if [ -z "${ONLY:-}" ]; then
    if scripts/setup.sh cross; then
        for_routers || status=1
    elif [ "${COSIP_TEST_ALL:-}" = 1 ]; then
        status=1
    else
        echo "  the programs for routers: need the packages named above" >>"$COSIP_LEFT_OUT"
    fi
fi
if [ -s "$COSIP_LEFT_OUT" ]; then
    echo
    echo "left out here:"
    cat "$COSIP_LEFT_OUT"
    echo "to run everything, as root: make test"
fi
exit "$status"
