//! What CoSIP servers answer: a certificate is verified and taken, a refusal is told to people.

use super::{Ask, Checking, Trouble, Why};
use crate::adapter::Adapter;
use crate::channel::{EnrolAnswer, EnrolRefusal};
use crate::identity::Certificate;
use crate::identity::rolling::NewSecret;
use crate::limits::{ENROL_REFUSED_MIN, ENROL_REPEAT, ENROL_WAIT_MAX, ENROL_WAIT_MIN};
use crate::net::NodeId;
use crate::time::{Duration, Instant};

impl Adapter {
    /// What becomes of a question. Only whoever was asked can say so: whom a certified record of
    /// CoSIP servers has named, and who has proven that to the channel.
    pub(in crate::adapter) fn enrolment_answered(
        &mut self,
        now: Instant,
        peer: NodeId,
        number: u32,
        answer: &EnrolAnswer<'_>,
    ) {
        let asked = |ask: &Ask| ask.number == number && ask.is_asked_of(peer);
        let Some(at) = self.enrolment.asks.iter().position(asked) else {
            self.enrolment.counters.strays += 1;
            return;
        };
        match *answer {
            EnrolAnswer::Wait(seconds) => {
                let wait = Duration::from_secs(seconds.into());
                let wait = wait.clamp(ENROL_WAIT_MIN, ENROL_WAIT_MAX);
                let wait = wait + self.rng.jitter(wait / 8);
                let ask = &mut self.enrolment.asks[at];
                (ask.at, ask.sent, ask.waits) = (now + wait, 0, true);
                self.cosip_server_spoke(now);
            }
            EnrolAnswer::Refused { which, why, again_s } => {
                self.refused(now, at, which, (why, again_s));
                self.cosip_server_spoke(now);
            }
            EnrolAnswer::Certified(bytes, secret) => {
                self.certificate_came(now, at, (bytes, secret));
            }
        }
    }

    fn refused(&mut self, now: Instant, at: usize, which: u8, (why, again_s): (EnrolRefusal, u32)) {
        let ask = &mut self.enrolment.asks[at];
        let named = |at: &usize| which & !ask.refused & (1 << at) != 0;
        let aors: Vec<String> =
            (0..ask.aors.len()).filter(named).map(|at| ask.aors[at].clone()).collect();
        if aors.is_empty() {
            return;
        }
        ask.refused |= which;
        (ask.at, ask.sent) = (now + self.rng.jitter(ENROL_REPEAT), 0);
        // It may be of another provider's server.
        let others = &self.enrolment.servers;
        let others = others.iter().any(|found| !ask.tried.contains(&found.owner));
        let over = ask.open().next().is_none();
        if over && why == EnrolRefusal::Foreign && aors.len() == ask.aors.len() && others {
            ask.refused = 0;
            return self.ask_another(now, at);
        }
        let rest = Duration::from_secs(again_s.into()).clamp(ENROL_REFUSED_MIN, ENROL_WAIT_MAX);
        let until = now + rest + self.rng.jitter(rest / 8);
        self.enrolment.counters.refused += aors.len() as u64;
        for aor in &aors {
            if self.enrolment.rest(aor, Why::Refused(why), until) {
                log::warn!("no certificate for {aor}: {}", advice(why));
            }
        }
        if over {
            self.enrolment.asks.remove(at);
        }
    }

    fn certificate_came(
        &mut self,
        now: Instant,
        at: usize,
        (bytes, secret): (&[u8], Option<NewSecret>),
    ) {
        let ask = &mut self.enrolment.asks[at];
        let number = ask.number;
        (ask.at, ask.sent) = (now + ENROL_REPEAT, 0);
        if self.enrolment.checking.is_some() {
            return;
        }
        match self.judge_own(now, bytes) {
            Ok(certificate) => {
                self.enrolment.checking =
                    Some(Checking { number, certificate, secret, verified: 0 });
            }
            Err(why) => self.faulty(now, at, why),
        }
    }

