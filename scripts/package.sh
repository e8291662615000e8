#!/bin/sh
# Builds the packages for routers: an .ipk for each architecture and one for the web pages, plain
# tar and gzip, the same bytes from the same sources wherever they lie. For .apk, `apk mkpkg` where
# it is on the PATH; without it, the finished tree and the command lie in OUT/apk/ARCHITECTURE.
#
# CROSS   where the programs are, by triple          [target/cross]
# BINARY  one program for all architectures, instead
# ARCHS   which packages                             [all four]
# OUT     where they go                              [dist]
set -eu
cd "$(dirname "$0")/.."
umask 022
root=$PWD
cross=${CROSS:-target/cross}
out=${OUT:-dist}
sdk=$root/scripts/openwrt
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
export COSIP_VERSION="$version"
# When the sources changed last; without their history, no time at all.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

triple_of() { # ARCHITECTURE
    case $1 in
    mips_24kc) echo mips-unknown-linux-musl ;;
    mipsel_24kc) echo mipsel-unknown-linux-musl ;;
    arm_cortex-a7_neon-vfpv4) echo armv7-unknown-linux-musleabihf ;;
    aarch64_cortex-a53) echo aarch64-unknown-linux-musl ;;
    *)
        echo "no such architecture: $1" >&2
        exit 1
        ;;
    esac
}

feed_make() { # PACKAGE-FOLDER TARGET...
    folder=$1
    shift
    make --no-print-directory -s -C "$folder" -I "$sdk/feeds/packages" TOPDIR="$sdk" "$@"
}

archive() { # FOLDER OUTPUT: a package's kind of archive of all that is in a folder
    tar -C "$1" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$epoch" -cf - . | gzip -9n >"$2"
}

value() { # NAME: of what the Makefile said
    sed -n "s/^$1 //p" "$work/describe"
}

# Reads a package's Makefile and installs it into $work/tree.
lay_out() { # PACKAGE-FOLDER
    rm -rf "$work/tree" "$work/control" "$work/apk"
    mkdir -p "$work/tree" "$work/control" "$work/apk"
    feed_make "$1" describe >"$work/describe"
    feed_make "$1" install DEST="$work/tree" PKG_INSTALL_DIR="$work/built"
    for text in conffiles postinst prerm postrm description; do
        feed_make "$1" text FILE="$text" | sed '/./,$!d' >"$work/$text"
    done
    name=$(value PKG_NAME)
    full=$(value VERSION)
    depends=$(value DEPENDS | tr -d + | sed 's/  */, /g')
    # What an upgrade of the system keeps though no package has it.
    kept=$(while read -r path; do
        [ -z "$path" ] || [ -f "$work/tree$path" ] || echo "$path"
    done <"$work/conffiles")
    if [ -n "$kept" ]; then
        mkdir -p "$work/tree/lib/upgrade/keep.d"
        echo "$kept" >"$work/tree/lib/upgrade/keep.d/$name"
    fi
}

field() { # NAME VALUE: a line of control data, where there is a value
    [ -z "$2" ] || echo "$1: $2"
}

script() { # COMMAND...: a script that sources OpenWrt's functions and ends with the command
    # shellcheck disable=SC2016 # the router expands it
    printf '%s\n' '#!/bin/sh' '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0' \
        '[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0' \
        '. "${IPKG_INSTROOT}/lib/functions.sh"' "$@"
}

make_ipk() { # ARCHITECTURE
    control=$work/control
    archive "$work/tree" "$work/data.tar.gz"
    {
        field Package "$name"
        field Version "$full"
        field Depends "$depends"
        field Source "$source"
        field SourceName "$name"
        field License "$(value PKG_LICENSE)"
        field LicenseFiles "$(value PKG_LICENSE_FILES)"
        field Section "$(value SECTION)"
        field Require-User "$(value USERID)"
        field SourceDateEpoch "$epoch"
        field URL "$(value URL)"
        field Maintainer "$(value PKG_MAINTAINER)"
        field Architecture "$1"
        field Installed-Size "$(gzip -dc "$work/data.tar.gz" | wc -c)"
        printf 'Description:'
        sed 's/^ */ /' "$work/description"
    } >"$control/control"
    while read -r path; do
        [ -z "$path" ] || [ ! -f "$work/tree$path" ] || echo "$path"
    done <"$work/conffiles" >"$control/conffiles"
    [ -s "$control/conffiles" ] || rm "$control/conffiles"
    # shellcheck disable=SC2016 # the router expands it
    script 'default_postinst $0 $@' >"$control/postinst"
    # shellcheck disable=SC2016
    script 'default_prerm $0 $@' >"$control/prerm"
    [ ! -s "$work/postinst" ] || cp "$work/postinst" "$control/postinst-pkg"
    [ ! -s "$work/prerm" ] || cp "$work/prerm" "$control/prerm-pkg"
    [ ! -s "$work/postrm" ] || cp "$work/postrm" "$control/postrm"
    find "$control" -name 'p*' -exec chmod 755 {} +
    archive "$control" "$work/control.tar.gz"
    echo 2.0 >"$work/debian-binary"
    tar -C "$work" --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$epoch" \
        -cf - ./debian-binary ./data.tar.gz ./control.tar.gz | gzip -9n \
        >"$out/${name}_${full}_$1.ipk"
    echo "$out/${name}_${full}_$1.ipk"
}

