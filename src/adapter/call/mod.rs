//! One call: an INVITE with its legs, then the dialogs that came of it, until the last has ended.
//!
//! The same type serves both ends. At the caller's adapter a phone is upstream and the legs go
//! to the server and to other adapters; at the callee's adapter server and adapters are upstream
//! and the legs ring phones. Media has one phone side and a far side for each leg or upstream.

mod anew;
mod answers;
pub(crate) mod callee;
pub(crate) mod caller;
mod cancel;
pub(crate) mod claim;
pub(crate) mod decide;
mod described;
pub(crate) mod dialog;
pub(crate) mod dialogs;
mod doubt;
pub(crate) mod ended;
pub(crate) mod goodbye;
mod held;
mod hop;
pub(crate) mod identity;
pub(crate) mod leg;
mod life;
mod moving;
mod offer;
mod own;
mod refresh;
pub(crate) mod relay;
mod rescue;
mod search;
mod server_leg;
pub(crate) mod success;
mod unheard;

use super::emergency::Emergency;
use super::names::{Local, Path};
use super::providers::ProviderId;
use super::registrar::BindingId;
use crate::channel::{CallKey, CarryingPath, SessionKey};
use crate::limits::{CALL_DIALOGS_MAX, CALL_LEGS_MAX, CALL_UPSTREAMS_MAX};
use crate::list::List;
use crate::media::SessionId;
use crate::net::NodeId;
use crate::overlay::LookupId;
use crate::sip::transaction::{ClientId, Flow, ServerId};
use crate::table::Id;
use crate::time::Instant;
use claim::Claim;
use described::Described;
use dialogs::Dialog;
use moving::Moving;
use std::net::SocketAddr;

/// Names a call.
pub(crate) type CallId = Id<Call>;

/// Which end of the call this adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The phone here calls.
    Caller,
    /// The phone here is called.
    Callee,
}

/// A phone, as one end of a call.
#[derive(Clone, Debug)]
pub(crate) struct PhoneEnd {
    /// Where requests to the phone are sent.
    pub(crate) flow: Flow,
    /// Our own end of that flow.
    pub(crate) local: Local,
    /// The Contact URI that the phone last sent, exactly.
    pub(crate) contact: String,
    /// User part of the Contact that stands for it on the other sides.
    pub(crate) user: String,
    /// It calls, or writes, and withholds who does.
    pub(crate) withheld: bool,
}

/// An INVITE that came to us.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its transaction.
    pub(crate) server: ServerId,
    /// The INVITE as it came, for its responses.
    pub(crate) request: Vec<u8>,
    /// Where it came from.
    pub(crate) path: Path,
    /// Where its answers go.
    pub(crate) flow: Flow,
    /// Our own end of that flow.
    pub(crate) local: Local,
    /// The Contact URI of its sender.
    pub(crate) contact: String,
    /// Number of its CSeq.
    pub(crate) cseq: u32,
    /// What it has been told.
    pub(crate) state: UpstreamState,
    /// It was told a 2xx.
    pub(crate) accepted: bool,
    /// The To-tag of our 180 to it: all that it hears later has this one (CALLS §3.8).
    pub(crate) to_tag: Option<String>,
    /// While it is held: when that 180 is repeated.
    pub(crate) rings_again: Option<Instant>,
    /// It belongs to this call only as the one withheld caller that was waited for.
    pub(crate) anonymous: bool,
}

/// What an upstream leg has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamState {
    /// It gets what the legs answer.
    Carrying,
    /// It hears a 180 of ours while another one carries; `until`: refused then.
    Held {
        /// Instant at which it gets 480, once the call is decided.
        until: Option<Instant>,
    },
    /// It got a 2xx at this instant, not yet acknowledged; `late`: for longer than
    /// [`crate::limits::ACK_PATIENCE`].
    Accepted {
        /// When it got it.
        since: Instant,
        /// The ACK should be here by now.
        late: bool,
    },
    /// Its last answer is out.
    Done,
}

