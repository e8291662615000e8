//! The list of revocations, as it spreads through the overlay from whichever machine has made it:
//! its bytes are in the books, so all of them give out the same.
//!
//! Routers take so many additions from an issuing key a day, by their own estimate of how many
//! members there are: one that was stolen cannot silence everybody. More takes the anchor's
//! signature, not only for the list that they first stand on, but for each after it until every
//! router may take them from an issuing key, for some were switched off meanwhile.
//!
//! Whoever has stolen an issuing key makes lists, too, and the highest number counts: where a
//! delegation is on the anchor's, that is ahead of all that such a key can number.

use super::books::{Books, Deed, Ended};
use super::error::{FolderFault, Refusal, ServerError};
use super::folder::ISSUING;
use super::office::Office;
use super::{DAY_S, Moment};
use crate::identity::authority::Authority;
use crate::identity::revocation::{
    DAYS_MAX, REVOCATION_LIST_BYTES_MAX, Revocations, Revoked, most_added,
};
use crate::identity::trust::{ANCHOR_AHEAD, LIST_S, list_number_max};
use crate::identity::{Identity, PublicKey};

/// Routers estimate how many members there are, and some of these are switched off: of those that
/// were certified, so many are counted on.
const COUNTED_ON: (usize, usize) = (1, 2);

/// A list, signed.
#[derive(Clone, Debug)]
pub struct List {
    /// Its number.
    pub number: u32,
    /// How many are on it.
    pub entries: usize,
    /// What is spread: the head, and the entries behind it.
    pub bytes: Vec<u8>,
}

impl Office {
    /// Makes the next list, signed by the anchor where one is given.
    ///
    /// # Errors
    /// [`Refusal::Many`] where it takes the anchor, and what else can fail.
    pub fn list(
        &mut self,
        moment: Moment<'_>,
        anchor: Option<Identity>,
    ) -> Result<List, ServerError> {
        let signer = self.list_signer(moment, anchor)?;
        self.books.alone(|books| signer.make(books, moment))
    }

    /// Makes the next list where something was revoked since the last one, or has ended that was
    /// on that, once a day. Its number, and that of all others from now on, is higher than `held`,
    /// which routers have.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn renew_list(
        &mut self,
        moment: Moment<'_>,
        held: u32,
    ) -> Result<Option<List>, ServerError> {
        if self.books.last_list()? < u64::from(held) {
            self.books.alone(|books| books.note_list(held.into(), moment.now_s))?;
        }
        if !is_due(&mut self.books, moment)? {
            return Ok(None);
        }
        let signer = self.list_signer(moment, None)?;
        self.books.alone(|books| {
            // Another machine may have made it meanwhile.
            let due = is_due(books, moment)?;
            due.then(|| signer.make(books, moment)).transpose()
        })
    }

    fn list_signer(
        &mut self,
        moment: Moment<'_>,
        anchor: Option<Identity>,
    ) -> Result<Signer, ServerError> {
        let is_direct = anchor.is_some();
        let authority = match anchor {
            Some(anchor) => Authority::anchor(anchor, self.keys.network()),
            None => self.authority(moment)?.0,
        };
        let (public, network) = (self.anchor, *self.keys.network());
        let mixed = self.folder.fault(ISSUING, FolderFault::Mixed);
        Ok(Signer { authority, is_direct, public, network, mixed })
    }
}

/// Whether the next list would say something else than the last one.
fn is_due(books: &mut Books, moment: Moment<'_>) -> Result<bool, ServerError> {
    let today_s = moment.now_s / DAY_S * DAY_S;
    let ended = books.revoked(today_s)?;
    let last_s = books.lists(0)?.last().map_or(today_s, |(_, issued_s)| *issued_s);
    let shorter = last_s < today_s && books.revoked(last_s / DAY_S * DAY_S)?.len() > ended.len();
    Ok(shorter || ended.iter().any(|it| it.list.is_none()))
}

/// Who signs a list, and what that has to hold for.
struct Signer {
    authority: Authority,
    is_direct: bool,
    public: PublicKey,
    network: [u8; 16],
    /// What is wrong where it does not.
    mixed: ServerError,
}