# As apk has them: what a package says of itself lies in the tree, and scripts beside it.
make_apk() { # ARCHITECTURE
    home=$out/apk/$1/$name
    rm -rf "$home"
    mkdir -p "$home"
    own=$work/tree/lib/apk/packages
    mkdir -p "$own"
    users=$(value USERID)
    [ -z "$users" ] || echo "$users" >"$own/$name.rusers"
    (cd "$work/tree" && find . -type f -o -type l) | sed 's/^\.//' | LC_ALL=C sort >"$work/list"
    mv "$work/list" "$own/$name.list"
    if [ -s "$work/conffiles" ]; then
        cp "$work/conffiles" "$own/$name.conffiles"
        while read -r path; do
            [ -f "$work/tree$path" ] || continue
            echo "$path $(sha256sum "$work/tree$path" | cut -d' ' -f1)"
        done <"$work/conffiles" >"$own/$name.conffiles_static"
    fi
    # shellcheck disable=SC2016 # the router expands it
    known='export root="${IPKG_INSTROOT}"'
    {
        script "$known" "export pkgname=\"$name\"" add_group_and_user default_postinst
        sed '/^#!/d' "$work/postinst"
    } >"$home/post-install"
    {
        printf '%s\n' '#!/bin/sh' 'export PKG_UPGRADE=1'
        sed '/^#!/d' "$home/post-install"
    } >"$home/post-upgrade"
    script "$known" "export pkgname=\"$name\"" default_prerm >"$home/pre-deinstall"
    scripts='--script post-install:post-install --script post-upgrade:post-upgrade
    --script pre-deinstall:pre-deinstall'
    if [ -s "$work/postrm" ]; then
        cp "$work/postrm" "$home/post-deinstall"
        scripts="$scripts --script post-deinstall:post-deinstall"
    fi
    cp -R "$work/tree" "$home/files"
    find "$home" -exec touch -h -d "@$epoch" {} +
    arch=$1
    [ "$arch" != all ] || arch=noarch
    cat >"$home/mkpkg" <<END
#!/bin/sh
# Makes the package; apk is apk-tools 3, and the files become root's with fakeroot or as root.
cd "\$(dirname "\$0")" || exit 1
exec apk mkpkg --info "name:$name" --info "version:$full" --info "arch:$arch" \\
    --info "description:$(tr -s ' \n' ' ' <"$work/description" | sed 's/^ //; s/ $//')" \\
    --info "license:$(value PKG_LICENSE)" --info "origin:$source" \\
    --info "url:$(value URL)" --info "maintainer:$(value PKG_MAINTAINER)" \\
    --info "depends:$(echo "$depends" | tr -d ,)" \\
    $(echo "$scripts" | tr -s ' \n' ' ') \\
    --files files --output "../$name-$full.apk"
END
    chmod 755 "$home/mkpkg" "$home"/*-*
    if apk --version 2>/dev/null | grep "^apk-tools 3" >/dev/null; then
        if [ "$(id -u)" = 0 ]; then "$home/mkpkg"; else fakeroot "$home/mkpkg"; fi
        echo "$out/apk/$1/$name-$full.apk"
    else
        echo "$home/mkpkg (no apk with mkpkg here)"
    fi
}

german() { # the web pages speak it where the browser or the user asks for it
    for catalogue in openwrt/luci-app-cosip/po/de/*.po; do
        mkdir -p "$work/tree/usr/lib/lua/luci/i18n" "$work/tree/etc/uci-defaults"
        scripts/po2lmo "$catalogue" \
            "$work/tree/usr/lib/lua/luci/i18n/$(basename "$catalogue" .po).de.lmo"
        printf '%s\n' "uci set luci.languages.de='Deutsch (German)'" "uci commit luci" \
            >"$work/tree/etc/uci-defaults/luci-app-cosip-de"
    done
}

for arch in ${ARCHS:-mips_24kc mipsel_24kc arm_cortex-a7_neon-vfpv4 aarch64_cortex-a53}; do
    triple=$(triple_of "$arch")
    binary=${BINARY:-$cross/$triple/cosip}
    if [ ! -f "$binary" ]; then
        echo "$binary is missing: make cross" >&2
        exit 1
    fi
    rm -rf "$work/built"
    mkdir -p "$work/built/bin"
    cp "$binary" "$work/built/bin/cosip"
    source=feeds/telephony/net/cosip
    lay_out openwrt/net/cosip
    make_ipk "$arch"
    make_apk "$arch"
done
source=feeds/luci/applications/luci-app-cosip
lay_out openwrt/luci-app-cosip
german
make_ipk all
make_apk all
