//! What an option is: its section, type, range, default, when a change applies, and its help.
//!
//! The rows are in `table.rs`. Everything that speaks about options (the parser, `cosip check
//! --schema`, the web form, the documentation) follows from them, and tests hold them together.

use super::table::{ADAPTER, EMERGENCY, IDENTITY, MEDIA, OVERLAY};
use super::table_repeated::{ACCOUNT, PROVIDER};
use super::types::Config;
use super::value::{Anchor, HostPort, Net, Route, Server, is_host};
use crate::json::{Value, json};
use core::fmt;
use std::net::IpAddr;

/// A type of section.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The word after `config`.
    pub name: &'static str,
    /// Whether a file may have several.
    pub repeatable: bool,
    /// Its options, in the order of the documentation.
    pub options: &'static [Row],
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The type of a value.
    pub kind: Kind,
    /// Whether it takes several values.
    pub list: bool,
    /// The values where the file has none; an empty text: none.
    pub default: &'static [&'static str],
    /// When a change takes effect.
    pub applies: Applies,
    /// One sentence for people.
    pub help: &'static str,
    /// Stores checked values; in a repeatable section, in the last of its kind.
    pub(super) set: fn(&mut Config, &[&str]),
}

/// When a change of an option takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// At a reload.
    Live,
    /// At the next start.
    Restart,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0` or `1`; UCI's other spellings of yes and no are taken too.
    Flag,
    /// A whole number.
    Number {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IPv4 or IPv6 address, or nothing.
    Address,
    /// A host name or address, without port.
    Host,
    /// A block of addresses.
    Net,
    /// A SIP server's URI, or nothing.
    Server,
    /// The URI of an emergency route: see [`super::value::Route`].
    Route,
    /// A host with a port.
    HostPort,
    /// The name of a network or device, or an address: a word without spaces.
    Network,
    /// Decimal digits, or nothing.
    Digits,
    /// What a phone can dial: digits, `*`, `#`, `+`; letters too.
    Dialled,
    /// A `sip:` or `tel:` URI with a user part.
    Aor,
    /// Who may be blocked: an address, a number, a domain, or the id of an adapter.
    Blocked,
    /// Any text without control characters, or nothing.
    Text,
    /// The name of a file.
    File,
    /// Text that is never shown.
    Password,
    /// So many hexadecimal digits, never shown.
    Hex(usize),
    /// An Ed25519 public key, in hexadecimal digits.
    PublicKey,
}

impl Kind {
    /// Whether `text` is a value of this type.
    pub fn takes(self, text: &str) -> bool {
        let all = |allowed: fn(&u8) -> bool| text.as_bytes().iter().all(allowed);
        match self {
            Self::Flag => flag(text).is_some(),
            Self::Number { min, max } => {
                let digits = !text.is_empty() && text.len() <= 9 && all(u8::is_ascii_digit);
                digits && text.parse().is_ok_and(|n: u32| (min..=max).contains(&n))
            }
            Self::Choice(words) => words.contains(&text),
            Self::Address => text.is_empty() || text.parse::<IpAddr>().is_ok(),
            Self::Host => is_host(text),
            Self::Net => text.parse::<Net>().is_ok(),
            Self::Server => text.is_empty() || text.parse::<Server>().is_ok(),
            Self::Route => text.parse::<Route>().is_ok(),
            Self::HostPort => text.parse::<HostPort>().is_ok(),
            Self::Network => (1..=64).contains(&text.len()) && all(u8::is_ascii_graphic),
            Self::Digits => text.len() <= 8 && all(u8::is_ascii_digit),
            Self::Dialled => {
                let dialled = |b: &u8| b.is_ascii_alphanumeric() || b"*#+-_.".contains(b);
                (1..=32).contains(&text.len()) && all(dialled)
            }
            Self::Aor => is_aor(text),
            Self::Blocked => {
                let rest = text.strip_prefix('+').unwrap_or(text).as_bytes();
                let digits = rest.iter().any(u8::is_ascii_digit) && text.len() <= 32;
                let number = digits && rest.iter().all(|b| b"0123456789 -.()/".contains(b));
                is_aor(text) || number || is_host(text) && !text.contains(':')
            }
            Self::Text => text.len() <= 128 && !text.chars().any(char::is_control),
            Self::File | Self::Password => {
                (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
            }
            Self::Hex(digits) => text.len() == digits && all(u8::is_ascii_hexdigit),
            Self::PublicKey => text.parse::<Anchor>().is_ok(),
        }
    }

    /// Whether the value must not appear in messages.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Password | Self::Hex(_))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Number { .. } => "number",
            Self::Choice(_) => "choice",
            Self::Address => "address",
            Self::Host => "host",
            Self::Net => "net",
            Self::Server => "server",
            Self::Route => "route",
            Self::HostPort => "hostport",
            Self::Network => "network",
            Self::Digits => "digits",
            Self::Dialled => "dialled",
            Self::Aor => "aor",
            Self::Blocked => "blocked",
            Self::Text => "text",
            Self::File => "file",
            Self::Password => "password",
            Self::Hex(_) => "hex",
            Self::PublicKey => "publickey",
        }
    }
}

