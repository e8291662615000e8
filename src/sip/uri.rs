//! SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966); others are kept opaque.
//!
//! Escapes stay as written; [`Uri::user_unescaped`] and [`Uri::equivalent`] look through them.
//! Wider than the grammar in one point: `#` passes in user parts, because feature codes such as
//! `*21#` come unescaped from most phones. More than [`SIP_URI_PARTS_MAX`] parameters or headers
//! make no URI.

use super::lex::{Class, find, host_port, split_once};
use super::{Params, ParseError};
use crate::limits::SIP_URI_PARTS_MAX;
use core::fmt;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// A URI's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, as written.
    Other(&'a str),
}

impl<'a> Scheme<'a> {
    fn parse(text: &'a str) -> Self {
        let known = [("sip", Self::Sip), ("sips", Self::Sips), ("tel", Self::Tel)];
        let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map_or(Self::Other(text), |(_, scheme)| *scheme)
    }

    /// The scheme as it is written.
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(text) => text,
        }
    }
}

/// A URI, as a view of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part, escaped; "" if none. Of tel the number, of other schemes all behind the
    /// colon.
    pub user: &'a str,
    /// The password, escaped; "" if none.
    pub password: &'a str,
    /// The host, IPv6 with brackets; "" where the scheme is neither sip nor sips.
    pub host: &'a str,
    /// The port, if it names one.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    /// The headers behind `?`, without it; "" if none.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Parses a whole URI.
    ///
    /// # Errors
    /// [`ParseError::Uri`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let (scheme, rest) = split_once(text, b':').ok_or(ParseError::Uri)?;
        if !is_scheme(scheme) {
            return Err(ParseError::Uri);
        }
        let scheme = Scheme::parse(scheme);
        let parsed = match scheme {
            Scheme::Sip | Scheme::Sips => Self::read_sip(scheme, rest),
            Scheme::Tel => Self::read_tel(rest),
            Scheme::Other(_) => {
                let stray = |byte: u8| byte <= b' ' || matches!(byte, b'"' | b'<' | b'>' | 0x7f);
                let valid = !rest.is_empty() && !rest.bytes().any(stray);
                valid.then_some(Self { user: rest, ..Self::empty(scheme) })
            }
        };
        parsed.ok_or(ParseError::Uri)
    }

    const fn empty(scheme: Scheme<'a>) -> Self {
        let params = Params::of_uri("");
        Self { scheme, user: "", password: "", host: "", port: None, params, headers: "" }
    }

    fn read_sip(scheme: Scheme<'a>, rest: &'a str) -> Option<Self> {
        let (userinfo, rest) = match split_once(rest, b'@') {
            Some(("", _)) => return None,
            Some(parts) => parts,
            None => ("", rest),
        };
        let (user, password) = split_once(userinfo, b':').unwrap_or((userinfo, ""));
        if user.is_empty() && !userinfo.is_empty() {
            return None;
        }
        let (rest, headers) = split_once(rest, b'?').unwrap_or((rest, ""));
        let (host, params) = split_once(rest, b';').unwrap_or((rest, ""));
        let (bare, port) = host_port(host)?;
        let valid = !host.bytes().any(|byte| byte <= b' ')
            && is_escaped_text(user, &USER)
            && is_escaped_text(password, &PASSWORD)
            && is_escaped_text(headers, &HEADERS)
            && (headers.is_empty() || headers.split('&').count() <= SIP_URI_PARTS_MAX)
            && are_params(params, !rest.ends_with(';'));
        let params = Params::of_uri(params);
        valid.then_some(Self { scheme, user, password, host: bare, port, params, headers })
    }

    fn read_tel(rest: &'a str) -> Option<Self> {
        let (number, params) = split_once(rest, b';').unwrap_or((rest, ""));
        let digit = |byte: u8| {
            byte.is_ascii_hexdigit()
                || matches!(byte, b'+' | b'*' | b'#' | b'-' | b'.' | b'(' | b')')
        };
        let valid = number.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte == b'*')
            && number.bytes().all(digit)
            && are_params(params, !rest.ends_with(';'));
        let params = Params::of_uri(params);
        valid.then_some(Self { user: number, params, ..Self::empty(Scheme::Tel) })
    }

    /// The user part without escapes. `None` where that is not UTF-8.
    pub fn user_unescaped(&self) -> Option<Cow<'a, str>> {
        if find(self.user, b'%').is_none() {
            return Some(Cow::Borrowed(self.user));
        }
        let bytes = unescape(self.user).map(|(byte, _)| byte).collect();
        String::from_utf8(bytes).ok().map(Cow::Owned)
    }

    /// The host, where it is an address and not a name.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }

    /// Equality by RFC 3261 section 19.1.4; for tel by RFC 3966 section 4; else of the text.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        match (self.scheme, other.scheme) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
                same(self.user, other.user)
                    && same(self.password, other.password)
                    && self.host.eq_ignore_ascii_case(other.host)
                    && self.port == other.port
                    && agree(self.params, other.params)
                    && agree(other.params, self.params)
                    && have_same_headers(self.headers, other.headers)
                    && have_same_headers(other.headers, self.headers)
            }
            (Scheme::Tel, Scheme::Tel) => {
                let digits = |text: &str| {
                    let kept =
                        text.bytes().filter(|byte| !matches!(byte, b'-' | b'.' | b'('..=b')'));
                    kept.map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>()
                };
                digits(self.user) == digits(other.user)
                    && includes(self.params, other.params)
                    && includes(other.params, self.params)
            }
            (Scheme::Other(a), Scheme::Other(b)) => {
                a.eq_ignore_ascii_case(b) && self.user == other.user
            }
            _ => false,
        }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.as_str(), self.user)?;
        if !self.password.is_empty() {
            write!(f, ":{}", self.password)?;
        }
        if !self.user.is_empty() && !self.host.is_empty() {
            f.write_str("@")?;
        }
        f.write_str(self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        if !self.headers.is_empty() {
            write!(f, "?{}", self.headers)?;
        }
        Ok(())
    }
}

