//! Two versions of the wire format side by side, as in the weeks of an upgrade.
//!
//! There is one version so far. An upgraded router is played by the same adapter with this beside
//! it: to those whom it heard in the new version it speaks that, to the others the old one, and
//! every request to them goes in the new one, too, so that the upgraded find each other. Whoever
//! is not upgraded meets a version that it does not know, in every request of the others.

use super::fault::Fault;
use super::packet::answers;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The version bytes.
const OLD: u8 = 1;
const NEW: u8 = 2;
/// Whoever was heard in the new version within this time, speaks it: addresses change hands.
const FRESH_US: u64 = 60_000_000;

/// What an upgraded router knows of the others.
#[derive(Default)]
pub(super) struct Dialect(BTreeMap<SocketAddr, u64>);

/// In which versions a datagram goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    Old,
    New,
    Both,
}

impl Dialect {
    /// In which versions it speaks to `to`.
    pub(super) fn towards(
        &self,
        fault: Option<Fault>,
        now: u64,
        to: &SocketAddr,
        data: &[u8],
    ) -> Versions {
        let heard = self.0.get(to).is_some_and(|at| now - at < FRESH_US);
        if heard || fault == Some(Fault::SpeaksTheNewAlone) {
            Versions::New
        } else if answers(data).is_none() {
            Versions::Both
        } else {
            Versions::Old
        }
    }

    /// Takes a datagram in; what is in the new version is turned into the old one.
    pub(super) fn hear(&mut self, now: u64, from: SocketAddr, data: &mut [u8]) {
        if let Some(version) = data.first_mut().filter(|version| **version == NEW) {
            *version = OLD;
            self.0.insert(from, now);
        }
    }
}

/// Turns a datagram into one of the new version.
pub(super) fn renew(data: &mut [u8]) {
    if let Some(version) = data.first_mut() {
        *version = NEW;
    }
}
