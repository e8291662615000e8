//! What adapters say to each other inside a session: SIP, and the few facts that make a server
//! leg and an overlay leg one call.
//!
//! A payload is a kind byte and a body. SIP is its own body; the other bodies are postcard's
//! encoding of one structure, complete and without a byte too many. From the first release on a
//! changed structure gets a new kind; kinds that are not known are counted and skipped, so old and
//! new adapters mix.

use super::enrol::{EnrolAnswer, EnrolAsk, EnrolProof};
use super::watch::{Statements, WatchAsk};
use crate::identity::enrolment::Nonce;
use crate::identity::record::{RENDEZVOUS_MAX, RendezvousList};
use crate::limits::{
    AOR_BYTES_MAX, CALLER_ALIASES_MAX, MEDIA_MOVE_BYTES_MAX, SIP_MESSAGE_BYTES_MAX,
};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Liveness and challenges; never leaves the channel.
pub(super) const CONTROL: u8 = 0x01;
/// A piece of a larger payload; never leaves the channel.
pub(super) const FRAGMENT: u8 = 0x02;
const SIP: u8 = 0x10;
const NOTICE: u8 = 0x20;
const NOTICE_ANSWER: u8 = 0x21;
const CARRYING: u8 = 0x22;
const CANCEL_CALL: u8 = 0x23;
const OPEN_LEG: u8 = 0x24;
const RENDEZVOUS: u8 = 0x25;
const MEDIA: u8 = 0x26;
const ENROL: u8 = 0x27;
const ENROL_PROOF: u8 = 0x28;
const ENROL_ANSWER: u8 = 0x29;
const ENROL_REPORT: u8 = 0x2a;
const WATCH: u8 = 0x2b;
const WATCHED: u8 = 0x2c;

/// Names a call by the Call-ID of the caller's INVITE: the first 16 bytes of its blake3 hash,
/// whatever its length. Both ends compute it from the Call-ID that they see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(align(4))]
pub struct CallKey(pub [u8; 16]);

impl CallKey {
    /// The key of the call with this SIP Call-ID.
    pub fn of(call_id: &str) -> Self {
        Self(digest(call_id))
    }
}

/// Names the session that an offer or an answer describes by what its `o=` says of it (RFC 8866
/// s5.2), hashed in the same way. A server that renames a call, and withholds who calls, may leave
/// that alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(align(4))]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// The key of the session with this origin.
    pub fn of(origin: &str) -> Self {
        Self(digest(origin))
    }
}

fn digest(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    key
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// "A call is coming": opens the channel, proves the callee's adapter alive. Nothing rings for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The call.
    pub call: CallKey,
    /// The AOR called, as looked up; at most [`AOR_BYTES_MAX`] bytes.
    pub callee: &'a str,
    /// The caller's AORs; none where the caller is withheld.
    pub aliases: heapless::Vec<&'a str, CALLER_ALIASES_MAX>,
    /// Whether the caller is withheld.
    pub withheld: bool,
    /// The session that the server leg offers, where it names one.
    pub session: Option<SessionKey>,
    /// Milliseconds from the phone's INVITE to this notice: no leg of the call is older.
    pub age_ms: u32,
}

/// What the callee's adapter says to a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NoticeAnswer {
    /// The callee is registered here.
    Here,
    /// The callee is not registered here (any more): try the next record.
    NotHere,
}

/// The way that carries a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CarryingPath {
    /// The server leg.
    Server,
    /// The overlay leg.
    Peer,
}