/// An INVITE that we sent.
#[derive(Debug)]
pub(crate) struct Leg {
    /// Which side it went to.
    pub(crate) path: Path,
    /// Where it went.
    pub(crate) flow: Flow,
    /// Our own end of that flow.
    pub(crate) local: Local,
    /// Its transaction.
    pub(crate) client: Option<ClientId>,
    /// How far it is.
    pub(crate) state: LegState,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When it last gave a sign.
    pub(crate) heard: Instant,
    /// It rings, but no phone for it: the other adapter holds it, as its phone rings by the server.
    pub(crate) held: bool,
    /// Its last answer where the other side has not been told it: ringing, a 2xx or a refusal.
    pub(crate) answer: Vec<u8>,
    /// Its Request-URI.
    pub(crate) target: String,
    /// Number of its CSeq.
    pub(crate) cseq: u32,
    /// The phone that it rings, at the callee's adapter.
    pub(crate) phone: Option<PhoneEnd>,
    /// That phone's registration.
    pub(crate) binding: Option<BindingId>,
    /// The emergency route that it takes, by its place among the options.
    pub(crate) route: Option<u8>,
}

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegState {
    /// Waits for its TCP connection.
    Dialing,
    /// Sent.
    Silent,
    /// A 100 came at this instant.
    Trying(Instant),
    /// A 101-199 came.
    Ringing,
    /// A 300-699 came; `rang`: after a 101-199.
    Refused {
        /// Its status.
        code: u16,
        /// Whether it had rung.
        rang: bool,
    },
    /// A 2xx came that may be a mailbox's: not heard before this.
    Doubted {
        /// When it is heard though a phone rings.
        until: Instant,
    },
    /// The transport refused, or nobody answered.
    Failed,
    /// A 2xx came first on this leg.
    Won,
    /// Another leg won, or the caller hung up.
    Lost,
}

impl LegState {
    /// Whether an answer may still come that counts.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Dialing | Self::Silent | Self::Trying(_) | Self::Ringing)
    }
}

/// The callee's place in the overlay, as far as it is known.
#[derive(Debug, Default)]
pub(crate) enum Search {
    /// Not looked up.
    #[default]
    Barred,
    /// Spared: it is kept found.
    Kept,
    /// The look-up runs.
    Looking(LookupId),
    /// The look-up has ended; see [`Call::callees`].
    Done,
}

/// One adapter that says the callee is with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callee {
    /// The adapter.
    pub(crate) node: NodeId,
    /// It acknowledged this call's notice.
    pub(crate) acknowledged: bool,
    /// It said that the callee is not there, or could not be reached.
    pub(crate) absent: bool,
    /// An INVITE went there.
    pub(crate) opened: bool,
    /// When this call's notice is sent to it again, unless it is acknowledged, and how often it
    /// was sent.
    pub(crate) notice: Option<(Instant, u8)>,
}

impl Callee {
    /// An adapter of which nothing else is known.
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, acknowledged: false, absent: false, opened: false, notice: None }
    }

    /// An adapter that told of this call itself; `opened`: by an INVITE.
    pub(crate) fn telling(node: NodeId, opened: bool) -> Self {
        Self { acknowledged: true, opened, ..Self::new(node) }
    }
}

