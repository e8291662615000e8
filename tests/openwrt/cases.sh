#!/bin/sh
# What the init script and the first-boot script do, one case a run, on the router that enter.sh
# makes: busybox ash, the real daemon, stubs for procd, uci and fw4.
# shellcheck disable=SC2317 # the case is called by its name

set -eu

PID=/tmp/procd/pid
EVENTS=/tmp/procd/events

fail() {
	echo "FAILED: $*" >&2
	for file in /tmp/log "$EVENTS" /tmp/procd/instance /tmp/procd/data /var/run/cosip/networks; do
		echo "--- $file" >&2
		cat "$file" >&2 2>/dev/null || true
	done
	exit 1
}

service() { /bin/sh /etc/rc.common /etc/init.d/cosip "$@"; }

# An event of an interface or a settings file, as procd passes it on.
fire() {
	grep -qx "$1 $2" /tmp/procd/triggers || fail "no trigger for $1 $2"
	service reload || true
}

# Waits for at most five seconds until the command succeeds.
eventually() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.2
	done
	fail "never: $*"
}

is() { [ "$1" = "$2" ] || fail "$3: '$1', not '$2'"; }
has() { grep -qF -- "$2" "$1" || fail "$1 lacks: $2"; }
lacks() { ! grep -qF -- "$2" "$1" || fail "$1 has: $2"; }
count() { grep -cxF -- "$1" "$EVENTS" 2>/dev/null || true; }
secret() {
	(umask 077 && printf "%064d\n" "$1" >/etc/cosip/new)
	mv /etc/cosip/new /etc/cosip/network.key
}
belongs() { stat -c '%U %a' "$1"; }
answers() { cosip status --json -c /etc/config/cosip | grep -q '"running":true'; }
gone() { ! kill -0 "$1" 2>/dev/null; }
routes() { ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; }
routed() { routes | grep -q 5060; }
unrouted() { ! routed; }
tables() { nft list tables; }
# All but the state, which stays, and what this test and its stubs keep.
files() { find / -xdev -type f | grep -v "^/tmp/\|^/etc/cosip/" | sort; }
ports() { netstat -lntuw | grep "^[tur]"; }
settings() { sed -i "s/^\(.*option $1 \).*/\1'$2'/" /etc/config/cosip; }

# A router: phones on br-lan, a provider behind pppoe-wan; the port `wan` is a device too.
network() {
	cat >/etc/config/network <<-END
		config interface 'lan'
			option device 'br-lan'

		config interface 'wan'
			option device 'wan'
			option proto 'pppoe'
	END
	printf 'lan br-lan\nwan pppoe-wan\n' >/tmp/interfaces
	cat >/tmp/zones <<-END
		network lan inside
		network wan internet
		device br-lan inside
	END
	echo "nameserver 192.0.2.53" >/etc/resolv.conf
	# As OpenWrt has it.
	for filter in /proc/sys/net/bridge/bridge-nf-call-*tables; do
		[ ! -e "$filter" ] || echo 0 >"$filter"
	done
	ip link set lo up
	for device in br-lan pppoe-wan wan; do
		ip link add "$device" type veth peer name "far-$device"
		ip link set "$device" up
		ip link set "far-$device" up
	done
	ip addr add 192.168.1.1/24 dev br-lan
	ip addr add 198.51.100.7/32 dev pppoe-wan
	ip addr add 10.9.9.9/24 dev wan
}

enabled() {
	network
	settings enabled 1
	settings mode server
	settings wan_sip_port 15060
}

running() {
	enabled
	service boot
	eventually answers
	pid=$(cat "$PID")
}

