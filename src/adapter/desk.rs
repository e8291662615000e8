//! The counter at which a CoSIP server hears who wants a certificate, and sends its challenges.
//!
//! The adapter of such a server has no phones. What other adapters ask goes to the desk, which
//! decides and is no part of the adapter ([`Adapter::poll_desk`]); what the desk wants goes out
//! here: a challenge as an OPTIONS of the server's own account, an answer over the channel.

mod watching;

use super::call::identity::Rename;
use super::own_request::OwnRequest;
use super::providers::ProviderState;
use super::register::wan_contact;
use super::secrets::Secrets;
use super::targets::Target;
use super::ways::Way;
use super::{Adapter, ClientOwner, spelling};
use crate::budget::Budget;
use crate::channel::{EnrolAnswer, EnrolAsk, EnrolProof, Payload};
use crate::identity::enrolment::{Challenge, Nonce, SERVER_AOR};
use crate::identity::network::NetworkSecrets;
use crate::identity::record::Contact;
use crate::identity::rolling::Rolled;
use crate::identity::{PublicKey, Statement};
use crate::json::Value;
use crate::limits::{DESK_EVENTS_MAX, DESK_SESSIONS_MAX, DESK_WORK_PIECE};
use crate::net::NodeId;
use crate::sip::transaction::{ClientId, TransactionError};
use crate::sip::{Message, Method, Name};
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Who asks for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Its place in the overlay.
    pub peer: NodeId,
    /// The key that it has proven.
    pub key: PublicKey,
    /// Where it is.
    pub address: IpAddr,
}

/// What the desk has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskEvent {
    /// An adapter wants one certificate for these AORs.
    Asked {
        /// Who.
        asker: Asker,
        /// Its number for it.
        number: u32,
        /// The AORs as it has sent them, without empty ones behind the last.
        aors: Vec<String>,
    },
    /// An adapter has seen a challenge.
    Proven {
        /// The key that it has proven to us.
        key: PublicKey,
        /// Which challenge.
        proof: EnrolProof,
    },
    /// An adapter says that it is certified for the AOR of the challenge of this name, which is for
    /// another's key.
    Reported {
        /// The key that it has proven to us.
        key: PublicKey,
        /// Which challenge.
        nonce: Nonce,
    },
    /// The SIP server has answered the challenge of this number: with a status, or not at all.
    Answered(u32, Option<u16>),
    /// A member has answered a question about others, with what those have signed.
    Watched {
        /// Who.
        peer: NodeId,
        /// Our number for it.
        number: u32,
        /// The statements, not verified.
        statements: Vec<Statement>,
    },
}

/// What became of a challenge that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// The SIP server is not found, or not connected to, yet.
    NotNow,
    /// There is no account to send it from, or no room.
    No,
}

/// What a counter keeps.
pub(super) struct Counter {
    events: VecDeque<DeskEvent>,
    /// Where the challenges went whose transactions are under way.
    sent_to: BTreeMap<u32, SocketAddr>,
    /// The record by which adapters find us is still to be put into the overlay.
    unpublished: bool,
    dropped: u64,
}

impl Counter {
    /// Whether [`Adapter::publish_desk`] has something to do.
    pub(super) fn is_unpublished(&self) -> bool {
        self.unpublished
    }

    fn hear(&mut self, event: DeskEvent) {
        if self.events.len() < DESK_EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.dropped += 1;
        }
    }
}

impl Adapter {
    /// This is the adapter of a CoSIP server from now on: thousands may come to it at once.
    pub fn open_desk(&mut self, now: Instant) {
        self.enrolment.desk = Some(Box::new(Counter {
            events: VecDeque::new(),
            sent_to: BTreeMap::new(),
            unpublished: true,
            dropped: 0,
        }));
        self.waiting.set_budget(Budget::of_pieces(now, DESK_WORK_PIECE));
        let identity = self.vouched.identity();
        let keys = self.overlay.as_ref().map(|overlay| overlay.keys());
        self.channel = super::parts::channel(identity, keys, DESK_SESSIONS_MAX, &mut self.rng);
        self.trust_changed(now);
    }

