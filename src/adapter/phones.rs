//! Who is who: phones, providers and addresses of record of a message.

use super::Adapter;
use super::call::PhoneEnd;
use super::names::{self, Local};
use super::providers::{ProviderId, ProviderState};
use super::registrar::{Binding, BindingId};
use super::sockets::Facing;
use super::spelling::{self, Aor};
use crate::config::Mode;
use crate::limits::CALL_LEGS_MAX;
use crate::net::{NodeId, SocketKind, Via};
use crate::sip::transaction::Flow;
use crate::sip::{Message, Name, NameAddr};
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

impl Adapter {
    /// The Contact URI of a message, exactly; empty where it has none.
    pub(crate) fn contact_of(&self, message: &Message<'_>) -> String {
        let first = message.values(Name::Contact).next();
        let contact = first.and_then(|value| NameAddr::parse(value).ok());
        contact.map_or_else(String::new, |contact| contact.uri.to_owned())
    }

    /// The key of an address, by the spelling of this provider.
    pub(crate) fn spell(&self, provider: Option<ProviderId>, uri: &str) -> Option<String> {
        spelling::key(uri, &self.providers.get(provider)?.options)
            .map(|aor| aor.as_str().to_owned())
    }

    /// The provider whose domain an address is in.
    pub(crate) fn provider_of_uri(&self, uri: &str) -> Option<ProviderId> {
        let serves = |provider: &ProviderState| {
            let aor = spelling::key(uri, &provider.options);
            aor.is_some_and(|aor| aor.domain() == provider.options.domain)
        };
        let literal_tel = uri.trim_start().get(..4).is_some_and(|s| s.eq_ignore_ascii_case("tel:"));
        if literal_tel {
            return None;
        }
        self.providers.find(serves)
    }

    /// The key of a request's From.
    fn spell_from(&self, message: &Message<'_>) -> Option<Aor> {
        let from = message.from()?;
        let provider = self.provider_of_uri(from.uri)?;
        spelling::key(from.uri, &self.providers.get(provider)?.options)
    }

    /// The registered phone that sends a request on this flow.
    pub(crate) fn binding_of_sender(&self, message: &Message<'_>, flow: Flow) -> Option<BindingId> {
        let from = self.spell_from(message);
        self.registrar.find(flow, from.as_ref().map(Aor::as_str))
    }

    /// The provider of a phone's registration; of a phone that is not registered, its From's.
    pub(crate) fn provider_for_phone(
        &self,
        binding: Option<BindingId>,
        message: &Message<'_>,
        flow: Flow,
    ) -> Option<ProviderId> {
        match binding.and_then(|id| self.registrar.get(id)) {
            Some(binding) => binding.provider,
            None => {
                let provider = self.provider_of_uri(message.from()?.uri);
                provider.filter(|at| self.is_meant_for(*at, flow))
            }
        }
    }

    /// Who calls, where that is one of the registered phone's own addresses, or withheld
    /// (CALLS §1.4); else nothing.
    pub(crate) fn caller_aor(
        &self,
        binding: Option<BindingId>,
        provider: Option<ProviderId>,
        message: &Message<'_>,
    ) -> String {
        let Some(binding) = binding.and_then(|id| self.registrar.get(id)) else {
            return String::new();
        };
        let from = message.from().map(|from| from.uri).unwrap_or_default();
        let from = self.spell(provider, from).unwrap_or_default();
        let own = binding.addresses().any(|address| address == from);
        if own || super::call::claim::withholds(message) {
            binding.aor.as_str().to_owned()
        } else {
            String::new()
        }
    }

    /// The target that has accepted a phone's REGISTER.
    pub(crate) fn accepted_by(&self, binding: Option<BindingId>) -> Option<SocketAddr> {
        self.registrar.get(binding?)?.accepted_by
    }

    /// Under what addresses a caller may be shown to the callee: its From first.
    pub(crate) fn aliases_of(
        &self,
        binding: Option<BindingId>,
        provider: Option<ProviderId>,
        message: &Message<'_>,
    ) -> Vec<String> {
        let from = message.from().and_then(|from| self.spell(provider, from.uri));
        let mut aliases: Vec<String> = from.into_iter().collect();
        let binding = binding.and_then(|id| self.registrar.get(id));
        for address in binding.iter().flat_map(|binding| binding.addresses()) {
            if !aliases.iter().any(|alias| alias == address) {
                aliases.push(address.to_owned());
            }
        }
        aliases
    }

