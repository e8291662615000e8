//! The same session description with the relay's addresses and ports.
//!
//! What changes and what stays is told in [`super`].

use super::{Connection, Description, Line, Media, Rtcp, SdpError, lines, split_line};
use crate::limits::{MEDIA_LINES_MAX, SIP_MESSAGE_BYTES_MAX};
use core::fmt;
use std::io::Write;
use std::net::IpAddr;

/// The relay's ports for one media line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address that goes into the description.
    pub address: IpAddr,
    /// The port for RTP.
    pub port: u16,
    /// The port for RTCP: the next one, unless a router in front opened another.
    pub rtcp: u16,
}

/// How to change a description.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<'a> {
    /// What [`Description::read`] said of the same text.
    pub description: &'a Description,
    /// The relay's address, for the session's `o=` and `c=`.
    pub address: IpAddr,
    /// The relay's ports for every line that the description has.
    pub places: [Option<Place>; MEDIA_LINES_MAX],
}

impl Rewrite<'_> {
    /// Appends the changed text of `body` to `out`.
    ///
    /// # Errors
    /// [`SdpError::TooLong`] where `out` would outgrow [`SIP_MESSAGE_BYTES_MAX`].
    pub fn write(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), SdpError> {
        let mut writer = Writer {
            rewrite: self,
            session: None,
            section: None,
            count: 0,
            pending: None,
            rtcp: None,
        };
        let mut rest = body;
        while let Some((line, end, after)) = split_line(rest) {
            writer.line(line, end, after, out);
            rest = after;
            if out.len() > SIP_MESSAGE_BYTES_MAX {
                return Err(SdpError::TooLong);
            }
        }
        if writer.pending.is_some() || writer.rtcp.is_some() {
            writer.insert_pending(out);
            writer.insert_rtcp(out);
            // A part of a multipart body ends before its last line end.
            out.truncate(out.len() - if body.ends_with(b"\n") { 0 } else { 2 });
        }
        Ok(())
    }

    /// The line with this index, where it is relayed.
    fn relayed(&self, index: usize) -> Option<(&Line, Place)> {
        let line = self.description.lines.get(index)?.as_ref()?;
        Some((line, (*self.places.get(index)?)?))
    }
}

/// A `c=` line to insert.
enum Pending<'b> {
    /// With the relay's address.
    Relay(IpAddr),
    /// With the value that the session's own `c=` had.
    Session(&'b [u8]),
}

struct Writer<'a, 'b> {
    rewrite: &'a Rewrite<'a>,
    /// The value of the session's own `c=`.
    session: Option<&'b [u8]>,
    /// The relayed media section that the text is in.
    section: Option<(&'a Line, Place)>,
    /// How many media lines there were so far.
    count: usize,
    /// What to insert before the next line that is not `i=` (RFC 8866 s5: m, i, c).
    pending: Option<Pending<'b>>,
    /// The port to tell at the section's end: RTCP is not where it would be looked for.
    rtcp: Option<u16>,
}

impl<'b> Writer<'_, 'b> {
    fn line(&mut self, line: &'b [u8], end: &'b [u8], after: &'b [u8], out: &mut Vec<u8>) {
        if !line.starts_with(b"i=") {
            self.insert_pending(out);
        }
        if line.starts_with(b"m=") {
            self.insert_rtcp(out);
            self.media(line, after, out);
        } else if self.bypasses(line) {
            return;
        } else if !self.replace(line, out) {
            out.extend_from_slice(line);
        }
        out.extend_from_slice(end);
    }

    /// Writes the changed form of a line that is not `m=`; false where it stays.
    fn replace(&mut self, line: &'b [u8], out: &mut Vec<u8>) -> bool {
        if let Some(value) = line.strip_prefix(b"c=") {
            if self.count == 0 {
                self.session.get_or_insert(value);
            }
            let address = match self.section {
                Some((_, place)) => place.address,
                None if self.count == 0 => self.rewrite.address,
                None => return false,
            };
            let held = Connection::parse(value) == Connection::Held;
            return !held && emit(out, format_args!("c={}", Located(address)));
        }
        if line.starts_with(b"o=") && self.count == 0 {
            return origin(line, self.rewrite.address, out);
        }
        let (Some(value), Some((spec, place))) = (line.strip_prefix(b"a=rtcp:"), self.section)
        else {
            return false;
        };
        let port = if spec.shared { place.port } else { place.rtcp };
        match Rtcp::parse(value) {
            Some(Rtcp { connection: Some(_), .. }) => {
                emit(out, format_args!("a=rtcp:{port} {}", Located(place.address)))
            }
            Some(_) => emit(out, format_args!("a=rtcp:{port}")),
            None => false,
        }
    }

