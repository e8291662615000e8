//! Enrolment: certificates for the addresses of the phones here, asked of a CoSIP server; see
//! [`crate::identity::enrolment`].
//!
//! With a trust anchor, the adapter looks every few minutes which addresses lack a certificate
//! that lasts ([`wanted`]), finds a CoSIP server as callees are found, and asks it until it has
//! answered ([`answers`]). What the server sends through the provider's meanwhile is kept from the
//! phones, and answered where it is about a question of our own ([`challenge`]). Nobody is asked
//! while the provider's server does not answer: no challenge would come.

mod answers;
mod challenge;
mod status;
mod wanted;

pub(super) use challenge::is_challenge;

use super::secrets::Secrets;
use super::{Adapter, Asker};
use crate::channel::{CERTIFIED_AORS_MAX, EnrolAsk, EnrolRefusal, Payload};
use crate::identity::enrolment::{Nonce, SERVER_AOR};
use crate::identity::rolling::NewSecret;
use crate::identity::{Certificate, NetworkKeys};
use crate::limits::{
    CERTIFICATES_MAX, ENROL_DOUBLINGS_MAX, ENROL_FOREIGN_MAX, ENROL_LOOK_INTERVAL, ENROL_LOOK_SOON,
    ENROL_NONCES_MAX, ENROL_PAUSE, ENROL_REPEAT, ENROL_SERVERS_MAX, ENROL_SPREAD_PART,
    ENROL_TRIES_MAX,
};
use crate::list::List;
use crate::net::NodeId;
use crate::overlay::{Found, LookupId};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::rc::Rc;

/// Addresses that certificates can be had for.
const AORS_MAX: usize = CERTIFIED_AORS_MAX * CERTIFICATES_MAX;

crate::observe::counters! {
    /// What happened of enrolment since the start.
    pub(super) struct Counters {
        /// Certificates asked for.
        asked,
        /// Certificates that came, hold, and are used.
        taken,
        /// Certificates that came and do not hold, or are of no use.
        faulty,
        /// Addresses that a CoSIP server has refused.
        refused,
        /// Answers to no question.
        strays,
        /// Challenges of a question of ours, answered.
        proofs,
        /// Challenges with our key that are of no question, answered before, or not by the way
        /// that the phone is registered by.
        unasked,
        /// Challenges with another key, for an address of a phone here.
        foreign,
        /// Those of which CoSIP servers were told.
        reported,
        /// Challenges that are none.
        malformed,
        /// Signatures of certificates for us that were verified.
        verified,
        /// Secrets of the network that came with a certificate and were new.
        secrets,
    }
}

/// One question to a CoSIP server.
#[derive(Clone)]
struct Ask {
    number: u32,
    aors: heapless::Vec<String, CERTIFIED_AORS_MAX>,
    /// Which of them were refused: bit 0 is the first.
    refused: u8,
    /// Who is asked; nobody while one is looked for.
    server: Option<Rc<Found>>,
    tried: heapless::Vec<NodeId, ENROL_SERVERS_MAX>,
    /// When it is sent, or sent again.
    at: Instant,
    /// How often it was sent since its server said anything.
    sent: u32,
    /// Its server has said that it takes a while.
    waits: bool,
}

impl Ask {
    /// Those that may still be certified.
    fn open(&self) -> impl Iterator<Item = &str> {
        let open = |at: usize| self.refused & (1 << at) == 0;
        let aors = self.aors.iter().enumerate().filter(move |(at, _)| open(*at));
        aors.map(|(_, aor)| aor.as_str())
    }

    fn is_asked_of(&self, peer: NodeId) -> bool {
        self.server.as_ref().is_some_and(|found| found.owner == peer)
    }
}

/// Why an address has no new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A CoSIP server says so.
    Refused(EnrolRefusal),
    /// What came does not cover it.
    Omitted,
}

/// An address that is left alone for a while.
struct Resting {
    aor: String,
    why: Why,
    until: Instant,
}

/// Why nobody is asked, as it was logged last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// There is none.
    None,
    /// The overlay knows no CoSIP server.
    Unknown,
    /// None of those that it knows answers, or what they answer does not hold.
    Silent,
}

/// A challenge that is to be answered.
struct Due {
    number: u32,
    aor: String,
    nonce: Nonce,
}

/// A certificate that came, while its signatures are verified.
struct Checking {
    number: u32,
    certificate: Certificate,
    /// The secret of the network that came with it.
    secret: Option<NewSecret>,
    /// So many signatures hold.
    verified: usize,
}

/// Another key was named for an address of a phone here.
struct Foreign {
    aor: String,
    seen: Instant,
    logged: Instant,
    /// The challenge of which CoSIP servers are to be told.
    report: Option<Nonce>,
    /// They are not told of another before this.
    report_next: Instant,
}