a_start_hands_over_what_the_daemon_needs_and_tells_the_firewall() {
	running
	is "$(tr '\0' ' ' <"/proc/$pid/cmdline")" \
		"/usr/sbin/cosip run --user cosip -c /var/run/cosip/config " "the command"
	is "$(sed -n 's/^CapPrm:.//p' "/proc/$pid/status")" 0000000000001000 "CAP_NET_ADMIN"
	is "$(stat -c %U "/proc/$pid")" cosip "the daemon's user"
	is "$(belongs /var/run/cosip/config)" "cosip 400" "the settings"
	cmp /etc/config/cosip /var/run/cosip/config || fail "the settings differ"
	is "$(belongs /var/run/cosip/resolv.conf)" "cosip 400" "the name servers"
	is "$(belongs /etc/cosip)" "cosip 700" "the state"
	is "$(belongs /etc/cosip/adapter.key)" "cosip 600" "the key"
	is "$(cat /var/run/cosip/networks)" "lan br-lan inside
wan pppoe-wan internet" "the networks"
	# The zones' names are fw4's, and a port of a device that is called `wan` is not meant.
	has /tmp/log "LAN 192.168.1.1; WAN 198.51.100.7;"
	has /tmp/procd/data "{ type=rule src=inside proto=tcp udp dest_port=5060 target=ACCEPT }"
	has /tmp/procd/data "{ type=rule src=inside proto=udp dest_port=30000-30199 target=ACCEPT }"
	# What is for others has their addresses and ports; the daemon's mark tells it from the rest.
	has /tmp/procd/data "src=inside proto=tcp udp mark=0x10000000/0x10000000 target=ACCEPT }"
	has /tmp/procd/data "{ type=rule src=internet proto=udp dest_port=15060 target=ACCEPT }"
	has /tmp/procd/data "{ type=rule src=internet proto=udp dest_port=30000-30199 target=ACCEPT }"
	has /tmp/procd/data "dest_port=5350 dest_ip=224.0.0.1"
	lacks /tmp/procd/data "dest_port=5070"
	is "$(grep -c 'type=rule' /tmp/procd/data)" 6 "rules"
	is "$(count 'config.change firewall')" 1 "the firewall is told"
	for trigger in "config cosip" "interface lan" "interface wan" "validate cosip adapter"; do
		grep -qx "$trigger" /tmp/procd/triggers || fail "no trigger: $trigger"
	done
	has /tmp/procd/instance "reload_signal HUP"
	lacks /tmp/procd/instance netdev
	lacks /tmp/procd/instance jail
}

a_reload_is_a_signal_and_never_a_restart() {
	running
	fire config cosip
	is "$(tr '\n' ' ' <"$EVENTS")" "start config.change firewall signal HUP " "a reload of nothing"
	settings phone_expires_s 180
	fire config cosip
	is "$(count 'signal HUP')" 2 "signals"
	eventually grep -q "read again" /tmp/log
	settings mode cooperative
	fire config cosip
	has /tmp/procd/data "{ type=rule src=internet proto=udp dest_port=5070 target=ACCEPT }"
	is "$(count 'config.change firewall')" 2 "the firewall is told of the overlay's port"
	is "$(cat "$PID")" "$pid" "the process"
	is "$(count start)" 1 "starts"
}

a_secret_that_root_exchanges_is_taken_by_a_reload() {
	enabled
	settings mode cooperative
	mkdir -p /etc/cosip
	secret 1
	service boot
	eventually answers
	secret 2
	fire config cosip
	eventually grep -q "secrets changed" /tmp/log
	is "$(belongs /etc/cosip/network.key)" "cosip 600" "the secret"
}

wrong_settings_keep_the_daemon_running_and_are_told() {
	running
	for wrong in sip_port mode; do
		cp /etc/config/cosip /tmp/good
		settings "$wrong" 70000
		fire config cosip
		eventually sh -c 'cosip status --json | grep -qF "\"value\":\"70000\""'
		has /tmp/log "/etc/config/cosip:"
		cp /tmp/good /etc/config/cosip
	done
	# Not even uci can read this.
	echo "	option 'log_level" >>/etc/config/cosip
	fire config cosip
	eventually sh -c 'cosip status --json | grep -qF "\"error\":{"'
	cp /tmp/good /etc/config/cosip
	fire config cosip
	eventually sh -c 'cosip status --json | grep -qF "\"error\":null"'
	is "$(cat "$PID")" "$pid" "the process"
	settings sip_port 70000
	for action in start restart; do
		! service "$action" || fail "no word of what is wrong"
		is "$(cat "$PID")" "$pid" "the process after a $action"
		kill -0 "$pid" || fail "it was ended by a $action"
		grep -q "type=rule" /tmp/procd/data || fail "the rules are gone"
	done
	settings sip_port 5060
	service restart
	eventually gone "$pid"
}

