//! The settings as types: one field for each option, with the default that the schema names.
//!
//! Field names are the options' names; a time loses its unit (`hedge_ms` is `hedge`), because
//! [`Duration`] carries one. Names of networks stay text: only the driver can ask the system what
//! `lan` is today.

use super::value::{Anchor, HostPort, Net, Route, Secret, Server};
use crate::time::Duration;
use std::net::IpAddr;

/// Every setting of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Section `adapter`.
    pub adapter: AdapterConfig,
    /// Sections `provider`, in the order of the file.
    pub providers: Vec<Provider>,
    /// Section `overlay`.
    pub overlay: OverlayConfig,
    /// Section `identity`.
    pub identity: IdentityConfig,
    /// Section `media`.
    pub media: MediaConfig,
    /// Sections `account`, in the order of the file.
    pub accounts: Vec<Account>,
    /// Section `emergency`.
    pub emergency: Emergency,
}

impl Config {
    /// The name that divides overlays from each other: `overlay.name`, else the domain of the
    /// first provider, else the empty name.
    pub fn network_name(&self) -> &str {
        match (self.overlay.name.as_str(), self.providers.first()) {
            ("", Some(provider)) => &provider.domain,
            (name, _) => name,
        }
    }
}

/// Which of server and overlay carry calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The provider's server and the overlay.
    #[default]
    Cooperative,
    /// The overlay alone; there is no server.
    Overlay,
    /// The provider's server alone.
    Server,
}

impl Mode {
    /// As the option is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cooperative => "cooperative",
            Self::Overlay => "overlay",
            Self::Server => "server",
        }
    }
}

/// Section `adapter`: the router's own side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterConfig {
    /// Whether the daemon serves at all.
    pub enabled: bool,
    /// Which of server and overlay carry calls.
    pub mode: Mode,
    /// LAN side: OpenWrt networks, devices or literal addresses.
    pub lan: Vec<String>,
    /// WAN side: likewise.
    pub wan: Vec<String>,
    /// The address that the outside sees, where it is known and not the WAN's own.
    pub public_address: Option<IpAddr>,
    /// Whether a router in front is asked to open ports.
    pub port_mapping: bool,
    /// SIP port on the LAN side.
    pub sip_port: u16,
    /// SIP port on the WAN side; 0: chosen once and kept.
    pub wan_sip_port: u16,
    /// Whether phones that do not know of the adapter are served.
    pub intercept: bool,
    /// The ports of SIP servers that they are intercepted at.
    pub intercept_port: Vec<u16>,
    /// The number of phones that are served.
    pub max_phones: u16,
    /// The number of calls at a time.
    pub max_calls: u16,
    /// The longest registration that a phone is given.
    pub phone_expires: Duration,
    /// For how many days an accepted phone is known without its provider.
    pub survive_days: u16,
    /// What is logged.
    pub log_level: log::LevelFilter,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            mode: Mode::Cooperative,
            lan: vec!["lan".into()],
            wan: vec!["wan".into()],
            public_address: None,
            port_mapping: true,
            sip_port: 5060,
            wan_sip_port: 0,
            intercept: true,
            intercept_port: vec![5060],
            max_phones: 32,
            max_calls: 16,
            phone_expires: Duration::from_secs(120),
            survive_days: 7,
            log_level: log::LevelFilter::Info,
        }
    }
}

/// Which leg is preferred while the server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// The overlay only helps out.
    #[default]
    Server,
    /// The overlay leg starts as soon as the callee's adapter answers.
    Fastest,
}

/// Section `provider`: one domain and the server that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Name of the section, empty where it has none.
    pub name: String,
    /// The domain of its addresses, in lower case.
    pub domain: String,
    /// Other names and addresses that mean the same domain.
    pub alias_domain: Vec<String>,
    /// The SIP server; none: RFC 3263 on the domain.
    pub server: Option<Server>,
    /// Servers that are used where `server` fails, in this order.
    pub fallback_server: Vec<Server>,
    /// Further source addresses of the provider.
    pub server_net: Vec<Net>,
    /// Whether this provider's AORs are put into the overlay.
    pub overlay: bool,
    /// Silence of the server after which the overlay leg starts.
    pub hedge: Duration,
    /// The same after a 100 alone.
    pub hedge_trying: Duration,
    /// Which leg is preferred while the server answers.
    pub prefer: Prefer,
    /// Time without a sign of life after which the server is probed.
    pub probe: Duration,
    /// Interval of keep-alives towards the server.
    pub keepalive: Duration,
    /// Answers in a row after which a server that was down is up.
    pub recover_after: u8,
    /// For how long after an outage a server's "not found" is not believed.
    pub recover_grace: Duration,
    /// Answers of the server that the overlay leg may replace.
    pub failover_code: Vec<u16>,
    /// E.164 country code; empty: numbers are compared as they are written.
    pub country_code: String,
    /// Area code without trunk prefix; empty: none.
    pub area_code: String,
    /// What is dialled before a country code.
    pub international_prefix: String,
    /// What is dialled before an area code; empty: none.
    pub trunk_prefix: String,
    /// Beginnings of user parts that only the server understands.
    pub server_only: Vec<String>,
}

