//! What a router in front answers by UPnP: searches, HTTP, descriptions, SOAP.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cosip::portmap::fuzz::fuzz_upnp(data));
