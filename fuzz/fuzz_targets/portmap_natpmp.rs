//! What a router in front answers by NAT-PMP.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::portmap::fuzz::fuzz_nat_pmp(data));
