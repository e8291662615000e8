//! Which certificates count no longer, though their time is not over.
//!
//! A provider signs the head of a list, and routers pass the list on: it is kept in order of
//! serials, with the day on which each certificate ends, from which on nobody needs its entry, and
//! with the number of the list that it was added in. So whoever holds any list needs only what was
//! added since, and what has ended goes without a word: the head's digest tells whether the outcome
//! is what was signed. The highest number wins.
//!
//! Layout of a head, in network byte order: version 1, length of the rest 2, delegation as in
//! [`super::chain`], signer 4, number 4, issued 4 (seconds of Unix time), entries 2, digest 32,
//! signature 64. Entries travel as postcard tuples: the distance from the serial before, how many
//! lists ago it was added, and how many days after the issue the certificate ends. The digest is
//! blake3 over all entries as serial 8, day 2, number 4.

mod pieces;

use super::chain::{Chain, DELEGATION_BYTES, Label, Link, NAME_BYTES, field};
use super::key::{PublicKey, SIGNATURE_BYTES};
use core::fmt;
pub use pieces::Pieces;
use std::sync::Arc;

/// Bytes of a head with the delegation that it needs.
pub const REVOCATION_HEAD_BYTES_MAX: usize =
    HEAD_BYTES + 1 + DELEGATION_BYTES + SIGNED_BYTES + 2 * SIGNATURE_BYTES;
/// Bytes that the entries of one list take where they travel.
pub const REVOCATION_LIST_BYTES_MAX: usize = 32 * 1024;

pub(super) const VERSION: u8 = 1;
const HEAD_BYTES: usize = 3;
/// From the signer's name to the digest.
const SIGNED_BYTES: usize = NAME_BYTES + 4 + 4 + 2 + blake3::OUT_LEN;
/// The most that one entry takes: two numbers of 64 and 32 bits, and a day.
const ENTRY_BYTES_MAX: usize = 10 + 5 + 1;
/// And the least.
const ENTRY_BYTES_MIN: usize = 3;
const ENTRIES_MAX: usize = REVOCATION_LIST_BYTES_MAX / ENTRY_BYTES_MIN;
pub(super) const LABEL: &Label = b"cosip revoke 1\0\0";
const DAY_S: u32 = 86_400;
/// More than one in so many are revoked within a day by the anchor alone: an issuing key that was
/// stolen must not silence everybody.
const OF_MEMBERS_A_DAY: usize = 100;
/// Of a small network so many may always be.
const A_DAY_MIN: usize = 4;
/// A certificate ends after so many days, so a first list holds no more than those.
pub const DAYS_MAX: usize = 15;

/// Why a list of revocations is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationError {
    /// Shorter or longer than its own fields say.
    Length,
    /// A version that this program does not know.
    Unknown,
    /// Not newer than what is known.
    Old,
    /// Other entries than those that were signed, or too many.
    Entries,
    /// More at once than an issuing key may revoke, or without what was revoked before.
    TooMany,
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "revocations: length does not match the fields",
            Self::Unknown => "revocations: unknown version",
            Self::Old => "revocations: older than those known",
            Self::Entries => "revocations: not the entries that were signed",
            Self::TooMany => "revocations: more or less than an issuing key may revoke",
        })
    }
}

impl core::error::Error for RevocationError {}

/// One certificate that counts no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revoked {
    /// Its number, or that of a delegation.
    pub serial: u64,
    /// The day since 1970 on which it ends.
    pub ends_day: u16,
    /// The list in which it first stood.
    pub number: u32,
}

/// The signed head of a list, as bytes whose shape has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationHead(heapless::Vec<u8, REVOCATION_HEAD_BYTES_MAX>);

impl RevocationHead {
    /// Checks the shape of `data`, not the signatures.
    ///
    /// # Errors
    /// [`RevocationError::Length`] and [`RevocationError::Unknown`].
    pub fn parse(data: &[u8]) -> Result<Self, RevocationError> {
        let &[version, high, low, ref rest @ ..] = data else {
            return Err(RevocationError::Length);
        };
        if version != VERSION {
            return Err(RevocationError::Unknown);
        }
        let len = usize::from(u16::from_be_bytes([high, low]));
        let chain = Chain::split(rest, LABEL).ok_or(RevocationError::Length)?;
        if rest.len() != len || chain.signed().len() != SIGNED_BYTES {
            return Err(RevocationError::Length);
        }
        heapless::Vec::from_slice(data).map(Self).map_err(|_| RevocationError::Length)
    }

