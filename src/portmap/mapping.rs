//! The mappings that are wanted, held, or to be withdrawn; and when each is to be asked for.

use super::pcp::Nonce;
use crate::limits::{PORTMAP_LIFETIME_S_MAX, PORTMAP_MAPPINGS_MAX, PORTMAP_RENEW_MIN};
use crate::order::order;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// One UDP port of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) port: u16,
    /// Proves to a PCP server that a renewal comes from who asked first.
    pub(super) nonce: Nonce,
    /// Else it is to be withdrawn.
    pub(super) wanted: bool,
    /// Something was sent that may have opened it.
    pub(super) asked: bool,
    /// Where it is open.
    pub(super) external: Option<SocketAddr>,
    /// Until when, if it is open.
    pub(super) until: Instant,
    /// When to ask, first or again.
    pub(super) at: Instant,
    /// The external port to ask for: the one that it had, or else its own number.
    pub(super) hint: u16,
    /// How often another one had the port asked for.
    pub(super) conflicts: u8,
}

/// All of them.
#[derive(Default)]
pub(super) struct Mappings {
    all: heapless::Vec<Mapping, PORTMAP_MAPPINGS_MAX>,
}

impl Mappings {
    /// From now on these ports are wanted, and no others; the first ones where there are too many.
    /// How many found no room.
    pub(super) fn want(
        &mut self,
        now: Instant,
        ports: impl Iterator<Item = u16> + Clone,
        rng: &mut Rng,
    ) -> usize {
        for mapping in &mut self.all {
            mapping.wanted = ports.clone().any(|port| port == mapping.port);
        }
        self.all.retain(|mapping| mapping.wanted || mapping.asked);
        let mut without = 0;
        for port in ports.clone() {
            if self.all.iter().any(|mapping| mapping.port == port) {
                continue;
            }
            let added = self.all.push(Mapping {
                port,
                nonce: rng.bytes(),
                wanted: true,
                asked: false,
                external: None,
                until: now,
                at: now,
                hint: port,
                conflicts: 0,
            });
            without += usize::from(added.is_err());
        }
        // What matters most is asked for first.
        let rank = |mapping: &Mapping| ports.clone().position(|port| port == mapping.port);
        order(&mut self.all, |mapping| rank(mapping).unwrap_or(usize::MAX));
        without
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the gateway has opened one.
    pub(super) fn any_held(&self) -> bool {
        self.all.iter().any(|mapping| mapping.external.is_some())
    }

    pub(super) fn get(&self, port: u16) -> Option<&Mapping> {
        self.all.iter().find(|mapping| mapping.port == port)
    }

    pub(super) fn get_mut(&mut self, port: u16) -> Option<&mut Mapping> {
        self.all.iter_mut().find(|mapping| mapping.port == port)
    }

    /// A port that is open.
    pub(super) fn first_held(&self) -> Option<u16> {
        self.all.iter().find(|mapping| mapping.external.is_some()).map(|mapping| mapping.port)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mapping> {
        self.all.iter_mut()
    }

    /// It is closed. Who wanted it again meanwhile has to ask anew.
    pub(super) fn withdrawn(&mut self, now: Instant, port: u16) {
        self.all.retain(|mapping| mapping.port != port || mapping.wanted);
        if let Some(mapping) = self.get_mut(port) {
            mapping.forget(now);
        }
    }

    /// The gateway knows nothing of us, or we are elsewhere. True where one was held.
    pub(super) fn forget_held(&mut self, now: Instant) -> bool {
        let held = self.any_held();
        self.all.retain(|mapping| mapping.wanted);
        for mapping in &mut self.all {
            mapping.forget(now);
        }
        held
    }

    /// Ends what was not renewed in time. True where one was held.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        for mapping in &mut self.all {
            if mapping.external.is_some() && mapping.until <= now {
                mapping.external = None;
                any = true;
            }
        }
        any
    }

    /// The next one to ask for: what is missing, then what is to be withdrawn, then renewals.
    pub(super) fn next_due(&self, now: Instant) -> Option<&Mapping> {
        let urgency = |mapping: &&Mapping| match (mapping.wanted, mapping.external) {
            (true, None) => 0,
            (false, _) => 1,
            (true, Some(_)) => 2,
        };
        let due = self.all.iter().filter(|mapping| !mapping.wanted || mapping.at <= now);
        due.min_by_key(urgency)
    }

    /// When something is to be asked for.
    pub(super) fn next_question(&self) -> Option<Instant> {
        let asks = |mapping: &Mapping| if mapping.wanted { mapping.at } else { Instant::ZERO };
        self.all.iter().map(asks).min()
    }

    /// When the next one ends that is not renewed.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let held = self.all.iter().filter(|mapping| mapping.external.is_some());
        held.map(|mapping| mapping.until).min()
    }
}

impl Mapping {
    /// It is not open, and to be asked for.
    fn forget(&mut self, now: Instant) {
        (self.asked, self.external, self.at) = (false, None, now);
    }

    /// It is open at `external` for `lifetime_s`. True where that is news.
    pub(super) fn granted(
        &mut self,
        now: Instant,
        external: SocketAddr,
        lifetime_s: u32,
        rng: &mut Rng,
    ) -> bool {
        let lifetime = Duration::from_secs(lifetime_s.min(PORTMAP_LIFETIME_S_MAX).into());
        self.until = now + lifetime;
        self.at = renewal(now, self.until, rng);
        self.hint = external.port();
        self.conflicts = 0;
        self.external.replace(external) != Some(external)
    }

    /// The external address is another. True where that is news.
    pub(super) fn moved(&mut self, now: Instant, to: IpAddr) -> bool {
        match &mut self.external {
            Some(external) if external.ip() != to => {
                external.set_ip(to);
                self.at = now;
                true
            }
            _ => false,
        }
    }

    /// It was not renewed: when to ask again, while it is held and after.
    pub(super) fn missed(&mut self, now: Instant, pause: Duration, rng: &mut Rng) {
        self.at = match self.external {
            Some(_) => renewal(now, self.until, rng),
            None => now + pause,
        };
    }
}

/// When to renew what lasts until `until`: after half of that time and up to an eighth more
/// (RFC 6887 s11.2.1; NAT-PMP wants half too), each time.
fn renewal(now: Instant, until: Instant, rng: &mut Rng) -> Instant {
    let left = until.since(now);
    let spread = u32::try_from(left.as_millis() as u64 / 8).unwrap_or(u32::MAX);
    let after = left / 2 + Duration::from_millis(rng.below(spread).into());
    now + after.max(PORTMAP_RENEW_MIN)
}
