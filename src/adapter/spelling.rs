//! One spelling for one address: the key under which an AOR is stored, looked up and compared.
//!
//! `sip:+49%2089@SIP.Example.net:5060;user=phone`, `tel:+4989…` and what a neighbour dials as
//! `089…` or `…` are the same phone. [`key`] writes all of them as `user@domain`: the host in
//! lower case, without port and parameters; the provider's other names and addresses replaced by
//! its domain; escapes resolved; numbers in E.164, by the provider's country code, area code and
//! prefixes. Users that are not numbers keep their case (RFC 3261 s19.1.4). Numbers of domains
//! that are not the provider's are left alone: their dialling rules are not known here.

mod plan;

use crate::config::Provider;
use crate::limits::AOR_BYTES_MAX;
use core::fmt::{self, Write as _};
use std::net::IpAddr;

/// Fewest digits that are taken for a local number; what is shorter is an extension or a service,
/// and means the same in no other town.
const LOCAL_DIGITS_MIN: usize = 5;

/// Trailing digits that make two spellings of a number equal enough to be one caller.
pub(crate) const SAME_DIGITS: usize = 7;

/// What may stand between the digits of a number: RFC 3966 s5.1.1, and the bar of paper.
const SEPARATORS: &str = " -.()/";

/// A text that is at most as long as a key.
pub type Text = heapless::String<AOR_BYTES_MAX>;

/// An address of record in its one spelling, `user@domain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aor(Text);

impl Aor {
    /// Takes what [`Aor::as_str`] once gave, as from a file; none where it cannot have.
    pub fn from_key(text: &str) -> Option<Self> {
        let (user, domain) = text.rsplit_once('@')?;
        let clean = !text.chars().any(char::is_control) && !domain.contains(' ');
        if user.is_empty() || domain.is_empty() || !clean {
            return None;
        }
        Text::try_from(text).ok().map(Self)
    }

    /// `user@domain`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the last `@`.
    pub fn user(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(user, _)| user)
    }

    /// The part after the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one spelling of a `sip:`, `sips:` or `tel:` URI, alone or in a header's name-addr form.
/// None where it names no user, is no such URI, or is longer than [`AOR_BYTES_MAX`].
pub fn key(text: &str, provider: &Provider) -> Option<Aor> {
    let uri = addr_spec(text)?;
    let (scheme, rest) = uri.split_once(':')?;
    let (user, domain, number) = if scheme.eq_ignore_ascii_case("tel") {
        tel(rest, provider)?
    } else if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
        sip(rest, provider)?
    } else {
        return None;
    };
    let user =
        if domain.as_str() == provider.domain { plan::e164(user, number, provider)? } else { user };
    let mut out = user;
    out.push('@').ok()?;
    out.push_str(&domain).ok()?;
    Aor::from_key(&out)
}

/// The URI of a key. Every adapter makes the same key of it, whatever the dialling rules there.
pub fn uri(key: &str) -> String {
    let (user, domain) = key.rsplit_once('@').unwrap_or(("", key));
    let mut uri = String::with_capacity(key.len() + "sip:".len());
    uri.push_str("sip:");
    for byte in user.bytes() {
        // RFC 3261 s25.1: what may stand there and begins nothing else.
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push('@');
    uri.push_str(domain);
    uri
}

/// Whether two user parts or URIs end in the same number: equal in their last seven digits, or
/// equal altogether where they have fewer. Names without digits are compared as they are.
pub fn same_number(a: &str, b: &str) -> bool {
    let (a, b) = (user_text(a), user_text(b));
    let tail = |text: &str| -> heapless::Vec<u8, SAME_DIGITS> {
        let mut digits = heapless::Vec::new();
        let wanted = text.bytes().rev().filter(u8::is_ascii_digit).take(SAME_DIGITS);
        wanted.for_each(|digit| digits.push(digit).unwrap_or_default());
        digits
    };
    if is_number(a) && is_number(b) { tail(a) == tail(b) } else { a == b && !a.is_empty() }
}

/// The number that a `sip:`, `sips:` or `tel:` URI dials, as it was dialled: unescaped, without
/// parameters and, where it is a number, without separators. None where it has no user.
pub fn dialled(uri: &str) -> Option<Text> {
    let (scheme, rest) = addr_spec(uri)?.split_once(':')?;
    let user = if scheme.eq_ignore_ascii_case("tel") {
        rest
    } else if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
        let (user, _) = rest.split_once('?').map_or(rest, |(before, _)| before).split_once('@')?;
        user.split_once(':').map_or(user, |(user, _password)| user)
    } else {
        return None;
    };
    let user = unescape(user)?;
    let user = user.split_once(';').map_or(user.as_str(), |(before, _)| before);
    bare_number(user).or_else(|| Text::try_from(user).ok()).filter(|user| !user.is_empty())
}

/// A number without separators; None where `text` is none.
pub fn bare_number(text: &str) -> Option<Text> {
    let separates = |c: char| SEPARATORS.contains(c);
    let mut bare = Text::new();
    text.chars().filter(|c| !separates(*c)).try_for_each(|c| bare.push(c)).ok()?;
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(bare)
}

/// What stands between `<` and `>`, or the whole without header parameters.
fn addr_spec(text: &str) -> Option<&str> {
    let text = text.trim();
    let unquoted = match text.strip_prefix('"') {
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            quoted.get(end + 1..)?
        }
        None => text,
    };
    match unquoted.split_once('<') {
        Some((_, rest)) => rest.split_once('>').map(|(uri, _)| uri.trim()),
        None => Some(unquoted),
    }
}

