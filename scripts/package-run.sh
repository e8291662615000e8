#!/bin/sh
# Runs what routers would install: package-run.sh FOLDER unpacks each of its .ipk with a program,
# and has the program say its version, judge the settings that come with it, and find that these
# switch it off, on the processor that the package says it is for, emulated by qemu.
set -eu
for package in "$1"/cosip_*.ipk; do
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    tar -xzOf "$package" ./control.tar.gz | tar -xzf - -C "$tree"
    tar -xzOf "$package" ./data.tar.gz | tar -xzf - -C "$tree"
    field() { # NAME: of the control data
        sed -n "s/^$1: //p" "$tree/control"
    }
    architecture=$(field Architecture)
    version=$(field Version)
    on_its_processor() { # ARGUMENT...
        "qemu-${architecture%%_*}-static" "$tree/usr/sbin/cosip" "$@"
    }

    told=$(on_its_processor --version)
    [ "$told" = "cosip ${version%-r*}" ] || {
        echo "$package: the version of its program is $told" >&2
        exit 1
    }
    on_its_processor check -c "$tree/etc/config/cosip"
    on_its_processor run -c "$tree/etc/config/cosip" | grep -F 'disabled by option enabled'
    rm -rf "$tree"
    echo "$package runs"
done