    /// The phone that a request from a provider's host names: by our Contact's user part, else by
    /// P-Called-Party-ID, else by To (CALLS §1.2). No host names a phone of another provider.
    pub(crate) fn binding_named(
        &self,
        message: &Message<'_>,
        from: SocketAddr,
    ) -> Option<BindingId> {
        let is_its = |id: &BindingId| {
            self.registrar.get(*id).is_some_and(|binding| self.speaks_for(from, binding))
        };
        let user = names::uri_user(message.request_uri());
        let by_user = || self.registrar.by_wan_user(user).filter(|_| !user.is_empty());
        if let Some(id) = by_user().filter(is_its) {
            return Some(id);
        }
        let called = message.header(Name::PCalledPartyId);
        let called = called.and_then(|value| NameAddr::parse(value).ok()).map(|called| called.uri);
        let to = message.to().map(|to| to.uri);
        [called, to]
            .into_iter()
            .flatten()
            .find_map(|uri| self.bindings_of_uri(uri).into_iter().find(is_its))
    }

    /// Every phone registered under an address.
    fn bindings_of_uri(&self, uri: &str) -> heapless::Vec<BindingId, CALL_LEGS_MAX> {
        // A number without a domain may be of any provider here.
        let keys = self.providers.iter().filter_map(|(_, provider)| {
            let aor = spelling::key(uri, &provider.options);
            aor.filter(|aor| aor.domain() == provider.options.domain)
        });
        let mut found = keys.map(|aor| {
            let bindings = self.registrar.by_aor(aor.as_str()).take(CALL_LEGS_MAX);
            bindings.collect::<heapless::Vec<_, CALL_LEGS_MAX>>()
        });
        found.find(|bindings| !bindings.is_empty()).unwrap_or_default()
    }

    /// As [`Self::bindings_of_uri`], for another adapter: of providers that are in the overlay.
    pub(crate) fn bindings_for_peers(&self, uri: &str) -> heapless::Vec<BindingId, CALL_LEGS_MAX> {
        let mut bindings = self.bindings_of_uri(uri);
        bindings.retain(|id| self.is_shared(*id));
        bindings
    }

    /// Whether a phone's provider allows it in the overlay (CALLS §2.3).
    pub(crate) fn is_shared(&self, id: BindingId) -> bool {
        let provider = self.registrar.get(id).and_then(|binding| binding.provider);
        self.providers.get(provider).is_some_and(|provider| provider.options.overlay)
    }

    /// A registered phone as an end of a call: over the flow that its REGISTERs use, to the port
    /// that its Contact names where that is at the same address.
    pub(crate) fn phone_of_binding(&self, id: BindingId) -> Option<PhoneEnd> {
        let binding = self.registrar.get(id)?;
        let mut flow = binding.flow;
        if flow.via.is_datagram() {
            flow.to = binding.contact_address().unwrap_or(flow.to);
            // Its socket may have gone with the LAN's address, and come back: the phone is where it
            // was.
            if matches!(flow.via, Via::Udp(socket) if self.sockets.get(socket).is_none()) {
                flow.via = Via::Udp(self.lan_socket(flow.to.ip())?);
            }
        }
        let local = match self.local_of(flow) {
            Some(local) => local,
            None => self.lan_local(binding)?,
        };
        Some(PhoneEnd {
            flow,
            local,
            contact: binding.contact.clone(),
            user: binding.wan_user.clone(),
            withheld: false,
        })
    }

    /// A phone was registered, or answered as if it were: it is found in the overlay, which server
    /// it meant is noted, and where it has opened another connection, requests of its dialogs take
    /// that one.
    pub(crate) fn phone_is_here(&mut self, now: Instant, id: BindingId) {
        self.publish(now, id);
        let chosen = self.registrar.get(id).and_then(|binding| self.chosen_by(binding.flow));
        if let Some(binding) = self.registrar.get_mut(id) {
            binding.chosen = chosen;
        }
        let Some(binding) = self.registrar.get(id).filter(|b| b.flow.is_reliable()) else { return };
        let (user, flow) = (binding.wan_user.clone(), binding.flow);
        let Some(local) = self.local_of(flow) else { return };
        let sockets = &self.sockets;
        let is_cut_off = |phone: &PhoneEnd| {
            let same = phone.user == user && phone.flow.to.ip() == flow.to.ip();
            let gone = |id| sockets.connections.get(id).is_none();
            same && matches!(phone.flow.via, Via::Stream(id) if gone(id))
        };
        let dialogs = self.calls.iter_mut().flat_map(|(_, call)| &mut call.dialogs);
        for phone in dialogs.map(|dialog| &mut dialog.phone).filter(|phone| is_cut_off(phone)) {
            (phone.flow, phone.local) = (flow, local);
        }
    }

