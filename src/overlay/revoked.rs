//! Lists of revocations, passed from member to member.
//!
//! Each answer says which list its sender goes by. Who hears of a newer one asks for what was added
//! since its own, a piece after the other, from one member at a time; the head's signatures are
//! verified in their turn (see `work`) before more than the first piece is asked for. Who has taken
//! one tells a few members at once, and the others hear of it as they ask this and that.
//!
//! Anybody can say any number: who does not give a list in time, or another one than was signed, is
//! left alone for a while, and somebody else is asked. Without a trust anchor nobody asks, answers
//! or is told anything.

use super::Overlay;
use super::answer::Asker;
use super::event::OverlayEvent;
use super::id::Node;
use super::recent::Recent;
use super::request::Purpose;
use super::table::Member;
use super::wire::{Hello, NO_TOKEN, Piece, Token};
use super::wire_out::Encoder;
use super::work::{Job, Reason, Subject};
use crate::identity::record::KeptRecord;
use crate::identity::revocation::{Pieces, RevocationError, RevocationHead, Revocations};
use crate::identity::trust::{CLOCK_LATE_S, Trust};
use crate::net::{NodeId, Rejected};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};

/// A list comes within this time, or from somebody else.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a piece is asked for: datagrams are lost.
const TRIES_MAX: u8 = 4;
/// Who did not give what it said to have is left alone for so long.
const AVOIDED_S: u16 = 600;
const AVOIDED: usize = 64;
/// After a list with more on it than an issuing key may revoke, no other one that such a key has
/// signed is taken for so long.
const REFUSED: Duration = Duration::from_secs(3600);
/// Members that are told of a list that was taken.
const TOLD: usize = 4;
/// Between two members that are to prove who they are, once a list was taken.
const REVIEW_PAUSE: Duration = Duration::from_secs(1);

/// A list that is on its way.
struct Fetch {
    /// From whom; `None` where our own side brought it.
    from: Option<Node>,
    /// Whether it has said so itself: anybody can say so in a neighbour's name.
    sure: bool,
    token: Token,
    /// What is asked for was added behind this list.
    since: u32,
    /// What has come of it.
    pieces: Option<Pieces>,
    more: bool,
    tries: u8,
    until: Instant,
}

/// What is known of lists besides the one that counts.
pub(super) struct Revoked {
    fetch: Option<Fetch>,
    /// The number of the last request.
    step: u16,
    avoided: Recent,
    refused_until: Instant,
    /// Whether somebody has said to have one before it could be taken.
    early: bool,
    /// Behind whom members are looked at, and when the next one is.
    review: Option<(NodeId, Instant)>,
}

impl Revoked {
    pub(super) fn new(now: Instant, rng: &mut Rng) -> Self {
        let avoided = Recent::new(rng, AVOIDED, AVOIDED_S);
        Self { fetch: None, step: 0, avoided, refused_until: now, early: false, review: None }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(self.fetch.as_ref().map(|fetch| fetch.until), self.review.map(|(_, at)| at))
    }

    /// Whether this request is the one that is waited for.
    fn awaits(&self, step: u16) -> bool {
        step == self.step && self.fetch.is_some()
    }

    /// Whether these are the signatures that are waited for.
    fn is_of(&self, job: &Job) -> bool {
        let pieces = self.fetch.as_ref().and_then(|fetch| fetch.pieces.as_ref());
        matches!((pieces, &job.subject), (Some(it), Subject::Head(head)) if it.head() == head)
    }
}

impl Overlay {
    /// Takes a whole list ([`Revocations::to_bytes`]) that was taken before, or
    /// that the provider itself has made, once its signatures are verified. Returns its number.
    ///
    /// # Errors
    /// [`Rejected`] where it is none, or no newer one.
    pub fn offer_list(&mut self, now: Instant, data: &[u8]) -> Result<u32, Rejected> {
        let pieces = Pieces::parse(data).map_err(|_| Rejected::Malformed)?;
        let head =
            self.accept_head(now, pieces.head().as_bytes(), true).ok_or(Rejected::Unauthorized)?;
        self.revoked.fetch = Some(Fetch {
            from: None,
            sure: true,
            token: NO_TOKEN,
            since: 0,
            pieces: Some(pieces),
            more: false,
            tries: 0,
            until: now + PATIENCE,
        });
        let number = head.number();
        let (reason, subject) = (Reason::List, Subject::Head(head));
        self.submit(now, Job { reason, subject, addresses: None }).map(|()| number)
    }

    /// Somebody says to have a list of this number; or perhaps another does in its name.
    pub(super) fn seek_list(
        &mut self,
        now: Instant,
        node: &Node,
        token: &Token,
        (number, sure): (u32, bool),
    ) {
        let (since, now_s) = (self.vouching.list_number(), self.seconds(now));
        // Who does not know yet how many there are cannot say how many may be revoked.
        let newer = self.vouching.is_required() && number > since;
        let ready = self.join_next(now).is_none();
        self.revoked.early |= newer && !ready;
        let avoided = self.revoked.avoided.contains(&node.address, now_s);
        let busy = self.revoked.fetch.as_ref().is_some_and(|it| it.sure || !sure);
        if ready && newer && !busy && !avoided {
            self.fetch_list(now, node, token, sure);
        }
    }

