//! The list of revocations, as it is to be spread through the overlay: nothing spreads it yet.
//!
//! Routers take so many additions from an issuing key a day, by their own estimate of how many
//! members there are: one that was stolen cannot silence everybody. More takes the anchor's
//! signature, not only for the list that they first stand on, but for each after it until every
//! router may take them from an issuing key, for some were switched off meanwhile.

use super::books::{Books, Deed, Ended};
use super::error::{FolderFault, Refusal, ServerError};
use super::folder::ISSUING;
use super::office::Office;
use super::{DAY_S, Moment};
use crate::identity::Identity;
use crate::identity::authority::Authority;
use crate::identity::revocation::{
    DAYS_MAX, REVOCATION_LIST_BYTES_MAX, Revocations, Revoked, most_added,
};

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
        let is_direct = anchor.is_some();
        let authority = match anchor {
            Some(anchor) => Authority::anchor(anchor, self.keys.network()),
            None => self.authority(moment)?.0,
        };
        let (public, network) = (self.anchor, *self.keys.network());
        let mixed = self.folder.fault(ISSUING, FolderFault::Mixed);
        self.books.alone(|books| {
            let today = moment.now_s / DAY_S;
            let ended = books.revoked(today * DAY_S)?;
            if !is_direct {
                check(books, moment, &ended)?;
            }
            let number = books.next_list(moment.now_s)?;
            let entries: Vec<Revoked> = ended.iter().map(|it| revoked(it, number)).collect();
            let head = authority.revoke(number as u32, moment.stamp(), &entries);
            if !head.verify(&[public], &network) {
                return Err(mixed);
            }
            let long = || Refusal::Long(entries.len());
            let list = Revocations::default().updated(&head, &entries, usize::MAX);
            let list = list.map_err(|_| long())?;
            let mut bytes = Box::new(heapless::Vec::<u8, REVOCATION_LIST_BYTES_MAX>::new());
            if list.encode(0, None, bytes.as_mut_view()).is_some() {
                return Err(long().into());
            }
            books.add_list(number, moment.now_s)?;
            let detail = format!("{} on it{}", entries.len(), signer(is_direct));
            let deed =
                Deed { what: "list", serial: Some(number), detail: &detail, ..Deed::default() };
            books.note(moment, &deed)?;
            let bytes = [head.as_bytes(), &bytes].concat();
            Ok(List { number: number as u32, entries: entries.len(), bytes })
        })
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
