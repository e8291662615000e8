//! Digest authentication of RFC 7616.