    /// Asks somebody for its list.
    pub(super) fn fetch_list(&mut self, now: Instant, node: &Node, token: &Token, sure: bool) {
        let since = self.vouching.list_number();
        let (from, token, until) = (Some(*node), *token, now + PATIENCE);
        self.revoked.fetch =
            Some(Fetch { from, sure, token, since, pieces: None, more: true, tries: 0, until });
        self.ask_for_piece(now);
    }

    /// Asks for the next piece, or once more for the same.
    fn ask_for_piece(&mut self, now: Instant) {
        let Some(fetch) = &mut self.revoked.fetch else { return };
        let Some(node) = fetch.from.filter(|_| fetch.tries < TRIES_MAX) else {
            return self.give_up(now);
        };
        fetch.tries += 1;
        let after = fetch.pieces.as_ref().and_then(Pieces::after);
        let from = after.map_or(0, |serial| serial.saturating_add(1));
        let (token, since) = (fetch.token, fetch.since);
        // 0 tells, and asks for nothing.
        self.revoked.step = self.revoked.step.checked_add(1).unwrap_or(1);
        let purpose = Purpose::List(self.revoked.step);
        let asked = self.ask(now, node.address, Some(node.id), purpose, 0, |me, request| {
            Encoder::list(me, request, &token, since, from)
        });
        if !asked {
            // That is no fault of whoever has it.
            self.revoked.fetch = None;
        }
    }

    /// A piece has not come in time.
    pub(super) fn piece_missed(&mut self, now: Instant, step: u16) {
        if self.revoked.awaits(step) {
            self.ask_for_piece(now);
        }
    }

    /// Somebody answers with a piece.
    pub(super) fn piece_heard(
        &mut self,
        now: Instant,
        step: u16,
        hello: &Hello,
        piece: &Piece<'_>,
    ) -> Result<(), Rejected> {
        let Piece { head, more, entries } = *piece;
        let accepted = head.and_then(|head| self.accept_head(now, head, false));
        let awaited = self.revoked.awaits(step);
        let Some(fetch) = self.revoked.fetch.as_mut().filter(|_| awaited) else { return Ok(()) };
        // It may have another list by now, or not have known our address.
        let other = fetch.pieces.as_ref().is_some_and(|it| it.head().number() != hello.list);
        let unproven = fetch.token != hello.token && entries.is_empty();
        if head.is_none() && (other || unproven) && hello.list > fetch.since {
            fetch.token = hello.token;
            fetch.pieces = fetch.pieces.take().filter(|_| !other);
            self.ask_for_piece(now);
            return Ok(());
        }
        let taken = match (&mut fetch.pieces, &accepted) {
            (pieces @ None, Some(head)) if head.number() == hello.list => {
                pieces.insert(Pieces::new(head.clone())).take(entries).is_ok()
            }
            (Some(pieces), None) => !(more && entries.is_empty()) && pieces.take(entries).is_ok(),
            _ => false,
        };
        if !taken {
            self.give_up(now);
            return Err(Rejected::Unauthorized);
        }
        (fetch.sure, fetch.more, fetch.tries) = (true, more, 0);
        let Some(head) = accepted else {
            self.list_goes_on(now);
            return Ok(());
        };
        let (reason, subject) = (Reason::List, Subject::Head(head));
        self.submit(now, Job { reason, subject, addresses: None })
    }

    /// The head of a list, if that is newer than ours and counts, where its signatures hold.
    fn accept_head(&self, now: Instant, data: &[u8], own: bool) -> Option<RevocationHead> {
        let head = RevocationHead::parse(data).ok()?;
        let may = own || head.is_direct() || now >= self.revoked.refused_until;
        let newer = head.number() > self.vouching.list_number();
        (may && newer && self.vouching.check_head(now, &head, own).is_ok()).then_some(head)
    }

    /// The signatures of a head hold.
    pub(super) fn head_verified(&mut self, now: Instant, job: &Job) {
        if self.revoked.is_of(job) {
            self.list_goes_on(now);
        }
    }

    /// They do not, or cannot be verified now.
    pub(super) fn head_dropped(&mut self, now: Instant, job: &Job) {
        if self.revoked.is_of(job) {
            self.give_up(now);
        }
    }

    fn list_goes_on(&mut self, now: Instant) {
        if self.revoked.fetch.as_ref().is_some_and(|fetch| fetch.more) {
            return self.ask_for_piece(now);
        }
        let Some(fetch) = self.revoked.fetch.take() else { return };
        let Some(pieces) = &fetch.pieces else { return };
        let (head, entries, members) = (pieces.head(), pieces.entries(), self.about_members());
        let held = &self.trust().revocations;
        let list = match fetch.from {
            None => held.restored(head, entries),
            Some(_) if fetch.since == 0 => held.replaced(head, entries, members),
            Some(_) => held.updated(head, entries, members),
        };
        match list {
            Ok(list) => self.take_list(now, list, fetch.from.is_none()),
            // Perhaps what is held is to blame.
            Err(RevocationError::Entries) if fetch.since > 0 => {
                let whole = Fetch { since: 0, pieces: None, more: true, tries: 0, ..fetch };
                self.revoked.fetch = Some(whole);
                self.ask_for_piece(now);
            }
            Err(RevocationError::TooMany) => {
                self.counters.lists_refused += 1;
                self.revoked.refused_until = now + REFUSED;
                self.tell(OverlayEvent::ListRefused(head.number()));
                self.avoid(now, fetch.from);
            }
            Err(_) => {
                self.revoked.fetch = Some(fetch);
                self.give_up(now);
            }
        }
    }