    /// The next thing that the desk has to look at.
    pub fn poll_desk(&mut self) -> Option<DeskEvent> {
        self.enrolment.desk.as_mut()?.events.pop_front()
    }

    /// Asks and proofs that were dropped because the desk did not look at them in time.
    pub fn desk_dropped(&self) -> u64 {
        self.enrolment.desk.as_ref().map_or(0, |desk| desk.dropped)
    }

    /// The wall clock in seconds of Unix time, where it was set.
    pub fn wall_clock(&self, now: Instant) -> Option<u64> {
        self.knows_time().then(|| self.unix_now(now))
    }

    /// What `status` answers.
    pub fn status_of_server(&self, now: Instant) -> Value {
        self.status(now)
    }

    /// Takes a renewed file of certificates.
    pub fn take_certificates(&mut self, now: Instant, text: &str) {
        self.certificates_read(now, Some(text.as_bytes()));
    }

    /// The number of the list of revocations that counts here; 0: none does.
    pub fn list_number(&self) -> u32 {
        self.overlay.as_ref().map_or(0, |overlay| overlay.trust().revocations.number())
    }

    /// Takes a newer list, which spreads from here.
    pub fn take_list(&mut self, now: Instant, list: &[u8]) {
        self.list_read(now, list, "database");
    }

    /// Takes the secrets of the network, which this server rolls.
    pub fn take_secrets(&mut self, now: Instant, file: NetworkSecrets, rolled: Rolled) {
        self.enrolment.secrets = Secrets::of_server(file, rolled);
        self.review_secrets(now);
    }

    /// Sends the challenge of this number through the SIP server to whoever is registered for
    /// `aor`. [`DeskEvent::Answered`] follows.
    pub fn send_challenge(
        &mut self,
        now: Instant,
        number: u32,
        aor: &str,
        challenge: &Challenge,
    ) -> Sent {
        let uri = spelling::uri(aor);
        let Some(provider) = self.provider_of_uri(&uri) else { return Sent::No };
        let domain = &self.providers.options(provider).domain;
        let of_domain = |uri: &str| {
            let (_, host) = uri.rsplit_once('@').unwrap_or_default();
            host.eq_ignore_ascii_case(domain)
        };
        let accounts = &self.config.accounts;
        let own = accounts.iter().find(|it| of_domain(&it.aor)).or_else(|| accounts.first());
        let Some(own) = own.map(|account| account.aor.clone()) else { return Sent::No };
        let Some(Target { addr: to, tcp }) = self.next_target(now, provider, None, &[]) else {
            return Sent::NotNow;
        };
        let owner = ClientOwner::Challenge(number);
        let way = self.way_to(to, tcp == Some(true), None, owner);
        let Way::Ready(flow, local) = way else { return Sent::NotNow };
        let (tag, call) = (self.rng.next_u32(), self.rng.next_u64());
        let name = Rename {
            call_id: format!("{call:016x}"),
            from: format!("<{own}>;tag={tag:08x}"),
            to: format!("<{uri}>"),
        };
        let headers = [
            (Name::Contact, format!("<{}>", wan_contact("", local))),
            (Name::CosipChallenge, challenge.to_text()),
        ];
        let options = OwnRequest::new(Method::Options, uri, (flow, local), name).with(headers);
        let Some(bytes) = self.write_own(&options) else { return Sent::No };
        match self.transactions.send_request(now, flow, &bytes, owner.encode()) {
            Ok(_) => {
                if let Some(desk) = &mut self.enrolment.desk {
                    desk.sent_to.insert(number, to);
                }
                Sent::Yes
            }
            Err(_) => Sent::No,
        }
    }

