//! Which addresses, ports and sessions: the inner steps of [`Media`].

use super::ports::{Component, Owner};
use super::relay::{Dropped, Fingerprint, Hop, Place};
use super::sdp::{Description, SdpError, write};
use super::{Media, SessionId, Side};
use crate::limits::MEDIA_LINES_MAX;
use crate::net::{Rejected, SocketId};
use crate::time::Instant;
use core::hash::Hasher;
use siphasher::sip::SipHasher13;
use std::net::{IpAddr, SocketAddr};

impl Media {
    /// Tells one description from the next. Keyed, so that nobody makes two look alike.
    pub(super) fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        let (low, high) = self.fingerprint_keys;
        let mut whole = SipHasher13::new_with_keys(low, high);
        let mut content = whole;
        whole.write(text);
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines.filter(|line| !line.starts_with(b"o=")).for_each(|line| content.write(line));
        Fingerprint { whole: whole.finish(), content: content.finish() }
    }

    /// Takes what the SDP of a side says: from now on its media goes there.
    pub(super) fn describe(
        &mut self,
        now: Instant,
        session: SessionId,
        from: Side,
        source: IpAddr,
        text: &[u8],
    ) -> Result<Description, SdpError> {
        let description = Description::read(text, source.to_canonical());
        let fingerprint = self.fingerprint(text);
        let entry = self.sessions.get_mut(session).ok_or(SdpError::NoSession)?;
        let place = Place::new(from, 0).ok_or(SdpError::NoSession)?;
        if entry.has_left(place, Some(fingerprint)) {
            return Ok(description);
        }
        entry.set_signalling(place, source);
        entry.describe(now, place, &description, fingerprint);
        Ok(description)
    }

    /// The address that stands in SDP for a local one.
    pub(super) fn shown(&self, local: IpAddr, far: bool) -> IpAddr {
        let public = self.public.filter(|public| far && public.is_ipv4() == local.is_ipv4());
        public.unwrap_or(local)
    }

    /// The address and port that stand in SDP for local ones: where the router in front opened
    /// the port, those on its outside.
    pub(super) fn shown_at(&self, local: SocketAddr, far: bool) -> SocketAddr {
        let mapped = self.mapped.iter().filter(|_| far).find(|(own, _)| *own == local);
        let same_port = || SocketAddr::new(self.shown(local.ip(), far), local.port());
        mapped.map_or_else(same_port, |(_, outside)| *outside)
    }

    /// Finds ports on side `to` for every line of a description.
    pub(super) fn place<'d>(
        &mut self,
        session: SessionId,
        to: Side,
        description: &'d Description,
        source: IpAddr,
    ) -> Result<write::Rewrite<'d>, SdpError> {
        let at = Place::new(to, 0).ok_or(SdpError::NoSession)?;
        let far = at.is_far();
        let mut places = [None; MEDIA_LINES_MAX];
        for (line, (said, place)) in description.lines.iter().zip(&mut places).enumerate() {
            let Some(said) = said else { continue };
            let at = Place::new(to, line).ok_or(SdpError::NoSession)?;
            let hint = said.rtp.map_or(source, |rtp| rtp.ip());
            let local = self.provide(session, at, hint)?;
            let shown = self.shown_at(local, far);
            let next = SocketAddr::new(local.ip(), local.port() + 1);
            let rtcp = self.shown_at(next, far).port();
            *place = Some(write::Place { address: shown.ip(), port: shown.port(), rtcp });
        }
        let address = match places.iter().flatten().next() {
            Some(place) => place.address,
            None => {
                let reference = self.sessions.get(session).and_then(|s| s.reference(at));
                let local = self.choose(far, reference, source).ok_or(SdpError::NoAddress)?;
                self.shown(local, far)
            }
        };
        Ok(write::Rewrite { description, address, places })
    }

    /// The local address and even port of a wire; the same each time while the address lives.
    fn provide(
        &mut self,
        session: SessionId,
        at: Place,
        hint: IpAddr,
    ) -> Result<SocketAddr, SdpError> {
        let entry = self.sessions.get(session).ok_or(SdpError::NoSession)?;
        let held = entry.pair(at).and_then(|pair| self.ports.get(pair)).map(|(local, _)| local);
        if let Some(local) = held.filter(|local| self.ports.is_active(local.ip())) {
            return Ok(local);
        }
        let address = self.choose(at.is_far(), entry.reference(at), hint);
        let address = address.ok_or(SdpError::NoAddress)?;
        let owner = Owner { session: session.slot(), place: at.number() };
        let urgent = entry.is_urgent();
        let pair = self.ports.take(self.now, address, owner, urgent).ok_or(SdpError::NoPort)?;
        let entry = self.sessions.get_mut(session).ok_or(SdpError::NoSession)?;
        if let Some(old) = entry.set_pair(at, pair) {
            self.ports.release(self.now, old);
        }
        self.ports.get(pair).map(|(local, _)| local).ok_or(SdpError::NoPort)
    }

    /// The local address for a side: of the family that the side uses (`reference`), or else
    /// that the description has (`hint`). Phones get the address that is nearest to theirs, so
    /// that several LANs work; the WAN's first address is best unless another shares its network.
    fn choose(&self, far: bool, reference: Option<IpAddr>, hint: IpAddr) -> Option<IpAddr> {
        let candidates = if far { &self.wan } else { &self.lan };
        let v4 = reference.unwrap_or(hint).is_ipv4();
        let near = |local: &IpAddr| match reference {
            Some(reference) if far => u32::from(super::pinning::same_net(*local, reference)),
            Some(reference) => common_prefix(*local, reference),
            None => 0,
        };
        let family = candidates.iter().filter(|local| local.is_ipv4() == v4);
        family.rev().max_by_key(|local| near(local)).or_else(|| candidates.first()).copied()
    }

    /// Sets the deadline at which a session's media are dead.
    pub(super) fn arm(&mut self, session: SessionId) {
        match self.sessions.get(session).and_then(|entry| entry.dead_at(self.timeout)) {
            Some(at) => self.timers.set(session.slot(), at),
            None => self.timers.stop(session.slot()),
        }
    }

    /// Asks the owner of a port where a datagram goes.
    #[inline]
    pub(super) fn route(
        &mut self,
        owner: Owner,
        component: Component,
        from: SocketAddr,
        len: usize,
    ) -> Result<Option<Hop>, Rejected> {
        let session = self.sessions.id_at(owner.session);
        let Some(entry) = session.and_then(|session| self.sessions.get_mut(session)) else {
            self.counters.unowned += 1;
            return Err(Rejected::Unknown);
        };
        let at = Place::from_number(owner.place);
        entry.route(self.now, at, component, from, len).map_err(|dropped| {
            let (counter, rejected) = match dropped {
                Dropped::Foreign => (&mut self.counters.foreign, Rejected::Unauthorized),
                Dropped::Unwanted => (&mut self.counters.unwanted, Rejected::Unknown),
                Dropped::Unheard => (&mut self.counters.unheard, Rejected::Unknown),
            };
            *counter += 1;
            rejected
        })
    }

    /// The local address and the socket that a datagram leaves from.
    #[inline]
    pub(super) fn leave(
        &mut self,
        hop: &Hop,
        component: Component,
    ) -> Result<(SocketAddr, SocketId), Rejected> {
        let found = self.ports.get(hop.pair).and_then(|(mut local, sockets)| {
            local.set_port(local.port() + component as u16);
            Some((local, sockets[component as usize]?))
        });
        found.ok_or_else(|| {
            self.counters.unowned += 1;
            Rejected::Unknown
        })
    }

    /// The port of another session on the WAN side that `target` names.
    #[inline]
    pub(super) fn find_joined(&self, target: SocketAddr) -> Option<(Owner, Component)> {
        let public = self.public == Some(target.ip());
        let mapped = self.mapped.iter().filter(|_| public);
        if let Some((local, _)) = mapped.clone().find(|(_, outside)| *outside == target) {
            return self.ports.find_local(*local);
        }
        let mut locals = self.wan.iter().filter(|local| {
            **local == target.ip() || public && local.is_ipv4() == target.is_ipv4()
        });
        locals.find_map(|local| {
            let found = self.ports.find_local(SocketAddr::new(*local, target.port()));
            found.filter(|(owner, _)| Place::from_number(owner.place).is_far())
        })
    }
}

/// How many leading bits two addresses share.
fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}
