//! What is done about a key that has contradicted itself.
//!
//! It is revoked as a whole, by the books and with both statements in the audit, where it is one
//! that was certified here, and nothing can have made it drop the record. That is so where what
//! vouches for the record's owner does: routers drop records whose owners were revoked or have
//! ended, each by its own clock. More than the issuing key may revoke in a day is left to the
//! anchor, or one lie too many would keep the list from routers that has all others on it.

use super::Contradiction;
use crate::identity::Certificate;
use crate::identity::statement::Said;
use crate::server::books::{Books, Deed, Selector};
use crate::server::error::{Refusal, ServerError};
use crate::server::office::{Office, revoke};
use crate::server::text::{from_hex, hex};
use crate::server::{Moment, lists};

/// An owner's certificate that ends within this time, or has ended within it before, may have been
/// over for a holder: promises are for three hours, and clocks are wrong.
const DOUBT_S: u64 = 4 * 3600;

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was revoked: these certificates.
    Revoked(Vec<u64>),
    /// The anchor has to revoke it, and why.
    HeldBack(String),
    /// Nothing: it is not certified here, or it may have dropped the record for a good reason.
    Doubtful,
}

impl Contradiction {
    /// For the audit: whoever has the network's name can verify both.
    fn evidence(&self) -> String {
        let (receipt, denial) = (hex(self.receipt.as_bytes()), hex(self.denial.as_bytes()));
        format!("denied what it promised: receipt {receipt} denial {denial}")
    }
}

impl Office {
    /// Revokes the key that has signed two statements which contradict each other, and were
    /// verified, or says why not.
    ///
    /// # Errors
    /// What the database says.
    pub fn judge(
        &mut self,
        moment: Moment<'_>,
        contradiction: &Contradiction,
    ) -> Result<Verdict, ServerError> {
        let (said, evidence) = (contradiction.receipt.said(), contradiction.evidence());
        let which = Selector::Adapter(said.holder);
        self.books.alone(|books| {
            let held = books.certificates(&which, Some(moment.now_s))?;
            let is_placed = books.place_of(&said.holder)? == Some(hex(&said.place.0));
            if held.is_empty() || !is_placed || !is_owner_vouched_for(books, moment, &said)? {
                return Ok(Verdict::Doubtful);
            }
            match lists::check_more(books, moment, held.len()) {
                Err(ServerError::Refused(why @ Refusal::Many { .. })) => {
                    let deed = Deed {
                        what: "contradiction",
                        adapter: Some(&said.holder),
                        detail: &evidence,
                        ..Deed::default()
                    };
                    books.note(moment, &deed)?;
                    Ok(Verdict::HeldBack(why.to_string()))
                }
                Err(error) => Err(error),
                Ok(()) => revoke(books, moment, &which, &evidence).map(Verdict::Revoked),
            }
        })
    }
}

/// Whether every certificate counts that may have been with the record.
fn is_owner_vouched_for(
    books: &mut Books,
    moment: Moment<'_>,
    said: &Said,
) -> Result<bool, ServerError> {
    let since_s = moment.now_s.saturating_sub(DOUBT_S);
    let mut is_any = false;
    for (bytes, is_revoked) in books.certified_at(&said.owner, since_s)? {
        let Some(certificate) = from_hex(&bytes).and_then(|it| Certificate::parse(&it).ok()) else {
            return Ok(false);
        };
        if !certificate.covers(&said.key) {
            continue;
        }
        let delegation = certificate.delegation_serial();
        let is_dismissed = delegation.map_or(Ok(false), |serial| books.is_revoked(serial))?;
        let lasts = certificate.validity().covers(moment.now_s + DOUBT_S);
        if is_revoked || is_dismissed || !lasts {
            return Ok(false);
        }
        is_any = true;
    }
    Ok(is_any)
}