    /// Our end towards a phone whose flow is gone.
    fn lan_local(&self, binding: &Binding) -> Option<Local> {
        let ip = binding.flow.to.ip();
        let (_, address) = self.sockets.towards(Facing::Lan, SocketKind::Sip, ip)?;
        Some(Local::Socket { address, tcp: matches!(binding.flow.via, Via::Stream(_)) })
    }

    /// Where another adapter's datagrams come from.
    pub(crate) fn peer_address(&self, node: NodeId) -> Option<IpAddr> {
        if node == self.id {
            return self.outside.address().or_else(|| self.network.wan.first().copied());
        }
        let session = self.channel.iter().flat_map(|c| c.sessions()).find(|s| s.peer == node);
        session.map(|session| session.address.ip())
    }

    /// A phone does not answer: its records are withdrawn until it speaks again (CALLS §2.6).
    pub(crate) fn phone_fell_silent(&mut self, now: Instant, id: BindingId) {
        let Some(binding) = self.registrar.get(id).filter(|binding| !binding.silent) else {
            return;
        };
        log::info!("phone {} does not answer", binding.aor);
        self.registrar.fell_silent(id);
        self.unpublish(now, id);
    }

    /// Something came from this flow: the phones there that did not answer speak again.
    pub(crate) fn flow_spoke(&mut self, now: Instant, flow: Flow) {
        while let Some(id) = self.registrar.silent_on(flow) {
            self.phone_spoke(now, id);
        }
    }

    /// A phone was heard.
    pub(crate) fn phone_spoke(&mut self, now: Instant, id: BindingId) {
        let Some(binding) = self.registrar.get_mut(id) else { return };
        if binding.silent {
            binding.silent = false;
            self.publish(now, id);
        }
    }

    /// Whether a phone's addresses belong into the overlay: where its provider allows it (CALLS
    /// §2.3).
    pub(super) fn belongs_into_overlay(&self, id: BindingId, binding: &Binding) -> bool {
        self.is_shared(id) && !binding.silent && self.config.adapter.mode != Mode::Server
    }

    /// Takes a phone's addresses out of the overlay, unless they belong there for another phone.
    pub(crate) fn unpublish(&mut self, now: Instant, id: BindingId) {
        let Some(binding) = self.registrar.get(id) else { return };
        let addresses: Vec<String> = binding.addresses().map(str::to_owned).collect();
        self.withdraw_unless(now, &addresses, |other| other != id);
    }

    /// Takes those of a phone's earlier addresses out of the overlay that no phone has any more.
    pub(crate) fn withdraw_unused(&mut self, now: Instant, addresses: &[String]) {
        self.withdraw_unless(now, addresses, |_| true);
    }

    /// Withdraws addresses, unless one of these phones belongs into the overlay under them.
    fn withdraw_unless(
        &mut self,
        now: Instant,
        addresses: &[String],
        counts: impl Fn(BindingId) -> bool,
    ) {
        let is_used = |aor: &str| {
            self.registrar.by_aor(aor).filter(|id| counts(*id)).any(|id| {
                self.registrar.get(id).is_some_and(|binding| self.belongs_into_overlay(id, binding))
            })
        };
        let gone: Vec<&String> = addresses.iter().filter(|aor| !is_used(aor)).collect();
        let Some(overlay) = &mut self.overlay else { return };
        for aor in gone {
            overlay.withdraw(now, aor);
        }
    }

    /// After a reload: what the mode and the providers' sections allow is in the overlay, and
    /// nothing else is.
    pub(crate) fn publish_as_configured(&mut self, now: Instant) {
        let all: Vec<BindingId> = self.registrar.iter().map(|(id, _)| id).collect();
        for id in all {
            if self.config.adapter.mode == Mode::Server || !self.is_shared(id) {
                self.unpublish(now, id);
            } else {
                self.publish(now, id);
            }
        }
    }
}
