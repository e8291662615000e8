//! Public-key work: what waits for it, whose turn it is, and what need not be done twice.
//!
//! One operation costs milliseconds on a router, so they wait in bounded queues: first one answer
//! that is to be signed, see [`super::watch`], then what a look-up found, or the head of a list of
//! revocations, then our own signatures, then, within the budget for others, what members put. A
//! verified pair of key and signature is remembered by its fingerprint; the next holder's copy of
//! a record, and the next look-up of the same AOR, cost a hash; so does a delegation that thousands
//! of certificates share.

mod job;

use super::answer::Asker;
use super::event::Counters;
use super::id::Node;
use super::lookup::Lookup;
use super::vouching::Vouching;
use super::wire::Status;
use super::{Overlay, reject};
use crate::budget::{Budget, Wanted};
use crate::identity::chain::Link;
use crate::identity::record::{AddressRecord, Record};
use crate::identity::trust::realm;
use crate::limits::{OVERLAY_FOUND_MAX, OVERLAY_STORE_MAX, OVERLAY_VERIFIED_MAX};
use crate::net::Rejected;
use crate::queue;
use crate::rng::Rng;
use crate::table::Id;
use crate::time::Instant;
pub(super) use job::{Job, Reason, Subject};
use std::collections::VecDeque;

/// What one step of a job gave.
enum Step {
    /// All signatures hold; of a look-up's job perhaps without addresses.
    Good(Job),
    /// The owner did not sign it.
    Bad(Job),
    /// An operation was done and another is needed.
    Again(Job),
}

/// The queues and the memory.
pub(super) struct Work {
    found: VecDeque<Job>,
    store: VecDeque<Job>,
    /// Fingerprints of what was verified last.
    remembered: Vec<u64>,
    /// Where the next is noted.
    oldest: usize,
    key: [u8; 32],
    network: [u8; 16],
}

impl Work {
    /// Nothing to do.
    pub(super) fn new(network: &[u8; 16], rng: &mut Rng) -> Self {
        Self {
            found: VecDeque::with_capacity(OVERLAY_FOUND_MAX + 1),
            store: VecDeque::with_capacity(OVERLAY_STORE_MAX),
            remembered: Vec::with_capacity(OVERLAY_VERIFIED_MAX),
            oldest: 0,
            key: rng.bytes(),
            network: *network,
        }
    }

    /// Queues a job. A full queue gives it back.
    #[expect(clippy::result_large_err, reason = "the caller needs the job to undo its count")]
    fn push(&mut self, job: Job) -> Result<(), Job> {
        let (queue, max) = match job.reason {
            Reason::Found(_) | Reason::Own(_) | Reason::Denial(..) => {
                (&mut self.found, OVERLAY_FOUND_MAX)
            }
            // There is room for one, whatever else waits: the newest.
            Reason::List => {
                self.found.retain(|job| job.reason != Reason::List);
                (&mut self.found, OVERLAY_FOUND_MAX + 1)
            }
            Reason::Store { .. } => (&mut self.store, OVERLAY_STORE_MAX),
            // They leave room for what is put.
            Reason::Who(..) => (&mut self.store, OVERLAY_STORE_MAX / 2),
        };
        if queue.len() >= max {
            return Err(job);
        }
        queue.push_back(job);
        Ok(())
    }

