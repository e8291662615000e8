//! Dialling rules: how a number that is dialled in a place is written in E.164.
//!
//! Where the rules leave a doubt, the number stays as it was dialled: a wrong E.164 number is a
//! stranger's, and a number left alone only misses a short cut. Short codes, extensions and the
//! service numbers of a country stay so too, because they mean something else next door.

use super::{LOCAL_DIGITS_MIN, SEPARATORS, Text, is_number};
use crate::config::Provider;
use crate::text::find;

/// Fewest digits of a number with its country code: short codes begin like them.
const INTERNATIONAL_DIGITS_MIN: usize = 7;

/// Most digits of a number with its country code (E.164 s6.2.1).
const INTERNATIONAL_DIGITS_MAX: usize = 15;

/// Fewest digits of a national number that is dialled in full.
const NATIONAL_DIGITS_MIN: usize = 5;

/// Fewest digits of a number where area codes are part of every number; what is shorter is a
/// service there.
const WHOLE_DIGITS_MIN: usize = 6;

/// Fewest digits of a number that begins with the country code but without any prefix: the short
/// end of national numbers (Iceland, Estonia), above every local number likely to begin so.
const BARE_INTERNATIONAL_DIGITS_MIN: usize = 10;

/// The same in Italy, whose mobile numbers have ten digits and may begin with 39 themselves.
const BARE_ITALIAN_DIGITS_MIN: usize = 11;

/// Countries whose numbers keep the 0 that they begin with, also behind the country code: Italy,
/// San Marino, the Vatican, Ivory Coast, Gabon, Congo.
const KEEP_ZERO: [&str; 6] = ["39", "378", "379", "225", "241", "242"];

/// National numbers that are dialled in full without a trunk prefix, beside local ones that are
/// not: country, how they begin, how many digits they have. North America, Russia, India and
/// Mexico have numbers of ten digits; China mobile numbers, Australia services.
const WHOLE: [(&str, &str, usize); 8] = [
    ("1", "", 10),
    ("7", "", 10),
    ("52", "", 10),
    ("91", "", 10),
    ("86", "1", 11),
    ("61", "13", 6),
    ("61", "13", 10),
    ("61", "18", 10),
];

/// Local numbers of North America: what has another length is an extension or a mistake.
const NORTH_AMERICAN_LOCAL_DIGITS: usize = 7;

/// Writes a dialled number in E.164; what is no number stays as it is. `number`: its URI says
/// that it is one.
pub(super) fn e164(user: Text, number: bool, provider: &Provider) -> Option<Text> {
    if !is_number(&user) && !number {
        return Some(user);
    }
    let digits = bare(&user, provider)?;
    if digits.is_empty() {
        return None;
    }
    if provider.country_code.is_empty() || !is_number(&digits) {
        return Some(digits);
    }
    international(&digits, provider).or(Some(digits))
}

/// The number without separators, and without the trunk prefix that is shown but not dialled
/// after a country code: "+49 (0)89".
fn bare(user: &str, provider: &Provider) -> Option<Text> {
    let shown = find(user, "(0)").filter(|at| is_country(&user[..*at], provider));
    let mut digits = Text::new();
    for (at, c) in user.char_indices() {
        let skipped = shown.is_some_and(|from| (from..from + 3).contains(&at));
        if !skipped && !SEPARATORS.contains(c) {
            digits.push(c).ok()?;
        }
    }
    Some(digits)
}

/// Whether `text` is an international prefix and a country code that drops the trunk prefix.
fn is_country(text: &str, provider: &Provider) -> bool {
    let prefix = provider.international_prefix.as_str();
    let after_prefix = || text.strip_prefix(prefix).filter(|_| !prefix.is_empty());
    let Some(country) = text.strip_prefix('+').or_else(after_prefix) else { return false };
    let country: heapless::Vec<char, 4> =
        country.chars().filter(|c| c.is_ascii_digit()).take(4).collect();
    let keeps = KEEP_ZERO.iter().any(|code| code.chars().eq(country.iter().copied()));
    (1..=3).contains(&country.len()) && !keeps
}