impl Provider {
    /// The servers that are named: the first, then its fallbacks.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.server.iter().chain(&self.fallback_server)
    }
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            name: String::new(),
            domain: String::new(),
            alias_domain: Vec::new(),
            server: None,
            fallback_server: Vec::new(),
            server_net: Vec::new(),
            overlay: true,
            hedge: Duration::from_millis(500),
            hedge_trying: Duration::from_millis(4000),
            prefer: Prefer::Server,
            probe: Duration::from_secs(60),
            keepalive: Duration::from_secs(20),
            recover_after: 3,
            recover_grace: Duration::from_secs(3600),
            failover_code: vec![408, 500, 502, 503, 504],
            country_code: String::new(),
            area_code: String::new(),
            international_prefix: "00".into(),
            trunk_prefix: "0".into(),
            server_only: vec!["*".into(), "#".into()],
        }
    }
}

/// Section `overlay`: the network of adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayConfig {
    /// UDP port of overlay and channel.
    pub port: u16,
    /// Name of the network; see [`Config::network_name`].
    pub name: String,
    /// File of the network's secrets, below the state folder where relative.
    pub secret_file: String,
    /// Adapters to join through.
    pub bootstrap: Vec<HostPort>,
    /// Memory for the table of adapters, in units of 1,024 bytes.
    pub table_kb: u32,
    /// Records kept for others.
    pub store_entries: u32,
}

impl Default for OverlayConfig {
    fn default() -> Self {
        Self {
            port: 5070,
            name: String::new(),
            secret_file: "network.key".into(),
            bootstrap: Vec::new(),
            table_kb: 256,
            store_entries: 512,
        }
    }
}

/// Whose calls are taken from the overlay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Accept {
    /// Everyone for whom a trust anchor vouches.
    Verified,
    /// Everyone who holds the network's secret.
    #[default]
    Network,
    /// No one.
    Nobody,
}

/// Section `identity`: who this adapter is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// File of the adapter's key, below the state folder where relative.
    pub key: String,
    /// File of the adapter's certificates, below the state folder where relative.
    pub certificate: String,
    /// The public keys of those who vouch for others; none: nobody needs a certificate.
    pub trust_anchor: Vec<Anchor>,
    /// Whose calls are taken from the overlay.
    pub accept: Accept,
    /// How often a certified caller may have phones here ring over the overlay; 0: no limit.
    pub caller_calls_per_hour: u32,
    /// The same for its texts.
    pub caller_texts_per_hour: u32,
    /// The same for the calls of all who are behind one adapter.
    pub adapter_calls_per_hour: u32,
    /// The same for their texts.
    pub adapter_texts_per_hour: u32,
    /// Whose calls and texts over the overlay are refused.
    pub block: Vec<String>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            key: "adapter.key".into(),
            certificate: "adapter.crt".into(),
            trust_anchor: Vec::new(),
            accept: Accept::Network,
            caller_calls_per_hour: 60,
            caller_texts_per_hour: 600,
            adapter_calls_per_hour: 300,
            adapter_texts_per_hour: 3_000,
            block: Vec::new(),
        }
    }
}

/// Who moves RTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MediaPath {
    /// This process.
    #[default]
    User,
    /// No one: SDP passes unchanged.
    Off,
}

/// Section `media`: the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaConfig {
    /// Who moves RTP.
    pub path: MediaPath,
    /// First port of the relay.
    pub port_min: u16,
    /// Last port of the relay.
    pub port_max: u16,
    /// Silence after which a direction that should flow is dead.
    pub timeout: Duration,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            path: MediaPath::User,
            port_min: 30_000,
            port_max: 30_199,
            timeout: Duration::from_secs(300),
        }
    }
}

/// Section `account`: what a phone must know to register in the mode `overlay`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The address of record, as a `sip:` URI.
    pub aor: String,
    /// Digest user name; never empty after parsing.
    pub user: String,
    /// Digest realm; never empty after parsing.
    pub realm: String,
    /// The password, unless a hash is given.
    pub password: Option<Secret>,
    /// MD5 of `user:realm:password`, 32 hex digits in lower case.
    pub ha1: Option<Secret>,
    /// SHA-256 of the same, 64 hex digits in lower case.
    pub ha1_sha256: Option<Secret>,
    /// Further addresses of the same account.
    pub alias: Vec<String>,
}

/// Section `emergency`: numbers that are never looked up, and where else they are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// The numbers, as they are dialled.
    pub number: Vec<String>,
    /// Where calls to them go after the server, in this order.
    pub route: Vec<Route>,
    /// Silence of one way after which the next one is taken.
    pub try_for: Duration,
}

impl Default for Emergency {
    fn default() -> Self {
        Self {
            number: vec!["112".into(), "110".into(), "911".into()],
            route: Vec::new(),
            try_for: Duration::from_millis(1500),
        }
    }
}