impl Signer {
    fn make(self, books: &mut Books, moment: Moment<'_>) -> Result<List, ServerError> {
        let today = moment.now_s / DAY_S;
        let ended = books.revoked(today * DAY_S)?;
        if !self.is_direct {
            check(books, moment, &ended)?;
        }
        let mut number = books.next_list(moment.now_s)?;
        let minute = moment.now_s / u64::from(LIST_S);
        if self.is_direct && books.has_dismissed(today * DAY_S)? {
            number = number.max(minute + u64::from(ANCHOR_AHEAD));
        }
        let ahead = u64::from(list_number_max(moment.stamp(), self.is_direct)) - minute;
        if number > minute + ahead {
            return Err(Refusal::Ahead(number, (number - ahead) * u64::from(LIST_S)).into());
        }
        let entries: Vec<Revoked> = ended.iter().map(|it| revoked(it, number)).collect();
        let head = self.authority.revoke(number as u32, moment.stamp(), &entries);
        if !head.verify(&[self.public], &self.network) {
            return Err(self.mixed);
        }
        let long = || Refusal::Long(entries.len());
        let list = Revocations::default().updated(&head, &entries, usize::MAX);
        let bytes = list.map_err(|_| long())?.to_bytes();
        if bytes.len() > head.as_bytes().len() + REVOCATION_LIST_BYTES_MAX {
            return Err(long().into());
        }
        books.add_list(number, moment.now_s, &bytes)?;
        let detail = format!("{} on it{}", entries.len(), signer(self.is_direct));
        let deed = Deed { what: "list", serial: Some(number), detail: &detail, ..Deed::default() };
        books.note(moment, &deed)?;
        Ok(List { number: number as u32, entries: entries.len(), bytes })
    }
}

fn signer(is_direct: bool) -> &'static str {
    if is_direct { ", signed by the anchor" } else { "" }
}

fn revoked(ended: &Ended, number: u64) -> Revoked {
    Revoked {
        serial: ended.serial,
        ends_day: u16::try_from(ended.ends_s / DAY_S).unwrap_or(u16::MAX),
        number: ended.list.unwrap_or(number) as u32,
    }
}

/// Whether the issuing key may sign the next list with so many more on it.
pub(super) fn check_more(
    books: &mut Books,
    moment: Moment<'_>,
    more: usize,
) -> Result<(), ServerError> {
    let mut ended = books.revoked(moment.now_s / DAY_S * DAY_S)?;
    let one_more = Ended { serial: 0, ends_s: moment.now_s, list: None };
    ended.extend(core::iter::repeat_n(one_more, more));
    check(books, moment, &ended)
}

/// Whether the issuing key may sign the next list, with these on it.
fn check(books: &mut Books, moment: Moment<'_>, ended: &[Ended]) -> Result<(), ServerError> {
    let (counted, of) = COUNTED_ON;
    let members = books.members(moment.now_s)? * counted / of;
    let lists = books.lists(moment.now_s.saturating_sub(DAYS_MAX as u64 * DAY_S))?;
    Ok(check_added(ended, &lists, moment.now_s / DAY_S, members)?)
}

/// Whether it is the issuing key's to sign: routers take it, whichever of `lists` (their numbers
/// and when) they hold, or none; and no day brings more, however many lists are made on it.
fn check_added(
    ended: &[Ended],
    lists: &[(u64, u64)],
    today: u64,
    members: usize,
) -> Result<(), Refusal> {
    let may = |days: u64| most_added(usize::try_from(days).unwrap_or(DAYS_MAX), members);
    let since =
        |number: u64| ended.iter().filter(|it| it.list.is_none_or(|list| list > number)).count();
    let ago = |issued_s: u64| today.saturating_sub(issued_s / DAY_S);
    let routers = lists.iter().map(|(number, issued_s)| (since(*number), may(ago(*issued_s) + 1)));
    let before = lists.iter().rev().find(|(_, issued_s)| ago(*issued_s) > 0);
    let days = before.map(|(number, issued_s)| (since(*number), may(ago(*issued_s))));
    let all = (ended.len(), may(DAYS_MAX as u64));
    match routers.chain(days).chain([all]).find(|(added, most)| added > most) {
        Some((added, most)) => Err(Refusal::Many { added, most }),
        None => Ok(()),
    }
}