/// A call.
pub(crate) struct Call {
    /// Which end this adapter is.
    pub(crate) role: Role,
    /// Call-ID of the INVITE that began it.
    pub(crate) call_id: String,
    /// Further Call-IDs under which its dialogs are known.
    pub(crate) other_ids: Vec<String>,
    /// What the adapters of both ends call it: by the Call-ID at the caller's.
    pub(crate) key: CallKey,
    /// Whom its first leg names as the caller, at the callee's adapter; at the caller's only which
    /// session its leg to the server offers.
    pub(crate) claim: Claim,
    /// Tag of the caller's From.
    pub(crate) from_tag: String,
    /// What the phone knows it by, where that is not what the INVITE says.
    pub(crate) rename: Option<identity::Rename>,
    /// Index of the provider of the phone's registration.
    pub(crate) provider: Option<ProviderId>,
    /// The caller's AOR, as spelled for look-ups; empty where unknown.
    pub(crate) caller: String,
    /// Under what other addresses the caller may be shown.
    pub(crate) aliases: Vec<String>,
    /// The callee's AOR, likewise; after a redirection that of whom it names.
    pub(crate) callee: String,
    /// How often its overlay legs were redirected.
    pub(crate) redirects: u8,
    /// When the INVITE came.
    pub(crate) started: Instant,
    /// INVITEs that came to us; at the callee's adapter more than one.
    pub(crate) upstreams: List<Upstream, CALL_UPSTREAMS_MAX>,
    /// INVITEs that we sent.
    pub(crate) legs: List<Leg, CALL_LEGS_MAX>,
    /// Dialogs that came of it.
    pub(crate) dialogs: List<Dialog, CALL_DIALOGS_MAX>,
    /// The phone that calls, at the caller's adapter.
    pub(crate) phone: Option<PhoneEnd>,
    /// Relay ports.
    pub(crate) media: Option<SessionId>,
    /// What its phone said of its media, and was told.
    described: Described,
    /// Its media's way to the direct path.
    moving: Moving,
    /// The look-up of the callee.
    pub(crate) search: Search,
    /// Adapters that have a record of the callee, or that told us of this call.
    pub(crate) callees: List<Callee, CALL_LEGS_MAX>,
    /// The target of the server that has accepted the caller's REGISTER.
    pub(crate) accepted_by: Option<SocketAddr>,
    /// The leg whose ringing the caller hears.
    pub(crate) heard: Option<u8>,
    /// The upstream whose ACK came first, at the callee's adapter.
    pub(crate) carrier: Option<u8>,
    /// The leg that the caller's adapter says carries, at the callee's adapter.
    pub(crate) named: Option<CarryingPath>,
    /// The session of the answer that the caller's phone has heard, as its adapter says.
    pub(crate) answer_heard: Option<SessionKey>,
    /// When the caller's adapter is asked for it again, and how often it was.
    pub(crate) name_due: Option<(Instant, u8)>,
    /// The leg that won.
    pub(crate) winner: Option<u8>,
    /// After a challenge: the phone's next INVITE is waited for until then.
    pub(crate) retry_until: Option<Instant>,
    /// The caller hung up before an answer.
    pub(crate) cancelled: bool,
    /// The phone hung up, and the server has not confirmed it: when the channel says so.
    pub(crate) cancel_crosses: Option<Instant>,
    /// The winning 2xx, at the callee's adapter: another leg may need it yet.
    pub(crate) acceptance: Vec<u8>,
    /// What an emergency call has tried; none: it is no such call.
    pub(crate) emergency: Option<Emergency>,
    /// User part of Contacts that stand for the far end on the LAN side, one per call.
    pub(crate) alias_user: String,
    /// What the next decision waits for.
    pub(crate) decide_at: Option<Instant>,
    /// Why it goes over the overlay, for people: shown by status and trace.
    pub(crate) reason: &'static str,
}

impl Call {
    /// Whether the INVITE is still being answered.
    pub(crate) fn is_setting_up(&self) -> bool {
        self.retry_until.is_some()
            || self.cancel_crosses.is_some()
            || self.upstreams.iter().any(|u| u.state != UpstreamState::Done)
            || self.legs.iter().any(|l| l.state.is_open())
    }

    /// Whether a phone of it is on such a flow.
    pub(crate) fn uses(&self, is: impl Fn(Flow) -> bool) -> bool {
        self.phone.iter().any(|phone| is(phone.flow))
            || self.legs.iter().any(|leg| is(leg.flow))
            || self.dialogs.iter().any(|dialog| is(dialog.phone.flow))
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_setting_up() && self.dialogs.is_empty()
    }

    /// The Call-IDs of its messages.
    pub(crate) fn call_ids(&self) -> impl Iterator<Item = &str> {
        core::iter::once(&self.call_id).chain(&self.other_ids).map(String::as_str)
    }

    /// Whether messages with this Call-ID belong to it.
    pub(crate) fn goes_by(&self, call_id: &str) -> bool {
        self.call_ids().any(|known| known == call_id)
    }

    /// The INVITE that the legs are made from; empty once nothing can open any more.
    pub(crate) fn invite(&self) -> &[u8] {
        self.upstreams.first().map_or(&[], |up| &up.request)
    }

    /// Whether one of these phones rings, or rang, for it.
    pub(crate) fn rings_one_of(&self, phones: &[BindingId]) -> bool {
        self.legs.iter().any(|leg| leg.binding.is_some_and(|phone| phones.contains(&phone)))
    }

    /// The legs to targets of the server, in the order in which they were tried.
    pub(crate) fn server_legs(&self) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(|leg| leg.path == Path::Server && leg.route.is_none())
    }

    /// The server leg that was challenged last.
    pub(crate) fn challenged_leg(&self) -> Option<usize> {
        let challenged = |leg: &Leg| {
            let asked = matches!(leg.state, LegState::Refused { code: 401 | 407, .. });
            asked && leg.path == Path::Server
        };
        self.legs.iter().rposition(challenged)
    }
}
