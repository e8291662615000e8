//! Certificates, lists of revocations, challenges, and files of identities.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::identity::fuzz::fuzz(data));
