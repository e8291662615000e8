//! Which addresses are our own.

use super::is_own;
use crate::sip::Uri;

#[test]
fn our_record_route_is_ours_and_a_phones_contact_at_our_address_is_not() {
    let own = ["203.0.113.21:5062".parse().unwrap(), "192.168.1.1:5060".parse().unwrap()];
    for (uri, expected) in [
        ("sip:192.168.1.1;lr", true),
        ("sip:192.168.1.1:5060;transport=tcp;lr", true),
        ("sip:203.0.113.21:5062;lr", true),
        ("sip:carol@203.0.113.21:5062", false),
        ("sip:203.0.113.21;lr", false),
        ("sip:203.0.113.10;lr", false),
    ] {
        assert_eq!(is_own(&Uri::parse(uri).unwrap(), &own), expected, "{uri}");
    }
}
