//! The rules of a proxy: RFC 3261 section 16 and RFC 5393.
