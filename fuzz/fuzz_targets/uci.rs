//! A settings file.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::config::fuzz::fuzz(data));
