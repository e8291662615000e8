# Stands in for procd and its shell functions, as procd's service/instance.c has it: an instance
# that changed while it runs is signalled where it has a reload_signal; one that is no longer there
# is ended. What happens is told in /tmp/procd/events; what the service says of itself is in
# /tmp/procd: instance, data, triggers.
# shellcheck shell=dash disable=SC3043

P=/tmp/procd
mkdir -p "$P"

procd_event() { echo "$*" >>"$P/events"; }

procd_open_service() {
	rm -f "$P/new.instance" "$P/new.data" "$P/new.triggers" "$P/new.command"
}

procd_open_instance() { : >"$P/new.instance"; }
procd_close_instance() { :; }

procd_set_param() {
	local name=$1

	shift
	echo "$name $*" >>"$P/new.instance"
	case $name in
	command) printf '%s\n' "$@" >"$P/new.command" ;;
	netdev) procd_event "netdev: a new index would restart the service" ;;
	esac
}

procd_add_jail() { echo "jail $*" >>"$P/new.instance"; }
procd_add_jail_mount() { echo "mount $*" >>"$P/new.instance"; }
procd_add_jail_mount_rw() { echo "mount_rw $*" >>"$P/new.instance"; }

procd_open_data() { : >"$P/new.data"; }
procd_close_data() { :; }
json_add_array() { echo "[ $1" >>"$P/new.data"; }
json_close_array() { echo "]" >>"$P/new.data"; }
json_add_object() { printf '{' >>"$P/new.data"; }
json_add_string() { printf ' %s=%s' "$1" "$2" >>"$P/new.data"; }
json_close_object() { echo ' }' >>"$P/new.data"; }

procd_add_reload_trigger() { printf 'config %s\n' "$@" >>"$P/new.triggers"; }
procd_add_reload_interface_trigger() { echo "interface $1" >>"$P/new.triggers"; }
procd_add_validation() { "$1"; }
uci_load_validate() { echo "validate $1 $2" >>"$P/new.triggers"; }

procd_set_config_changed() { procd_event "config.change $1"; }

procd_pid() { cat "$P/pid" 2>/dev/null; }
procd_running() { [ -n "$(procd_pid)" ] && kill -0 "$(procd_pid)" 2>/dev/null; }

procd_send_signal() {
	procd_event "signal $3"
	kill "-$3" "$(procd_pid)"
}

procd_start() {
	local command

	procd_event start
	command=$(tr '\n' ' ' <"$P/command")
	if grep -q '^jail ' "$P/instance" && [ -x /sbin/ujail ]; then
		command="/sbin/ujail $command"
	fi
	# shellcheck disable=SC2086 # no word of the command has a space
	$command </dev/null >>/tmp/log 2>&1 &
	echo $! >"$P/pid"
}

procd_end() {
	procd_running || return 0
	procd_event term
	kill -TERM "$(procd_pid)"
	rm -f "$P/pid"
}

procd_close_service() {
	local changed='' part

	service_triggers
	cmp -s "$P/instance" "$P/new.instance" || changed=1
	for part in instance data triggers command; do
		rm -f "$P/$part"
		[ ! -e "$P/new.$part" ] || mv "$P/new.$part" "$P/$part"
	done
	if [ ! -e "$P/instance" ]; then
		procd_end
	elif ! procd_running; then
		procd_start
	elif [ -n "$changed" ]; then
		procd_restart
	fi
}

procd_restart() {
	local signal

	signal=$(sed -n 's/^reload_signal //p' "$P/instance")
	if [ -n "$signal" ]; then
		procd_send_signal "" "" "$signal"
	else
		procd_end
		procd_start
	fi
}

procd_kill() {
	rm -f "$P/instance" "$P/data" "$P/triggers" "$P/command"
	procd_end
}