/// See the module's text.
pub(super) struct Enrolment {
    look_at: Instant,
    /// A look besides, which leaves the moments of those alone.
    soon_at: Option<Instant>,
    /// Nobody is looked for before this, since nobody answered so many times.
    pause: (Instant, u32),
    trouble: Trouble,
    /// How early this adapter renews, of 65,536 parts.
    early: u32,
    asks: List<Ask, CERTIFICATES_MAX>,
    last_number: u32,
    /// A question, or a report, waits for a CoSIP server to be found.
    seeks: bool,
    lookup: Option<LookupId>,
    servers: List<Rc<Found>, ENROL_SERVERS_MAX>,
    due: List<Due, AORS_MAX>,
    nonces: heapless::HistoryBuf<Nonce, ENROL_NONCES_MAX>,
    checking: Option<Checking>,
    resting: List<Resting, AORS_MAX>,
    foreign: List<Foreign, ENROL_FOREIGN_MAX>,
    pub(super) secrets: Secrets,
    pub(super) counters: Counters,
    /// What CoSIP servers ask about others.
    pub(super) watched: super::watched::Watched,
    /// Where others ask us.
    #[cfg(feature = "server")]
    pub(super) desk: Option<Box<super::desk::Counter>>,
}

impl Enrolment {
    pub(super) fn new(now: Instant, keys: Option<&NetworkKeys>, rng: &mut Rng) -> Self {
        let phase = rng.below(ENROL_LOOK_INTERVAL.as_millis() as u32);
        Self {
            look_at: now + Duration::from_millis(phase.into()),
            soon_at: None,
            pause: (now, 0),
            trouble: Trouble::None,
            early: rng.below(1 << 16),
            asks: List::new(),
            last_number: rng.next_u32(),
            seeks: false,
            lookup: None,
            servers: List::new(),
            due: List::new(),
            nonces: heapless::HistoryBuf::new(),
            checking: None,
            resting: List::new(),
            foreign: List::new(),
            secrets: Secrets::new(keys),
            counters: Counters::default(),
            watched: super::watched::Watched::default(),
            #[cfg(feature = "server")]
            desk: None,
        }
    }

    /// When [`Adapter::enrolment_due`] is wanted.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asks.iter().filter(|ask| ask.server.is_some()).map(|ask| ask.at).min();
        earlier(asked, earlier(self.soon_at, Some(self.look_at)))
    }

    /// Whether a piece of work waits.
    pub(super) fn has_work(&self) -> bool {
        !self.due.is_empty() || self.checking.is_some() || self.seeks
    }

    /// How long before half of its life is over a certificate that lives for `life_s` is renewed.
    fn early_s(&self, life_s: u64) -> u64 {
        (life_s / ENROL_SPREAD_PART * u64::from(self.early)) >> 16
    }

    /// No certificate is on its way: what came may be written down.
    pub(super) fn is_quiet(&self) -> bool {
        self.asks.is_empty()
    }

    fn rests(&self, now: Instant, aor: &str) -> bool {
        self.resting.iter().any(|resting| resting.aor == aor && now < resting.until)
    }

    /// Leaves an address alone until then. True where it was not for the same reason before.
    fn rest(&mut self, aor: &str, why: Why, until: Instant) -> bool {
        let before = self.resting.iter().find(|resting| resting.aor == aor).map(|it| it.why);
        self.resting.retain(|resting| resting.aor != aor);
        if self.resting.is_full() {
            self.resting.remove(0);
        }
        let _has_room = self.resting.push(Resting { aor: aor.to_owned(), why, until });
        before != Some(why)
    }
}

impl Adapter {
    /// A phone is here that was not, or the overlay is joined: whoever has just plugged something
    /// in is not to wait for the next regular look. Several phones that come together are asked
    /// for together.
    pub(super) fn look_soon_for_missing(&mut self, now: Instant) {
        if self.overlay.as_ref().is_some_and(|overlay| overlay.trust().is_required()) {
            self.enrolment.soon_at = Some(now + self.rng.jitter(ENROL_LOOK_SOON));
        }
    }

    /// Looks for what is missing, and repeats questions that are not answered.
    pub(super) fn enrolment_due(&mut self, now: Instant) {
        let regular = now >= self.enrolment.look_at;
        if regular {
            self.enrolment.look_at = now + ENROL_LOOK_INTERVAL;
        }
        if self.enrolment.soon_at.take_if(|at| *at <= now).is_some() || regular {
            self.look_for_missing(now);
        }
        while let Some(at) =
            self.enrolment.asks.iter().position(|a| a.server.is_some() && a.at <= now)
        {
            self.ask_due(now, at);
        }
    }

