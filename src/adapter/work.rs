//! Work that takes milliseconds on a router: public-key operations, and blinding addresses.
//!
//! A turn of the run loop does one piece at most, so that speech never waits for two. The handshake
//! of a call and the address of a caller, in turn, come before the signatures of the overlay, and
//! those before our own addresses.

use super::Adapter;
use super::registrar::BindingId;
use crate::budget::{Budget, Wanted};
use crate::identity::record::Contact;
use crate::time::{Instant, earlier};
use std::collections::VecDeque;

/// What waits here; the rest waits in the cores.
pub(super) struct Waiting {
    /// What public-key work for others may cost.
    pub(super) budget: Budget,
    /// Whether a caller's turn is next: neither callers nor handshakes keep the others waiting.
    callers_next: bool,
    /// Phones with addresses that are still to be blinded and published, each of them once.
    unpublished: VecDeque<BindingId>,
}

impl Waiting {
    /// Nothing.
    pub(super) fn new(now: Instant) -> Self {
        Self { budget: Budget::new(now), callers_next: false, unpublished: VecDeque::new() }
    }

    /// Takes another budget.
    #[cfg(feature = "server")]
    pub(super) fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }
}

impl Adapter {
    /// Does one piece of what waits.
    pub(super) fn work(&mut self, now: Instant) {
        let callers_first = self.waiting.callers_next && self.judge_caller(now);
        let budget = &mut self.waiting.budget;
        if !callers_first && self.channel.as_mut().is_some_and(|it| it.work(now, budget)) {
            self.waiting.callers_next = true;
            return;
        }
        if callers_first || self.judge_caller(now) {
            self.waiting.callers_next = false;
            return;
        }
        let budget = &mut self.waiting.budget;
        let done = self.overlay.as_mut().is_some_and(|overlay| overlay.work(now, budget));
        #[cfg(feature = "server")]
        let done = done || self.publish_desk(now);
        if done {
            return;
        }
        if !self.waiting.unpublished.is_empty() {
            self.publish_one(now);
        } else if !self.enrolment_work(now) {
            self.contacts_due(now);
        }
    }

    /// When [`Self::work`] is wanted.
    pub(super) fn work_at(&self) -> Option<Instant> {
        let Waiting { budget, unpublished, .. } = &self.waiting;
        #[cfg(feature = "server")]
        if self.enrolment.desk.as_ref().is_some_and(|desk| desk.is_unpublished()) {
            return Some(Instant::ZERO);
        }
        if !unpublished.is_empty() || self.enrolment.has_work() {
            return Some(Instant::ZERO);
        }
        let channel = self.channel.as_ref().and_then(|channel| channel.work_at(budget));
        let callers = self.callers.wait().then(|| budget.enough_at(Wanted::Caller));
        let overlay = self.overlay.as_ref().and_then(|overlay| overlay.work_at(budget));
        earlier(earlier(channel, callers), overlay)
    }

    /// Pieces of work done since the start.
    pub fn work_done(&self) -> u64 {
        let overlay = self.overlay.as_ref().map(|overlay| {
            let counters = overlay.counters();
            counters.verified + counters.signed + counters.stated + counters.blinded
        });
        let channel = self.channel.as_ref().map(|channel| channel.counters().public_key_operations);
        let own = self.enrolment.counters.proofs + self.enrolment.counters.verified;
        overlay.unwrap_or_default()
            + channel.unwrap_or_default()
            + own
            + self.counters.callers_blinded
    }

    /// Puts a phone's addresses into the overlay, where they belong there: at once those that are
    /// blinded, the others one after the other.
    pub(crate) fn publish(&mut self, now: Instant, id: BindingId) {
        if self.publish_some(now, id, 0) && !self.waiting.unpublished.contains(&id) {
            self.waiting.unpublished.push_back(id);
        }
    }

    /// Puts the addresses of all phones into the overlay anew: they are blinded otherwise now.
    pub(super) fn publish_all(&mut self) {
        #[cfg(feature = "server")]
        self.publish_desk_again();
        self.waiting.unpublished = self.registrar.iter().map(|(id, _)| id).collect();
    }

    fn publish_one(&mut self, now: Instant) {
        let Some(id) = self.waiting.unpublished.pop_front() else { return };
        if self.publish_some(now, id, 1) {
            self.waiting.unpublished.push_front(id);
        }
    }

    /// Publishes a phone's addresses, and blinds so many of them. True where others are left.
    fn publish_some(&mut self, now: Instant, id: BindingId, mut blind: u8) -> bool {
        let Some(binding) = self.registrar.get(id) else { return false };
        if !self.belongs_into_overlay(id, binding) {
            return false;
        }
        let Some(overlay) = &mut self.overlay else { return false };
        let Some(contact) = Contact::new(&binding.wan_user) else { return false };
        let mut has_room = true;
        for aor in binding.addresses() {
            if !overlay.is_blinded(aor) {
                if !has_room {
                    continue;
                }
                let Some(left) = blind.checked_sub(1) else { return true };
                blind = left;
            }
            if let Err(full) = overlay.publish(now, aor, &contact) {
                log::warn!("{aor} is not in the overlay: {full}");
                has_room = false;
            }
        }
        false
    }
}
