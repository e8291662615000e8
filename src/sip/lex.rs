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
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    let start = text.len() - bytes.len();
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    text.get(start..start + bytes.len()).unwrap_or("")
}

/// A set of ASCII characters: one look-up for each byte of a message, however many classes.
pub(crate) struct Class([bool; 256]);

impl Class {
    /// Letters, digits and `others`.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut class = [false; 256];
        let mut byte = 0;
        while byte < 128u8 {
            class[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            class[others[at] as usize] = true;
            at += 1;
        }
        Self(class)
    }

    /// Whether the set has `byte`.
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}

static TOKEN: Class = Class::alphanumeric_and(b"-.!%*_+`'~");

/// Whether `text` is a token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| TOKEN.has(byte))
}

/// A decimal number below `u32::MAX`, nothing but digits.
pub(crate) fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Where `byte`, an ASCII character, stands first. Values are short: a plain loop beats the
/// standard library's search, which is made for long text.
pub(crate) fn find(text: &str, byte: u8) -> Option<usize> {
    text.as_bytes().iter().position(|other| *other == byte)
}

/// What stands before and behind the first `byte`, an ASCII character.
pub(crate) fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    find(text, byte).map(|at| split_around(text, at))
}

/// Splits `text` behind its first `at` bytes and drops the byte there.
pub(crate) fn split_around(text: &str, at: usize) -> (&str, &str) {
    let before = text.get(..at).unwrap_or(text);
    (before, text.get(at + 1..).unwrap_or(""))
}

/// Where `separator` stands outside of quoted strings and angle brackets.
pub(crate) fn find_outside(text: &str, separator: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let stop = |byte: &u8| *byte == separator || matches!(byte, b'"' | b'<');
        at += rest.iter().position(stop)?;
        let (found, rest) = bytes.get(at..)?.split_first()?;
        at += 1;
        match found {
            _ if *found == separator => return Some(at - 1),
            b'"' => at += closing_quote(rest)? + 1,
            _ => at += rest.iter().position(|byte| *byte == b'>')? + 1,
        }
    }
}

/// Where the quoted string ends whose inside `bytes` begins with.
fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
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
    closing_quote(inner.as_bytes()).map(|at| split_around(inner, at))
}

/// A host with an optional port. A name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let text = trim(text);
    let end = if text.starts_with('[') { find(text, b']')? + 1 } else { 0 };
    let colon = find(text.get(end..)?, b':').map(|at| at + end);
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

static HOST: Class = Class::alphanumeric_and(b"-._");

/// Whether `text` is a host. Underscores pass: they are against RFC 1123, and in use.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    !text.is_empty() && text.bytes().all(|byte| HOST.has(byte))
}