/// The number in E.164, most definite rule first; none where no rule is sure.
fn international(digits: &str, provider: &Provider) -> Option<Text> {
    let Provider { country_code, area_code, international_prefix, .. } = provider;
    let prefix = international_prefix.as_str();
    let own = country_code.as_str();
    if digits.starts_with('+') {
        return without_trunk(digits, provider);
    }
    if let Some(rest) = digits.strip_prefix(prefix).filter(|_| !prefix.is_empty()) {
        let sure = rest.len() >= INTERNATIONAL_DIGITS_MIN && !rest.starts_with('0');
        return sure
            .then(|| joined(&["+", rest]))
            .flatten()
            .and_then(|n| without_trunk(&n, provider));
    }
    if digits.len() < LOCAL_DIGITS_MIN || is_service(digits) {
        return None;
    }
    let trunk = trunk_of(provider);
    if let Some(rest) = digits.strip_prefix(trunk).filter(|_| !trunk.is_empty()) {
        // No national number begins with the prefix itself: what does is a mistake.
        let whole = match own {
            "1" => rest.len() == 10,
            _ => rest.len() >= NATIONAL_DIGITS_MIN && !(trunk == "0" && rest.starts_with('0')),
        };
        return whole.then(|| joined(&["+", own, rest])).flatten();
    }
    if is_whole(digits, own) {
        return joined(&["+", own, digits]);
    }
    if is_bare_international(digits, own) {
        return without_trunk(&joined(&["+", digits])?, provider);
    }
    match (area_code.as_str(), trunk) {
        _ if own == "1" && digits.len() != NORTH_AMERICAN_LOCAL_DIGITS => None,
        (_, "") if own != "1" => {
            (digits.len() >= WHOLE_DIGITS_MIN).then(|| joined(&["+", own, digits])).flatten()
        }
        ("", _) => None,
        (area, _) => joined(&["+", own, area, digits]),
    }
}

/// The trunk prefix, where the country has one.
fn trunk_of(provider: &Provider) -> &str {
    let keeps = KEEP_ZERO.contains(&provider.country_code.as_str());
    if keeps && provider.trunk_prefix == "0" { "" } else { &provider.trunk_prefix }
}

/// An own number that kept its trunk 0 behind the country code, as in "+49 089": without it.
fn without_trunk(digits: &str, provider: &Provider) -> Option<Text> {
    let country = provider.country_code.as_str();
    let national = digits.strip_prefix('+').and_then(|rest| rest.strip_prefix(country));
    match national.filter(|_| trunk_of(provider) == "0").map(|n| n.trim_start_matches('0')) {
        Some(national) if !national.is_empty() => joined(&["+", country, national]),
        _ => joined(&[digits]),
    }
}

/// Numbers of services that are the same all over a country and lead nowhere from outside: in
/// Europe 110 to 119, 116xxx and 118xxx. No local number begins with 11.
fn is_service(digits: &str) -> bool {
    digits.starts_with("11") && digits.len() <= 6
}

fn is_whole(digits: &str, country: &str) -> bool {
    WHOLE.iter().any(|(code, beginning, length)| {
        *code == country && digits.len() == *length && digits.starts_with(beginning)
    })
}

/// Whether a number has its country code in front, but nothing before that.
fn is_bare_international(digits: &str, country: &str) -> bool {
    let Some(national) = digits.strip_prefix(country) else { return false };
    let exact = WHOLE.iter().find(|(code, beginning, _)| *code == country && beginning.is_empty());
    match (exact, country) {
        (Some((.., length)), _) => national.len() == *length,
        (None, "39") => digits.len() >= BARE_ITALIAN_DIGITS_MIN,
        (None, _) => digits.len() >= BARE_INTERNATIONAL_DIGITS_MIN,
    }
}

/// The parts as one number; none where that is too long for one.
fn joined(parts: &[&str]) -> Option<Text> {
    let mut out = Text::new();
    parts.iter().try_for_each(|part| out.push_str(part)).ok()?;
    (out.trim_start_matches('+').len() <= INTERNATIONAL_DIGITS_MAX).then_some(out)
}
