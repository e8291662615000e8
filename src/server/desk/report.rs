//! What certified adapters report: they have seen a challenge for an AOR of theirs, and another's
//! key in it.
//!
//! Nothing is refused for it: a customer may have two routers, and whoever has an AOR does not
//! decide who else may. The audit has it, and the metrics, for the operator to ask.

use super::Desk;
use crate::identity::PublicKey;
use crate::identity::enrolment::Nonce;
use crate::server::Moment;
use crate::server::books::{Deed, Selector};
use crate::server::error::ServerError;
use crate::server::office::Office;
use crate::server::text::hex;

impl Desk {
    /// An adapter reports the challenge of this name. It counts once, while the challenge is open,
    /// from who is certified for its AOR.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn report(
        &mut self,
        moment: Moment<'_>,
        office: &mut Office,
        (key, nonce): (&PublicKey, &Nonce),
    ) -> Result<(), ServerError> {
        let flight = self.by_nonce.get(nonce).and_then(|number| self.flights.get_mut(number));
        let Some(flight) = flight.filter(|it| !it.reported && it.open.key != *key) else {
            self.counters.reports_strange += 1;
            return Ok(());
        };
        let aor = &flight.open.aor;
        let own = office.books().certificates(&Selector::Adapter(*key), Some(moment.now_s))?;
        if !own.iter().any(|held| held.aors.contains(aor)) {
            self.counters.reports_strange += 1;
            return Ok(());
        }
        flight.reported = true;
        self.counters.foreign_reported += 1;
        let detail = format!("reported by {}", hex(key));
        let deed = Deed {
            what: "foreign key",
            adapter: Some(&flight.open.key),
            aors: core::slice::from_ref(aor),
            detail: &detail,
            ..Deed::default()
        };
        office.books().note(moment, &deed)
    }
}
