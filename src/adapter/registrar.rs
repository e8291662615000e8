//! The registrar's table: which phone is where, who accepted it, and since when it is known.
//!
//! A binding is stored only after the provider's 200 (or, in mode `overlay`, after our own
//! challenge). When its registration runs out it stays known for `survive_days`: a known phone is
//! served when the server is not there (CALLS §2.4). At most `max_phones`; a full table makes room
//! by forgetting the phone that has been gone longest.

mod binding;
mod identify;
mod refresh;

use crate::limits::REGISTRATION_GRACE;
use crate::rng::Rng;
use crate::sip::transaction::Flow;
use crate::table::{Id, Index, Table};
use crate::time::{Duration, Instant, earlier};
use crate::timer::Timers;
pub use binding::{Accepted, Asked, Binding, Own};
pub use identify::Applicant;
pub use refresh::{Renewed, Shielded};

/// Names a phone's registration.
pub type BindingId = Id<Binding>;

/// No room, and nobody to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// All registered and known phones.
pub struct Registrar {
    table: Table<Binding>,
    by_aor: Index,
    by_user: Index,
    expiry: Timers,
    /// When phones are registered without them.
    renewals: Timers,
    /// Some phone may be silent: none is sought for every message.
    any_silent: bool,
}

impl Registrar {
    /// An empty table for `max_phones`.
    pub fn new(max_phones: usize, rng: &mut Rng) -> Self {
        let keys = max_phones * crate::limits::ALIASES_MAX;
        Self {
            table: Table::with_capacity(max_phones),
            by_aor: Index::with_capacity(keys, rng),
            by_user: Index::with_capacity(max_phones, rng),
            expiry: Timers::with_capacity(max_phones),
            renewals: Timers::with_capacity(max_phones),
            any_silent: false,
        }
    }

    /// The phone of this name.
    pub fn get(&self, id: BindingId) -> Option<&Binding> {
        self.table.get(id)
    }

    /// The phone of this name, to note something about it that no look-up depends on.
    pub fn get_mut(&mut self, id: BindingId) -> Option<&mut Binding> {
        self.table.get_mut(id)
    }

    /// Registered phones.
    pub fn iter(&self) -> impl Iterator<Item = (BindingId, &Binding)> {
        self.table.iter().filter(|(_, binding)| binding.registered)
    }

    /// Every phone, also those that are only known.
    pub fn known(&self) -> impl Iterator<Item = (BindingId, &Binding)> {
        self.table.iter()
    }

    /// Whether no further phone fits, and none is gone.
    pub fn is_full(&self) -> bool {
        self.table.is_full() && self.table.iter().all(|(_, binding)| binding.registered)
    }

    /// Registered phones with this address.
    pub fn by_aor<'a>(&'a self, aor: &'a str) -> impl Iterator<Item = BindingId> + 'a {
        self.by_aor.find(aor).filter_map(move |slot| {
            let id = self.table.id_at(slot)?;
            let binding = self.table.get(id)?;
            let has = binding.addresses().any(|address| address == aor);
            (has && binding.registered).then_some(id)
        })
    }

    /// The registered phone that this user part of our Contact stands for.
    pub fn by_wan_user(&self, user: &str) -> Option<BindingId> {
        self.by_user.find(user).find_map(|slot| {
            let id = self.table.id_at(slot)?;
            let binding = self.table.get(id)?;
            (binding.wan_user == user && binding.registered).then_some(id)
        })
    }

    /// The registered phone that sends on this flow; of several the one with this address. A
    /// phone that names its address may also come by a flow that it has not registered yet, such
    /// as a connection just opened anew: its host counts (CALLS §1.4).
    pub fn find(&self, flow: Flow, aor: Option<&str>) -> Option<BindingId> {
        let sends = |binding: &Binding| binding.sends_on(flow);
        let lives_there = |binding: &Binding| flow.to.ip() == binding.flow.to.ip();
        let named = |of: &dyn Fn(&Binding) -> bool| {
            self.by_aor(aor?).find(|id| self.get(*id).is_some_and(of))
        };
        let on_flow = || self.iter().find(|(_, binding)| sends(binding)).map(|(id, _)| id);
        named(&sends).or_else(|| named(&lives_there)).or_else(on_flow)
    }

