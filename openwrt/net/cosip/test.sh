#!/bin/sh
#
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Functional check of the installed package.

[ "$1" = cosip ] || exit 0

set -e

cosip --version | grep -F "cosip $2"
cosip check -c /etc/config/cosip
cosip run -c /etc/config/cosip | grep -F "disabled by option enabled"
/usr/libexec/rpcd/luci.cosip list | grep -F '"status"'
for file in /etc/config/cosip /etc/init.d/cosip; do
	ls -l "$file"
done
