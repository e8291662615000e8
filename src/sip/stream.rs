//! Cuts a byte stream into messages (RFC 3261 sections 7.5 and 18.3).
//!
//! On a stream Content-Length is what ends a message: without it nothing behind can be trusted,
//! and the connection has to be closed. Between messages two CRLFs are a keep-alive that wants
//! one CRLF back (RFC 5626 section 4.4.1); a single CRLF is such an answer and is skipped. What
//! is held is bounded by [`SIP_MESSAGE_BYTES_MAX`] and the last push.

use super::{Message, ParseError};
use crate::limits::SIP_MESSAGE_BYTES_MAX;
use core::fmt;

/// Why a stream cannot be followed any further. The connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A head is not SIP.
    Malformed(ParseError),
    /// Content-Length is absent, repeated or not a number.
    NoContentLength,
    /// A message beyond [`SIP_MESSAGE_BYTES_MAX`], or a push before the last one was drained.
    TooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "stream holds no SIP message: {error}"),
            Self::NoContentLength => f.write_str("message on a stream without Content-Length"),
            Self::TooLong => {
                write!(f, "message on a stream longer than {SIP_MESSAGE_BYTES_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'f> {
    /// One whole message.
    Message(&'f [u8]),
    /// A keep-alive that wants one CRLF back.
    KeepAlive,
}

/// The receiving end of one stream.
#[derive(Debug, Default)]
pub struct Framer {
    buf: Vec<u8>,
    /// Where the frame that comes next starts.
    start: usize,
    /// How far the head of the next message has been searched for its end.
    searched: usize,
    /// The length of the next message, once its head is whole.
    length: Option<usize>,
    failed: Option<FrameError>,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes received bytes. [`Self::next`] has to be called until it gives nothing.
    ///
    /// # Errors
    /// [`FrameError`] where the stream has failed already, or more is held than one message.
    pub fn push(&mut self, data: &[u8]) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.buf.drain(..self.start);
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
        if self.buf.len() > SIP_MESSAGE_BYTES_MAX {
            return Err(self.fail(FrameError::TooLong));
        }
        self.buf.extend_from_slice(data);
        Ok(())
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    /// [`FrameError`]: from here on nothing comes any more.
    #[expect(clippy::should_implement_trait, reason = "frames borrow from the framer")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.length.is_none() && self.skip_line_ends() {
            return Ok(Some(Frame::KeepAlive));
        }
        if self.length.is_none() {
            self.length = match self.message_length() {
                Ok(length) => length,
                Err(error) => return Err(self.fail(error)),
            };
        }
        let Some(length) = self.length else { return Ok(None) };
        let start = self.start;
        let Some(message) = self.buf.get(start..start + length) else { return Ok(None) };
        self.start = start + length;
        self.searched = self.start;
        self.length = None;
        Ok(Some(Frame::Message(message)))
    }

    /// How many bytes are held: of a message that is not whole yet.
    pub fn held(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Skips line ends before a message. True where two CRLFs were skipped: a keep-alive. A
    /// single one at the end stays, since its second half may be under way.
    fn skip_line_ends(&mut self) -> bool {
        loop {
            let rest = self.buf.get(self.start..).unwrap_or(&[]);
            let (skip, is_keep_alive) = match rest {
                [b'\r', b'\n', b'\r', b'\n', ..] => (4, true),
                [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return false,
                [b'\r' | b'\n', ..] => (1, false),
                _ => return false,
            };
            self.start += skip;
            self.searched = self.start;
            if is_keep_alive {
                return true;
            }
        }
    }

    fn message_length(&mut self) -> Result<Option<usize>, FrameError> {
        // The end may lie across the last search and the bytes that came since.
        let from = self.searched.saturating_sub(3).max(self.start);
        let unsearched = self.buf.get(from..).unwrap_or(&[]);
        let Some(at) = unsearched.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            self.searched = self.buf.len();
            let is_long = self.held() > SIP_MESSAGE_BYTES_MAX;
            return if is_long { Err(FrameError::TooLong) } else { Ok(None) };
        };
        let end = from + at + 4;
        let head = self.buf.get(self.start..end).unwrap_or(&[]);
        let message = Message::parse(head).map_err(FrameError::Malformed)?;
        let body = message.content_length().ok_or(FrameError::NoContentLength)?;
        let length = head.len().saturating_add(body);
        if length > SIP_MESSAGE_BYTES_MAX { Err(FrameError::TooLong) } else { Ok(Some(length)) }
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.failed = Some(error);
        self.buf = Vec::new();
        self.start = 0;
        error
    }
}

#[cfg(test)]
mod tests;