    /// About how many members there are.
    fn about_members(&self) -> usize {
        let [four, six] = self.hints.counts();
        let heard_of = if self.hints.six { six } else { four };
        heard_of.max(self.members.len()) + 1
    }

    fn take_list(&mut self, now: Instant, list: Revocations, own: bool) {
        self.counters.lists_taken += 1;
        // Its clock may be ahead of ours by so much, and the next one's no further.
        let direct = list.head().filter(|head| head.is_direct()).map(RevocationHead::issued_s);
        self.vouching.raise(now, direct.unwrap_or(0).saturating_sub(CLOCK_LATE_S));
        let trust = Trust { anchors: self.trust().anchors.clone(), revocations: list };
        self.set_trust(now, &trust);
        self.tell(OverlayEvent::ListTaken(own));
        let (place, number) = (self.rng.bytes(), self.vouching.list_number());
        for node in self.members.closest::<TOLD>(&place, |member| member.missed == 0) {
            self.ask(now, node.address, Some(node.id), Purpose::List(0), 0, |me, request| {
                Encoder::list(me, request, &NO_TOKEN, number, 0)
            });
        }
    }

    /// Another list counts than before: what it revokes is kept no longer, and those are no
    /// members. Of whom a certificate is known that has ended meanwhile shows another one.
    pub(super) fn drop_revoked(&mut self, now: Instant) {
        let trust = self.vouching.trust();
        let is_revoked =
            |it: &KeptRecord<'_>| it.certificate().is_some_and(|it| trust.has_revoked(&it));
        // Of several providers each knows its own certificates alone.
        self.store.drop_revoked(trust.anchors.len() > 1, is_revoked);
        let revoked = |it: &Self| {
            let (list, realm) = (&it.trust().revocations, it.trust().list_realm());
            it.members.iter().find(|member| list.has(member.serial ^ realm)).map(Member::node)
        };
        while let Some(node) = revoked(self) {
            self.counters.members_revoked += 1;
            self.leave(now, &node);
        }
        self.revoked.review = Some((NodeId([0; 16]), now + REVIEW_PAUSE));
    }

    pub(super) fn revoked_timeout(&mut self, now: Instant) {
        if self.revoked.fetch.as_ref().is_some_and(|fetch| fetch.until <= now) {
            self.give_up(now);
        }
        if self.revoked.early && self.join_next(now).is_none() {
            self.revoked.early = false;
            let place = self.rng.bytes();
            for node in self.members.closest::<1>(&place, |member| member.missed == 0) {
                self.check(now, node);
            }
        }
        let Some((behind, _)) = self.revoked.review.filter(|(_, at)| *at <= now) else { return };
        let is_over =
            |member: &&Member| member.id > behind && self.vouching.has_ended(now, member.until_s);
        let next = self.members.iter().find(is_over).map(|member| (member.node(), member.near));
        self.revoked.review = next.map(|(node, _)| (node.id, now + REVIEW_PAUSE));
        if let Some((node, near)) = next {
            self.members.remove(&node.id);
            // What it is asked, or its answer, may be lost.
            self.suspect(now, &node);
            self.list(now, &node, near);
        }
    }

    /// Somebody did not give the list that it said to have, or another one than was signed.
    fn give_up(&mut self, now: Instant) {
        if let Some(fetch) = self.revoked.fetch.take() {
            self.counters.lists_failed += 1;
            self.avoid(now, fetch.from.filter(|_| fetch.sure));
        }
    }

    fn avoid(&mut self, now: Instant, from: Option<Node>) {
        let now_s = self.seconds(now);
        if let Some(node) = from {
            self.revoked.avoided.note(&node.address, now_s);
        }
    }

    /// Somebody asks for a piece of our list, or tells of its own.
    pub(super) fn answer_list(&mut self, now: Instant, asker: &Asker, number: u32, from: u64) {
        if !self.vouching.is_required() {
            return;
        }
        if asker.proven || self.address_of(asker.node.id) == Some(asker.node.address) {
            self.seek_list(now, &asker.node, &NO_TOKEN, (number, asker.proven));
        }
        let hello = self.hello(now, &asker.node);
        let list = &self.vouching.trust().revocations;
        let list = Some(list).filter(|list| asker.proven && list.number() > number);
        self.counters.list_pieces += u64::from(list.is_some());
        let answer = Encoder::piece(self.me, asker.request, &hello, list, (number, from));
        self.reply(asker.node.address, asker.limit(), 0, answer);
    }
}
