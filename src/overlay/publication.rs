//! One AOR that this node keeps in the overlay, and who holds its record.

use super::Overlay;
use super::aor::Blinded;
use super::event::{Full, PublishId};
use super::id::{Node, distance};
use super::lookup::REPLICAS;
use super::repair::REPAIR_EARLY;
use super::vouching::Vouching;
use super::wire::{NO_TOKEN, Token};
use crate::identity::NetworkKeys;
use crate::identity::record::{Contact, KeptRecord, Key, Record};
use crate::net::NodeId;
use crate::time::Instant;

/// Holders remembered: those that should hold a record, and some that should no longer, or that
/// hold it farther away, where more seem closest than can be (see [`super::size`]).
pub(super) const HOLDERS_MAX: usize = 2 * REPLICAS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A put or touch is under way.
    Asked,
    /// It holds the newest record.
    Acknowledged,
    /// It did not answer, or refused.
    Failed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) node: Node,
    pub(super) token: Token,
    pub(super) state: State,
    pub(super) tries: u8,
    /// The number of the list of addresses that it has of us.
    pub(super) address_seq: u64,
    /// The number of the list that it was sent last.
    pub(super) sent_seq: u64,
    /// Of which start of it that is; see [`super::wire::Hello`].
    pub(super) start: u8,
    /// Whether a touch may do, because it held the newest record once.
    pub(super) touch: bool,
}

impl Holder {
    /// It is to be asked again.
    pub(super) fn fail(&mut self) {
        (self.state, self.tries) = (State::Failed, 0);
    }
}

/// One AOR that this node keeps in the overlay, under one secret of the network.
pub(super) struct Publication {
    pub(super) id: PublishId,
    pub(super) name: [u8; 16],
    pub(super) aor_key: [u8; 32],
    /// Which secrets of the network the AOR was last blinded under; see [`super::aor`].
    secrets: u32,
    pub(super) key: Key,
    pub(super) contact: Option<Contact>,
    pub(super) seq: u64,
    pub(super) record: Option<Record>,
    pub(super) holders: heapless::Vec<Holder, HOLDERS_MAX>,
    pub(super) placing: bool,
    pub(super) place_wanted: bool,
    pub(super) told: bool,
    /// When its holders were touched last, and when they are to be.
    pub(super) refreshed_at: Instant,
    pub(super) refresh_at: Instant,
    /// When its holders are searched for again, and how many others were asked to hold it since the
    /// last time.
    pub(super) search_at: Instant,
    pub(super) replaced: u8,
}

impl Publication {
    /// Whether the own store holds it as published, not as withdrawn.
    pub(super) fn is_stored(&self) -> bool {
        self.record.is_some() && self.contact.is_some()
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.holders.iter().filter(|h| h.state == State::Acknowledged).count()
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.placing && !self.place_wanted && self.holders.iter().all(|h| h.state != State::Asked)
    }

    pub(super) fn holder(&mut self, id: &NodeId) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.node.id == *id)
    }

    /// Whether others take its record, as far as we can tell.
    pub(super) fn counts(&self, now: Instant, vouching: &Vouching) -> bool {
        let record = self.record.as_ref();
        record.is_none_or(|it| vouching.counts(now, &KeptRecord::of_kept(it.as_bytes())))
    }

    /// Whether this node holds its record, or is asked to.
    pub(super) fn is_holder(&self, id: &NodeId) -> bool {
        self.holders.iter().any(|h| h.node.id == *id && h.state != State::Failed)
    }

    /// The entry for `node`; where all are taken, the farthest that holds nothing, or else is
    /// farther than `node`, makes room.
    pub(super) fn entry(&mut self, node: Node) -> Option<&mut Holder> {
        let found = self.holders.iter().position(|holder| holder.node.id == node.id);
        let at = match found {
            Some(at) => at,
            None => {
                if self.holders.is_full() {
                    let key = self.key.0;
                    let rank =
                        |h: &Holder| (h.state == State::Failed, distance(&key, &h.node.id.0));
                    let worst = self.holders.iter().enumerate().max_by_key(|(_, h)| rank(h));
                    let (at, worst) = worst?;
                    if rank(worst) < (false, distance(&key, &node.id.0)) {
                        return None;
                    }
                    self.holders.swap_remove(at);
                }
                let (token, state) = (NO_TOKEN, State::Failed);
                let holder = Holder {
                    node,
                    token,
                    state,
                    tries: 0,
                    address_seq: 0,
                    sent_seq: 0,
                    start: 0,
                    touch: false,
                };
                self.holders.push(holder).ok()?;
                self.holders.len() - 1
            }
        };
        self.holders.get_mut(at)
    }
}

