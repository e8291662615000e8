//! The pieces of grammar that all of RFC 3261 section 25 is built from.
//!
//! Linear white space includes the line ends of folded headers: values are views of the received
//! bytes and are never copied to be unfolded.

use std::net::Ipv6Addr;

/// Whether `byte` is linear white space, or part of a folded line's end.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `text` without white space around it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Whether `text` is a token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// A decimal number below `u32::MAX`, nothing but digits.
pub(crate) fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Splits `text` behind its first `at` bytes and drops the byte there.
pub(crate) fn split_around(text: &str, at: usize) -> (&str, &str) {
    let before = text.get(..at).unwrap_or(text);
    (before, text.get(at + 1..).unwrap_or(""))
}

/// Where `separator` stands outside of quoted strings and angle brackets.
pub(crate) fn find_outside(text: &str, separator: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracket) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if bracket {
            bracket = byte != b'>';
        } else if byte == separator {
            return Some(at);
        } else {
            quoted = byte == b'"';
            bracket = byte == b'<';
        }
    }
    None
}

/// The pieces of `text` between separators outside of quoted strings and angle brackets, trimmed.
#[derive(Clone, Debug)]
pub(crate) struct Split<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Split<'a> {
    /// Empty text has no piece at all.
    pub(crate) fn new(text: &'a str, separator: u8) -> Self {
        let text = trim(text);
        Self { rest: (!text.is_empty()).then_some(text), separator }
    }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.take()?;
        let Some(at) = find_outside(text, self.separator) else { return Some(trim(text)) };
        let (piece, rest) = split_around(text, at);
        self.rest = Some(rest);
        Some(trim(piece))
    }
}

/// A quoted string at the start of `text`: what is between the quotes, escapes kept, and what
/// follows them.
pub(crate) fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(split_around(inner, at)),
            _ => {}
        }
    }
    None
}

/// A host with an optional port. A name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let text = trim(text);
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { 0 };
    let colon = text.get(end..)?.find(':').map(|at| at + end);
    let (host, port) = match colon {
        None => (text, None),
        Some(at) => {
            let (host, port) = split_around(text, at);
            let port = trim(port);
            if port.is_empty() {
                return None;
            }
            (trim(host), Some(u16::try_from(number(port)?).ok()?))
        }
    };
    is_host(host).then_some((host, port))
}

/// Whether `text` is a host. Underscores pass: they are against RFC 1123, and in use.
fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.bytes().all(fits)
}