    /// Sends an answer to an adapter. One whose session is gone asks again.
    pub fn answer_enrolment(
        &mut self,
        now: Instant,
        peer: NodeId,
        number: u32,
        answer: EnrolAnswer<'_>,
    ) {
        let payload = Payload::EnrolAnswer(number, answer);
        let sent = self.channel.as_mut().map(|channel| channel.send(now, peer, &payload));
        if !matches!(sent, Some(Ok(()))) {
            log::debug!("adapter {peer} is gone: it will ask again");
        }
    }

    pub(super) fn certificate_wanted(&mut self, peer: NodeId, ask: &EnrolAsk<'_>) {
        let Some(asker) = self.asker(peer) else { return };
        let Some(desk) = &mut self.enrolment.desk else { return };
        let last = ask.aors.iter().rposition(|aor| !aor.is_empty()).map_or(0, |at| at + 1);
        let aors = ask.aors.iter().take(last).map(|aor| (*aor).to_owned()).collect();
        desk.hear(DeskEvent::Asked { asker, number: ask.number, aors });
    }

    pub(super) fn challenge_proven(&mut self, peer: NodeId, proof: &EnrolProof) {
        let Some(Asker { key, .. }) = self.asker(peer) else { return };
        if let Some(desk) = &mut self.enrolment.desk {
            desk.hear(DeskEvent::Proven { key, proof: *proof });
        }
    }

    pub(super) fn challenge_reported(&mut self, peer: NodeId, nonce: &Nonce) {
        let Some(Asker { key, .. }) = self.asker(peer) else { return };
        if let Some(desk) = &mut self.enrolment.desk {
            desk.hear(DeskEvent::Reported { key, nonce: *nonce });
        }
    }

    fn asker(&self, peer: NodeId) -> Option<Asker> {
        let session = self.channel.as_ref()?.session_with(peer)?;
        Some(Asker { peer, key: session.key, address: session.address.ip() })
    }

    /// The SIP server has answered a challenge: it wants our credentials, or that was all.
    pub(super) fn challenge_answered(
        &mut self,
        now: Instant,
        number: u32,
        client: ClientId,
        response: &Message<'_>,
    ) {
        let owner = ClientOwner::Challenge(number);
        if response.status() < 200
            || self.answer_challenge(now, (owner, client), response).is_some()
        {
            return;
        }
        if let Some(desk) = &mut self.enrolment.desk {
            desk.sent_to.remove(&number);
            desk.hear(DeskEvent::Answered(number, Some(response.status())));
        }
    }

    /// A challenge was not answered, or did not reach the SIP server. Silence says nothing of the
    /// server: it must not answer for a phone that is silent (RFC 4320 s4.2). Probes find out.
    pub(super) fn challenge_failed(&mut self, now: Instant, number: u32, error: TransactionError) {
        let Some(desk) = &mut self.enrolment.desk else { return };
        desk.hear(DeskEvent::Answered(number, None));
        let sent_to = desk.sent_to.remove(&number);
        if let Some(to) = sent_to.filter(|_| error == TransactionError::Transport) {
            let serves = |it: &ProviderState| it.targets.number(to).is_some();
            let provider = self.providers.find(serves);
            self.target_silent(now, provider, to);
        }
    }

    /// Puts the record by which adapters find us into the overlay. False where there is nothing
    /// to do.
    pub(super) fn publish_desk(&mut self, now: Instant) -> bool {
        let (Some(desk), Some(overlay)) = (&mut self.enrolment.desk, &mut self.overlay) else {
            return false;
        };
        if !core::mem::take(&mut desk.unpublished) {
            return false;
        }
        let Some(contact) = Contact::new("server") else { return false };
        if let Err(full) = overlay.publish(now, SERVER_AOR, &contact) {
            log::error!("adapters do not find this server: {full}");
        }
        true
    }

    pub(super) fn publish_desk_again(&mut self) {
        if let Some(desk) = &mut self.enrolment.desk {
            desk.unpublished = true;
        }
    }

    /// What is withdrawn when this server stops.
    pub(super) fn desk_aor(&self) -> Option<String> {
        self.enrolment.desk.is_some().then(|| SERVER_AOR.to_owned())
    }
}

#[cfg(test)]
mod tests;
