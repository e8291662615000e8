//! What is left of a simulated call: messages, and what the ends say.

use super::plan::{BOB, CAROL, Plan};
use crate::net::Packet;
use crate::sip::Msg;
use cosip::lab::phone::Report;
use cosip::lab::sdp;
use cosip::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// A SIP message that was sent.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// The network lost it.
    pub(super) lost: bool,
    pub(super) msg: Msg,
}

impl Seen {
    /// None where it is not SIP.
    pub(super) fn of(packet: &Packet, lost: bool) -> Option<Self> {
        packet.data.first().filter(|byte| byte.is_ascii_alphabetic())?;
        let Packet { at, from, to, .. } = *packet;
        Some(Self { at, from, to, lost, msg: Msg::parse(packet)? })
    }

    /// The session that the description in it names; none without one.
    pub(super) fn session(&self) -> Option<u32> {
        sdp::session(self.msg.body().as_bytes())
    }

    /// An INVITE that begins a dialog.
    pub(super) fn is_first_invite(&self) -> bool {
        self.msg.is("INVITE") && self.msg.tag("To").is_empty()
    }

    /// A 2xx to an INVITE.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.msg.status()) && self.msg.method() == "INVITE"
    }

    /// The dialog without the answerer's tag: Call-ID and tag of From.
    pub(super) fn call(&self) -> (&str, &str) {
        (self.msg.one("Call-ID"), self.msg.tag("From"))
    }

    /// The transaction: branch of the topmost Via.
    pub(super) fn branch(&self) -> &str {
        let via = self.msg.all("Via").first().copied().unwrap_or_default();
        let branch = via.split_once("branch=").map_or("", |(_, rest)| rest);
        branch.split([';', ',']).next().unwrap_or(branch)
    }
}

/// A phone at the end.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// Where it is; over TCP it sends from another port at each connection.
    pub(super) ip: IpAddr,
    /// Its calls when somebody should be talking, a moment later, and when all was over.
    pub(super) first: Vec<Report>,
    pub(super) talking: Vec<Report>,
    pub(super) over: Vec<Report>,
}

/// See the module's text.
pub(super) struct Evidence {
    pub(super) plan: Plan,
    /// All SIP messages, in the order of their sending.
    pub(super) seen: Vec<Seen>,
    pub(super) ends: Vec<End>,
    /// When the callers' INVITEs began.
    pub(super) started: Instant,
    /// When the server failed, and the message at which it did.
    pub(super) failed: Option<(Instant, String)>,
    pub(super) server: SocketAddr,
    /// The sessions of the house's mailbox, and why it answered.
    pub(super) mailboxes: Vec<(u32, String)>,
    /// Why calls were forwarded.
    pub(super) forwards: Vec<String>,
    /// What is still held when all is over: by whom and what, and how much.
    pub(super) held: Vec<(String, u64)>,
    /// What each adapter's `trace` says.
    pub(super) traces: Vec<String>,
}

impl Evidence {
    /// The call of a caller, in its own words, when all was over.
    pub(super) fn call(&self, phone: usize) -> Option<&Report> {
        self.ends[phone].over.iter().find(|report| report.caller)
    }

    /// Whether a call of this phone was forwarded to it by a server that failed then. The
    /// caller's adapter told another one of that call, so nobody here can save it (CALLS §4.1).
    pub(super) fn is_cut_off(&self, phone: usize) -> bool {
        phone == CAROL && !self.forwards.is_empty() && self.failed.is_some()
    }

    /// Whether a call of this phone is with one that is cut off: it stands at neither end.
    pub(super) fn is_with_cut_off(&self, phone: usize, call: &Report) -> bool {
        let given = |session: u32| {
            let mut answers = self.sent(self.ends[CAROL].ip).filter(|seen| seen.is_success());
            answers.any(|seen| seen.session() == Some(session))
        };
        let mut answers = self.reached(self.ends[phone].ip).filter(|seen| seen.is_success());
        let with_carol = answers.any(|seen| {
            seen.msg.one("Call-ID") == call.call_id && seen.session().is_some_and(given)
        });
        self.is_cut_off(CAROL) && (phone == CAROL || with_carol)
    }