/// A payload, borrowed: from the caller to be sent, from the caller's buffer when received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// A SIP message of at most [`SIP_MESSAGE_BYTES_MAX`] bytes.
    Sip(&'a [u8]),
    /// A call is coming.
    Notice(Notice<'a>),
    /// The answer to a notice.
    NoticeAnswer {
        /// The call.
        call: CallKey,
        /// The answer.
        answer: NoticeAnswer,
    },
    /// From the caller's adapter: this leg carries the call, a BYE on the other is not for the
    /// phone.
    Carrying {
        /// The call.
        call: CallKey,
        /// The leg.
        path: CarryingPath,
        /// The session of the answer that the caller's phone has heard, where it names one.
        answer: Option<SessionKey>,
    },
    /// From the caller's adapter: the call is cancelled, in case no CANCEL arrives.
    CancelCall {
        /// The call.
        call: CallKey,
    },
    /// From the callee's adapter: the phone answered and the server leg does not carry the
    /// answer; open the overlay leg at once.
    OpenLeg {
        /// The call.
        call: CallKey,
    },
    /// From an adapter that nobody can reach first: the members through which it is met.
    Rendezvous(RendezvousList),
    /// The media of a call that runs by a server which has failed: where the sender wants them.
    Media(MediaMove<'a>),
    /// From an adapter to a CoSIP server: a certificate is wanted.
    Enrol(EnrolAsk<'a>),
    /// From an adapter to a CoSIP server: it has seen a challenge.
    EnrolProof(EnrolProof),
    /// From a CoSIP server: what becomes of the [`EnrolAsk`] with this number.
    EnrolAnswer(u32, EnrolAnswer<'a>),
    /// From an adapter to a CoSIP server: the challenge of this name is for an AOR that the adapter
    /// is certified for, and names another's key.
    EnrolReport(Nonce),
    /// From a CoSIP server: what is to be found out about others, and its number for that.
    Watch(u32, WatchAsk),
    /// To a CoSIP server: what was found out for the question of this number.
    Watched(u32, Statements<'a>),
}

/// Where one adapter wants the media of a running call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaMove<'a> {
    /// The call.
    pub call: CallKey,
    /// It comes from the caller's adapter.
    pub of_caller: bool,
    /// It answers the other adapter's.
    pub answers: bool,
    /// What the sender's phone takes, and where: SDP of at most [`MEDIA_MOVE_BYTES_MAX`] bytes.
    pub description: &'a [u8],
}

/// Why a payload cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Why bytes are no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// A kind of later versions.
    UnknownKind,
    /// A known kind whose body breaks the rules.
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct NoticeBody<'a> {
    call: CallKey,
    #[serde(borrow)]
    callee: &'a str,
    #[serde(borrow)]
    aliases: [&'a str; CALLER_ALIASES_MAX],
    withheld: bool,
    session: Option<SessionKey>,
    age_ms: u32,
}

impl Payload<'_> {
    /// Writes the body into `buf`; returns kind and length. A withheld caller's aliases are left
    /// out here, so that no mistake elsewhere names the caller.
    pub(super) fn encode(&self, buf: &mut [u8]) -> Result<(u8, usize), TooLarge> {
        match self {
            Self::Sip(message) => {
                let target = buf.get_mut(..message.len()).ok_or(TooLarge)?;
                target.copy_from_slice(message);
                Ok((SIP, message.len()))
            }
            Self::Notice(notice) => {
                let mut aliases = [""; CALLER_ALIASES_MAX];
                if !notice.withheld {
                    aliases.iter_mut().zip(&notice.aliases).for_each(|(to, from)| *to = from);
                }
                let &Notice { call, callee, withheld, session, age_ms, .. } = notice;
                let body = NoticeBody { call, callee, aliases, withheld, session, age_ms };
                if !within_bounds(&body) {
                    return Err(TooLarge);
                }
                write(NOTICE, &body, buf)
            }
            Self::NoticeAnswer { call, answer } => write(NOTICE_ANSWER, &(call, answer), buf),
            Self::Carrying { call, path, answer } => write(CARRYING, &(call, path, answer), buf),
            Self::CancelCall { call } => write(CANCEL_CALL, call, buf),
            Self::OpenLeg { call } => write(OPEN_LEG, call, buf),
            Self::Rendezvous(list) => {
                let mut body = [None; RENDEZVOUS_MAX];
                body.iter_mut().zip(list).for_each(|(to, from)| *to = Some(*from));
                write(RENDEZVOUS, &body, buf)
            }
            Self::Media(moved) if moved.description.len() > MEDIA_MOVE_BYTES_MAX => Err(TooLarge),
            Self::Media(moved) => write(MEDIA, moved, buf),
            Self::Enrol(ask) if !ask.is_within_bounds() => Err(TooLarge),
            Self::Enrol(ask) => write(ENROL, ask, buf),
            Self::EnrolProof(proof) => {
                let target = buf.get_mut(..EnrolProof::BYTES).ok_or(TooLarge)?;
                target.copy_from_slice(&proof.to_bytes());
                Ok((ENROL_PROOF, EnrolProof::BYTES))
            }
            Self::EnrolAnswer(number, answer) => write(ENROL_ANSWER, &(number, answer), buf),
            Self::EnrolReport(nonce) => write(ENROL_REPORT, nonce, buf),
            Self::Watch(number, ask) => write(WATCH, &(number, ask), buf),
            Self::Watched(number, statements) => {
                write(WATCHED, &(number, statements.as_bytes()), buf)
            }
        }
    }
}

impl<'a> Payload<'a> {
    /// Reads the body of a payload of `kind`.
    pub(super) fn decode(kind: u8, body: &'a [u8]) -> Result<Self, Undecodable> {
        match kind {
            SIP if body.is_empty() || body.len() > SIP_MESSAGE_BYTES_MAX => {
                Err(Undecodable::Malformed)
            }
            SIP => Ok(Self::Sip(body)),
            NOTICE => {
                let body: NoticeBody<'a> = read(body)?;
                if !within_bounds(&body) || body.withheld && body.aliases != [""; 4] {
                    return Err(Undecodable::Malformed);
                }
                let aliases = body.aliases.into_iter().filter(|alias| !alias.is_empty());
                Ok(Self::Notice(Notice {
                    call: body.call,
                    callee: body.callee,
                    aliases: aliases.collect(),
                    withheld: body.withheld,
                    session: body.session,
                    age_ms: body.age_ms,
                }))
            }
            NOTICE_ANSWER => read(body).map(|(call, answer)| Self::NoticeAnswer { call, answer }),
            CARRYING => {
                read(body).map(|(call, path, answer)| Self::Carrying { call, path, answer })
            }
            CANCEL_CALL => read(body).map(|call| Self::CancelCall { call }),
            OPEN_LEG => read(body).map(|call| Self::OpenLeg { call }),
            RENDEZVOUS => {
                let body: [Option<SocketAddr>; RENDEZVOUS_MAX] = read(body)?;
                Ok(Self::Rendezvous(body.into_iter().flatten().collect()))
            }
            MEDIA => {
                let moved: MediaMove<'a> = read(body)?;
                let fits = (1..=MEDIA_MOVE_BYTES_MAX).contains(&moved.description.len());
                fits.then_some(Self::Media(moved)).ok_or(Undecodable::Malformed)
            }
            ENROL => {
                let ask: EnrolAsk<'a> = read(body)?;
                ask.is_within_bounds().then_some(Self::Enrol(ask)).ok_or(Undecodable::Malformed)
            }
            ENROL_PROOF => {
                let proof = EnrolProof::from_bytes(body).map(Self::EnrolProof);
                proof.ok_or(Undecodable::Malformed)
            }
            ENROL_ANSWER => {
                let (number, answer): (u32, EnrolAnswer<'a>) = read(body)?;
                let fits = answer.is_within_bounds();
                fits.then_some(Self::EnrolAnswer(number, answer)).ok_or(Undecodable::Malformed)
            }
            ENROL_REPORT => read(body).map(Self::EnrolReport),
            WATCH => read(body).map(|(number, ask)| Self::Watch(number, ask)),
            WATCHED => {
                let (number, bytes): (u32, &'a [u8]) = read(body)?;
                let statements = Statements::of(bytes).ok_or(Undecodable::Malformed)?;
                Ok(Self::Watched(number, statements))
            }
            _ => Err(Undecodable::UnknownKind),
        }
    }
}

fn within_bounds(body: &NoticeBody<'_>) -> bool {
    let fits = |aor: &str| aor.len() <= AOR_BYTES_MAX;
    !body.callee.is_empty() && fits(body.callee) && body.aliases.iter().all(|aor| fits(aor))
}

fn write<T: Serialize>(kind: u8, body: &T, buf: &mut [u8]) -> Result<(u8, usize), TooLarge> {
    let written = postcard::to_slice(body, buf).map_err(|_| TooLarge)?;
    Ok((kind, written.len()))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Undecodable> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(Undecodable::Malformed),
    }
}
