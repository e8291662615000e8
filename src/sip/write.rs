//! Writes a message into the caller's buffer.
//!
//! Too little room is remembered and told once, by [`Writer::finish`]. No value can break out of
//! its line: folded values are unfolded, and a CR or LF from anywhere becomes white space.
//! Content-Length is written by `finish` alone.

use super::{Header, Name};
use core::fmt::{self, Write};

/// The message does not fit into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("message does not fit into the buffer")
    }
}

impl std::error::Error for TooLong {}

/// Builds one message: a start line, headers, then [`Writer::finish`].
pub struct Writer<'b> {
    buf: &'b mut [u8],
    len: usize,
    is_full: bool,
    /// Inside of a fold: the white space that stands for it has been written.
    is_folding: bool,
}

impl<'b> Writer<'b> {
    /// A writer at the start of `buf`.
    pub fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, len: 0, is_full: false, is_folding: false }
    }

    /// The first line of a request.
    pub fn request(&mut self, method: &str, uri: &str) {
        self.line(&[method, " ", uri, " SIP/2.0"]);
    }

    /// The first line of a response.
    pub fn status(&mut self, code: u16, reason: &str) {
        self.is_folding = false;
        self.add(format_args!("SIP/2.0 {code} "));
        self.line(&[reason]);
    }

    /// One header line. [`Name::Other`] has no spelling of its own and writes nothing, as does
    /// Content-Length.
    pub fn header(&mut self, name: Name, value: impl fmt::Display) {
        if !matches!(name, Name::Other | Name::ContentLength) {
            self.is_folding = false;
            self.put(name.as_str().as_bytes());
            self.put(b": ");
            self.add(format_args!("{value}"));
            self.put(b"\r\n");
        }
    }

    /// A header as received, unfolded. Content-Length is left out.
    pub fn copy(&mut self, header: &Header<'_>) {
        if header.name != Name::ContentLength {
            self.line(&[header.raw_name, ": ", header.value]);
        }
    }

    /// Ends the head and adds the body. The length of the message.
    ///
    /// # Errors
    /// [`TooLong`] where anything written did not fit.
    pub fn finish(mut self, body: &[u8]) -> Result<usize, TooLong> {
        self.is_folding = false;
        self.add(format_args!("{}: {}", Name::ContentLength, body.len()));
        self.put(b"\r\n\r\n");
        self.put(body);
        if self.is_full { Err(TooLong) } else { Ok(self.len) }
    }

    /// One line of these pieces.
    fn line(&mut self, pieces: &[&str]) {
        self.is_folding = false;
        pieces.iter().for_each(|piece| self.text(piece));
        self.put(b"\r\n");
    }

    fn add(&mut self, text: fmt::Arguments<'_>) {
        // Fails only where a Display fails: then the line is not whole.
        self.is_full |= self.write_fmt(text).is_err();
    }

    /// Adds text without its line ends: each, with the white space around it, is one space.
    fn text(&mut self, text: &str) {
        // Counted to the end, not searched: that is done for many bytes at a time.
        let ends = text.bytes().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
        if !self.is_folding && ends == 0 {
            return self.put(text.as_bytes());
        }
        for byte in text.bytes() {
            match byte {
                b'\r' | b'\n' if self.is_folding => {}
                b'\r' | b'\n' => {
                    self.is_folding = true;
                    self.put(b" ");
                }
                b' ' | b'\t' if self.is_folding => {}
                _ => {
                    self.is_folding = false;
                    self.put(&[byte]);
                }
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.buf.get_mut(self.len..end) {
            Some(room) if !self.is_full => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.is_full = true,
        }
    }
}

impl Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

/// The reason phrase that RFC 3261 section 21 and its extensions give a status code.
pub const fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "Unknown",
    }
}
