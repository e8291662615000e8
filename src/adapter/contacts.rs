//! Warm contacts: the callees of this router's phones stay as the overlay has found them, with a
//! channel to their adapters, so that a call in an outage waits for no look-up.
//!
//! Nothing is asked of the overlay for that while nothing changes: the channel moves with both
//! ends, and one small exchange now and then tells that the other is still there. Only whoever
//! has fallen silent is looked up, one contact at a time and ever more rarely. The callee's adapter
//! has the last word: what it says not to have is kept no longer. Contacts are known to this start
//! of the daemon alone, and a reload forgets them.

use super::{Adapter, Asker};
use crate::channel::SessionStatus;
use crate::limits::{
    CALL_LEGS_MAX, CHANNEL_GIVE_UP, CONTACT_AGE, CONTACT_DOUBLINGS_MAX, CONTACT_PAUSE, CONTACTS_MAX,
};
use crate::list::List;
use crate::net::NodeId;
use crate::overlay::{Found, LookupId};
use crate::time::Instant;
use std::rc::Rc;

/// Who can only be met through others costs more to ask, and is asked so many times less often.
const MET_RARELY: u32 = 8;

/// A callee.
struct Contact {
    aor: String,
    /// Who has it.
    found: List<Rc<Found>, CALL_LEGS_MAX>,
    /// When the overlay last said so.
    looked_up: Instant,
    /// The look-up of the contact itself.
    lookup: Option<LookupId>,
    /// When it is seen to.
    due: Instant,
    /// When its adapters were asked whether they are there; that is still to be looked at.
    asked: Option<Instant>,
    /// How often in a row nobody has answered as before.
    failures: u32,
}

/// Callees, the one called last at the end; and when the next one may be seen to.
#[derive(Default)]
pub(super) struct Contacts(List<Contact, CONTACTS_MAX>, Instant);

impl Contacts {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// An adapter says that it does not have this callee.
    pub(super) fn disown(&mut self, aor: &str, owner: NodeId) {
        for contact in self.0.iter_mut().filter(|contact| contact.aor == aor) {
            contact.found.retain(|found| found.owner != owner);
        }
        self.0.retain(|contact| !contact.found.is_empty());
    }

    /// A look-up is over: who was not found by it, where others were, has it no longer.
    pub(super) fn settle(&mut self, lookup: LookupId) {
        for contact in &mut self.0 {
            if contact.found.iter().any(|found| found.lookup == lookup) {
                contact.found.retain(|found| found.lookup == lookup);
            }
        }
    }
}

impl Contact {
    /// The overlay names an adapter that has it.
    fn keep(&mut self, now: Instant, found: &Found) {
        self.looked_up = now;
        self.found.retain(|known| known.owner != found.owner);
        if self.found.is_full() {
            self.found.remove(0);
        }
        let _has_room = self.found.push(Rc::new(found.clone()));
    }
}

impl Adapter {
    /// The overlay has found the callee of a call from here: it becomes a contact. The one that was
    /// not called for longest makes room.
    pub(super) fn keep_contact(&mut self, now: Instant, aor: &str, found: &Found) {
        if found.owner == self.id {
            return;
        }
        let contacts = &mut self.contacts.0;
        if !contacts.iter().any(|contact| contact.aor == aor) {
            if contacts.is_full() {
                contacts.remove(0);
                self.counters.contacts_forgotten += 1;
            }
            let _has_room = contacts.push(Contact {
                aor: aor.to_owned(),
                found: List::new(),
                looked_up: now,
                lookup: None,
                due: now + CONTACT_PAUSE,
                asked: None,
                failures: 0,
            });
        }
        if let Some(contact) = contacts.iter_mut().find(|contact| contact.aor == aor) {
            contact.keep(now, found);
        }
    }