/// Says what is allowed.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("0 or 1"),
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Address => f.write_str("an IPv4 or IPv6 address"),
            Self::Host => f.write_str("a host name or an address, without port"),
            Self::Net => f.write_str("an address or ADDRESS/PREFIX"),
            Self::Server => f.write_str("sip:HOST[:PORT][;transport=udp|tcp]"),
            Self::Route => f.write_str("sip:[USER@]HOST[:PORT][;transport=udp|tcp][;lr]"),
            Self::HostPort => f.write_str("HOST:PORT or [ADDRESS]:PORT"),
            Self::Network => f.write_str("an OpenWrt network, a device or an address"),
            Self::Digits => f.write_str("at most 8 digits"),
            Self::Dialled => f.write_str("1 to 32 of letters, digits and *#+-_."),
            Self::Aor => f.write_str("sip:USER@DOMAIN or tel:NUMBER"),
            Self::Blocked => f.write_str("sip:USER@DOMAIN, a number, a domain or a router's id"),
            Self::Text => f.write_str("at most 128 bytes without control characters"),
            Self::File | Self::Password => f.write_str("1 to 256 bytes without control characters"),
            Self::Hex(digits) => write!(f, "{digits} hexadecimal digits"),
            Self::PublicKey => f.write_str("a public key of 64 hexadecimal digits"),
        }
    }
}

/// Reads UCI's spellings of yes and no.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "on" | "true" | "yes" | "enabled" => Some(true),
        "0" | "off" | "false" | "no" | "disabled" => Some(false),
        _ => None,
    }
}

fn is_aor(text: &str) -> bool {
    let graphic = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\".contains(&b));
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let well_formed = match scheme.to_ascii_lowercase().as_str() {
        "sip" => rest.split_once('@').is_some_and(|(user, host)| {
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            !user.is_empty() && is_host(host)
        }),
        "tel" => !rest.is_empty() && rest.bytes().all(|b| b"+0123456789*#-.()".contains(&b)),
        _ => false,
    };
    graphic && text.len() <= 256 && well_formed
}

/// All sections, in the order of the documentation.
pub fn sections() -> &'static [Section] {
    &[ADAPTER, PROVIDER, OVERLAY, IDENTITY, MEDIA, ACCOUNT, EMERGENCY]
}

/// The section of this name.
pub fn section(name: &str) -> Option<&'static Section> {
    sections().iter().find(|section| section.name == name)
}

/// Whether values of options of this name may be shown: every option of it is known and none holds
/// a secret.
pub(super) fn is_public(option: &str) -> bool {
    let mut rows = sections().iter().flat_map(|s| s.options).filter(|row| row.name == option);
    rows.next().is_some_and(|first| !first.kind.is_secret() && rows.all(|r| !r.kind.is_secret()))
}

/// The table as JSON, for `cosip check --schema` and for tools.
pub fn json() -> String {
    let row = |section: &Section, row: &Row| {
        let mut object = json!({
            "section": section.name,
            "repeatable": section.repeatable,
            "option": row.name,
            "list": row.list,
            "type": row.kind.name(),
            "allowed": row.kind.to_string(),
            "applies": if row.applies == Applies::Live { "live" } else { "restart" },
            "help": row.help,
        });
        let default = row.default.first().copied().unwrap_or_default();
        object.insert("default", if row.list { json!(row.default) } else { json!(default) });
        match row.kind {
            Kind::Number { min, max } => {
                object.insert("min", json!(min));
                object.insert("max", json!(max));
            }
            Kind::Choice(words) => object.insert("values", json!(words)),
            Kind::Hex(digits) => object.insert("digits", json!(digits)),
            _ => {}
        }
        object
    };
    let options: Vec<Value> =
        sections().iter().flat_map(|s| s.options.iter().map(move |o| row(s, o))).collect();
    json!({ "options": options }).to_string()
}