wrong_settings_at_boot_start_nothing_and_the_next_good_ones_do() {
	enabled
	settings sip_port 70000
	service boot
	[ ! -e "$PID" ] || fail "it runs"
	has /tmp/log "70000"
	settings sip_port 5060
	fire config cosip
	eventually answers
}

a_new_ppp_session_does_not_restart_the_daemon() {
	running
	for address in 198.51.100.8 198.51.100.9; do
		: >/tmp/log
		echo "nameserver $address" >/etc/resolv.conf
		ip link del pppoe-wan
		sed -i /pppoe/d /tmp/interfaces
		fire interface wan
		is "$(tail -n 1 /var/run/cosip/networks)" "wan - internet" "the network that is down"
		eventually grep -q "WAN has no address: bring up wan, or name another in list wan; WAN is down" \
			/tmp/log
		ip link add pppoe-wan type veth peer name far-ppp
		ip link set pppoe-wan up
		ip link set far-ppp up
		ip addr add "$address/32" dev pppoe-wan
		echo "wan pppoe-wan" >>/tmp/interfaces
		fire interface wan
		eventually grep -q "WAN $address; WAN is up" /tmp/log
		has /var/run/cosip/resolv.conf "$address"
	done
	is "$(cat "$PID")" "$pid" "the process"
	is "$(count 'signal HUP')" 4 "signals"
	is "$(count 'config.change firewall')" 1 "the firewall is left alone"
	answers || fail "no answer"
}

a_wan_that_is_not_up_at_boot_is_waited_for() {
	enabled
	ip link del pppoe-wan
	sed -i /pppoe/d /tmp/interfaces
	service boot
	eventually answers
	has /tmp/log "WAN has no address: bring up wan, or name another in list wan; WAN is down"
	ip link add pppoe-wan type veth peer name far-ppp
	ip link set far-ppp up
	ip link set pppoe-wan up
	ip addr add 198.51.100.7/32 dev pppoe-wan
	echo "wan pppoe-wan" >>/tmp/interfaces
	fire interface wan
	eventually grep -q "WAN 198.51.100.7; WAN is up" /tmp/log
}

without_interception_nothing_that_is_for_others_is_let_in() {
	running
	eventually routed
	settings intercept 0
	fire config cosip
	lacks /tmp/procd/data "mark="
	eventually unrouted
	is "$(count 'config.change firewall')" 2 "the firewall is told"
}

disabled_leaves_no_rule_no_port_no_file_and_no_process() {
	running
	eventually routed
	is "$(tables)" "table inet cosip" "what takes phones' traffic"
	eventually ports
	files >/tmp/before
	settings enabled 0
	fire config cosip
	eventually gone "$pid"
	is "$(tables)" "" "tables that are left"
	is "$(ports || true)" "" "ports that are left"
	files >/tmp/after
	cmp /tmp/before /tmp/after || fail "left or gone: $(diff /tmp/before /tmp/after)"
	[ ! -e /var/run/cosip ] || fail "the run folder is left"
	[ "$(ls /var/run)" = "" ] || fail "left: $(ls /var/run)"
	[ ! -e /tmp/procd/data ] || fail "rules are left"
	[ ! -e /tmp/procd/instance ] || fail "an instance is left"
	unrouted || fail "left: $(routes)"
	is "$(count 'config.change firewall')" 2 "the firewall is told"
	has /tmp/log stopped
	settings enabled 1
	fire config cosip
	eventually answers
	is "$(count 'config.change firewall')" 3 "the firewall is told"
}

