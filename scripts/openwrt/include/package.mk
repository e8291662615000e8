# The part of a package's life after it is built. `make describe` prints its metadata, one `NAME
# VALUE` a line; `make text FILE=conffiles` prints a block; `make install DEST=folder` installs.

VERSION := $(PKG_VERSION)-r$(PKG_RELEASE)
SHELL := /bin/sh
.PHONY: describe text install

define BuildPackage
$(eval $(call Package/$(1)))
$(eval PACKAGE := $(1))
endef

# A value goes as it is: through the environment.
NAMES := PKG_NAME VERSION PKG_MAINTAINER PKG_LICENSE PKG_LICENSE_FILES SECTION TITLE URL DEPENDS USERID
export $(NAMES)

describe:
	@for name in $(NAMES); do eval "echo \"$$name \$$$$name\""; done

export TEXT = $(Package/$(PACKAGE)/$(FILE))
text:
	@printf '%s\n' "$$TEXT"

install:
	$(call Package/$(PACKAGE)/install,$(DEST))
