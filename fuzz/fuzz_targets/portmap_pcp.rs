//! What a router in front answers by PCP.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::portmap::fuzz::fuzz_pcp(data));
