//! A script of datagrams between two ends of the channel.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::channel::fuzz::fuzz(data));