    /// See [`queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        queue::fit(&mut self.found);
        queue::fit(&mut self.store);
        queue::fit_list(&mut self.remembered);
    }

    /// Puts a job back to the front of its queue.
    fn put_back(&mut self, job: Job) {
        match job.reason {
            Reason::Store { .. } | Reason::Who(..) => self.store.push_front(job),
            _ => self.found.push_front(job),
        }
    }

    /// Whether the same waits already for the same look-up.
    pub(super) fn is_waiting(
        &self,
        lookup: Id<Lookup>,
        record: &Record,
        addresses: Option<&AddressRecord>,
    ) -> bool {
        self.found.iter().any(|job| {
            job.reason == Reason::Found(lookup)
                && job.record() == Some(record)
                && job.addresses.as_ref() == addresses
        })
    }

    /// Verifies with at most `operations` public-key operations.
    fn step(
        &mut self,
        mut job: Job,
        mut operations: u8,
        vouching: &Vouching,
        counters: &mut Counters,
    ) -> Step {
        let left = &mut operations;
        if vouching.is_required()
            && let Some(certificate) = job.certificate()
        {
            let checked = match &certificate {
                Some(certificate) => {
                    self.check_links(&certificate.links(vouching.anchors()), left, counters)
                }
                None => Some(false),
            };
            match checked {
                Some(true) => {}
                Some(false) => return Step::Bad(job),
                None => return Step::Again(job),
            }
        }
        let checked = match &job.subject {
            Subject::Head(head) => {
                self.check_links(&head.links(vouching.anchors()), left, counters)
            }
            Subject::Record(record) => {
                self.check(&[record.as_bytes()], left, counters, |net| record.verify(net))
            }
            Subject::Nothing | Subject::Certificate(_) => Some(true),
        };
        match checked {
            Some(true) => {}
            Some(false) => return Step::Bad(job),
            None => return Step::Again(job),
        }
        if let Some(addresses) = &job.addresses {
            match self.check(&[addresses.as_bytes()], left, counters, |net| addresses.verify(net)) {
                Some(true) => {}
                Some(false) if matches!(job.reason, Reason::Found(_)) => job.addresses = None,
                Some(false) => return Step::Bad(job),
                None => return Step::Again(job),
            }
        }
        Step::Good(job)
    }

    /// Remembers what we signed ourselves as verified.
    pub(super) fn remember(&mut self, signed: &[u8]) {
        self.note(self.fingerprint(&[signed]));
    }

    fn note(&mut self, print: u64) {
        match self.remembered.get_mut(self.oldest) {
            Some(oldest) => *oldest = print,
            None => self.remembered.push(print),
        }
        self.oldest = (self.oldest + 1) % OVERLAY_VERIFIED_MAX;
    }

    /// Whether a trust anchor vouches for something: each signature of its chain.
    fn check_links(
        &mut self,
        links: &[Link<'_>],
        operations: &mut u8,
        counters: &mut Counters,
    ) -> Option<bool> {
        for link in links {
            if !self.check(&link.parts(), operations, counters, |net| link.verify(net))? {
                return Some(false);
            }
        }
        Some(!links.is_empty())
    }

    fn check(
        &mut self,
        signed: &[&[u8]],
        operations: &mut u8,
        counters: &mut Counters,
        verify: impl FnOnce(&[u8; 16]) -> bool,
    ) -> Option<bool> {
        let print = self.fingerprint(signed);
        if self.remembered.contains(&print) {
            counters.verified_before += 1;
            return Some(true);
        }
        *operations = operations.checked_sub(1)?;
        counters.verified += 1;
        let good = verify(&self.network);
        if good {
            self.note(print);
        }
        Some(good)
    }

    /// What stands for a signature and what it covers.
    fn fingerprint(&self, parts: &[&[u8]]) -> u64 {
        let hash = match parts {
            [whole] => blake3::keyed_hash(&self.key, whole),
            _ => {
                let mut hasher = blake3::Hasher::new_keyed(&self.key);
                parts.iter().for_each(|part| {
                    hasher.update(part);
                });
                hasher.finalize()
            }
        };
        hash.as_bytes().first_chunk().map_or(0, |it| u64::from_be_bytes(*it))
    }
}

