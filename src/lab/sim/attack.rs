//! What hostile routers throw at others, beside what their adapters do: garbage, datagrams that
//! are too large, of other versions and other networks, replays, floods.
//!
//! They have the network's secret, so their replays bear a valid tag; they lie about where they
//! are. What can only be refused is marked so, and whoever takes it is found out.

use super::dice::Dice;
use crate::identity::{Identity, NetworkKeys};
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::overlay::{Limits, Overlay};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Datagrams that one remembers, to send them again.
const OVERHEARD: usize = 32;
/// Datagrams of one attack; a flood has so many times more, all for one victim.
const SHOTS: usize = 20;
const FLOOD: usize = 20;

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attack {
    /// Bytes of chance, some with the beginning of a datagram.
    Garbage,
    /// Datagrams larger than any may be, whole ones at their head.
    Oversize,
    /// Own datagrams again.
    Replay,
    /// The same as if others had sent them.
    Forge,
    /// The same, hundreds at one victim.
    Flood,
    /// Datagrams of another network.
    Foreign,
}

impl Attack {
    pub(super) const ALL: [Self; 6] =
        [Self::Garbage, Self::Oversize, Self::Replay, Self::Forge, Self::Flood, Self::Foreign];
}

/// A datagram of an attack.
#[derive(Clone)]
pub(super) struct Shot {
    /// Where it seems to come from, if not from where it does.
    pub(super) from: Option<SocketAddr>,
    pub(super) to: SocketAddr,
    pub(super) data: Vec<u8>,
    /// It can only be refused.
    pub(super) spurious: bool,
}

/// What a hostile router has overheard.
#[derive(Default)]
pub(super) struct Villain {
    overheard: Vec<(SocketAddr, Vec<u8>)>,
    next: usize,
}

impl Villain {
    /// Its adapter sends something.
    pub(super) fn overhear(&mut self, to: SocketAddr, data: &[u8]) {
        if self.overheard.len() < OVERHEARD {
            self.overheard.push((to, data.to_vec()));
        } else {
            self.overheard[self.next] = (to, data.to_vec());
            self.next = (self.next + 1) % OVERHEARD;
        }
    }

    /// The datagrams of an attack at `now` by the router's own clock.
    pub(super) fn shots(&self, attack: Attack, now: Instant, dice: &mut Dice) -> Vec<Shot> {
        if self.overheard.is_empty() {
            return Vec::new();
        }
        match attack {
            Attack::Foreign => self.foreign(now, dice),
            Attack::Flood => {
                let shot = self.shot(Attack::Replay, dice);
                vec![shot; SHOTS * FLOOD]
            }
            _ => (0..SHOTS).map(|_| self.shot(attack, dice)).collect(),
        }
    }

    fn draw(&self, dice: &mut Dice) -> &(SocketAddr, Vec<u8>) {
        &self.overheard[dice.below(self.overheard.len() as u64) as usize]
    }

    fn shot(&self, attack: Attack, dice: &mut Dice) -> Shot {
        let (to, sent) = self.draw(dice);
        let mut data = sent.clone();
        let mut from = None;
        match attack {
            Attack::Garbage => {
                data.truncate(dice.below(4) as usize);
                let len = dice.below(OVERLAY_DATAGRAM_BYTES_MAX as u64);
                data.extend((0..len).map(|_| dice.next() as u8));
            }
            Attack::Oversize => {
                let more = OVERLAY_DATAGRAM_BYTES_MAX as u64 + 1 + dice.below(60_000);
                data.resize(more as usize, 0);
            }
            Attack::Forge => from = Some(self.draw(dice).0),
            Attack::Replay | Attack::Flood | Attack::Foreign => {}
        }
        let spurious = matches!(attack, Attack::Garbage | Attack::Oversize);
        Shot { from, to: *to, data, spurious }
    }

    /// What an adapter of another network says when it is told to join through a victim.
    fn foreign(&self, now: Instant, dice: &mut Dice) -> Vec<Shot> {
        let keys = NetworkKeys::new(&[8; 32], "another");
        let Ok(identity) = Identity::from_seed(dice.seed()) else { return Vec::new() };
        let limits =
            Limits { table_kb: 16, store_entries: 1, publish_entries: 1, lookup_entries: 8 };
        let mut overlay = Overlay::new(&identity, &keys, limits, 1, dice.seed(), now);
        let victims: Vec<SocketAddr> = self.overheard.iter().map(|(to, _)| *to).collect();
        overlay.set_bootstrap(now, &victims);
        overlay.handle_timeout(now + Duration::from_secs(2));
        let mut buffer = [0; OVERLAY_DATAGRAM_BYTES_MAX];
        let mut shots = Vec::new();
        while let Some(transmit) = overlay.poll_transmit(&mut buffer) {
            let data = buffer[..transmit.len].to_vec();
            shots.push(Shot { from: None, to: transmit.to, data, spurious: true });
        }
        shots
    }
}
