//! A received message as a view of its bytes.
//!
//! [`Message::parse`] finds the structure: start line, header lines, blank line, body. What fails
//! there is not SIP and gets silence. What the lines mean is judged by [`Message::check`], which
//! names the reason that a 400 may carry. Nothing is copied and nothing is allocated: headers are
//! kept as slices, at most [`SIP_HEADERS_MAX`] of them. What every message is asked for again and
//! again (topmost Via, From, To, CSeq) is looked into once.

use super::lex::{Split, find, is_token, number, split_once, trim};
use super::{Header, Method, Name, NameAddr, Via};
use crate::limits::SIP_HEADERS_MAX;
use core::cell::OnceCell;
use core::fmt;

/// Why bytes are not a SIP message, or text is not a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing but line ends: a keep-alive.
    Empty,
    /// The head is not UTF-8 (RFC 3261 section 7.3.1).
    NotUtf8,
    /// Neither a request line nor a status line.
    StartLine,
    /// This header line has no name, or a name that is no token. Counted from 1.
    HeaderLine(u8),
    /// More than [`SIP_HEADERS_MAX`] header lines.
    TooManyHeaders,
    /// A CR or LF that is not part of a CRLF.
    LineEnd,
    /// No blank line behind the headers: cut off.
    NoBlankLine,
    /// Not a URI.
    Uri,
    /// Not a Via value.
    Via,
    /// Not an address with an optional display name.
    NameAddr,
    /// Not a list of parameters.
    Params,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing but line ends",
            Self::NotUtf8 => "head is not UTF-8",
            Self::StartLine => "start line is neither request line nor status line",
            Self::HeaderLine(line) => return write!(f, "header line {line} has no name"),
            Self::TooManyHeaders => "too many header lines",
            Self::LineEnd => "CR or LF alone in the head",
            Self::NoBlankLine => "no blank line behind the headers",
            Self::Uri => "malformed URI",
            Self::Via => "malformed Via",
            Self::NameAddr => "malformed address",
            Self::Params => "malformed parameters",
        })
    }
}

impl std::error::Error for ParseError {}

/// The first line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    Request {
        method: Method<'a>,
        uri: &'a str,
        version: &'a str,
        /// Single spaces between the parts, none around them.
        is_exact: bool,
    },
    Response {
        status: u16,
        reason: &'a str,
    },
}

/// A message. See the module's text.
#[derive(Debug)]
pub struct Message<'a> {
    raw: &'a [u8],
    start: Start<'a>,
    headers: heapless::Vec<Header<'a>, SIP_HEADERS_MAX>,
    body: &'a [u8],
    /// How many bytes stand behind the head, whatever Content-Length says.
    available: usize,
    via: OnceCell<Option<Via<'a>>>,
    from: OnceCell<Option<NameAddr<'a>>>,
    to: OnceCell<Option<NameAddr<'a>>>,
    cseq: OnceCell<Option<(u32, Method<'a>)>>,
}

