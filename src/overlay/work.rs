//! Public-key work: what waits for it, and what need not be done twice.
//!
//! One operation costs milliseconds on a router, so they wait in bounded queues, look-ups before
//! everything else, and each turn of the run loop does one at most. A verified pair of key and
//! signature is remembered by its fingerprint; the next holder's copy of a record, and the next
//! look-up of the same AOR, cost a hash.

use super::lookup::Lookup;
use super::publication::Publication;
use crate::identity::record::{AddressRecord, Key, Record};
use crate::net::NodeId;
use crate::rng::Rng;
use crate::table::Id;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Records of look-ups that may wait.
const FOUND_MAX: usize = 64;
/// Records of puts and touches that may wait.
const STORE_MAX: usize = 64;
const REMEMBERED: usize = 1024;

/// Why something is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A look-up found it.
    Found(Id<Lookup>),
    /// A member wants it stored.
    Store {
        /// Where the answer goes.
        from: SocketAddr,
        /// Who asked.
        sender: NodeId,
        /// Under which number.
        request: u64,
        /// How long the request was.
        len: u16,
        /// What was touched, where it is a touch.
        touched: Option<(Key, u64, u64)>,
    },
    /// A holder says that we published it in an earlier life.
    Own(Id<Publication>),
}

/// Something that needs verification.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Why.
    pub(super) reason: Reason,
    /// A record.
    pub(super) record: Option<Record>,
    /// Its owner's addresses.
    pub(super) addresses: Option<AddressRecord>,
}

/// What one step of a job gave.
pub(super) enum Step {
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
    remembered: Vec<[u64; 2]>,
    key: [u8; 32],
    network: [u8; 16],
    /// Signatures verified.
    pub(super) verified: u64,
    /// Verifications spared.
    pub(super) spared: u64,
}

impl Work {
    /// Nothing to do.
    pub(super) fn new(network: &[u8; 16], rng: &mut Rng) -> Self {
        Self {
            found: VecDeque::with_capacity(FOUND_MAX),
            store: VecDeque::with_capacity(STORE_MAX),
            remembered: vec![[0; 2]; REMEMBERED],
            key: rng.bytes(),
            network: *network,
            verified: 0,
            spared: 0,
        }
    }

    /// Queues a job. A full queue gives it back.
    #[expect(clippy::result_large_err, reason = "the caller needs the job to undo its count")]
    pub(super) fn push(&mut self, job: Job) -> Result<(), Job> {
        let (queue, max) = match job.reason {
            Reason::Found(_) | Reason::Own(_) => (&mut self.found, FOUND_MAX),
            Reason::Store { .. } => (&mut self.store, STORE_MAX),
        };
        if queue.len() >= max {
            return Err(job);
        }
        queue.push_back(job);
        Ok(())
    }

    /// Takes the next job of a look-up.
    pub(super) fn pop_found(&mut self) -> Option<Job> {
        self.found.pop_front()
    }

    /// Takes the next job of a put or touch.
    pub(super) fn pop_store(&mut self) -> Option<Job> {
        self.store.pop_front()
    }

    /// Puts a job back to the front of its queue.
    pub(super) fn put_back(&mut self, job: Job) {
        match job.reason {
            Reason::Found(_) | Reason::Own(_) => self.found.push_front(job),
            Reason::Store { .. } => self.store.push_front(job),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.store.is_empty()
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
                && job.record.as_ref() == Some(record)
                && job.addresses.as_ref() == addresses
        })
    }

    /// Verifies with at most `operations` public-key operations.
    pub(super) fn step(&mut self, mut job: Job, mut operations: u8) -> Step {
        if let Some(record) = &job.record {
            match self.check(record.as_bytes(), &mut operations, |net| record.verify(net)) {
                Some(true) => {}
                Some(false) => return Step::Bad(job),
                None => return Step::Again(job),
            }
        }
        if let Some(addresses) = &job.addresses {
            match self.check(addresses.as_bytes(), &mut operations, |net| addresses.verify(net)) {
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
        let print = self.fingerprint(signed);
        let at = print[0] as usize % REMEMBERED;
        self.remembered[at] = print;
    }

    fn check(
        &mut self,
        signed: &[u8],
        operations: &mut u8,
        verify: impl FnOnce(&[u8; 16]) -> bool,
    ) -> Option<bool> {
        let print = self.fingerprint(signed);
        if self.remembered[print[0] as usize % REMEMBERED] == print {
            self.spared += 1;
            return Some(true);
        }
        *operations = operations.checked_sub(1)?;
        self.verified += 1;
        let good = verify(&self.network);
        if good {
            self.remember(signed);
        }
        Some(good)
    }

    fn fingerprint(&self, signed: &[u8]) -> [u64; 2] {
        let hash = blake3::keyed_hash(&self.key, signed);
        let half = |at: usize| {
            let bytes = hash.as_bytes().get(at..).and_then(|rest| rest.first_chunk());
            u64::from_be_bytes(bytes.copied().unwrap_or_default())
        };
        [half(0) | 1, half(8)]
    }
}
