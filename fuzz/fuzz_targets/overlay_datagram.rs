//! A datagram of the overlay, with and without a correct tag.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::overlay::fuzz::fuzz(data));
