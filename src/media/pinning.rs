//! Which sources may send.
