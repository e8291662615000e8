//! Values that have parts: a server, a block of addresses, a host with a port, a secret.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr};

/// The text is not of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed value")
    }
}

/// The longest host name (RFC 1035 s2.3.4).
const HOST_CHARS_MAX: usize = 253;

/// Whether `text` is a host name in the letters, digits and hyphens of RFC 1123, or an address
/// (IPv6 without brackets).
pub fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let digits_and_dots = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.len() <= HOST_CHARS_MAX && !digits_and_dots && text.split('.').all(label)
}

/// Splits `host`, `host:port` or `[v6]:port`; the host comes back in lower case, no brackets.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), Malformed> {
    let (host, rest) = if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(Malformed)?;
        host.parse::<Ipv6Addr>().map_err(|_| Malformed)?;
        (host, rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        text.split_at(end)
    };
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse().ok().filter(|p| *p != 0).ok_or(Malformed)?)
        }
        None if rest.is_empty() => None,
        _ => return Err(Malformed),
    };
    if is_host(host) { Ok((host.to_ascii_lowercase(), port)) } else { Err(Malformed) }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }
}

/// How SIP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

/// A SIP server: `sip:host[:port][;transport=udp|tcp]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Name in lower case, or address without brackets.
    pub host: String,
    /// Port; none: RFC 3263 decides, 5060 in the end.
    pub port: Option<u16>,
    /// Transport; none: RFC 3263 decides.
    pub transport: Option<Transport>,
}

impl FromStr for Server {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let scheme = text.get(..4).ok_or(Malformed)?;
        if !scheme.eq_ignore_ascii_case("sip:") {
            return Err(Malformed);
        }
        let mut parts = text.get(4..).ok_or(Malformed)?.split(';');
        let (host, port) = host_and_port(parts.next().unwrap_or_default())?;
        let mut transport = None;
        for parameter in parts {
            transport = match parameter.to_ascii_lowercase().as_str() {
                "lr" => transport,
                "transport=udp" => Some(Transport::Udp),
                "transport=tcp" => Some(Transport::Tcp),
                _ => return Err(Malformed),
            };
        }
        Ok(Self { host, port, transport })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sip:")?;
        write_host(f, &self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            None => Ok(()),
            Some(Transport::Udp) => f.write_str(";transport=udp"),
            Some(Transport::Tcp) => f.write_str(";transport=tcp"),
        }
    }
}

/// Where emergency calls go: `sip:[user@]host[:port][;transport=udp|tcp][;lr]`.
///
/// With a user it names who is called there: the Request-URI. Without one it is a gateway, which
/// is asked for the number that was dialled. With `lr` it is a proxy, which gets the Request-URI
/// as the phone wrote it, and its own URI as Route (RFC 3261 s16.12, RFC 6881).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Who is called there; empty: whom the phone dialled.
    pub user: String,
    /// Where it is.
    pub server: Server,
    /// It is a proxy.
    pub proxy: bool,
}

impl FromStr for Route {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (scheme, rest) = text.split_at_checked(4).ok_or(Malformed)?;
        let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,%".contains(&b);
        let bare = host.len() == rest.len();
        if !user.bytes().all(legal) || user.len() > 64 || (user.is_empty() && !bare) {
            return Err(Malformed);
        }
        let server = format!("{scheme}{host}").parse()?;
        let proxy = host.split(';').skip(1).any(|p| p.eq_ignore_ascii_case("lr"));
        Ok(Self { user: user.to_owned(), server, proxy })
    }
}

impl Route {
    /// Its URI with another user.
    pub fn uri_of(&self, user: &str) -> String {
        let server = self.server.to_string();
        let at = if user.is_empty() { "" } else { "@" };
        format!("sip:{user}{at}{}", server.strip_prefix("sip:").unwrap_or(&server))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri_of(&self.user))?;
        f.write_str(if self.proxy { ";lr" } else { "" })
    }
}

/// A block of addresses in the notation `address/prefix`; an address alone is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Net {
    /// Any address of the block.
    pub address: IpAddr,
    /// The number of leading bits that count.
    pub prefix: u8,
}

impl Net {
    /// Whether `address` lies in the block. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Net {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| Malformed)?;
        let address = address.to_canonical();
        let prefix_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) => digits.parse().map_err(|_| Malformed)?,
            None => prefix_max,
        };
        if prefix > prefix_max { Err(Malformed) } else { Ok(Self { address, prefix }) }
    }
}

/// A host with a port: `host:port` or `[v6]:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name in lower case, or address without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (host, port) = host_and_port(text)?;
        Ok(Self { host, port: port.ok_or(Malformed)? })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        write!(f, ":{}", self.port)
    }
}

/// A public key of 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor(pub [u8; 32]);

impl FromStr for Anchor {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut key = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != key.len() || !rest.is_empty() {
            return Err(Malformed);
        }
        for (byte, pair) in key.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = (high.ok_or(Malformed)? << 4 | low.ok_or(Malformed)?) as u8;
        }
        Ok(Self(key))
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that never appears in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
