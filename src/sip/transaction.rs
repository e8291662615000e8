//! The transaction layer of RFC 3261 section 17.
