# Stands in for OpenWrt's /lib/functions/network.sh. The interfaces that are up, with their
# devices, are the lines of /tmp/interfaces.
# shellcheck shell=dash disable=SC3043

network_flush_cache() { :; }

network_get_device() {
	local found

	found=$(sed -n "s/^$2 //p" /tmp/interfaces)
	eval "$1=\$found"
	[ -n "$found" ]
}
