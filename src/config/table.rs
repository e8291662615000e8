//! The options of the sections that a file has once. See [`super::schema`] for the columns.

use super::schema::Applies::{Live, Restart};
use super::schema::{Kind, Row, Section, flag};
use super::types::{Accept, MediaPath, Mode};
use crate::time::Duration;
use core::str::FromStr;

/// Rows: `name: type = default, when a change applies, setter, "help";`. A default in brackets
/// makes the option a list.
macro_rules! rows {
    (@list [$($default:literal),*]) => { true };
    (@list $default:literal) => { false };
    (@default [$($default:literal),*]) => { &[$($default),*] };
    (@default $default:literal) => { &[$default] };
    ($($name:ident: $kind:expr, $default:tt, $applies:expr, $set:expr, $help:literal;)*) => {
        &[$(Row {
            name: stringify!($name),
            kind: $kind,
            list: rows!(@list $default),
            default: rows!(@default $default),
            applies: $applies,
            help: $help,
            set: $set,
        }),*]
    };
}
pub(super) use rows;

/// The first value as a number; values were checked before.
pub(super) fn number<T: FromStr + Default>(values: &[&str]) -> T {
    values.first().and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// The first value as yes or no.
pub(super) fn yes(values: &[&str]) -> bool {
    values.first().and_then(|v| flag(v)).unwrap_or_default()
}

/// The first value as a time in seconds.
pub(super) fn seconds(values: &[&str]) -> Duration {
    Duration::from_secs(number(values))
}

/// The first value as a time in milliseconds.
pub(super) fn millis(values: &[&str]) -> Duration {
    Duration::from_millis(number(values))
}

/// The first value as text.
pub(super) fn text(values: &[&str]) -> String {
    values.first().copied().unwrap_or_default().to_owned()
}

/// All values as texts.
pub(super) fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

/// All values, parsed.
pub(super) fn parsed<T: FromStr>(values: &[&str]) -> Vec<T> {
    values.iter().filter_map(|v| v.parse().ok()).collect()
}

pub(super) const PORT: Kind = Kind::Number { min: 1, max: 65_535 };
const LOG_LEVELS: Kind = Kind::Choice(&["error", "warn", "info", "debug", "trace"]);

pub(super) const ADAPTER: Section = Section {
    name: "adapter",
    repeatable: false,
    options: rows! {
        enabled: Kind::Flag, "0", Live, |c, v| c.adapter.enabled = yes(v),
            "Whether the daemon serves at all.";
        mode: Kind::Choice(&["cooperative", "overlay", "server"]), "cooperative", Live,
            |c, v| c.adapter.mode = mode(v),
            "Who carries calls: server and overlay, the overlay alone, or the server alone.";
        lan: Kind::Network, ["lan"], Live, |c, v| c.adapter.lan = texts(v),
            "Where the phones are: OpenWrt networks, devices or addresses.";
        wan: Kind::Network, ["wan"], Live, |c, v| c.adapter.wan = texts(v),
            "Where the provider is: OpenWrt networks, devices or addresses.";
        public_address: Kind::Address, "", Restart,
            |c, v| c.adapter.public_address = parsed(v).pop(),
            "The address that the outside sees, where it is not the WAN's own.";
        port_mapping: Kind::Flag, "1", Live, |c, v| c.adapter.port_mapping = yes(v),
            "Whether a router in front is asked to open ports: PCP, NAT-PMP, UPnP-IGD.";
        sip_port: PORT, "5060", Restart, |c, v| c.adapter.sip_port = number(v),
            "SIP port on the LAN side.";
        wan_sip_port: Kind::Number { min: 0, max: 65_535 }, "0", Restart,
            |c, v| c.adapter.wan_sip_port = number(v),
            "SIP port on the WAN side, never 5060; 0: chosen once and kept.";
        intercept: Kind::Flag, "1", Live, |c, v| c.adapter.intercept = yes(v),
            "Whether phones are served that were set up with the provider's name or address.";
        intercept_port: PORT, ["5060"], Live, |c, v| c.adapter.intercept_port = parsed(v),
            "The ports of SIP servers that phones of the LAN are intercepted at.";
        max_phones: Kind::Number { min: 1, max: 4096 }, "32", Restart,
            |c, v| c.adapter.max_phones = number(v),
            "The number of phones that are served.";
        max_calls: Kind::Number { min: 1, max: 4096 }, "16", Restart,
            |c, v| c.adapter.max_calls = number(v),
            "The number of calls at a time.";
        phone_expires_s: Kind::Number { min: 30, max: 3600 }, "120", Live,
            |c, v| c.adapter.phone_expires = seconds(v),
            "The longest registration that a phone is given, in seconds.";
        survive_days: Kind::Number { min: 1, max: 365 }, "7", Live,
            |c, v| c.adapter.survive_days = number(v),
            "For how many days an accepted phone stays known without its provider.";
        log_level: LOG_LEVELS, "info", Live,
            |c, v| c.adapter.log_level = parsed(v).pop().unwrap_or(log::LevelFilter::Info),
            "The least severe message that is logged.";
    },
};

fn mode(values: &[&str]) -> Mode {
    match values {
        ["overlay"] => Mode::Overlay,
        ["server"] => Mode::Server,
        _ => Mode::Cooperative,
    }
}

pub(super) const OVERLAY: Section = Section {
    name: "overlay",
    repeatable: false,
    options: rows! {
        port: PORT, "5070", Restart, |c, v| c.overlay.port = number(v),
            "UDP port of the overlay.";
        name: Kind::Text, "", Restart, |c, v| c.overlay.name = text(v),
            "Name of the network, equal on all its routers; empty: the first provider's domain.";
        secret_file: Kind::File, "network.key", Restart,
            |c, v| c.overlay.secret_file = text(v),
            "File of the network's secrets: 64 hex digits a line; the first sends, all are heard.";
        bootstrap: Kind::HostPort, [], Live, |c, v| c.overlay.bootstrap = parsed(v),
            "Adapters to join the overlay through.";
        table_kb: Kind::Number { min: 16, max: 4096 }, "256", Restart,
            |c, v| c.overlay.table_kb = number(v),
            "Memory for the table of adapters, in kB.";
        store_entries: Kind::Number { min: 16, max: 65_536 }, "512", Restart,
            |c, v| c.overlay.store_entries = number(v),
            "The number of records kept for other adapters.";
    },
};

pub(super) const IDENTITY: Section = Section {
    name: "identity",
    repeatable: false,
    options: rows! {
        key: Kind::File, "adapter.key", Restart, |c, v| c.identity.key = text(v),
            "File of the adapter's own key; made at the first start.";
        certificate: Kind::File, "adapter.crt", Restart, |c, v| c.identity.certificate = text(v),
            "File of the adapter's certificates, one a line in hex; used with a trust_anchor.";
        trust_anchor: Kind::PublicKey, [], Live, |c, v| c.identity.trust_anchor = parsed(v),
            "Public keys of those who vouch for others; without one nobody needs a certificate.";
        accept: Kind::Choice(&["verified", "network", "nobody"]), "network", Live,
            |c, v| c.identity.accept = accept(v),
            "Whose calls to take: of all members or the verified (default with a trust_anchor).";
        caller_calls_per_hour: A_LOT, "60", Live,
            |c, v| c.identity.caller_calls_per_hour = number(v),
            "Calls over the overlay that a certified caller may make to phones here; 0: no limit.";
        caller_texts_per_hour: A_LOT, "600", Live,
            |c, v| c.identity.caller_texts_per_hour = number(v),
            "Texts over the overlay that a certified caller may send to phones here; 0: no limit.";
        adapter_calls_per_hour: A_LOT, "300", Live,
            |c, v| c.identity.adapter_calls_per_hour = number(v),
            "Calls over the overlay to phones here of all callers behind one router; 0: no limit.";
        adapter_texts_per_hour: A_LOT, "3000", Live,
            |c, v| c.identity.adapter_texts_per_hour = number(v),
            "Texts over the overlay to phones here of all callers behind one router; 0: no limit.";
        block: Kind::Blocked, [], Live, |c, v| c.identity.block = texts(v),
            "Whose calls and texts over the overlay are refused: addresses, domains or routers.";
    },
};

const A_LOT: Kind = Kind::Number { min: 0, max: 1_000_000 };

fn accept(values: &[&str]) -> Accept {
    match values {
        ["nobody"] => Accept::Nobody,
        ["verified"] => Accept::Verified,
        _ => Accept::Network,
    }
}

pub(super) const MEDIA: Section = Section {
    name: "media",
    repeatable: false,
    options: rows! {
        path: Kind::Choice(&["auto", "user", "off"]), "auto", Restart,
            |c, v| c.media.path = if v == ["off"] { MediaPath::Off } else { MediaPath::User },
            "Who moves speech: auto or user, this program; off, nobody.";
        port_min: Kind::Number { min: 1024, max: 65_534 }, "30000", Restart,
            |c, v| c.media.port_min = number(v),
            "First port of the relay.";
        port_max: Kind::Number { min: 1025, max: 65_535 }, "30199", Restart,
            |c, v| c.media.port_max = number(v),
            "Last port of the relay; 6 ports for each of max_calls are enough.";
        timeout_s: Kind::Number { min: 10, max: 86_400 }, "300", Live,
            |c, v| c.media.timeout = seconds(v),
            "Silence after which speech that should flow is called dead, in seconds.";
    },
};

pub(super) const EMERGENCY: Section = Section {
    name: "emergency",
    repeatable: false,
    options: rows! {
        number: Kind::Dialled, ["112", "110", "911"], Live,
            |c, v| c.emergency.number = texts(v),
            "Emergency numbers: the server and the routes are asked for them, never the overlay.";
        route: Kind::Route, [], Live, |c, v| c.emergency.route = parsed(v),
            "Where emergency calls go when the server does not take them, one after another.";
        try_ms: Kind::Number { min: 100, max: 10_000 }, "1500", Live,
            |c, v| c.emergency.try_for = millis(v),
            "Silence of one way after which an emergency call takes the next, in milliseconds.";
    },
};