    fn ask_due(&mut self, now: Instant, at: usize) {
        let ask = &self.enrolment.asks[at];
        let needed = ask.aors.iter().any(|aor| self.may_enrol(now, aor));
        if !needed || !self.enrols() {
            self.enrolment.asks.remove(at);
        } else if ask.sent >= ENROL_TRIES_MAX {
            self.ask_another(now, at);
        } else {
            self.send_ask(now, at);
        }
    }

    fn send_ask(&mut self, now: Instant, at: usize) {
        let ask = &mut self.enrolment.asks[at];
        let Some(found) = ask.server.clone() else { return };
        let pause = ENROL_REPEAT * (1 << ask.sent.min(ENROL_TRIES_MAX));
        ask.at = now + self.rng.jitter(pause);
        ask.sent += 1;
        let (number, names) = (ask.number, ask.aors.clone());
        let mut aors = [""; CERTIFIED_AORS_MAX];
        for (aor, name) in aors.iter_mut().zip(&names) {
            *aor = name;
        }
        self.open_to(now, &found);
        self.tell_peer(now, found.owner, &Payload::Enrol(EnrolAsk { number, aors }));
    }

    /// A piece of work: a signature, one that is verified, or a look-up, whose address may have to
    /// be blinded. False where there was none.
    pub(super) fn enrolment_work(&mut self, now: Instant) -> bool {
        if !self.enrolment.due.is_empty() {
            let due = self.enrolment.due.remove(0);
            self.prove(now, &due.aor, (due.number, due.nonce));
            return true;
        }
        if let Some(checking) = self.enrolment.checking.take() {
            self.verify_one(now, checking);
            return true;
        }
        let seeks = core::mem::take(&mut self.enrolment.seeks) && self.enrolment.lookup.is_none();
        let Some(overlay) = self.overlay.as_mut().filter(|_| seeks) else { return false };
        self.enrolment.servers.clear();
        let lookup = overlay.lookup(now, SERVER_AOR);
        self.enrolment.lookup = Some(lookup);
        self.note_asker(lookup, Asker::Enrolment);
        true
    }

    /// The look-up names a CoSIP server. With a trust anchor, readers take certified records only:
    /// its owner is whom an anchor's certificate for this address names.
    pub(super) fn cosip_server_found(&mut self, found: &Found) {
        let servers = &mut self.enrolment.servers;
        if found.owner != self.id && servers.iter().all(|known| known.owner != found.owner) {
            let _has_room = servers.push(Rc::new(found.clone()));
        }
    }

    /// The look-up has ended: questions that wait for it are sent.
    pub(super) fn cosip_servers_looked_up(&mut self, now: Instant) {
        self.enrolment.lookup = None;
        while let Some(at) = self.enrolment.asks.iter().position(|ask| ask.server.is_none()) {
            self.ask_another(now, at);
        }
        self.report_foreign(now);
    }

    /// A question goes to a CoSIP server that it did not go to before; without one it is given up,
    /// and nobody is asked for a while.
    fn ask_another(&mut self, now: Instant, at: usize) {
        let Enrolment { asks, servers, .. } = &mut self.enrolment;
        let ask = &mut asks[at];
        let fresh: Vec<&Rc<Found>> =
            servers.iter().filter(|found| !ask.tried.contains(&found.owner)).collect();
        if let Some(found) = fresh.get(self.rng.below(fresh.len() as u32) as usize) {
            (ask.server, ask.at, ask.sent, ask.waits) = (Some(Rc::clone(found)), now, 0, false);
            let _has_room = ask.tried.push(found.owner);
            return;
        }
        let trouble = if ask.tried.is_empty() { Trouble::Unknown } else { Trouble::Silent };
        asks.remove(at);
        if self.enrolment.pause.0 <= now {
            let failures = self.enrolment.pause.1;
            let pause = ENROL_PAUSE * (1 << failures.min(ENROL_DOUBLINGS_MAX));
            self.enrolment.pause = (now + self.rng.jitter(pause), failures + 1);
        }
        if self.enrolment.trouble != trouble {
            self.enrolment.trouble = trouble;
            let what = match trouble {
                Trouble::Silent => "no CoSIP server answers as it should",
                _ => "the overlay knows no CoSIP server; the provider runs it",
            };
            log::warn!("addresses of phones here need a certificate, and {what}");
        }
    }

    /// A CoSIP server has answered.
    fn cosip_server_spoke(&mut self, now: Instant) {
        (self.enrolment.trouble, self.enrolment.pause) = (Trouble::None, (now, 0));
    }
}