impl<'a> Message<'a> {
    /// Finds the structure of a datagram, or of a message cut from a stream. Line ends before
    /// the start line are skipped (section 7.5); bytes behind Content-Length are ignored
    /// (section 18.3).
    ///
    /// # Errors
    /// [`ParseError`]: not SIP, answered by silence.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let skipped = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let data = data.get(skipped..).unwrap_or(&[]);
        if data.is_empty() {
            return Err(ParseError::Empty);
        }
        let end = head_end(data)?;
        let (head, rest) = data.split_at_checked(end).ok_or(ParseError::NoBlankLine)?;
        let head = head.strip_suffix(b"\r\n").ok_or(ParseError::NoBlankLine)?;
        let head = core::str::from_utf8(head).map_err(|_| ParseError::NotUtf8)?;
        let at = find(head, b'\r').ok_or(ParseError::NoBlankLine)?;
        let line = head.get(..at).unwrap_or("");
        let mut lines = head.get(at + 2..).unwrap_or("");
        let start = start_line(line).ok_or(ParseError::StartLine)?;
        let mut message = Self {
            raw: data,
            start,
            headers: heapless::Vec::new(),
            body: rest,
            available: rest.len(),
            via: OnceCell::new(),
            from: OnceCell::new(),
            to: OnceCell::new(),
            cseq: OnceCell::new(),
        };
        while !lines.is_empty() {
            let (line, after) = folded_line(lines);
            let count = u8::try_from(message.headers.len() + 1).unwrap_or(u8::MAX);
            let header = header_line(line).ok_or(ParseError::HeaderLine(count))?;
            message.headers.push(header).map_err(|_| ParseError::TooManyHeaders)?;
            lines = after;
        }
        if let Some(body) = message.content_length().and_then(|length| rest.get(..length)) {
            message.body = body;
            message.raw = data.get(..end + body.len()).unwrap_or(data);
        }
        Ok(message)
    }

    pub(super) fn start(&self) -> Start<'a> {
        self.start
    }

    /// How many bytes stand behind the head.
    pub(super) fn available(&self) -> usize {
        self.available
    }

    /// What Content-Length says, if it says it once and well.
    pub(super) fn content_length(&self) -> Option<usize> {
        let mut values = self.values(Name::ContentLength);
        let length = values.next()?;
        let once = values.next().is_none() && !length.is_empty();
        number(length).filter(|_| once).and_then(|length| usize::try_from(length).ok())
    }

    /// Whether it is a request; else a response.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method: of a request from its first line, of a response from CSeq.
    pub fn method(&self) -> Method<'a> {
        match self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => self.cseq().map_or(Method::Other(""), |(_, method)| method),
        }
    }

    /// The Request-URI; "" of a response.
    pub fn request_uri(&self) -> &'a str {
        match self.start {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => "",
        }
    }

    /// The status code, 100 to 699; 0 of a request.
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// The reason phrase; "" of a request.
    pub fn reason(&self) -> &'a str {
        match self.start {
            Start::Request { .. } => "",
            Start::Response { reason, .. } => reason,
        }
    }

    /// All header lines in order.
    pub fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// The whole value of the first such header line.
    pub fn header(&self, name: Name) -> Option<&'a str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value)
    }

    /// Every value of every such header, in order. Lists are split at commas outside of quotes
    /// and angle brackets; empty elements are left out.
    pub fn values(&self, name: Name) -> Values<'_, 'a> {
        Values { empty: !name.is_list(), ..self.elements(name) }
    }

    /// The Contacts that are addresses.
    pub fn contacts(&self) -> impl Iterator<Item = NameAddr<'a>> {
        self.values(Name::Contact).filter_map(|value| NameAddr::parse(value).ok())
    }

    /// As [`Self::values`], with the empty elements of lists.
    pub(super) fn elements(&self, name: Name) -> Values<'_, 'a> {
        Values { lines: self.headers.iter(), name, list: Split::new("", b','), empty: true }
    }

    /// The topmost Via. `None` where it is missing or malformed.
    pub fn via(&self) -> Option<Via<'a>> {
        let parse = || self.values(Name::Via).next().and_then(|value| Via::parse(value).ok());
        *self.via.get_or_init(parse)
    }

    /// From. `None` where it is missing or malformed.
    pub fn from(&self) -> Option<NameAddr<'a>> {
        *self.from.get_or_init(|| self.address(Name::From))
    }

    /// To. `None` where it is missing or malformed.
    pub fn to(&self) -> Option<NameAddr<'a>> {
        *self.to.get_or_init(|| self.address(Name::To))
    }

    fn address(&self, name: Name) -> Option<NameAddr<'a>> {
        self.header(name).and_then(|value| NameAddr::parse(value).ok())
    }

    /// The Call-ID; "" where it is missing.
    pub fn call_id(&self) -> &'a str {
        self.header(Name::CallId).unwrap_or("")
    }

    /// Number and method of CSeq. `None` where it is missing or malformed; the number is below
    /// 2^31 (section 8.1.1.5).
    pub fn cseq(&self) -> Option<(u32, Method<'a>)> {
        *self.cseq.get_or_init(|| self.read_cseq())
    }

    fn read_cseq(&self) -> Option<(u32, Method<'a>)> {
        let mut words = self.header(Name::CSeq)?.split_ascii_whitespace();
        let number = number(words.next()?).filter(|number| *number < 1 << 31)?;
        let method = words.next().filter(|method| is_token(method))?;
        words.next().is_none().then_some((number, Method::parse(method)))
    }

    /// The body: of the length that Content-Length says, else all that follows the head.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The bytes of the message, without line ends before and bytes behind it.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