    /// The bytes, with the delegation and all signatures.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The list's number: higher is newer.
    pub fn number(&self) -> u32 {
        u32::from_be_bytes(self.field(NAME_BYTES))
    }

    /// When it was issued, in seconds of Unix time.
    pub fn issued_s(&self) -> u32 {
        u32::from_be_bytes(self.field(NAME_BYTES + 4))
    }

    /// Whether the delegation was valid when it was issued, where there is one.
    pub fn is_timely(&self) -> bool {
        let delegated = self.chain().and_then(|chain| chain.delegated());
        delegated.is_none_or(|validity| validity.covers(u64::from(self.issued_s())))
    }

    /// The number under which the delegation can be revoked, where there is one.
    pub fn delegation_serial(&self) -> Option<u64> {
        self.chain()?.delegation_serial()
    }

    /// As for certificates: [`super::Certificate::links`].
    pub fn links(&self, anchors: &[PublicKey]) -> heapless::Vec<Link<'_>, 2> {
        self.chain().map(|chain| chain.links(anchors)).unwrap_or_default()
    }

    /// As for certificates: [`super::Certificate::verify`].
    pub fn verify(&self, anchors: &[PublicKey], network: &[u8; 16]) -> bool {
        self.chain().is_some_and(|chain| chain.verify(anchors, network))
    }

    /// Whether an anchor has signed it itself.
    pub fn is_direct(&self) -> bool {
        self.chain().is_some_and(|chain| chain.is_direct())
    }

    fn is_of(&self, entries: &[Revoked]) -> bool {
        let count = u16::from_be_bytes(self.field(NAME_BYTES + 8));
        usize::from(count) == entries.len() && self.field(NAME_BYTES + 10) == digest(entries)
    }

    fn today(&self) -> u16 {
        (self.issued_s() / DAY_S) as u16
    }

    fn chain(&self) -> Option<Chain<'_>> {
        Chain::split(self.0.get(HEAD_BYTES..)?, LABEL)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        field(self.chain().map(|chain| chain.signed()).unwrap_or_default(), at)
    }

    /// What an authority has just put together.
    #[cfg(any(feature = "server", feature = "lab", test))]
    pub(super) fn of(bytes: heapless::Vec<u8, REVOCATION_HEAD_BYTES_MAX>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RevocationHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationHead({})", self.number())
    }
}

/// What a head's digest is of.
pub(super) fn digest(entries: &[Revoked]) -> [u8; blake3::OUT_LEN] {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        hasher.update(&entry.serial.to_be_bytes());
        hasher.update(&entry.ends_day.to_be_bytes());
        hasher.update(&entry.number.to_be_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// A whole list, whose head has been verified by whoever put it together.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    head: Option<RevocationHead>,
    /// By rising serial; overlay and channel share them.
    entries: Arc<Vec<Revoked>>,
    /// What issuing keys have added since the list that was held before the day of this one.
    added: Added,
}

/// Additions, and the day from which on they count.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    since_day: u16,
    count: usize,
}

impl PartialEq for Revocations {
    /// By what is on them, however they came about.
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.entries == other.entries
    }
}

impl Eq for Revocations {}

impl Revocations {
    /// The signed head; `None` where nothing was ever revoked.
    pub fn head(&self) -> Option<&RevocationHead> {
        self.head.as_ref()
    }

    /// The list's number: 0 where nothing was ever revoked.
    pub fn number(&self) -> u32 {
        self.head.as_ref().map_or(0, RevocationHead::number)
    }

    /// How many certificates are on it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the certificate or delegation of this number is on it.
    pub fn has(&self, serial: u64) -> bool {
        find(&self.entries, serial).is_some()
    }

    /// Appends entries that were added after the list `since` and come behind `after` to `out`, as
    /// many as fit. Returns the last one's serial where more are to come.
    pub fn encode(
        &self,
        since: u32,
        after: Option<u64>,
        out: &mut heapless::VecView<u8>,
    ) -> Option<u64> {
        let head = self.head.as_ref()?;
        let mut before = after;
        let wanted = |entry: &&Revoked| entry.number > since && Some(entry.serial) > after;
        for entry in self.entries.iter().filter(wanted) {
            let mut room = [0; ENTRY_BYTES_MAX];
            let item = (
                entry.serial - before.unwrap_or(0),
                head.number().saturating_sub(entry.number),
                entry.ends_day.saturating_sub(head.today()) as u8,
            );
            let bytes = postcard::to_slice(&item, &mut room).unwrap_or_default();
            if out.extend_from_slice(bytes).is_err() {
                return before;
            }
            before = Some(entry.serial);
        }
        None
    }

