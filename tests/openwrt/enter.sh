#!/bin/sh
# Runs one case of cases.sh on a router of its own: a root with busybox, the stubs and the unpacked
# package, with own mounts, processes and network, all gone when it ends. As root.
#
# enter.sh PACKAGE FOLDER CASE
set -eu

if [ "${COSIP_INSIDE:-}" != 1 ]; then
    here=$(cd "$(dirname "$0")" && pwd)
    export COSIP_INSIDE=1
    exec unshare --mount --net --pid --fork --kill-child --mount-proc \
        sh "$here/enter.sh" "$@"
fi

package=$1 root=$2 case=$3
here=$(cd "$(dirname "$0")" && pwd)

mount -t tmpfs none "$root"
cd "$root"
mkdir -p bin sbin lib/functions usr/bin usr/sbin usr/lib lib64 etc proc dev tmp/run srv
ln -s tmp var
cp "$(command -v busybox)" bin/busybox

# What they are linked with; busybox's shell comes first.
for folder in /lib /lib64 /usr/lib; do
    [ -d "$folder" ] || continue
    mkdir -p "system$folder"
    mount --bind "$folder" "system$folder"
done
rmdir lib64 usr/lib
ln -s system/lib64 lib64
ln -s ../system/usr/lib usr/lib
for entry in system/lib/*; do
    ln -s "../$entry" "lib/$(basename "$entry")"
done
mount -t proc none proc
for device in null urandom; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
chroot . /bin/busybox --install -s /bin

cp "$here/stubs/functions.sh" lib/functions.sh
cp "$here/stubs/procd.sh" "$here/stubs/network.sh" lib/functions/
install -m 755 "$here/stubs/rc.common" etc/rc.common
install -m 755 "$here/stubs/ujail" usr/sbin/ujail.off
rm -f bin/uci bin/ubus bin/fw4 bin/logger bin/ip
cp "$(command -v ip)" "$(command -v nft)" bin/
install -m 755 "$here/stubs/uci" "$here/stubs/ubus" "$here/stubs/fw4" "$here/stubs/logger" bin/
tar -xzOf "$package" ./data.tar.gz | tar -xz
cp "$here/../../openwrt/net/cosip/test.sh" srv/test.sh
cp "$here/cases.sh" srv/cases.sh
printf 'root:x:0:0::/root:/bin/sh\ncosip:x:453:453::/var/run/cosip:/bin/false\n' >etc/passwd
printf 'root:x:0:\ncosip:x:453:\n' >etc/group

exec chroot . /bin/busybox env -i PATH=/bin:/usr/sbin:/sbin /bin/sh /srv/cases.sh "$case"