    /// Whether the house gave up on Bob, who rang for this SDP session, before its caller did, and
    /// failed when it was about to call somebody else, or to answer itself. Bob's phone has
    /// stopped ringing then, and a leg that comes after a CANCEL rings it no more (CALLS §3.8).
    pub(super) fn is_given_up(&self, session: u32) -> bool {
        let bob = self.ends[BOB].ip;
        let rings = |seen: &&Seen| seen.is_first_invite() && seen.session() == Some(session);
        let called: Vec<&str> =
            self.reached(bob).filter(rings).map(|seen| seen.msg.one("Call-ID")).collect();
        let cancels = |seen: &&Seen| seen.msg.is("CANCEL");
        let own = self.sent(self.server.ip()).filter(cancels);
        let mut own = own.filter(|seen| called.contains(&seen.msg.one("Call-ID")));
        let caller = self.seen.iter().find(rings).map(|invite| invite.msg.one("Call-ID"));
        let mut left = self.seen.iter().filter(cancels);
        let left = left.find(|seen| Some(seen.msg.one("Call-ID")) == caller);
        let first = own.next().filter(|own| left.is_none_or(|left| own.at < left.at));
        self.failed.is_some() && first.is_some()
    }

    /// Whether the LAN lost each INVITE with this SDP session: its caller gave up before one came
    /// through, and nobody else has ever heard of the call.
    pub(super) fn is_unsent(&self, session: u32) -> bool {
        let mut asked = self.seen.iter().filter(|seen| seen.session() == Some(session));
        asked.all(|seen| seen.is_first_invite() && seen.lost)
    }

    /// Whether nothing of what Bob's phone said in such a session reached its adapter in time: who
    /// is silent for 2 s is not there (CALLS §2.6).
    pub(super) fn is_unheard(&self, session: u32) -> bool {
        const SILENCE: Duration = Duration::from_secs(2);
        let bob = self.ends[BOB].ip;
        let rings = |seen: &&Seen| {
            seen.to.ip() == bob && seen.is_first_invite() && seen.session() == Some(session)
        };
        self.seen.iter().filter(rings).any(|invite| {
            let mut said = self.sent(bob).filter(|seen| seen.call() == invite.call());
            let first = self.seen.iter().filter(rings).find(|seen| seen.call() == invite.call());
            let until = first.unwrap_or(invite).at + SILENCE;
            said.all(|seen| seen.lost || seen.at > until)
        })
    }

    /// Whether an adapter need not know any more what this 2xx of the server answers: the server
    /// had said nothing to that INVITE for 64*T1 (CALLS §3.7), or nothing for as long since its
    /// CANCEL (RFC 3261 s9.1).
    pub(super) fn is_forgotten(&self, success: &Seen) -> bool {
        const LIFE: Duration = Duration::from_secs(32);
        let number = success.msg.cseq();
        let same = |seen: &&Seen| {
            seen.msg.one("Call-ID") == success.msg.one("Call-ID") && seen.msg.cseq() == number
        };
        let asked = |seen: &&Seen| seen.to == self.server && seen.is_first_invite();
        let cancelled = |seen: &&Seen| seen.to == self.server && seen.msg.is("CANCEL");
        let cancel = self.sent(success.to.ip()).filter(cancelled).find(same);
        if cancel.is_some_and(|cancel| success.at >= cancel.at + LIFE) {
            return true;
        }
        let invite = self.sent(success.to.ip()).filter(asked).find(same);
        let Some(sent) = invite.map(|invite| invite.at) else { return false };
        let mut said = self.reached(success.to.ip()).filter(|s| s.from == self.server).filter(same);
        said.all(|seen| seen.at >= sent + LIFE)
    }

    /// Whether a call of a phone is with a mailbox.
    pub(super) fn mailbox_listens(&self, phone: usize, call: usize) -> bool {
        let end = &self.ends[phone];
        let Some(call) = end.over.get(call) else { return false };
        self.reached(end.ip).any(|seen| {
            let session = seen.session();
            seen.is_success()
                && seen.msg.one("Call-ID") == call.call_id
                && self.mailboxes.iter().any(|(own, _)| Some(*own) == session)
        })
    }

    /// Messages that reached `at`.
    pub(super) fn reached(&self, at: IpAddr) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.to.ip() == at && !seen.lost)
    }

    /// Messages that `from` sent.
    pub(super) fn sent(&self, from: IpAddr) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.from.ip() == from)
    }

    /// Who sent what to whom: for people.
    pub(super) fn ladder(&self) -> String {
        let lines = self.seen.iter().map(|seen| {
            let ms = seen.at.since(self.started).as_millis();
            let lost = if seen.lost { " LOST" } else { "" };
            let (msg, session) = (&seen.msg, seen.session());
            let session = session.map(|session| format!(" s={session}")).unwrap_or_default();
            let (call, tag) = (msg.one("Call-ID"), msg.tag("To"));
            format!(
                "{ms:>7} {} > {} {} [{}] {call} to={tag}{session}{lost}",
                seen.from,
                seen.to,
                msg.line(),
                msg.one("CSeq")
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
