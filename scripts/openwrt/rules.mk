# What scripts/package.sh understands of OpenWrt's build system: enough to read the Makefiles of
# our packages, so that they alone say what is installed where. This file: the commands.

INCLUDE_DIR := $(TOPDIR)/include

INSTALL_DIR := install -d -m0755
INSTALL_BIN := install -m0755
INSTALL_CONF := install -m0600
INSTALL_DATA := install -m0644
