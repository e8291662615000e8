//! Where the session description is in a message body (RFC 2046 s5.1, RFC 5621).
//!
//! The body itself, or one part of a `multipart/*` body, nested at most `DEPTH_MAX` deep. Of
//! several descriptions the first that describes the session counts: early-session ones (RFC
//! 3959), and such as are encoded (base64), are left alone like any other part. Nothing but the
//! description and `Content-Length` fields of the parts around it ever changes.

use super::sdp::split_line;
use core::ops::Range;

/// How deep multipart bodies may be nested.
const DEPTH_MAX: usize = 3;

/// The digits of each `Content-Length` of a part that contains the description, in order.
type Lengths = heapless::Vec<Range<usize>, DEPTH_MAX>;

/// A description inside a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The bytes of the description.
    pub text: Range<usize>,
    /// The digits of each `Content-Length` of a part that contains it, in order.
    pub lengths: Lengths,
}

/// Finds the description in `body`, whose `Content-Type` is `content_type`.
pub fn find(content_type: &str, body: &[u8]) -> Option<Found> {
    let mut lengths = Lengths::new();
    let text = search(content_type, body, 0..body.len(), &mut lengths, 0)?;
    Some(Found { text, lengths })
}

/// Copies `body` to `out` with `text` in place of the description. A `Content-Length` that cannot
/// be the length of what contains the description stays as it was written.
pub fn replace(body: &[u8], found: &Found, text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    for digits in &found.lengths {
        let declared = body.get(digits.clone()).unwrap_or_default();
        let length = core::str::from_utf8(declared)
            .ok()
            .and_then(|digits| digits.parse::<usize>().ok())
            .and_then(|length| length.checked_sub(found.text.len())?.checked_add(text.len()));
        out.extend_from_slice(body.get(at..digits.start).unwrap_or_default());
        match length {
            Some(length) => out.extend_from_slice(length.to_string().as_bytes()),
            None => out.extend_from_slice(declared),
        }
        at = digits.end;
    }
    out.extend_from_slice(body.get(at..found.text.start).unwrap_or_default());
    out.extend_from_slice(text);
    out.extend_from_slice(body.get(found.text.end..).unwrap_or_default());
}

fn search(
    content_type: &str,
    body: &[u8],
    within: Range<usize>,
    lengths: &mut Lengths,
    depth: usize,
) -> Option<Range<usize>> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/sdp") {
        return Some(within);
    }
    let family = kind.split('/').next().unwrap_or_default();
    if !family.eq_ignore_ascii_case("multipart") || depth == DEPTH_MAX {
        return None;
    }
    let boundary = parameter(content_type, "boundary").filter(|value| !value.is_empty())?;
    let mut parts = Parts { body, boundary, rest: within };
    parts.next_part(); // The preamble.
    while let Some(part) = parts.next_part() {
        let head = Head::read(body, part);
        if !head.plain {
            continue;
        }
        let outer = lengths.len();
        // Cannot fail: a nested call pushes at most once, and the depth is bounded alike.
        let _ = head.length.map(|digits| lengths.push(digits));
        if let Some(text) = search(head.content_type, body, head.content, lengths, depth + 1) {
            return Some(text);
        }
        lengths.truncate(outer);
    }
    None
}

/// The value of a parameter of a header value, without quotes.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = value;
    loop {
        rest = rest.split_once(';')?.1;
        let (found, tail) = rest.split_once('=')?;
        let tail = tail.trim_start();
        let text = match tail.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => tail.split([';', ' ', '\t']).next(),
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return text;
        }
        rest = tail.get(text.map_or(0, str::len)..)?;
    }
}

/// Walks over the parts of a multipart body.
struct Parts<'a> {
    body: &'a [u8],
    boundary: &'a str,
    /// What has not been looked at.
    rest: Range<usize>,
}

impl Parts<'_> {
    /// Goes behind the next delimiter line and returns what is before it, without the line end
    /// that belongs to the delimiter. Nothing is left after the closing delimiter.
    fn next_part(&mut self) -> Option<Range<usize>> {
        let start = self.rest.start;
        let mut content_end = start;
        while let Some((line, end, _)) = split_line(self.body.get(self.rest.clone())?) {
            let line_start = self.rest.start;
            self.rest.start += line.len() + end.len();
            let line_end = line_start + line.len();
            if let Some(closing) = self.delimiter(line) {
                if closing {
                    self.rest.start = self.rest.end;
                }
                return Some(start..content_end);
            }
            content_end = line_end;
        }
        None
    }

    /// Whether a line is a delimiter, and whether it closes the last part.
    fn delimiter(&self, line: &[u8]) -> Option<bool> {
        let tail = line.strip_prefix(b"--")?.strip_prefix(self.boundary.as_bytes())?;
        match tail.trim_ascii_end() {
            b"" => Some(false),
            b"--" => Some(true),
            _ => None,
        }
    }
}

/// What the head of a part says.
struct Head<'a> {
    content_type: &'a str,
    /// Neither encoded nor meant for anything but the session.
    plain: bool,
    length: Option<Range<usize>>,
    content: Range<usize>,
}

impl<'a> Head<'a> {
    fn read(body: &'a [u8], part: Range<usize>) -> Self {
        let mut head = Self { content_type: "", plain: true, length: None, content: part.clone() };
        let mut at = part.start;
        while let Some((line, end, _)) = body.get(at..part.end).and_then(split_line) {
            let line_start = at;
            at += line.len() + end.len();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) =
                core::str::from_utf8(line).ok().and_then(|l| l.split_once(':'))
            else {
                continue;
            };
            let (name, trimmed) = (name.trim(), value.trim());
            let is = |names: [&str; 2]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
            if is(["content-type", "c"]) {
                head.content_type = trimmed;
            } else if is(["content-length", "l"]) {
                let start = line_start + line.len() - value.trim_start().len();
                head.length = Some(start..start + trimmed.len());
            } else if is(["content-transfer-encoding", "content-encoding"]) {
                let plain = ["7bit", "8bit", "binary", "identity"];
                head.plain &= plain.iter().any(|p| trimmed.eq_ignore_ascii_case(p));
            } else if name.eq_ignore_ascii_case("content-disposition") {
                let kind = trimmed.split(';').next().unwrap_or_default().trim();
                head.plain &= kind.eq_ignore_ascii_case("session");
            }
        }
        head.content = at..part.end.max(at);
        head
    }
}

#[cfg(test)]
mod tests;
