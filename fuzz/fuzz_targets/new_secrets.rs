//! The file of new secrets, and what a CoSIP server says of certificates and secrets.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cosip::identity::rolling::fuzz(data);
    cosip::channel::fuzz::fuzz_payload(data);
});
