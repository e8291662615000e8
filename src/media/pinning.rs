//! Which source may send to a port of the relay, and where its answers go.
//!
//! A relay that takes packets from anybody lets strangers listen to and speak into calls ("RTP
//! bleed"). So a [`Pin`] takes only: the signalled address; its /24 or /64, where a media server's
//! sister sends; and the address that this side's signalling comes from, where a NAT lies between.
//! The first such packet closes the window, from then on only its source is heard. New SDP opens
//! the window again. Until a source is known, packets go to the signalled address, then to the
//! source (symmetric RTP, RFC 4961).
//!
//! One source may follow another without new SDP: where both ends send at once, a NAT in between
//! can give the first packets another port, until its rule for the opened one applies. So a source
//! that is not the signalled address itself gives way to it, once it has been silent for
//! `SILENCE`. The signalled address gives way to nobody.

use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// How long the packets of the old source may trail behind SDP that names a new address. They are
/// passed on, so that no word is lost, but do not close the window for the new source.
const TRAIL: Duration = Duration::from_secs(2);

/// How long a source that nobody named is silent before the signalled address takes its place.
/// A source that still speaks sends within 60 ms (the longest packets that phones use) and loses
/// one packet at times; of the words of one that changed its port, no more than this is lost.
const SILENCE: Duration = Duration::from_millis(200);

/// The pinning of one port: the sources that it hears and the address that it answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pin {
    /// Where SDP says that this side wants its packets.
    signalled: Option<SocketAddr>,
    /// The source that closed the window last.
    source: Option<SocketAddr>,
    /// Whether only `source` is heard. New SDP opens the window again.
    closed: bool,
    /// When `source` was heard last.
    heard_at: Instant,
    /// Where SDP moved away from `source`: until when that may trail.
    trail_until: Option<Instant>,
}

impl Pin {
    /// New SDP: opens the window. `None` where it names no usable address.
    pub fn signal(&mut self, now: Instant, address: Option<SocketAddr>) {
        self.closed = false;
        if address == self.signalled {
            return;
        }
        self.signalled = address;
        self.trail_until = match self.source {
            Some(source) if Some(source) != address => Some(now + TRAIL),
            _ => None,
        };
    }

    /// Where SDP says that this side wants its packets.
    pub fn signalled(&self) -> Option<SocketAddr> {
        self.signalled
    }

    /// Where packets to this side go.
    #[inline]
    pub fn target(&self) -> Option<SocketAddr> {
        match (self.source, self.trail_until) {
            (Some(source), None) => Some(source),
            _ => self.signalled,
        }
    }

    /// Whether a packet from `from` may pass; it may close the window. `signalling` is the
    /// address that this side's SIP messages come from.
    #[inline]
    pub fn admit(&mut self, now: Instant, from: SocketAddr, signalling: Option<IpAddr>) -> bool {
        if self.closed && !self.gives_way(now, from) {
            let heard = self.source == Some(from);
            if heard {
                self.heard_at = now;
            }
            return heard;
        }
        if self.source == Some(from) && self.trail_until.is_some_and(|until| now < until) {
            return true;
        }
        let Some(signalled) = self.signalled else {
            // No SDP yet (a gateway may speak before its 200 arrives): heard, but not pinned.
            return signalling == Some(from.ip());
        };
        if same_net(signalled.ip(), from.ip()) || signalling == Some(from.ip()) {
            (self.source, self.trail_until, self.closed) = (Some(from), None, true);
            self.heard_at = now;
            return true;
        }
        false
    }

    /// Whether the source leaves its place to `from`, see the module's text.
    #[inline]
    fn gives_way(&self, now: Instant, from: SocketAddr) -> bool {
        let signalled = Some(from);
        self.signalled == signalled && self.source != signalled && self.heard_at + SILENCE <= now
    }
}

/// Whether two addresses share a /24 (IPv4) or a /64 (IPv6).
pub(super) fn same_net(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()) >> 8 == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()) >> 64 == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
