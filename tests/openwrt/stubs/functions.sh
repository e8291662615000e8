# Stands in for OpenWrt's /lib/functions.sh: settings as shell variables.
# shellcheck shell=dash disable=SC3043

config() {
	CONFIG_COUNT=$((CONFIG_COUNT + 1))
	CONFIG_SECTION=${2:-cfg$CONFIG_COUNT}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_SECTION"
	option TYPE "$1"
}

option() {
	eval "CONFIG_${CONFIG_SECTION}_$1=\$2"
}

list() {
	local name="CONFIG_${CONFIG_SECTION}_$1"

	eval "$name=\"\${$name:+\$$name }\$2\""
}

config_load() {
	local text

	CONFIG_COUNT=0
	CONFIG_SECTIONS=
	text=$(uci -q export "$1") || return 1
	eval "$text"
}

config_get() {
	eval "$1=\${CONFIG_${2}_$3:-\$4}"
}

config_foreach() {
	local section type

	for section in $CONFIG_SECTIONS; do
		config_get type "$section" TYPE
		[ "$type" != "$2" ] || "$1" "$section"
	done
}

get_bool() {
	case "$1" in
	1 | on | true | yes | enabled) echo 1 ;;
	0 | off | false | no | disabled) echo 0 ;;
	*) echo "$2" ;;
	esac
}
