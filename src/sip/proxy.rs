//! The rules of a proxy: RFC 3261 section 16, RFC 3581 and RFC 5393, as pure functions.
//!
//! Who asks decides what follows: nothing here sends, answers or remembers. Loops are told from
//! spirals by a keyed value over what routing looks at, carried in the branch: a request that
//! comes back with the same value would be routed the same way again.

use super::header::Params;
use super::lex::trim;
use super::{Message, Name, NameAddr, Scheme, Uri, Via, Writer};
use core::fmt;
use core::hash::Hasher;
use siphasher::sip::SipHasher13;
use std::net::{IpAddr, SocketAddr};

/// What Max-Forwards becomes where the request has none (section 16.6).
pub const MAX_FORWARDS: u8 = 70;

/// Option tags of Proxy-Require that do not stop us: whom they are for is the provider, to
/// which every request passes on with them (RFC 3323).
const PROXY_OPTIONS: [&str; 1] = ["privacy"];

/// Why a request is not passed on (section 16.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code of the refusal.
    pub status: u16,
    /// The header that the refusal has to have; its value is [`unsupported`].
    pub header: Option<Name>,
}

/// Whether a request, itself well-formed, may be passed on. Loops are [`LoopDetector`]'s.
///
/// # Errors
/// [`Refusal`]: 416 for a scheme that leads nowhere, 483 where no hop is left, 420 where an
/// option of Proxy-Require is unknown.
pub fn validate(message: &Message<'_>) -> Result<(), Refusal> {
    let refuse = |status, header| Err(Refusal { status, header });
    let is_known = Uri::parse(message.request_uri()).is_ok_and(|uri| match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => true,
        Scheme::Other(scheme) => scheme.eq_ignore_ascii_case("urn"),
    });
    if !is_known {
        return refuse(416, None);
    }
    if max_forwards(message).is_none() {
        return refuse(483, None);
    }
    if unknown_options(message).next().is_some() {
        return refuse(420, Some(Name::Unsupported));
    }
    Ok(())
}

/// The Max-Forwards to pass on. `None` where no hop is left.
pub fn max_forwards(message: &Message<'_>) -> Option<u8> {
    let Some(value) = message.header(Name::MaxForwards) else { return Some(MAX_FORWARDS) };
    value.parse::<u8>().ok()?.checked_sub(1)
}

/// The value of Unsupported for a 420: the options of Proxy-Require that are unknown.
pub fn unsupported(message: &Message<'_>) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let mut separator = "";
        unknown_options(message).try_for_each(|option| {
            let before = core::mem::replace(&mut separator, ", ");
            write!(f, "{before}{option}")
        })
    })
}

fn unknown_options<'a>(message: &Message<'a>) -> impl Iterator<Item = &'a str> {
    let known = |option: &str| PROXY_OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(option));
    message.values(Name::ProxyRequire).filter(move |option| !known(option))
}

/// What routing looks at, as one number: written into a branch as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopValue(u64);

impl fmt::Display for LoopValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Tells loops from spirals (RFC 5393 section 4.2). The branch of every request that is passed
/// on has to end in `-` and its [`LoopValue`].
#[derive(Clone)]
pub struct LoopDetector {
    key: [u8; 16],
}

impl LoopDetector {
    /// A detector with a random key: nobody else can foretell a value.
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The value of a request as received. Method and Via are left out: a CANCEL has its
    /// request's value, and a loop that comes back by another way is still one.
    pub fn value(&self, message: &Message<'_>) -> LoopValue {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        let mut add = |text: &str| {
            hasher.write(text.as_bytes());
            hasher.write_u8(0xff); // Never part of UTF-8: no two lists run together.
        };
        add(message.request_uri());
        add(message.call_id());
        for side in [message.from(), message.to()] {
            add(side.and_then(|side| side.tag()).unwrap_or(""));
        }
        for name in [Name::Route, Name::ProxyRequire, Name::ProxyAuthorization] {
            message.values(name).for_each(&mut add);
            add("");
        }
        hasher.write_u32(message.cseq().map_or(0, |(number, _)| number));
        LoopValue(hasher.finish())
    }

    /// Whether the request has been here and would be routed as then; `is_ours` knows our
    /// Via values.
    pub fn is_loop(&self, message: &Message<'_>, is_ours: impl Fn(&Via<'_>) -> bool) -> bool {
        let value = self.value(message);
        let mut vias = message.values(Name::Via).filter_map(|via| Via::parse(via).ok());
        vias.any(|via| {
            let carried = via.branch().and_then(|branch| branch.rsplit_once('-'));
            let carried = carried.filter(|(_, digits)| digits.len() == 16);
            let carried = carried.and_then(|(_, digits)| u64::from_str_radix(digits, 16).ok());
            carried == Some(value.0) && is_ours(&via)
        })
    }
}

