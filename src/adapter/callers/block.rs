//! Whom an entry of the option `block` means.

use crate::adapter::names::hex_bytes;
use crate::adapter::spelling;
use crate::config::{Provider, is_host};
use crate::net::NodeId;

/// Whether an entry is this adapter, as `cosip status` names it.
pub(super) fn is_adapter(entry: &str, peer: NodeId) -> bool {
    hex_bytes(entry) == Some(peer.0)
}

/// Whether an entry is this caller, as spelled by the provider of the phone that is called: an
/// address, a number by its dialling rules, or all of a domain.
pub(super) fn is_caller(entry: &str, provider: &Provider, name: &str) -> bool {
    let whole = is_host(entry);
    let uri = match entry.contains(':') {
        true => entry.to_owned(),
        false if whole => format!("sip:all@{entry}"),
        false => format!("tel:{entry}"),
    };
    let Some(aor) = spelling::key(&uri, provider) else { return false };
    let domain = name.rsplit_once('@').map_or("", |(_, domain)| domain);
    if whole { domain == aor.domain() } else { name == aor.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_means_an_address_a_number_a_domain_or_an_adapter() {
        let provider = Provider {
            domain: "example.net".into(),
            alias_domain: vec!["sip.example.net".into()],
            country_code: "49".into(),
            area_code: "89".into(),
            ..Provider::default()
        };
        let number = "+498912345@example.net";
        let cases = [
            ("sip:alice@example.net", "alice@example.net", true),
            ("sip:alice@SIP.Example.net:5060;transport=tcp", "alice@example.net", true),
            ("sip:alice@example.net", "alicea@example.net", false),
            ("sip:alice@example.net", "alice@elsewhere.example", false),
            ("tel:+49-89-12345", number, true),
            ("089 12345", number, true),
            ("12345", number, true),
            ("+498912346", number, false),
            ("sip:089/12345@example.net", number, true),
            ("example.net", number, true),
            ("SIP.example.net", number, true),
            ("example.net", "alice@sub.example.net", false),
            ("elsewhere.example", "alice@elsewhere.example", true),
            ("192.0.2.1", "alice@192.0.2.1", true),
            ("sip:anonymous@anonymous.invalid", "anonymous@anonymous.invalid", true),
            ("example.net", "", false),
        ];
        for (entry, name, means) in cases {
            assert_eq!(is_caller(entry, &provider, name), means, "{entry} {name}");
        }
        let id = NodeId([0xa5; 16]);
        assert!(is_adapter(&"A5".repeat(16), id) && is_adapter(&id.to_string(), id));
        assert!(!is_adapter(&"a6".repeat(16), id) && !is_adapter("a5", id));
    }
}