a_stop_keeps_what_the_next_start_needs() {
	running
	before=$(cat /etc/cosip/adapter.key)
	eventually routed
	service stop
	gone "$pid" || fail "it runs"
	unrouted || fail "left: $(routes)"
	is "$(ls /var/run/cosip)" volatile "what is left"
	[ ! -e /tmp/procd/data ] || fail "rules are left"
	is "$(count 'config.change firewall')" 2 "the firewall is told"
	service start
	eventually answers
	is "$(cat /etc/cosip/adapter.key)" "$before" "the key"
}

a_killed_daemon_leaves_nothing_when_it_is_stopped_or_disabled() {
	running
	for end in stop disabled; do
		eventually routed
		kill -9 "$pid"
		eventually gone "$pid"
		routed || fail "it had time to clean up"
		if [ "$end" = stop ]; then
			service stop
		else
			settings enabled 0
			fire config cosip
			[ "$(ls /var/run)" = "" ] || fail "left: $(ls /var/run)"
		fi
		unrouted || fail "left: $(routes)"
		settings enabled 1
		service start
		eventually answers
		pid=$(cat "$PID")
	done
	# The next one takes over what is left.
	eventually routed
	kill -9 "$pid"
	eventually gone "$pid"
	service start
	eventually answers
	eventually routed
	is "$(ip -4 rule | grep -c 5060)" 1 "rules"
	# One that takes nothing leaves none of it.
	pid=$(cat "$PID")
	settings intercept 0
	kill -9 "$pid"
	eventually gone "$pid"
	service start
	eventually unrouted
}

what_root_puts_into_the_state_becomes_the_daemons_and_no_link_is_followed() {
	enabled
	mkdir -p /etc/cosip
	(umask 077 && echo secret >/etc/cosip/network.key)
	echo mine >/srv/mine
	ln -s /srv/mine /etc/cosip/link
	mkdir -p /var/run/cosip
	ln -s /srv/mine /var/run/cosip/config
	ln -s /srv/mine /var/run/cosip/networks
	service boot
	eventually answers
	is "$(belongs /etc/cosip/network.key)" "cosip 600" "the secret"
	is "$(belongs /srv/mine)" "root 644" "a file behind a link"
	is "$(cat /srv/mine)" mine "a file behind a link"
}

in_a_jail_only_the_two_folders_are_mounted() {
	enabled
	mv /usr/sbin/ujail.off /sbin/ujail
	service boot
	eventually answers
	pid=$(cat "$PID")
	has /tmp/procd/instance "jail cosip procfs"
	is "$(grep ^mount /tmp/procd/instance)" "mount_rw /etc/cosip /var/run/cosip" "mounts"
	lacks /tmp/procd/instance capabilities
	is "$(sed -n 's/^CapPrm:.//p' "/proc/$pid/status")" 0000000000001000 "CAP_NET_ADMIN"
	is "$(sed -n 's/^CapEff:.//p' "/proc/$pid/status")" 0000000000000000 "asleep"
	is "$(stat -c %U "/proc/$pid")" cosip "the daemon's user"
	(cd "/proc/$pid/root" && [ -d etc/cosip ] && [ ! -e etc/passwd ]) || fail "no jail"
	# New files, and so new inodes: the folder shows them in the jail too.
	settings phone_expires_s 180
	sed -i "s/^wan .*/wan wan/" /tmp/interfaces
	fire config cosip
	eventually grep -q "LAN 192.168.1.1; WAN 10.9.9.9;" /tmp/log
	is "$(cat "$PID")" "$pid" "the process"
}

