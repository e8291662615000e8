//! What a well-formed message must say: RFC 3261 sections 7, 8.1.1, 8.2.2, 16.3 and 20.
//!
//! The checks stop at the first fault. Requests are held to more than responses: a response
//! belongs to a transaction that somebody waits for, and what only its reader needs (Contact,
//! Record-Route) is judged there. Absent Max-Forwards, From tags and branches pass: RFC 2543
//! phones leave them out.

use super::lex::is_space;
use super::message::Start;
use super::{Message, Method, Name, NameAddr, Scheme, Uri, Via};
use core::fmt;

/// Why a message is refused. Its text is the reason phrase of the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// A version that is not SIP/2.0.
    Version,
    /// White space where the request line must have none, or too much of it.
    RequestLine,
    /// The Request-URI is no URI, or has headers in it (section 19.1.1).
    RequestUri,
    /// A mandatory header is absent.
    Missing(Name),
    /// A header that may stand once stands more than once.
    Repeated(Name),
    /// A value against the grammar or out of range.
    Malformed(Name),
    /// The methods of request line and CSeq differ.
    MethodMismatch,
    /// The datagram ends before the body does.
    BodyCut,
}

impl Invalid {
    /// The status code of the refusal.
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("Version Not Supported"),
            Self::RequestLine => f.write_str("Malformed Request-Line"),
            Self::RequestUri => f.write_str("Malformed Request-URI"),
            Self::Missing(name) => write!(f, "Missing {name}"),
            Self::Repeated(name) => write!(f, "Repeated {name}"),
            Self::Malformed(name) => write!(f, "Malformed {name}"),
            Self::MethodMismatch => f.write_str("CSeq Method Mismatch"),
            Self::BodyCut => f.write_str("Content-Length Beyond Message"),
        }
    }
}

impl std::error::Error for Invalid {}

const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Header names seen so far, one bit each.
#[derive(Default)]
struct Seen(u128);

const _: () = assert!((Name::Other as u32) < u128::BITS);

impl Seen {
    fn has(&self, name: Name) -> bool {
        self.0 >> (name as u32) & 1 == 1
    }

    /// Adds a name. True where it was there already.
    fn add(&mut self, name: Name) -> bool {
        let before = self.has(name);
        self.0 |= 1 << (name as u32);
        before
    }
}

impl Message<'_> {
    /// Judges what the structure holds.
    ///
    /// # Errors
    /// [`Invalid`]: a request is refused with it, a response is dropped.
    pub fn check(&self) -> Result<(), Invalid> {
        self.check_start()?;
        self.check_presence()?;
        let (_, method) = self.cseq().ok_or(Invalid::Malformed(Name::CSeq))?;
        if method != self.method() {
            return Err(Invalid::MethodMismatch);
        }
        if self.call_id().is_empty() || self.call_id().bytes().any(is_space) {
            return Err(Invalid::Malformed(Name::CallId));
        }
        self.check_vias()?;
        for (name, address) in [(Name::From, self.from()), (Name::To, self.to())] {
            if address.is_none_or(|address| Uri::parse(address.uri).is_err()) {
                return Err(Invalid::Malformed(name));
            }
        }
        self.check_length()?;
        if self.is_request() { self.check_request() } else { Ok(()) }
    }

    fn check_start(&self) -> Result<(), Invalid> {
        let Start::Request { uri, version, is_exact, .. } = self.start() else { return Ok(()) };
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(Invalid::Version);
        }
        if !is_exact {
            return Err(Invalid::RequestLine);
        }
        let parsed = Uri::parse(uri).map_err(|_| Invalid::RequestUri)?;
        if parsed.headers.is_empty() && !uri.ends_with('?') {
            Ok(())
        } else {
            Err(Invalid::RequestUri)
        }
    }

    fn check_presence(&self) -> Result<(), Invalid> {
        let (mut seen, mut repeated) = (Seen::default(), Seen::default());
        for header in self.headers() {
            if seen.add(header.name) && header.name.is_single() {
                repeated.add(header.name);
            }
        }
        if let Some(missing) = MANDATORY.iter().find(|name| !seen.has(**name)) {
            return Err(Invalid::Missing(*missing));
        }
        let first = self.headers().iter().find(|header| repeated.has(header.name));
        first.map_or(Ok(()), |header| Err(Invalid::Repeated(header.name)))
    }

    fn check_vias(&self) -> Result<(), Invalid> {
        let mut vias = self.elements(Name::Via).enumerate();
        let valid = vias.all(|(at, value)| match at {
            0 => !value.is_empty() && self.via().is_some_and(|via| is_branch_whole(&via)),
            _ => Via::parse(value).is_ok_and(|via| is_branch_whole(&via)),
        });
        if valid { Ok(()) } else { Err(Invalid::Malformed(Name::Via)) }
    }

    fn check_length(&self) -> Result<(), Invalid> {
        if self.header(Name::ContentLength).is_none() {
            return Ok(());
        }
        let length = self.content_length().ok_or(Invalid::Malformed(Name::ContentLength))?;
        if length > self.available() { Err(Invalid::BodyCut) } else { Ok(()) }
    }

    fn check_request(&self) -> Result<(), Invalid> {
        let is_hops = |value: &str| {
            let digits = value.bytes().all(|byte| byte.is_ascii_digit());
            digits && value.parse::<u8>().is_ok()
        };
        self.each(Name::MaxForwards, is_hops)?;
        self.each(Name::Route, |value| is_address(value, true))?;
        self.each(Name::RecordRoute, |value| is_address(value, true))?;
        let star = self.header(Name::Contact) == Some("*") && self.method() == Method::Register;
        if star {
            let more = self.values(Name::Contact).nth(1).is_some();
            return if more { Err(Invalid::Malformed(Name::Contact)) } else { Ok(()) };
        }
        self.each(Name::Contact, |value| is_address(value, false))
    }

    fn each(&self, name: Name, fits: impl Fn(&str) -> bool) -> Result<(), Invalid> {
        if self.elements(name).all(fits) { Ok(()) } else { Err(Invalid::Malformed(name)) }
    }
}

/// Whether the branch, if it is of RFC 3261, tells transactions apart.
fn is_branch_whole(via: &Via<'_>) -> bool {
    via.branch().is_none_or(|branch| !branch.eq_ignore_ascii_case(Via::MAGIC_COOKIE))
}

/// Whether `value` is an address with a whole URI; of routes: a SIP URI in angle brackets.
fn is_address(value: &str, of_route: bool) -> bool {
    let Ok(address) = NameAddr::parse(value) else { return false };
    let Ok(uri) = Uri::parse(address.uri) else { return false };
    !of_route || (matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && value.contains('<'))
}