impl Overlay {
    /// Keeps `aor` in the overlay until [`Self::withdraw`]; again with another contact replaces
    /// it. `aor` is hashed as it is, so spell it one way. Where the network's secrets are others
    /// than before, it is published under those that came, and withdrawn under those that are gone.
    /// Blinding is slow: an AOR that is new, or blinded under other secrets, costs a while.
    ///
    /// # Errors
    /// [`Full`] beyond `publish_entries`: everything stays as it was.
    pub fn publish(
        &mut self,
        now: Instant,
        aor: &str,
        contact: &Contact,
    ) -> Result<PublishId, Full> {
        let name = self.aor_keys.name(aor);
        let of_aor = |p: &Publication| p.name == name;
        let known = self.publications.iter().find(|(_, p)| of_aor(p)).map(|(_, p)| p.id);
        let next = PublishId(self.publication_count.wrapping_add(1));
        let id = known.unwrap_or(next);
        let secrets = self.aor_keys.secrets();
        if !self.publications.iter().any(|(_, p)| of_aor(p) && p.secrets == secrets) {
            let blinded = self.aor_keys.get(&self.keys, aor, &mut self.counters);
            self.enter(now, id, name, &blinded)?;
        }
        if known.is_none() {
            self.publication_count = id.0;
        }
        self.republish(now, &name, |publication| {
            (publication.secrets == secrets).then_some(contact)
        });
        Ok(id)
    }

    /// Whether [`Self::publish`] of `aor` would blind it.
    pub fn is_blinded(&self, aor: &str) -> bool {
        let (name, secrets) = (self.aor_keys.name(aor), self.aor_keys.secrets());
        self.publications.iter().any(|(_, p)| p.name == name && p.secrets == secrets)
    }

    /// The keys under which records of `aor` are published: one for each secret of the network.
    pub fn published_keys(&self, aor: &str) -> impl Iterator<Item = Key> {
        let name = self.aor_keys.name(aor);
        let of_aor = move |p: &Publication| p.name == name && p.contact.is_some();
        self.publications.iter().filter(move |(_, p)| of_aor(p)).map(|(_, p)| p.key)
    }

    /// Replaces the network's keys, after its secrets changed: what is sent and heard follows at
    /// once, and what is published when it is published again. False where they are the same.
    pub fn set_network(&mut self, keys: &NetworkKeys) -> bool {
        let changed = self.keys != *keys;
        if changed {
            self.keys = keys.clone();
            self.aor_keys.forget();
        }
        changed
    }

    /// Makes room for an AOR under these blinded keys, where it is not published under them.
    fn enter(
        &mut self,
        now: Instant,
        id: PublishId,
        name: [u8; 16],
        blinded: &Blinded,
    ) -> Result<(), Full> {
        let is_new = |key: &&[u8; 32]| !self.publications.iter().any(|(_, p)| p.aor_key == **key);
        let missing: Blinded = blinded.iter().filter(is_new).copied().collect();
        if self.publications.len() + missing.len() > self.publications.capacity() {
            return Err(Full);
        }
        let secrets = self.aor_keys.secrets();
        for (_, publication) in self.publications.iter_mut() {
            if blinded.contains(&publication.aor_key) {
                publication.secrets = secrets;
            }
        }
        for aor_key in missing {
            let publication = Publication {
                id,
                name,
                aor_key,
                secrets,
                key: Key::of(&aor_key),
                contact: None,
                seq: 0,
                record: None,
                holders: heapless::Vec::new(),
                placing: false,
                place_wanted: false,
                told: false,
                refreshed_at: now,
                refresh_at: now,
                search_at: now,
                replaced: 0,
            };
            self.publications.insert(publication).map_err(|_| Full)?;
        }
        Ok(())
    }

    /// Takes `aor` out of the overlay: a newer, empty record replaces the published one.
    pub fn withdraw(&mut self, now: Instant, aor: &str) {
        let name = self.aor_keys.name(aor);
        self.republish(now, &name, |_| None);
    }

    /// How many holders have acknowledged the newest record of `aor`; `None` where it is not
    /// published.
    pub fn is_published(&self, aor: &str) -> Option<usize> {
        let name = self.aor_keys.name(aor);
        self.publications
            .iter()
            .filter(|(_, p)| p.name == name && p.contact.is_some())
            .map(|(_, p)| p.acknowledged())
            .min()
    }

    /// Gives each record of an AOR the contact that is `wanted` of it.
    fn republish<'c>(
        &mut self,
        now: Instant,
        name: &[u8; 16],
        wanted: impl Fn(&Publication) -> Option<&'c Contact>,
    ) {
        self.sign_again(now, |publication| {
            let contact = wanted(publication);
            let unchanged = publication.contact.as_ref() == contact && publication.seq > 0;
            if publication.name != *name || unchanged {
                return false;
            }
            publication.contact = contact.cloned();
            true
        });
    }

    /// Has the records of which `again` says so signed anew, under newer numbers.
    pub(super) fn sign_again(
        &mut self,
        now: Instant,
        mut again: impl FnMut(&mut Publication) -> bool,
    ) {
        for (id, publication) in self.publications.iter_mut() {
            if !again(publication) {
                continue;
            }
            self.seq += 1;
            publication.seq = self.seq;
            publication.record = None;
            if !self.unsigned.contains(&id) {
                self.unsigned.push_back(id);
            }
            self.publication_timers.set(id.slot(), now + REPAIR_EARLY);
        }
    }
}