    /// The user part that stands for a new phone on the WAN side: its Contact's, with a suffix
    /// where another phone has that already. The suffix follows from the phone alone, so it is
    /// the same after a reboot (CALLS §1.2). Some may be `promised` already.
    pub fn wan_user(
        &self,
        (aor, instance): (&str, &str),
        contact: &str,
        flow: Flow,
        promised: impl Fn(&str) -> bool,
    ) -> String {
        let user = crate::adapter::names::uri_user(contact);
        let taken = |user: &str| {
            promised(user)
                || self.by_user.find(user).any(|slot| {
                    let id = self.table.id_at(slot);
                    id.and_then(|id| self.table.get(id)).is_some_and(|b| b.wan_user == user)
                })
        };
        let mut name = user.to_owned();
        let address = flow.to.ip().to_string();
        let phone = if instance.is_empty() { address.as_str() } else { instance };
        // Two phones without an instance behind one address differ in their Contacts alone.
        for parts in [[aor, phone, ""], [aor, phone, contact]] {
            if !taken(&name) {
                break;
            }
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(part.as_bytes());
            }
            let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
            name = format!("{user}-{a:02x}{b:02x}{c:02x}{d:02x}");
        }
        name
    }

    /// Takes an accepted REGISTER in. The flag says whether its address was not known before.
    ///
    /// # Errors
    /// [`Full`] where as many phones as fit are registered.
    pub fn enter(
        &mut self,
        now: Instant,
        unix_s: u64,
        accepted: Accepted,
    ) -> Result<(BindingId, bool), Full> {
        let same = accepted
            .known
            .filter(|id| self.table.get(*id).is_some())
            .or_else(|| self.same_phone(&accepted.applicant()));
        let granted = Duration::from_secs(u64::from(accepted.granted_s));
        let binding = Binding {
            aor: accepted.aor,
            aliases: accepted.aliases,
            provider: accepted.provider,
            contact: accepted.contact,
            wan_user: accepted.wan_user,
            flow: accepted.flow,
            instance: accepted.instance,
            mac: accepted.mac,
            call_id: accepted.call_id,
            asked: accepted.asked,
            expires_at: now + Duration::from_secs(u64::from(accepted.phone_s)),
            granted_until: now + granted,
            granted_s: accepted.granted_s,
            forward_at: now + granted / 2,
            chosen: None,
            accepted_by: accepted.accepted_by,
            known_since_s: unix_s,
            silent: false,
            registered: true,
            refused_at: None,
            answer: accepted.answer.into(),
            own: Own { template: accepted.template.into(), ..Own::default() },
        };
        if let Some(id) = same {
            self.unlink(id);
            if let Some(entry) = self.table.get_mut(id) {
                let own = core::mem::take(&mut entry.own);
                let stays = entry.flow.to.ip() == binding.flow.to.ip();
                let mac = binding.mac.or_else(|| entry.mac.filter(|_| stays));
                *entry = Binding { mac, ..binding };
                entry.own.goes_on(own);
            }
            self.link(id);
            return Ok((id, false));
        }
        if self.table.is_full() {
            let oldest = self.table.iter().filter(|(_, b)| !b.registered);
            let oldest = oldest.min_by_key(|(_, b)| b.known_since_s).map(|(id, _)| id);
            self.remove(oldest.ok_or(Full)?);
        }
        let id = self.table.insert(binding).map_err(|_| Full)?;
        self.link(id);
        Ok((id, true))
    }

    /// Puts a phone of the last run back.
    pub fn restore(&mut self, binding: Binding) -> Option<BindingId> {
        let id = self.table.insert(binding).ok()?;
        self.link(id);
        Some(id)
    }

    /// Forgets a phone.
    pub fn remove(&mut self, id: BindingId) {
        self.unlink(id);
        self.expiry.stop(id.slot());
        self.renewals.stop(id.slot());
        self.table.remove(id);
    }

    /// A phone's registration ran out: it stays known. What the provider granted is renewed no
    /// longer, and so is over as well.
    pub fn expire(&mut self, id: BindingId) {
        self.expiry.stop(id.slot());
        self.renewals.stop(id.slot());
        if let Some(binding) = self.table.get_mut(id) {
            (binding.registered, binding.granted_until) = (false, Instant::ZERO);
        }
    }

    /// A registration whose time is over.
    pub fn pop_expired(&mut self, now: Instant) -> Option<BindingId> {
        let slot = self.expiry.pop_due(now)?;
        self.table.id_at(slot)
    }

    /// When the next registration runs out, or is renewed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.expiry.next(), self.renewals.next())
    }

    fn link(&mut self, id: BindingId) {
        let Some(binding) = self.table.get(id) else { return };
        for address in binding.addresses() {
            self.by_aor.insert(address, id.slot());
        }
        self.by_user.insert(binding.wan_user.as_str(), id.slot());
        if binding.registered {
            self.expiry.set(id.slot(), binding.expires_at + REGISTRATION_GRACE);
        }
    }

    fn unlink(&mut self, id: BindingId) {
        let Some(binding) = self.table.get(id) else { return };
        for address in binding.addresses() {
            self.by_aor.remove(address, id.slot());
        }
        self.by_user.remove(binding.wan_user.as_str(), id.slot());
    }
}

#[cfg(test)]
mod tests;
