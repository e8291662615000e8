//! Challenges: OPTIONS of a CoSIP server, which come by the provider's and never reach a phone.

use super::{Adapter, Due, Enrolment, Foreign};
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::channel::{EnrolProof, Payload};
use crate::identity::enrolment::{self, Challenge, HEADER, Nonce};
use crate::limits::{ENROL_FOREIGN_LOG, ENROL_REPORT_PAUSE};
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Method, Name, NameAddr, Uri};
use crate::time::Instant;

/// The values of the header that makes a request a challenge.
fn values<'m>(message: &'m Message<'_>) -> impl Iterator<Item = &'m str> {
    let named = |name: &str| name.eq_ignore_ascii_case(HEADER);
    message.headers().iter().filter(move |it| named(it.raw_name)).map(|it| it.value)
}

/// Whether a request is a challenge, or means to be one.
pub(in crate::adapter) fn is_challenge(message: &Message<'_>, path: Path) -> bool {
    let may_be = path == Path::Server && message.method() == Method::Options;
    may_be && values(message).next().is_some()
}

impl Adapter {
    /// A challenge from the provider's server: it is answered from here, and where it is about a
    /// question of ours, its CoSIP server gets the proof.
    pub(in crate::adapter) fn challenged(
        &mut self,
        now: Instant,
        id: ServerId,
        message: &Message<'_>,
        source: &Source,
    ) {
        self.options(now, id);
        let in_dialog = message.to().is_some_and(|to| to.tag().is_some());
        let mut all = values(message);
        let challenge = all.next().and_then(Challenge::parse);
        let Some(challenge) = challenge.filter(|_| all.next().is_none() && !in_dialog) else {
            self.enrolment.counters.malformed += 1;
            return;
        };
        let aor = self.challenged_aor(message, source);
        let own = challenge.key_hash == enrolment::key_hash(&self.vouched.key());
        match aor {
            Some(aor) if own => self.challenged_for(&aor, &challenge.nonce),
            Some(aor) => self.foreign_key(now, &aor, challenge.nonce),
            None => self.enrolment.counters.unasked += 1,
        }
    }

    /// The address that a challenge is for: of the phone whose Contact, as we have registered it,
    /// the request names, where it comes from the very target that has accepted that.
    fn challenged_aor(&self, message: &Message<'_>, source: &Source) -> Option<String> {
        let uri = Uri::parse(message.request_uri()).ok().filter(|uri| !uri.user.is_empty())?;
        let address = (uri.host_ip()?, uri.port.unwrap_or(5060)).into();
        let phone = self.registrar.get(self.registrar.by_wan_user(uri.user)?)?;
        let by_its_way = phone.accepted_by == Some(source.flow.to);
        if !by_its_way || !self.own_addresses().contains(&address) {
            return None;
        }
        let called = message.header(Name::PCalledPartyId);
        let called = called.and_then(|value| NameAddr::parse(value).ok()).map(|called| called.uri);
        let named = called.or_else(|| message.to().map(|to| to.uri))?;
        match self.provider_of_uri(named) {
            Some(provider) => {
                let aor = self.spell(Some(provider), named)?;
                phone.addresses().any(|address| address == aor).then_some(aor)
            }
            // What is between has put something else there than an address of the provider's.
            None => Some(phone.aor.clone()),
        }
    }

    /// A challenge with our key.
    fn challenged_for(&mut self, aor: &str, nonce: &Nonce) {
        let enrolment = &mut self.enrolment;
        let asked = enrolment
            .asks
            .iter()
            .find(|ask| ask.server.is_some() && ask.open().any(|asked| asked == aor));
        let number = asked.map(|ask| ask.number);
        let fresh = !enrolment.nonces.iter().any(|known| known == nonce);
        let queued = number.filter(|_| fresh).is_some_and(|number| {
            let due = Due { number, aor: aor.to_owned(), nonce: *nonce };
            enrolment.due.push(due).is_ok()
        });
        if queued {
            enrolment.nonces.write(*nonce);
        } else {
            enrolment.counters.unasked += 1;
        }
    }

    /// Answers a challenge: one public-key operation.
    pub(super) fn prove(&mut self, now: Instant, aor: &str, (number, nonce): (u32, Nonce)) {
        let ask = self.enrolment.asks.iter().find(|ask| ask.number == number);
        let Some(found) = ask.and_then(|ask| ask.server.clone()) else { return };
        let overlay = self.overlay.as_ref().filter(|overlay| overlay.trust().is_required());
        let Some(overlay) = overlay else { return };
        let network = overlay.keys().network();
        let signature = enrolment::sign(self.vouched.identity(), network, aor, &nonce);
        self.enrolment.counters.proofs += 1;
        self.open_to(now, &found);
        let proof = Payload::EnrolProof(EnrolProof { nonce, signature });
        self.tell_peer(now, found.owner, &proof);
    }

    /// Somebody else's key is named for an address of a phone here. Where we are certified for it,
    /// CoSIP servers hear of it: the operator may know whose it is.
    fn foreign_key(&mut self, now: Instant, aor: &str, nonce: Nonce) {
        let certified = self.is_certified_for(now, aor);
        let enrolment = &mut self.enrolment;
        enrolment.counters.foreign += 1;
        let known = enrolment.foreign.iter().position(|known| known.aor == aor);
        let at = known.unwrap_or_else(|| {
            if enrolment.foreign.is_full() {
                enrolment.foreign.remove(0);
            }
            let (aor, report) = (aor.to_owned(), None);
            let foreign = Foreign { aor, seen: now, logged: now, report, report_next: now };
            let _has_room = enrolment.foreign.push(foreign);
            enrolment.foreign.len() - 1
        });
        let foreign = &mut enrolment.foreign[at];
        foreign.seen = now;
        if certified && now >= foreign.report_next {
            foreign.report_next = now + ENROL_REPORT_PAUSE;
            foreign.report = Some(nonce);
            enrolment.seeks = true;
        }
        if known.is_some() && now.since(foreign.logged) < ENROL_FOREIGN_LOG {
            return;
        }
        foreign.logged = now;
        log::warn!(
            "another adapter asks for a certificate for {aor}, which a phone here has; where you \
             know of no second router with it, tell the provider"
        );
    }

    /// Tells the CoSIP servers that were found, one of which has sent the challenge.
    pub(super) fn report_foreign(&mut self, now: Instant) {
        let Enrolment { foreign, servers, counters, .. } = &mut self.enrolment;
        let nonces: Vec<Nonce> = foreign.iter_mut().filter_map(|it| it.report.take()).collect();
        if nonces.is_empty() {
            return;
        }
        counters.reported += nonces.len() as u64;
        for found in &servers.clone() {
            self.open_to(now, found);
            for nonce in &nonces {
                self.tell_peer(now, found.owner, &Payload::EnrolReport(*nonce));
            }
        }
    }
}