/// The values of one header, see [`Message::values`]. One type for all who ask: adapters of the
/// standard library would be made anew for each.
#[derive(Clone, Debug)]
pub struct Values<'m, 'a> {
    lines: core::slice::Iter<'m, Header<'a>>,
    name: Name,
    /// What is left of a line with a list.
    list: Split<'a>,
    /// Whether an empty value is one.
    empty: bool,
}

impl<'a> Iterator for Values<'_, 'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let value = match self.list.next() {
                Some(value) => value,
                None => {
                    let value = self.lines.find(|header| header.name == self.name)?.value;
                    if self.name.is_list() {
                        self.list = Split::new(value, b',');
                        continue;
                    }
                    value
                }
            };
            if self.empty || !value.is_empty() {
                return Some(value);
            }
        }
    }
}

/// Seconds of Expires, Min-Expires, Retry-After and their like. A number beyond 32 bits is the
/// largest there is; parameters and comments behind it are ignored. `None` where no number is.
pub fn delta_seconds(value: &str) -> Option<u32> {
    let end = value.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    let digits = value.get(..end).filter(|digits| !digits.is_empty())?;
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// Where the head ends, behind the blank line. Line ends inside it are whole.
fn head_end(data: &[u8]) -> Result<usize, ParseError> {
    let mut start = 0;
    loop {
        let rest = data.get(start..).unwrap_or(&[]);
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let length = length.ok_or(ParseError::NoBlankLine)?;
        match rest.get(length..length + 2) {
            Some(b"\r\n") => start += length + 2,
            None if rest.get(length) == Some(&b'\r') => return Err(ParseError::NoBlankLine),
            _ => return Err(ParseError::LineEnd),
        }
        if length == 0 {
            return Ok(start);
        }
    }
}

/// The first line with what is folded onto it, and the lines behind. Line ends are whole.
fn folded_line(lines: &str) -> (&str, &str) {
    let mut at = 0;
    while let Some(length) = lines.get(at..).and_then(|rest| find(rest, b'\r')) {
        at += length;
        let after = lines.get(at + 2..).unwrap_or("");
        if !after.starts_with([' ', '\t']) {
            return (lines.get(..at).unwrap_or(""), after);
        }
        at += 2;
    }
    (lines, "")
}

fn header_line(line: &str) -> Option<Header<'_>> {
    let (raw_name, value) = split_once(line, b':')?;
    let raw_name = raw_name.trim_end_matches([' ', '\t']);
    let name = is_token(raw_name).then(|| Name::parse(raw_name))?;
    Some(Header { name, raw_name, value: trim(value) })
}

fn start_line(line: &str) -> Option<Start<'_>> {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return status_line(line);
    }
    let (method, rest) = split_once(line, b' ')?;
    let trimmed = rest.trim_end_matches([' ', '\t']);
    let (uri, version) = trimmed.rsplit_once([' ', '\t'])?;
    let is_sip = version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/"));
    let is_exact = trimmed.len() == rest.len() && trim(uri) == uri;
    let uri = trim(uri);
    let is_request = is_token(method) && is_sip;
    let method = Method::parse(method);
    is_request.then_some(Start::Request { method, uri, version, is_exact })
}

fn status_line(line: &str) -> Option<Start<'_>> {
    let (version, rest) = split_once(line, b' ')?;
    let (code, reason) = split_once(rest, b' ').unwrap_or((rest, ""));
    if !version.eq_ignore_ascii_case("SIP/2.0") || code.len() != 3 {
        return None;
    }
    let status = u16::try_from(number(code)?).ok().filter(|status| (100..700).contains(status))?;
    Some(Start::Response { status, reason })
}
