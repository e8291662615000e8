//! Views of single header values: Via, addresses and their parameters.
//!
//! Every view borrows from the message. Values may be folded; white space is trimmed wherever
//! RFC 3261 section 25 allows it, and quoted strings keep their escapes.

use super::lex::{
    Split, find, find_outside, host_port, is_space, is_token, quoted, split_around, split_once,
    trim,
};
use super::{Name, ParseError};
use core::fmt;

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which header.
    pub name: Name,
    /// The name as the sender spelled it.
    pub raw_name: &'a str,
    /// All of the value, trimmed, possibly folded.
    pub value: &'a str,
}

/// Parameters behind a URI or a header value: `;name=value;flag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// Without the first semicolon; empty means that there are none.
    raw: &'a str,
}

impl<'a> Params<'a> {
    /// Parses what stands behind a header value: empty, or a semicolon and parameters.
    ///
    /// # Errors
    /// [`ParseError::Params`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let text = trim(text);
        if text.is_empty() {
            return Ok(Self::default());
        }
        let raw = text.strip_prefix(';').ok_or(ParseError::Params)?;
        let params = Self { raw };
        let valid = !trim(raw).is_empty()
            && params.pairs().all(|(name, value)| is_token(name) && value.is_none_or(is_value));
        if valid { Ok(params) } else { Err(ParseError::Params) }
    }

    /// Parameters of a URI, checked by the caller.
    pub(super) const fn of_uri(raw: &'a str) -> Self {
        Self { raw }
    }

    /// Names and values as written, with quotes. A semicolon too many gives an empty name.
    pub fn pairs(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        Split::new(self.raw, b';').map(|piece| match find_outside(piece, b'=') {
            None => (piece, None),
            Some(at) => {
                let (name, value) = split_around(piece, at);
                (trim(name), Some(trim(value)))
            }
        })
    }

    /// Names and values in order. A flag has the value ""; a quoted value comes without its
    /// quotes, its escapes kept.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.pairs().map(|(name, value)| {
            let value = value.unwrap_or("");
            (name, quoted(value).map_or(value, |(inner, _)| inner))
        })
    }

    /// The value of the first parameter of this name, in any case; "" for a flag.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pairs().try_for_each(|(name, value)| match value {
            None => write!(f, ";{name}"),
            Some(value) => write!(f, ";{name}={value}"),
        })
    }
}

/// Whether `text` may stand behind the `=` of a header parameter. Wider than the grammar: URIs
/// and base64 without quotes are in use.
fn is_value(text: &str) -> bool {
    match quoted(text) {
        Some((_, rest)) => rest.is_empty(),
        None => {
            let stray = |byte: u8| byte <= b' ' || matches!(byte, b'"' | b',' | b'<' | 0x7f);
            !text.is_empty() && !text.bytes().any(stray)
        }
    }
}

/// One Via value (RFC 3261 section 20.42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP` and so on, as written.
    pub transport: &'a str,
    /// The host of sent-by; IPv6 with brackets.
    pub host: &'a str,
    /// The port of sent-by, if it names one.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// What every branch of RFC 3261 begins with.
    pub const MAGIC_COOKIE: &'static str = "z9hG4bK";

    /// Parses one value.
    ///
    /// # Errors
    /// [`ParseError::Via`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(text).ok_or(ParseError::Via)
    }

    fn read(text: &'a str) -> Option<Self> {
        let at = find(text, b';').unwrap_or(text.len());
        let (sent, params) = text.split_at_checked(at)?;
        let (protocol, sent) = split_once(sent, b'/')?;
        let (version, sent) = split_once(sent, b'/')?;
        if !trim(protocol).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return None;
        }
        let sent = trim(sent);
        let (transport, sent_by) = split_around(sent, sent.bytes().position(is_space)?);
        let (host, port) = host_port(sent_by)?;
        let params = Params::parse(params).ok()?;
        is_token(transport).then_some(Self { transport, host, port, params })
    }

    /// The branch, in whatever form the sender made it.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }

    /// Whether the branch names a transaction on its own: magic cookie and something behind it.
    pub fn is_branch_unique(&self) -> bool {
        let prefix = Self::MAGIC_COOKIE.len();
        self.branch().and_then(|branch| branch.split_at_checked(prefix)).is_some_and(
            |(cookie, rest)| cookie.eq_ignore_ascii_case(Self::MAGIC_COOKIE) && !rest.is_empty(),
        )
    }

    /// The address that the next hop saw (section 18.2.1).
    pub fn received(&self) -> Option<&'a str> {
        self.params.get("received")
    }

    /// The port that the next hop saw, or "" where the sender asks for it (RFC 3581).
    pub fn rport(&self) -> Option<&'a str> {
        self.params.get("rport")
    }
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

/// An address with an optional display name: From, To, Contact, Route and their like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name without quotes, escapes kept; "" where there is none.
    pub display: &'a str,
    /// The URI, not yet looked into: see [`super::Uri::parse`].
    pub uri: &'a str,
    /// The header's parameters. Without angle brackets all parameters are the header's.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses one value.
    ///
    /// # Errors
    /// [`ParseError::NameAddr`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(trim(text)).ok_or(ParseError::NameAddr)
    }

    fn read(text: &'a str) -> Option<Self> {
        let (display, rest) = if text.starts_with('"') {
            quoted(text)?
        } else {
            let Some(at) = find(text, b'<') else { return Self::read_bare(text) };
            let (display, rest) = text.split_at_checked(at)?;
            if display.bytes().any(is_stray_in_display) {
                return None;
            }
            (trim(display), rest)
        };
        let (uri, params) = split_once(trim(rest).strip_prefix('<')?, b'>')?;
        let params = Params::parse(params).ok()?;
        is_opaque(uri).then_some(Self { display, uri, params })
    }

    /// Without angle brackets: no display name, and neither `?` nor `,` (RFC 3261 section 20).
    fn read_bare(text: &'a str) -> Option<Self> {
        let at = find(text, b';').unwrap_or(text.len());
        let (uri, params) = text.split_at_checked(at)?;
        let uri = trim(uri);
        let params = Params::parse(params).ok()?;
        let fits = is_opaque(uri) && uri.contains(':') && !uri.contains(['?', ',']);
        fits.then_some(Self { display: "", uri, params })
    }

    /// The tag of From or To.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }
}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.display.is_empty() {
            write!(f, "\"{}\" ", self.display)?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// What an unquoted display name must not hold. Letters outside of ASCII and brackets are
/// against the grammar too, but harm nobody and are in use.
const fn is_stray_in_display(byte: u8) -> bool {
    matches!(byte, b'"' | b',' | b';' | b':' | b'>' | b'\\')
        || (byte.is_ascii_control() && !is_space(byte))
}

/// Whether `uri` could be a URI of some scheme: no white space, quotes or brackets.
fn is_opaque(uri: &str) -> bool {
    let stray = |byte: u8| byte <= b' ' || matches!(byte, b'"' | b'<' | b'>' | 0x7f);
    !uri.is_empty() && !uri.bytes().any(stray)
}
