//! What people and their tools are told of certificates.

use super::{Trouble, Why};
use crate::adapter::Adapter;
use crate::channel::EnrolRefusal;
use crate::identity::Certificate;
use crate::json::{Value, json};
use crate::time::Instant;

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Refused(EnrolRefusal::Unanswered) => "unanswered",
            Self::Refused(EnrolRefusal::Server) => "server",
            Self::Refused(EnrolRefusal::Foreign) => "foreign",
            Self::Refused(EnrolRefusal::Crowded) => "crowded",
            Self::Refused(EnrolRefusal::Blocked) => "blocked",
            Self::Omitted => "omitted",
        }
    }
}

impl Adapter {
    /// Field `identity` of the status.
    pub(in crate::adapter) fn identity_status(&self, now: Instant) -> Value {
        let certificates = self.vouched.identity().certificates();
        let certificates = certificates.iter().map(|it| self.certificate_status(now, it));
        let enrolment = &self.enrolment;
        let resting = enrolment.resting.iter().filter(|resting| now < resting.until);
        let refused = resting.map(|resting| {
            json!({
                "aor": resting.aor,
                "why": resting.why.as_str(),
                "again_s": resting.until.since(now).as_secs(),
            })
        });
        let certified = |aor: &str| self.is_certified_for(now, aor);
        let foreign = enrolment.foreign.iter().filter(|foreign| certified(&foreign.aor));
        let foreign = foreign.map(
            |foreign| json!({ "aor": foreign.aor, "ago_s": now.since(foreign.seen).as_secs() }),
        );
        json!({
            "certificates": certificates.collect::<Value>(),
            "enrolment": self.enrolment_state(now),
            "refused": refused.collect::<Value>(),
            "foreign_keys": foreign.collect::<Value>(),
            "revocations": self.list_status(),
        })
    }

    fn enrolment_state(&self, now: Instant) -> &'static str {
        let enrolment = &self.enrolment;
        match enrolment.trouble {
            _ if enrolment.asks.iter().any(|ask| !ask.waits) => "asking",
            _ if !enrolment.asks.is_empty() => "waiting",
            Trouble::Unknown => "no CoSIP server",
            Trouble::Silent => "no answer",
            Trouble::None if enrolment.resting.iter().any(|it| now < it.until) => "refused",
            Trouble::None => "none",
        }
    }

    fn certificate_status(&self, now: Instant, certificate: &Certificate) -> Value {
        let covered = |aor: &&str| {
            let mut keys = self.overlay.iter().flat_map(|overlay| overlay.published_keys(aor));
            keys.any(|key| certificate.covers(&key))
        };
        let all = self.registrar.known().flat_map(|(_, binding)| binding.addresses());
        let mut aors: Vec<&str> = all.filter(covered).collect();
        aors.sort_unstable();
        aors.dedup();
        json!({
            "serial": format!("{:016x}", certificate.serial()),
            "valid": self.counts(now, certificate),
            "until_s": u64::from(certificate.validity().until_s),
            "aors": aors[..],
        })
    }

    /// Whether we are certified for an address now.
    pub(super) fn is_certified_for(&self, now: Instant, aor: &str) -> bool {
        self.is_covered(aor, |it| self.counts(now, it))
    }

    /// Whether a certificate of ours counts now.
    fn counts(&self, now: Instant, certificate: &Certificate) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.judge(now, certificate).is_ok())
    }
}
