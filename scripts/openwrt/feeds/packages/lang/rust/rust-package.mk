# The program is built already.

RUST_ARCH_DEPENDS :=
RustBinPackage :=
