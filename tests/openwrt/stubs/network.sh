# Stands in for OpenWrt's /lib/functions/network.sh. The interfaces that are up, with their
# devices, are the lines of /tmp/interfaces.
# shellcheck shell=dash disable=SC3043

network_flush_cache() { :; }

# Both families, as network_get_ipaddrs_all has it.
network_get_ipaddrs_all() {
	local __device __held

	network_get_device __device "$2" || return 1
	__held=$(ip -o addr show dev "$__device" | sed 's/.* inet6\{0,1\} \([^/ ]*\).*/\1/')
	eval "$1=\$(echo \$__held)"
	[ -n "$__held" ]
}

network_get_device() {
	local found

	found=$(sed -n "s/^$2 //p" /tmp/interfaces)
	eval "$1=\$found"
	[ -n "$found" ]
}