    /// Whether a line offers a way round the relay.
    fn bypasses(&self, line: &[u8]) -> bool {
        const NAMES: [&str; 5] =
            ["candidate:", "remote-candidates:", "end-of-candidates", "ice-", "altc:"];
        let Some(attribute) = line.strip_prefix(b"a=") else { return false };
        let applies = match self.count {
            0 => self.rewrite.places.iter().any(Option::is_some),
            _ => self.section.is_some(),
        };
        applies && NAMES.iter().any(|name| attribute.starts_with(name.as_bytes()))
    }

    /// Writes an `m=` line. Where the session's address, which now is the relay's, does not hold
    /// for it, a `c=` line is to follow.
    fn media(&mut self, line: &[u8], after: &[u8], out: &mut Vec<u8>) {
        let index = self.count;
        self.count += 1;
        self.section = self.rewrite.relayed(index);
        let media = Media::parse(line);
        match (self.section, &media) {
            (Some((_, place)), Some(media)) => {
                out.extend_from_slice(line.get(..media.port_at).unwrap_or_default());
                emit(out, format_args!("{}", place.port));
                out.extend_from_slice(line.get(media.port_end..).unwrap_or_default());
            }
            _ => out.extend_from_slice(line),
        }
        let has = |start: &[u8]| {
            let mut section = lines(after).take_while(|line| !line.starts_with(b"m="));
            section.any(|line| line.starts_with(start))
        };
        self.rtcp = self.section.and_then(|(line, place)| {
            let is_rtp = media.as_ref().is_some_and(|media| media.rtp);
            let wanted = is_rtp && !line.shared && line.rtp.is_some();
            let elsewhere = wanted && place.port.checked_add(1) != Some(place.rtcp);
            (elsewhere && !has(b"a=rtcp:")).then_some(place.rtcp)
        });
        if has(b"c=") {
            return;
        }
        self.pending = match (self.section, self.session) {
            (Some((line, place)), session) => {
                let stands = session.is_some() && place.address == self.rewrite.address;
                (line.rtp.is_some() && !stands).then_some(Pending::Relay(place.address))
            }
            (None, Some(session)) if media.is_some_and(|media| media.port != 0) => {
                let held = Connection::parse(session) == Connection::Held;
                (!held).then_some(Pending::Session(session))
            }
            _ => None,
        };
    }

    /// RFC 3605: RTCP is not at the next port.
    fn insert_rtcp(&mut self, out: &mut Vec<u8>) {
        let Some(port) = self.rtcp.take() else { return };
        end_line(out);
        emit(out, format_args!("a=rtcp:{port}\r\n"));
    }

    fn insert_pending(&mut self, out: &mut Vec<u8>) {
        let Some(pending) = self.pending.take() else { return };
        end_line(out);
        match pending {
            Pending::Relay(address) => _ = emit(out, format_args!("c={}", Located(address))),
            Pending::Session(value) => {
                out.extend_from_slice(b"c=");
                out.extend_from_slice(value);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes an `o=` line with another address: its last three fields. User names with spaces
/// exist. False where the line does not have six fields.
fn origin(line: &[u8], address: IpAddr, out: &mut Vec<u8>) -> bool {
    let line = line.trim_ascii_end();
    if line.split(|byte| *byte == b' ').count() < 6 {
        return false;
    }
    let Some(kept) = line.rsplitn(4, |byte| *byte == b' ').nth(3) else { return false };
    out.extend_from_slice(kept);
    emit(out, format_args!(" {}", Located(address)))
}

/// An address as `c=`, `o=` and `a=rtcp` write it.
struct Located(IpAddr);

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.0.is_ipv4() { 4 } else { 6 };
        write!(f, "IN IP{family} {}", self.0)
    }
}

fn end_line(out: &mut Vec<u8>) {
    if out.last() != Some(&b'\n') {
        out.extend_from_slice(b"\r\n");
    }
}

fn emit(out: &mut Vec<u8>, text: fmt::Arguments<'_>) -> bool {
    out.write_fmt(text).is_ok()
}

/// The answer that takes none of an offer's media: the same lines with port 0 (RFC 3264 s6).
pub fn refusal(offer: &[u8]) -> Vec<u8> {
    let mut answer = Vec::with_capacity(offer.len());
    for whole in offer.split_inclusive(|byte| *byte == b'\n') {
        let mut words = whole.splitn(3, |byte| *byte == b' ');
        match (whole.strip_prefix(b"m="), words.next(), words.nth(1)) {
            (Some(_), Some(kind), Some(rest)) => {
                answer.extend_from_slice(kind);
                answer.extend_from_slice(b" 0 ");
                answer.extend_from_slice(rest);
            }
            _ => answer.extend_from_slice(whole),
        }
    }
    answer
}