sections_without_names_single_options_and_devices_are_understood() {
	network
	cat >/etc/config/cosip <<-END
		config adapter
			option enabled 'yes'
			option mode 'server'
			option lan 'br-lan'
			option wan 'wan'
	END
	service boot
	eventually answers
	is "$(cat /var/run/cosip/networks)" "wan pppoe-wan internet" "the networks"
	has /tmp/log "LAN 192.168.1.1; WAN 198.51.100.7;"
	has /tmp/procd/data "src=inside proto=tcp udp dest_port=5060"
	has /tmp/procd/data "src=internet proto=udp dest_port=30000-30199"
	# Not known: chosen by the daemon.
	lacks /tmp/procd/data "src=internet proto=tcp"
}

literal_addresses_have_the_rules_of_the_network_that_holds_them() {
	enabled
	sed -i "s/^\(.*list lan \).*/\1'192.168.1.1'/;s/^\(.*list wan \).*/\1'198.51.100.7'/" \
		/etc/config/cosip
	service boot
	eventually answers
	has /tmp/procd/data "src=inside proto=tcp udp dest_port=5060"
	has /tmp/procd/data "src=internet proto=udp dest_port=15060"
	is "$(cat /var/run/cosip/networks)" "lan br-lan inside
wan pppoe-wan internet" "the networks"
	# The address goes, and comes to another network.
	ip addr del 198.51.100.7/32 dev pppoe-wan
	fire interface wan
	lacks /tmp/procd/data "src=internet"
	has /tmp/log "no network has the address 198.51.100.7: the firewall lets nothing in for it"
	printf 'guest wan\n' >>/tmp/interfaces
	echo "network guest outside" >>/tmp/zones
	ip addr add 198.51.100.7/32 dev wan
	fire interface lan
	has /tmp/procd/data "src=outside proto=udp dest_port=15060"
	grep -qx "interface guest" /tmp/procd/triggers || fail "the other network is not watched"
}

the_first_boot_chooses_a_wan_port_that_nothing_else_uses_and_keeps_it() {
	sh /etc/uci-defaults/90-cosip || fail "it did not exit 0"
	port=$(uci get cosip.adapter.wan_sip_port)
	[ "$port" -ge 10000 ] || fail "port $port"
	[ "$port" -lt 30000 ] || fail "port $port"
	cosip check || fail "settings that are not allowed"
	has /tmp/committed cosip
	sh /etc/uci-defaults/90-cosip
	is "$(uci get cosip.adapter.wan_sip_port)" "$port" "a port that is chosen"
	# Half of what can be chosen is the relay's.
	settings port_min 10000
	settings port_max 20000
	for _ in 1 2 3 4; do
		settings wan_sip_port 0
		sh /etc/uci-defaults/90-cosip
		[ "$(uci get cosip.adapter.wan_sip_port)" -le 20000 ] || return 0
	done
	fail "the relay's port was chosen"
}

an_account_that_the_plugin_sets_is_the_daemons_after_a_reload() {
	running
	# A password that the shell, UCI or JSON could mistake for something else.
	cat >/tmp/given <<-'END'
		{"aor":"sip:a@b.test","password":"it's \"$HOME\" \\ # x"}
	END
	is "$(/usr/libexec/rpcd/luci.cosip call set_account </tmp/given)" '{"ok":true}' "the answer"
	tail -n 3 /etc/config/cosip | grep -q "^config account" || fail "no new section"
	is "$(grep "option password" /etc/config/cosip | tail -n 1)" \
		"	option password 'it'\\''s \"\$HOME\" \\ # x'" "the password"
	cosip check || fail "settings that are not allowed"
	! cmp -s /etc/config/cosip /var/run/cosip/config || fail "it reloaded by itself"
	fire config cosip
	cmp /etc/config/cosip /var/run/cosip/config || fail "the settings differ"
	eventually answers
	is "$(cat "$PID")" "$pid" "the process"
}

what_is_installed_passes_the_feeds_test() {
	sh /srv/test.sh cosip "$(cosip --version | cut -d" " -f2)"
	! sh /srv/test.sh cosip 99.9.9 || fail "any version will do"
	sh /srv/test.sh another 1.0
}

"$1"
echo "done: $1"