/// Request-URI and Route of a request as they are to be passed on.
pub struct Routed<'m, 'a> {
    message: &'m Message<'a>,
    /// The Request-URI to write.
    pub request_uri: &'a str,
    /// How many Route values are left out at the front and at the end.
    skip: (usize, usize),
    /// The Request-URI as the last Route: the next hop is a strict router.
    last: Option<&'a str>,
    next: &'a str,
}

impl<'m, 'a> Routed<'m, 'a> {
    /// Takes our own Route off and mends what a strict router did or needs (sections 16.4 and
    /// 16.6 step 6); `is_ours` knows the URIs that we put into Record-Route.
    pub fn new(message: &'m Message<'a>, is_ours: impl Fn(&Uri<'_>) -> bool) -> Self {
        let ours = |text: &str| Uri::parse(text).is_ok_and(|uri| is_ours(&uri));
        let route = |value: Option<&'a str>| value.and_then(|value| NameAddr::parse(value).ok());
        let count = message.values(Name::Route).count();
        let mut request_uri = message.request_uri();
        let mut skip = (0, 0);
        if ours(request_uri)
            && let Some(last) = route(message.values(Name::Route).last())
        {
            // A strict router before us put our URI there, and the real one behind the routes.
            request_uri = last.uri;
            skip.1 = 1;
        }
        let kept = count - skip.1;
        // More than one where we joined two transports or address families (RFC 5658).
        let own = message.values(Name::Route).take(kept).map(|value| route(Some(value)));
        skip.0 = own.take_while(|own| own.is_some_and(|own| ours(own.uri))).count();
        let rest = || message.values(Name::Route).take(kept).skip(skip.0);
        let next = route(rest().next()).map(|next| next.uri);
        let is_strict = next
            .is_some_and(|next| Uri::parse(next).is_ok_and(|uri| uri.params.get("lr").is_none()));
        let mut routed =
            Self { message, request_uri, skip, last: None, next: next.unwrap_or(request_uri) };
        if is_strict {
            routed.last = Some(request_uri);
            routed.request_uri = routed.next;
            routed.skip.0 += 1;
        }
        routed
    }

    /// The URI that says where to send to.
    pub const fn next_hop(&self) -> &'a str {
        self.next
    }

    /// The Route values to write, as received.
    pub fn routes(&self) -> impl Iterator<Item = &'a str> {
        let count = self.message.values(Name::Route).count();
        let kept = count.saturating_sub(self.skip.1);
        self.message.values(Name::Route).take(kept).skip(self.skip.0)
    }

    /// Writes all Route headers.
    pub fn write_routes(&self, writer: &mut Writer<'_>) {
        self.routes().for_each(|route| writer.header(Name::Route, route));
        if let Some(last) = self.last {
            writer.header(Name::Route, format_args!("<{last}>"));
        }
    }
}

/// Which refusal is passed on when every branch has failed (section 16.7 step 6): the one with the
/// lowest rank. 6xx first, then the lowest class; what tells the caller how to go on first in its
/// class, then that somebody is there. A merged request (482) says only that another branch got
/// there.
pub const fn rank(status: u16) -> u16 {
    match status {
        600.. => 0,
        482 => 900,
        503 => 800,
        401 | 407 | 415 | 420 | 484 => 400,
        486 => 410,
        408 => 490,
        _ => status / 100 * 100 + 50,
    }
}

/// Where a response goes: RFC 3581 section 4 for datagrams, whose source was `from`.
pub fn response_target(via: &Via<'_>, from: SocketAddr) -> SocketAddr {
    if via.rport().is_some() {
        return from;
    }
    SocketAddr::new(from.ip(), via.port.unwrap_or(5060))
}

/// Writes all Via headers of a request into its response. The topmost gets `received` where its
/// host is not the source (section 18.2.1), and both `received` and `rport` where it asks for
/// them (RFC 3581).
pub fn copy_vias(writer: &mut Writer<'_>, request: &Message<'_>, from: SocketAddr) {
    for (at, value) in request.values(Name::Via).enumerate() {
        match Via::parse(value) {
            Ok(via) if at == 0 => writer.header(Name::Via, Received { via, from }),
            _ => writer.header(Name::Via, trim(value)),
        }
    }
}

/// A Via as it is after receipt from a source.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// As the sender wrote it.
    pub via: Via<'a>,
    /// Where it came from.
    pub from: SocketAddr,
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = Via { params: Params::default(), ..self.via };
        write!(f, "{bare}")?;
        for (name, value) in self.via.params.pairs() {
            let is_own = ["received", "rport"].iter().any(|own| own.eq_ignore_ascii_case(name));
            match value {
                _ if is_own => {}
                None => write!(f, ";{name}")?,
                Some(value) => write!(f, ";{name}={value}")?,
            }
        }
        let ip: IpAddr = self.from.ip().to_canonical();
        let asks = self.via.rport().is_some();
        if asks || super::host_ip(self.via.host) != Some(ip) {
            write!(f, ";received={ip}")?;
        }
        if asks { write!(f, ";rport={}", self.from.port()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