/// The user part of a URI or name-addr as it stands there, or the text itself.
fn user_text(text: &str) -> &str {
    let uri = addr_spec(text).unwrap_or(text);
    let rest = match uri.split_once(':') {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => rest,
        _ => uri,
    };
    let user = rest.rsplit_once('@').map_or(rest, |(user, _)| user);
    user.split([';', ':']).next().unwrap_or_default()
}

fn domain_of(provider: &Provider) -> Option<Text> {
    Text::try_from(provider.domain.as_str()).ok().filter(|domain| !domain.is_empty())
}

/// The number of a tel URI after its scheme, and the domain in which that means something: the
/// provider's, or the one that its `phone-context` names.
fn tel(rest: &str, provider: &Provider) -> Option<(Text, Text, bool)> {
    let Telephone { number, context } = telephone(&unescape(rest)?)?;
    match context.filter(|context| !is_ours(context, provider)) {
        Some(elsewhere) => Some((bare_number(&number).unwrap_or(number), elsewhere, true)),
        None => Some((number, domain_of(provider)?, true)),
    }
}

/// Whether a host is one of the provider's names and addresses.
fn is_ours(host: &str, provider: &Provider) -> bool {
    provider.domain == host
        || provider.alias_domain.iter().any(|alias| same_host(alias, host))
        || provider.server.as_ref().is_some_and(|server| same_host(&server.host, host))
}

/// The parts of a SIP URI after its scheme, and whether it says that the user is a number.
fn sip(rest: &str, provider: &Provider) -> Option<(Text, Text, bool)> {
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let (user, host) = rest.split_once('@')?;
    let (host, parameters) = host.split_once(';').unwrap_or((host, ""));
    let phone = parameters.split(';').any(|p| p.eq_ignore_ascii_case("user=phone"));
    let user = unescape(user.split_once(':').map_or(user, |(user, _password)| user))?;
    // A telephone-subscriber carries its own parameters inside the user part (RFC 3261 s19.1.6).
    let dialled = user.split_once(';').map_or(user.as_str(), |(before, _)| before);
    let mut context = None;
    let user = if phone || is_number(dialled) {
        let telephone = telephone(&user)?;
        context = telephone.context;
        telephone.number
    } else {
        user
    };
    if user.is_empty() {
        return None;
    }
    let host = host_name(host)?;
    let domain = if is_ours(&host, provider) { domain_of(provider)? } else { host };
    // Somebody else's local number, sent by way of this domain: no address of it.
    let foreign = |at: &Text| *at != domain && !is_ours(at, provider);
    (!context.is_some_and(|at| foreign(&at))).then_some((user, domain, phone))
}

/// The host of a `host[:port]` in lower case; addresses in their one spelling, without brackets.
fn host_name(text: &str) -> Option<Text> {
    let text = text.trim();
    let host = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map(|(host, _)| host)?,
        None => text.split_once(':').map_or(text, |(host, _)| host),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut out = Text::new();
    if let Ok(address) = host.parse::<IpAddr>() {
        fmt::Write::write_fmt(&mut out, format_args!("{}", address.to_canonical())).ok()?;
    } else {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if host.is_empty() || !host.bytes().all(legal) {
            return None;
        }
        host.chars().try_for_each(|c| out.push(c.to_ascii_lowercase())).ok()?;
    }
    Some(out)
}

fn same_host(configured: &str, host: &str) -> bool {
    host_name(configured).is_some_and(|name| name == host)
        || configured.parse::<IpAddr>().is_ok_and(|a| host.parse() == Ok(a.to_canonical()))
}

/// Resolves `%hh`; none where that is no text.
fn unescape(text: &str) -> Option<Text> {
    let mut bytes = heapless::Vec::<u8, AOR_BYTES_MAX>::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        };
        bytes.push(byte).ok()?;
    }
    Text::from_utf8(bytes).ok()
}

/// A telephone-subscriber (RFC 3966 s3).
struct Telephone {
    /// The number, global where that is known.
    number: Text,
    /// Of a local one: the domain in which it is valid.
    context: Option<Text>,
}

/// Reads a number without its parameters; a local one is put behind its `phone-context` where
/// that is a number (RFC 3966 s5.1.5).
fn telephone(text: &str) -> Option<Telephone> {
    let mut parts = text.split(';');
    let dialled = parts.next().unwrap_or_default();
    let mut number = Text::new();
    let context = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("phone-context"))
        .map(|(_, value)| value)
        .filter(|_| !dialled.starts_with('+'));
    let mut domain = None;
    match context {
        Some(global) if global.starts_with('+') => number.push_str(global).ok()?,
        Some(name) => domain = host_name(name),
        None => {}
    }
    number.push_str(dialled).ok()?;
    if dialled.is_empty() { None } else { Some(Telephone { number, context: domain }) }
}

/// Whether `text` is a dialled number: digits with visual separators, perhaps after a `+`.
fn is_number(text: &str) -> bool {
    let body = text.strip_prefix('+').unwrap_or(text);
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    let rest_separates =
        body.bytes().all(|b| b.is_ascii_digit() || SEPARATORS.as_bytes().contains(&b));
    rest_separates && (digits == body.len() && digits > 0 || digits >= LOCAL_DIGITS_MIN)
}

#[cfg(test)]
mod tests;
