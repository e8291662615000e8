//! Where a SIP URI leads: RFC 3263.
