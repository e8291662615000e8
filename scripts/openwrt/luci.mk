# The part of LuCI's luci.mk that an application without code in C needs. LuCI takes a version from
# its own history; here it is the one of the program.

PKG_NAME ?= $(notdir $(CURDIR))
PKG_VERSION ?= $(COSIP_VERSION)
PKG_RELEASE ?= 1

include $(INCLUDE_DIR)/package.mk

define Package/$(PKG_NAME)
  SECTION := luci
  TITLE := $(LUCI_TITLE)
  DEPENDS := $(LUCI_DEPENDS)
endef

define Package/$(PKG_NAME)/description
$(LUCI_DESCRIPTION)
endef

define Package/$(PKG_NAME)/postinst
#!/bin/sh
[ -n "$${IPKG_INSTROOT}" ] || {
	rm -f /tmp/luci-indexcache.*
	rm -rf /tmp/luci-modulecache/
	[ ! -x /etc/init.d/rpcd ] || /etc/init.d/rpcd reload
}
exit 0
endef

define Package/$(PKG_NAME)/install
	$(INSTALL_DIR) $(1)/www
	cp -R htdocs/. $(1)/www/
	cp -R root/. $(1)/
	find $(1) -type d -exec chmod 0755 {} +
	find $(1) -type f -exec chmod 0644 {} +
endef

$(eval $(call BuildPackage,$(PKG_NAME)))
