//! A session description on its way both ways.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::media::fuzz::fuzz(data));
