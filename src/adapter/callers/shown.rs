//! What another adapter's messages may show of people: what a phone displays is the address that
//! was judged, and no name that says another one.
//!
//! A display name is whatever the caller typed. It stays where it claims no number and no address,
//! or the very one that stands beside it; else a bank's number would be shown before the caller's
//! own. A withheld caller is "Anonymous" (RFC 3323 s4.1.1.3), under whatever name it withholds
//! itself. `Referred-By` names somebody for whom nobody vouches (RFC 3892 s6), and stays where that
//! is the caller. All other headers that name people do not cross: see `crosses_overlay`.

use super::NOBODY;
use crate::adapter::call::identity::{self, tag_of, with_tag};
use crate::adapter::rewrite;
use crate::sip::{Message, Method, Name, NameAddr, Uri};

/// So many digits among letters may be taken for a number, as of the police.
const DIGITS_MIN: usize = 3;
/// So many last digits stand for a whole number.
const LAST_DIGITS_MIN: usize = 5;

/// A request as it may be shown, where that is not as it came; no bytes where it cannot be written.
/// Inside a dialog its names are those of the dialog, and a transfer says who transfers: see
/// `transfer`.
pub(in crate::adapter) fn request(message: &Message<'_>) -> Option<Vec<u8>> {
    let begins = message.to().is_none_or(|to| to.tag().is_none());
    let mut changes = Vec::new();
    let from = message.from().filter(|from| begins && !is_as_shown(from));
    let from = from.as_ref().map(shown);
    if let Some(from) = &from {
        changes.push((Name::From, Some(from.as_str())));
    }
    let to = message.to().filter(|to| begins && !to.display.is_empty());
    let to = to.map(|to| format!("<{}>", to.uri));
    if let Some(to) = &to {
        changes.push((Name::To, Some(to.as_str())));
    }
    let by = message.headers().iter().filter(|header| header.name == Name::ReferredBy);
    let caller = message.header(Name::From).unwrap_or_default();
    let own = |value: &str| begins && is_alone(value, caller);
    if message.method() != Method::Refer && by.clone().any(|header| !own(header.value)) {
        changes.push((Name::ReferredBy, None));
    }
    if !begins && message.header(Name::Replaces).is_some() {
        // It stands where a call begins (RFC 3891 s4), and is judged there.
        changes.push((Name::Replaces, None));
    }
    written(message, &changes)
}

/// A response to `request` as it may be shown, where that is not as it came: To names whom the
/// request does (RFC 3261 s8.2.6.2).
pub(in crate::adapter) fn response(message: &Message<'_>, request: &[u8]) -> Option<Vec<u8>> {
    let request = Message::parse(request).ok()?;
    let (asked, told) = (request.header(Name::To)?, message.header(Name::To)?);
    let to = match tag_of(told) {
        tag if !tag.is_empty() && tag_of(asked).is_empty() => with_tag(asked, tag),
        _ => asked.to_owned(),
    };
    if to == told { None } else { written(message, &[(Name::To, Some(&to))]) }
}

/// A message with these changes, if there are any; no bytes where that is too long to be taken.
fn written(message: &Message<'_>, changes: &[(Name, Option<&str>)]) -> Option<Vec<u8>> {
    let write = || rewrite::with_headers(message, changes).unwrap_or_default();
    (!changes.is_empty()).then(write)
}

/// Whether an address is that of `other`, and nothing stands beside it.
pub(in crate::adapter) fn is_alone(value: &str, other: &str) -> bool {
    let parsed = (NameAddr::parse(value), NameAddr::parse(other));
    let (Ok(value), Ok(other)) = parsed else { return false };
    value.display.is_empty() && value.uri.eq_ignore_ascii_case(other.uri)
}

fn is_nobody(from: &NameAddr<'_>) -> bool {
    from.uri.eq_ignore_ascii_case(NOBODY)
}

fn is_as_shown(from: &NameAddr<'_>) -> bool {
    let name = from.display;
    name.is_empty() || name == "Anonymous" || !is_nobody(from) && fits(name, from.uri)
}

fn shown(from: &NameAddr<'_>) -> String {
    let bare = format!("<{}>", from.uri);
    let shown = if is_nobody(from) { identity::NOBODY } else { &bare };
    from.tag().map_or_else(|| shown.to_owned(), |tag| with_tag(shown, tag))
}

/// Whether a display name says nothing else than the address beside it.
fn fits(name: &str, uri: &str) -> bool {
    let Ok(uri) = Uri::parse(uri) else { return false };
    if let Some((user, host)) = name.split_once('@') {
        let user = user.strip_prefix("sip:").unwrap_or(user);
        return user == uri.user && host.eq_ignore_ascii_case(uri.host);
    }
    if name.contains(['\u{ff20}', '\u{fe6b}']) {
        // They look like one.
        return false;
    }
    let digits = name.chars().filter(|c| is_like_digit(*c)).count();
    let letters =
        name.chars().any(|c| c.is_ascii_alphabetic() || !c.is_ascii() && !is_like_digit(c));
    let is_number = digits >= DIGITS_MIN || digits > 0 && !letters;
    !is_number || name.is_ascii() && is_same_number(name, uri.user)
}

/// Whether a phone may show it as a digit: those of the scripts in wide use, raised, lowered, in
/// circles, wide. The tables of all that Unicode has take 3 kB of program.
fn is_like_digit(c: char) -> bool {
    let indic = ('\u{900}'..'\u{e00}').contains(&c) && (0x66..0x70).contains(&(c as u32 & 0x7f));
    let other = matches!(
        c,
        '0'..='9'
            | '\u{b2}'
            | '\u{b3}'
            | '\u{b9}'
            | '\u{660}'..='\u{669}'
            | '\u{6f0}'..='\u{6f9}'
            | '\u{e50}'..='\u{e59}'
            | '\u{2070}'..='\u{2089}'
            | '\u{2460}'..='\u{24ff}'
            | '\u{2776}'..='\u{2793}'
            | '\u{ff10}'..='\u{ff19}'
            | '\u{1d7ce}'..='\u{1d7ff}'
    );
    indic || other
}

/// Whether the digits of a name are all digits of a number, or its last ones: what stands before
/// them in one country is left out there.
fn is_same_number(name: &str, number: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (name, number) = (digits(name), digits(number));
    let last = name.trim_start_matches('0');
    name == number || last.len() >= LAST_DIGITS_MIN && number.ends_with(last)
}

#[cfg(test)]
mod tests;