impl Overlay {
    /// Has a job verified: at once where its signatures are remembered, else in its turn.
    pub(super) fn submit(&mut self, now: Instant, job: Job) -> Result<(), Rejected> {
        let step = self.step(job, 0);
        let Some(job) = self.conclude(now, step) else { return Ok(()) };
        let Err(job) = self.work.push(job) else { return Ok(()) };
        self.dropped(now, &job);
        if let Reason::Store { from, sender, request, len, touched: None } = job.reason {
            // Whoever puts waits and tries others, rather than to repeat it here.
            let node = Node { id: sender, address: from };
            let asker = Asker { node, request, proven: true, len: usize::from(len) };
            self.answer_stored(now, &asker, Status::Full, None);
        }
        Err(reject(&mut self.counters.work_full, Rejected::Full))
    }

    /// Does one public-key operation. False where none waits, or only such as the budget does not
    /// pay for yet.
    pub fn work(&mut self, now: Instant, budget: &mut Budget) -> bool {
        if self.state_one(now, budget) {
            return true;
        }
        if let Some(job) = queue::pop(&mut self.work.found) {
            self.work_on(now, job);
            return true;
        }
        if self.sign_one(now) {
            return true;
        }
        while let Some(job) = queue::pop(&mut self.work.store) {
            // Perhaps the same was verified while it waited.
            let step = self.step(job, 0);
            let Some(job) = self.conclude(now, step) else { continue };
            if !budget.pay(now, Wanted::Verification) {
                self.work.put_back(job);
                return false;
            }
            self.work_on(now, job);
            return true;
        }
        false
    }

    /// When [`Self::work`] is wanted: in the past where something waits that is paid for.
    pub fn work_at(&self, budget: &Budget) -> Option<Instant> {
        if self.has_own_work() || self.has_to_state() {
            return Some(Instant::ZERO);
        }
        let others = !self.work.store.is_empty();
        others.then(|| budget.enough_at(Wanted::Verification))
    }

    /// Whether a look-up or an own record waits.
    pub(super) fn has_own_work(&self) -> bool {
        !self.work.found.is_empty() || self.addresses_unsigned || !self.unsigned.is_empty()
    }

    fn work_on(&mut self, now: Instant, job: Job) {
        let step = self.step(job, 1);
        if let Some(job) = self.conclude(now, step) {
            self.work.put_back(job);
        }
    }

    fn step(&mut self, job: Job, operations: u8) -> Step {
        self.work.step(job, operations, &self.vouching, &mut self.counters)
    }

    /// Acts on what a step gave; gives the job back where another operation is needed.
    fn conclude(&mut self, now: Instant, step: Step) -> Option<Job> {
        match step {
            Step::Good(job) => self.verified(now, &job),
            Step::Bad(job) => {
                self.counters.bad_signature += 1;
                self.dropped(now, &job);
            }
            Step::Again(job) => return Some(job),
        }
        None
    }

    fn verified(&mut self, now: Instant, job: &Job) {
        let certificate = job.certificate().flatten().filter(|_| self.vouching.is_required());
        certificate.iter().for_each(|it| self.vouching.raise(now, it.validity().from_s));
        match job.reason {
            Reason::Found(lookup) => self.record_found(now, lookup, job),
            Reason::Own(publication) => self.own_record_found(now, publication, job),
            Reason::Who(node, near) => self.proven(now, &node, near),
            Reason::List => self.head_verified(now, job),
            Reason::Denial(lookup, node) => self.denial_verified(now, (lookup, &node), true),
            Reason::Store { from, sender, request, len, touched } => {
                let node = Node { id: sender, address: from };
                let asker = Asker { node, request, proven: true, len: usize::from(len) };
                self.store_verified(now, &asker, job, touched);
            }
        }
        if let Some(it) = &certificate {
            self.members.certified(it, realm(&it.links(self.vouching.anchors())));
        }
    }

    fn dropped(&mut self, now: Instant, job: &Job) {
        match job.reason {
            Reason::Found(lookup) => self.record_dropped(now, lookup),
            Reason::List => self.head_dropped(now, job),
            Reason::Denial(lookup, node) => self.denial_verified(now, (lookup, &node), false),
            _ => {}
        }
    }
}
