//! A received SIP message, as a datagram and as a stream.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::sip::fuzz::fuzz(data));
