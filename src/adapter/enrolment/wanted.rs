//! Which addresses need a certificate, and in which questions they are asked for.

use super::{Ask, Trouble};
use crate::adapter::Adapter;
use crate::adapter::providers::ProviderId;
use crate::adapter::registrar::BindingId;
use crate::channel::CERTIFIED_AORS_MAX;
use crate::config::Mode;
use crate::identity::Certificate;
use crate::identity::record::Key;
use crate::limits::{AOR_BYTES_MAX, CERTIFICATES_MAX};
use crate::time::Instant;

impl Adapter {
    /// Whether certificates are asked for at all.
    pub(super) fn enrols(&self) -> bool {
        let joined = |overlay: &crate::overlay::Overlay| {
            overlay.trust().is_required() && overlay.status().joined
        };
        let wanted = self.config.adapter.mode != Mode::Server && self.stopping.is_none();
        wanted && self.network.wan_up && self.overlay.as_ref().is_some_and(|it| joined(it))
    }

    /// The provider of a registered phone through which a challenge for its addresses would come:
    /// it has confirmed the phone, and it answers.
    fn challenges(&self, now: Instant, id: BindingId) -> Option<ProviderId> {
        let binding = self.registrar.get(id)?;
        let confirmed = binding.registered && now < binding.granted_until;
        let is_up = self.providers.get(binding.provider).is_some_and(|provider| provider.is_up());
        let wanted = confirmed && is_up && self.belongs_into_overlay(id, binding);
        binding.provider.filter(|_| wanted)
    }

    /// Whether a certificate for an address can be had.
    pub(super) fn may_enrol(&self, now: Instant, aor: &str) -> bool {
        self.registrar.by_aor(aor).any(|id| self.challenges(now, id).is_some())
    }

    /// Addresses for which a certificate can be had, each once, with their providers.
    fn enrollable(&self, now: Instant) -> Vec<(ProviderId, String)> {
        let mut all: Vec<(ProviderId, String)> = Vec::new();
        for (id, binding) in self.registrar.iter() {
            let Some(provider) = self.challenges(now, id) else { continue };
            let fits = |aor: &&str| aor.len() <= AOR_BYTES_MAX && self.is_published(aor);
            for aor in binding.addresses().filter(fits) {
                if !all.iter().any(|(_, known)| known == aor) {
                    all.push((provider, aor.to_owned()));
                }
            }
        }
        all
    }

    fn is_published(&self, aor: &str) -> bool {
        self.overlay.as_ref().is_some_and(|it| it.published_keys(aor).next().is_some())
    }

    /// Whether the records of an address are certified, for as long as `lasts` says.
    pub(super) fn is_covered(&self, aor: &str, lasts: impl Fn(&Certificate) -> bool) -> bool {
        let all = self.vouched.identity().certificates();
        let certified = |key: Key| all.iter().any(|it| it.covers(&key) && lasts(it));
        self.overlay.as_ref().is_some_and(|overlay| overlay.published_keys(aor).all(certified))
    }

    /// Whether a certificate counts now, and need not be renewed yet.
    pub(super) fn lasts(&self, now: Instant, certificate: &Certificate) -> bool {
        let counts = self.overlay.as_ref().is_some_and(|it| it.judge(now, certificate).is_ok());
        let validity = certificate.validity();
        let (from_s, until_s) = (u64::from(validity.from_s), u64::from(validity.until_s));
        let life_s = until_s.saturating_sub(from_s);
        let renewed_s = from_s + life_s / 2 - self.enrolment.early_s(life_s);
        // Without a clock nobody knows how old it is.
        counts && !(self.knows_time() && self.unix_now(now) >= renewed_s)
    }

    /// Asks for certificates that are missing.
    pub(super) fn look_for_missing(&mut self, now: Instant) {
        if !self.enrols() || now < self.enrolment.pause.0 {
            return;
        }
        let all = self.enrollable(now);
        let asked =
            |aor: &str| self.enrolment.asks.iter().any(|a| a.aors.iter().any(|of| of == aor));
        let lasting = |aor: &str| self.is_covered(aor, |it| self.lasts(now, it));
        let (kept, mut missing): (Vec<_>, Vec<_>) =
            all.into_iter().filter(|(_, aor)| !asked(aor)).partition(|(_, aor)| lasting(aor));
        if missing.is_empty() {
            self.enrolment.trouble = Trouble::None;
        }
        missing.retain(|(_, aor)| !self.enrolment.rests(now, aor));
        while let Some((provider, _)) = missing.first().cloned() {
            let mut aors = heapless::Vec::new();
            missing.retain(|(of, aor)| *of != provider || aors.push(aor.clone()).is_err());
            self.fill(provider, &kept, &mut aors);
            if !self.ask_for(now, aors) {
                log::warn!("more addresses of phones here than can be certified: the rest waits");
                return;
            }
        }
    }

    /// Where as many certificates are there as may be, a question asks for addresses of others,
    /// too, so that one becomes superfluous: first for those that stand alone in theirs.
    fn fill(
        &self,
        provider: ProviderId,
        kept: &[(ProviderId, String)],
        aors: &mut heapless::Vec<String, CERTIFIED_AORS_MAX>,
    ) {
        let all = self.vouched.identity().certificates();
        if all.len() + self.enrolment.asks.len() < CERTIFICATES_MAX {
            return;
        }
        let company = |aor: &str| {
            let of =
                |key: Key| all.iter().filter(move |it| it.covers(&key)).map(|it| it.keys().count());
            let keys = self.overlay.iter().flat_map(|overlay| overlay.published_keys(aor));
            keys.flat_map(of).min()
        };
        let mut others: Vec<&String> =
            kept.iter().filter(|(of, _)| *of == provider).map(|(_, aor)| aor).collect();
        others.sort_by_key(|aor| company(aor));
        for aor in others {
            let _has_room = aors.push(aor.clone());
        }
    }

    /// False where as many questions are open as may be.
    fn ask_for(&mut self, now: Instant, aors: heapless::Vec<String, CERTIFIED_AORS_MAX>) -> bool {
        let enrolment = &mut self.enrolment;
        enrolment.last_number = enrolment.last_number.wrapping_add(1);
        let (number, tried) = (enrolment.last_number, heapless::Vec::new());
        let ask =
            Ask { number, aors, refused: 0, server: None, tried, at: now, sent: 0, waits: false };
        let fits = enrolment.asks.push(ask).is_ok();
        enrolment.seeks |= fits;
        enrolment.counters.asked += u64::from(fits);
        fits
    }
}