    /// Where a callee is kept among the contacts; whoever has a phone here is found here.
    fn contact_at(&self, aor: &str) -> Option<usize> {
        let known = self.contacts.0.iter().position(|contact| contact.aor == aor);
        known.filter(|_| self.registrar.by_aor(aor).next().is_none())
    }

    /// Whether what is kept of a callee spares the look-up: a session stands with each, and what
    /// the overlay said is not older than a record may be.
    pub(super) fn contact_spares_look_up(&self, now: Instant, aor: &str) -> bool {
        let Some(contact) = self.contact_at(aor).and_then(|at| self.contacts.0.get(at)) else {
            return false;
        };
        now.since(contact.looked_up) < CONTACT_AGE
            && contact.found.iter().all(|it| self.session_with(it.owner).is_some())
    }

    /// The adapters that are kept of a callee, who is called now: it becomes the one called last.
    pub(super) fn recall_contact(&mut self, aor: &str) -> Vec<Rc<Found>> {
        let Some(at) = self.contact_at(aor) else { return Vec::new() };
        let contact = self.contacts.0.remove(at);
        let kept = contact.found.to_vec();
        let _has_room = self.contacts.0.push(contact);
        kept
    }

    /// Sees to a contact that is due, as part of the regular care. Its look-up may have to blind
    /// the address, which is a piece of work.
    pub(super) fn contacts_due(&mut self, now: Instant) {
        if now < self.contacts.1 {
            return;
        }
        self.contacts.1 = self.maintenance_at;
        let due = self.contacts.0.iter_mut().find(|contact| contact.due <= now);
        let Some(contact) = due.filter(|_| self.network.wan_up) else { return };
        let (found, asked) = (contact.found.to_vec(), contact.asked.take());
        let mut pause = CONTACT_PAUSE;
        let mut last: Option<SessionStatus> = None;
        for found in &found {
            if !found.rendezvous.is_empty() {
                pause = CONTACT_PAUSE * MET_RARELY;
            }
            let session = self.session_with(found.owner);
            if last.map(|last| last.heard) < session.map(|session| session.heard) {
                last = session;
            }
        }
        let pause = self.rng.jitter(pause);
        let heard = last.map_or(Instant::ZERO, |last| last.heard);
        let lately = asked.is_none() && now.since(heard) < pause / 2;
        if asked.is_none() && !lately {
            for found in &found {
                if last.is_none() || self.session_with(found.owner).is_some() {
                    self.open_ways(now, found);
                }
            }
        }
        let due = self.contacts.0.iter_mut().find(|contact| contact.due <= now);
        let (Some(contact), Some(overlay)) = (due, &mut self.overlay) else { return };
        let Some(asked) = asked else {
            contact.due = heard + pause;
            if !lately {
                (contact.asked, contact.due) = (Some(now), now + 4 * CHANNEL_GIVE_UP);
            }
            return;
        };
        // Who has to make a session anew each time has too many others to talk to.
        let as_before = heard >= asked && last.is_some_and(|last| last.established < asked);
        contact.failures = if as_before { 0 } else { contact.failures + 1 };
        contact.due = now + pause * (1 << contact.failures.min(CONTACT_DOUBLINGS_MAX));
        if heard < asked {
            let lookup = overlay.lookup(now, &contact.aor);
            contact.lookup = Some(lookup);
            self.note_asker(lookup, Asker::Contact);
        }
    }

    /// The look-up of a contact names an adapter.
    pub(super) fn contact_found(&mut self, now: Instant, found: &Found) {
        let mut all = self.contacts.0.iter_mut();
        if let Some(contact) = all.find(|contact| contact.lookup == Some(found.lookup)) {
            contact.keep(now, found);
            self.open_to(now, found);
        }
    }

    /// The overlay is there again: contacts are seen to soon, one after the other.
    pub(super) fn contacts_again(&mut self, now: Instant) {
        for contact in &mut self.contacts.0 {
            contact.due = contact.due.min(now + self.rng.jitter(CONTACT_PAUSE));
        }
    }
}