    /// The list that follows from this one, where `head` is newer and signs it: without what has
    /// ended, and with `added`. `members` are in the network, by our own estimate.
    ///
    /// # Errors
    /// [`RevocationError`]; this list stands then.
    pub fn updated(
        &self,
        head: &RevocationHead,
        added: &[Revoked],
        members: usize,
    ) -> Result<Self, RevocationError> {
        let stands = |entry: &Revoked| entry.ends_day >= head.today();
        let held = self.entries.iter().copied().filter(stands);
        let news =
            added.iter().filter(|entry| !find(&self.entries, entry.serial).is_some_and(stands));
        let mut entries: Vec<Revoked> = held.chain(news.copied()).collect();
        entries.sort_unstable();
        self.followed_by(head, entries, members)
    }

    /// The same, where `entries` are all of them.
    ///
    /// # Errors
    /// As [`Self::updated`].
    pub fn replaced(
        &self,
        head: &RevocationHead,
        entries: &[Revoked],
        members: usize,
    ) -> Result<Self, RevocationError> {
        self.followed_by(head, entries.to_vec(), members)
    }

    /// The same, where whoever says so need not be asked how many these are: it was taken before,
    /// or comes from the provider itself.
    ///
    /// # Errors
    /// As [`Self::updated`].
    pub fn restored(
        &self,
        head: &RevocationHead,
        entries: &[Revoked],
    ) -> Result<Self, RevocationError> {
        let list = self.replaced(head, entries, usize::MAX)?;
        Ok(Self { added: Added { since_day: head.today(), count: 0 }, ..list })
    }

    fn followed_by(
        &self,
        head: &RevocationHead,
        entries: Vec<Revoked>,
        members: usize,
    ) -> Result<Self, RevocationError> {
        if head.number() <= self.number() {
            return Err(RevocationError::Old);
        }
        if !head.is_of(&entries) {
            return Err(RevocationError::Entries);
        }
        let news = entries.iter().filter(|entry| !self.has(entry.serial)).count();
        let mut added = self.added_before(head.today());
        if !head.is_direct() {
            // Nobody but the anchor takes back what was revoked.
            let keeps = |held: &Revoked| {
                held.ends_day < head.today()
                    || find(&entries, held.serial).is_some_and(|it| it.ends_day >= held.ends_day)
            };
            let before = self.head.as_ref().map(RevocationHead::today);
            let days = before.map_or(DAYS_MAX, |day| days_between(day, head.today()));
            added.count += news;
            // However many lists a day has.
            let all = most_added(days_between(added.since_day, head.today()), members);
            let many = news > most_added(days, members) || added.count > all;
            if many || !self.entries.iter().all(keeps) {
                return Err(RevocationError::TooMany);
            }
        }
        Ok(Self { head: Some(head.clone()), entries: Arc::new(entries), added })
    }

    /// The whole list: the head, and all entries behind it. Empty where nothing was ever revoked.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.as_ref().map_or(Vec::new(), |head| head.as_bytes().to_vec());
        let (mut after, mut more) = (None, self.head.is_some());
        while more {
            let mut piece = heapless::Vec::<u8, 1024>::new();
            after = self.encode(0, after, piece.as_mut_view());
            more = after.is_some();
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// What counts against the next list, where that is of the day `today`.
    fn added_before(&self, today: u16) -> Added {
        match self.head.as_ref().map(RevocationHead::today) {
            None => Added { since_day: today.saturating_sub(DAYS_MAX as u16), count: 0 },
            Some(day) if day < today => Added { since_day: day, count: 0 },
            Some(_) => self.added,
        }
    }
}

fn find(entries: &[Revoked], serial: u64) -> Option<&Revoked> {
    let at = entries.binary_search_by_key(&serial, |entry| entry.serial).ok()?;
    entries.get(at)
}

/// Days, both included.
fn days_between(first: u16, last: u16) -> usize {
    usize::from(last.saturating_sub(first)) + 1
}

/// How many an issuing key may revoke in a network of so many members, on a list that is made so
/// many days after the one before, the day that both are of included.
pub fn most_added(days: usize, members: usize) -> usize {
    days.min(DAYS_MAX) * (members / OF_MEMBERS_A_DAY).max(A_DAY_MIN)
}

#[cfg(test)]
mod tests;