    /// All that can be said of a certificate without its signatures.
    fn judge_own(&self, now: Instant, bytes: &[u8]) -> Result<Certificate, &'static str> {
        let certificate = Certificate::parse(bytes).map_err(|_| "it cannot be read")?;
        if certificate.key() != self.vouched.key() {
            return Err("it is of another key");
        }
        let overlay = self.overlay.as_ref().ok_or("there is no overlay")?;
        let counts = |it: &&Certificate| overlay.judge(now, it).is_ok();
        let mut others = self.vouched.identity().certificates().iter().filter(counts);
        if others.any(|other| other.place() != certificate.place()) {
            return Err("it names another place than those before");
        }
        overlay.judge(now, &certificate).map_err(|_| "no trust anchor vouches for it now")?;
        Ok(certificate)
    }

    /// Verifies the next signature of a certificate, which is a piece of work; behind the last one
    /// it is taken.
    pub(super) fn verify_one(&mut self, now: Instant, mut checking: Checking) {
        let asks = &self.enrolment.asks;
        let Some(at) = asks.iter().position(|ask| ask.number == checking.number) else { return };
        let Some(overlay) = &self.overlay else { return };
        let (anchors, network) = (&overlay.trust().anchors, overlay.keys().network());
        let link = |nth: usize| checking.certificate.links(anchors).get(nth).copied();
        let holds = link(checking.verified).is_some_and(|link| link.verify(network));
        let last = link(checking.verified + 1).is_none();
        self.enrolment.counters.verified += 1;
        checking.verified += 1;
        match holds {
            false => self.faulty(now, at, "a signature does not hold"),
            true if !last => self.enrolment.checking = Some(checking),
            true => {
                self.holds(now, at, &checking.certificate);
                let issued_s = checking.certificate.validity().from_s;
                self.secret_came(now, checking.secret, issued_s);
            }
        }
    }

    /// A certificate holds: it is used from now on where it covers something for longer than what
    /// is there.
    fn holds(&mut self, now: Instant, at: usize, certificate: &Certificate) {
        let until_s = certificate.validity().until_s;
        let as_good = |it: &Certificate| it.validity().until_s >= until_s || self.lasts(now, it);
        let ask = self.enrolment.asks[at].clone();
        let (gained, omitted): (Vec<&str>, Vec<&str>) =
            ask.open().filter(|aor| !self.is_covered(aor, as_good)).partition(|aor| {
                let mut keys = self.overlay.iter().flat_map(|it| it.published_keys(aor));
                keys.all(|key| certificate.covers(&key))
            });
        if gained.is_empty() && ask.refused == 0 {
            return self.faulty(now, at, "it is of no use");
        }
        for aor in omitted {
            let until = now + ENROL_REFUSED_MIN + self.rng.jitter(ENROL_REFUSED_MIN / 8);
            self.enrolment.rest(aor, Why::Omitted, until);
        }
        self.enrolment.asks.remove(at);
        if gained.is_empty() {
            return;
        }
        self.enrolment.counters.taken += 1;
        self.enrolment.resting.retain(|resting| !gained.contains(&resting.aor.as_str()));
        self.cosip_server_spoke(now);
        let left_s = u64::from(until_s).saturating_sub(self.unix_now(now));
        log::info!("certified for {} h: {}", left_s / 3600, gained.join(", "));
        self.certificate_taken(now, certificate);
    }

    /// What a CoSIP server sent is not used; perhaps another one does better.
    fn faulty(&mut self, now: Instant, at: usize, why: &str) {
        self.enrolment.counters.faulty += 1;
        if self.enrolment.trouble != Trouble::Silent {
            log::warn!("a CoSIP server's certificate is not taken: {why}");
        }
        self.ask_another(now, at);
    }
}

/// What a person can do about a refusal.
fn advice(why: EnrolRefusal) -> &'static str {
    match why {
        EnrolRefusal::Unanswered => {
            "the provider's server does not pass on what is to show that the phone is registered \
             here; it may be registered elsewhere, too"
        }
        EnrolRefusal::Server => {
            "the provider's server answers with an error what is to show that the phone is \
             registered here; the provider has to let its CoSIP server send OPTIONS to it"
        }
        EnrolRefusal::Foreign => "it is none of the provider's; see option domain",
        EnrolRefusal::Crowded => {
            "as many routers have it as may; the provider can revoke one that is no longer used"
        }
        EnrolRefusal::Blocked => {
            "the provider has revoked this adapter's key; without adapter.key a restart makes \
             another"
        }
    }
}