/// The address that `host` spells, IPv6 with or without brackets.
pub fn host_ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn is_scheme(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(fits)
}

/// What stands unescaped: unreserved characters, and those that each part allows besides.
static USER: Class = Class::alphanumeric_and(b"-_.!~*'()&=+$,;?/#");
static PASSWORD: Class = Class::alphanumeric_and(b"-_.!~*'()&=+$,");
static HEADERS: Class = Class::alphanumeric_and(b"-_.!~*'()[]/?:+$=&");
static PARAM: Class = Class::alphanumeric_and(b"-_.!~*'()[]/:&+$");

/// Whether `text` has only characters of `class` and whole escapes.
fn is_escaped_text(text: &str, class: &Class) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let valid = if byte == b'%' {
            let mut digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
            digit() && digit()
        } else {
            class.has(byte)
        };
        if !valid {
            return false;
        }
    }
    true
}

/// Whether `raw` is a URI's parameters; `closed`: no semicolon stands at the very end.
fn are_params(raw: &str, closed: bool) -> bool {
    let fits = |text: &str| !text.is_empty() && is_escaped_text(text, &PARAM);
    let param = |piece: &str| match split_once(piece, b'=') {
        None => fits(piece),
        Some((name, value)) => fits(name) && fits(value),
    };
    if raw.is_empty() {
        return closed;
    }
    let few = raw.split(';').count() <= SIP_URI_PARTS_MAX;
    closed && few && raw.split(';').all(param)
}

/// The bytes of `text` without escapes, each with whether it was escaped although reserved:
/// then the escape is not equivalent to the plain byte (RFC 3261 section 19.1.4).
fn unescape(text: &str) -> impl Iterator<Item = (u8, bool)> {
    let mut bytes = text.bytes();
    core::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte != b'%' {
            return Some((byte, false));
        }
        let ahead = bytes.clone();
        let mut digit = || (bytes.next()? as char).to_digit(16).and_then(|v| u8::try_from(v).ok());
        if let (Some(high), Some(low)) = (digit(), digit()) {
            let byte = high << 4 | low;
            return Some((byte, b";/?:@&=+$,".contains(&byte)));
        }
        bytes = ahead;
        Some((byte, false))
    })
}

/// Equality that looks through escapes; case counts.
fn same(a: &str, b: &str) -> bool {
    unescape(a).eq(unescape(b))
}

/// Equality that looks through escapes; case does not count.
fn same_ignoring_case(a: &str, b: &str) -> bool {
    let lower = |(byte, reserved): (u8, bool)| (byte.to_ascii_lowercase(), reserved);
    unescape(a).map(lower).eq(unescape(b).map(lower))
}

fn value_of<'a>(params: Params<'a>, name: &str) -> Option<&'a str> {
    let found = params.pairs().find(|(found, _)| same_ignoring_case(found, name));
    found.map(|(_, value)| value.unwrap_or(""))
}

/// Whether nothing in `a` speaks against `b`: some parameters must be in both, others only must
/// not differ.
fn agree(a: Params<'_>, b: Params<'_>) -> bool {
    a.pairs().all(|(name, value)| match value_of(b, name) {
        Some(other) => same_ignoring_case(value.unwrap_or(""), other),
        None => !["user", "ttl", "method", "maddr", "transport"]
            .iter()
            .any(|both| same_ignoring_case(both, name)),
    })
}

/// Whether all of `a` is in `b`.
fn includes(a: Params<'_>, b: Params<'_>) -> bool {
    a.pairs().all(|(name, value)| {
        value_of(b, name).is_some_and(|other| same_ignoring_case(value.unwrap_or(""), other))
    })
}

/// Whether every header of `a` is in `b`.
fn have_same_headers(a: &str, b: &str) -> bool {
    let headers = |text| str::split(text, '&').filter(|header| !header.is_empty());
    headers(a).all(|header| {
        let (name, value) = split_once(header, b'=').unwrap_or((header, ""));
        headers(b).any(|other| {
            let (other_name, other_value) = split_once(other, b'=').unwrap_or((other, ""));
            same_ignoring_case(name, other_name) && same(value, other_value)
        })
    })
}
