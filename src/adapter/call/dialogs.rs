//! What is kept of a dialog: the phone, the far ends that it may be carried by, names and numbers.
//!
//! A phone is in one dialog. Behind it there may be several: with the server, with the other
//! adapter's overlay leg, and on the direct path. One of them carries; the phone's numbers and
//! those of each far end are mapped, so that neither sees a step back.

use super::PhoneEnd;
use super::identity::DialogId;
use super::own::Inquiry;
use super::refresh::SessionTimer;
use super::success::Success;
use crate::adapter::inbound::Source;
use crate::adapter::names::{Local, Path};
use crate::limits::CALL_UPSTREAMS_MAX;
use crate::net::NodeId;
use crate::sip::Method;
use crate::sip::transaction::Flow;
use crate::time::Instant;

/// Far ends of one dialog: one for each upstream, and the direct path.
const FAR_ENDS_MAX: usize = CALL_UPSTREAMS_MAX + 1;

/// The far end of a dialog: the server, or another adapter.
#[derive(Clone, Debug)]
pub(crate) struct FarEnd {
    /// Which side it is on.
    pub(crate) path: Path,
    /// Where requests to it are sent.
    pub(crate) flow: Flow,
    /// Our own end of that flow.
    pub(crate) local: Local,
    /// The Contact URI that it last sent.
    pub(crate) contact: String,
    /// Its media side.
    pub(crate) side: u8,
    /// What it calls the dialog.
    pub(crate) id: DialogId,
    /// The route set towards it (RFC 3261 s12.1).
    pub(crate) routes: Vec<String>,
    /// The phone knows it: writes its Contact and its routes.
    pub(crate) native: bool,
    /// It is the direct path under the notice's call id.
    pub(crate) direct: bool,
    /// What is added to the phone's numbers for it.
    pub(crate) shift_out: i64,
    /// What is added to its numbers for the phone.
    pub(crate) shift_in: i64,
    /// The highest of its own numbers; 0 before any.
    pub(crate) heard: u32,
    /// The number of its last INVITE, and what the phone got.
    pub(crate) invited: (u32, u32),
    /// It said BYE, though the call goes on by another.
    pub(crate) over: bool,
}

/// A dialog between a phone of ours and a far end: (phone, Call-ID, both tags).
#[derive(Debug)]
pub(crate) struct Dialog {
    /// What the phone calls it.
    pub(crate) id: DialogId,
    /// The phone.
    pub(crate) phone: PhoneEnd,
    /// The far ends; never empty.
    ends: heapless::Vec<FarEnd, FAR_ENDS_MAX>,
    /// The one that carries.
    carrying: usize,
    /// Highest CSeq of the phone's requests.
    pub(crate) phone_cseq: u32,
    /// CSeq of the phone's last INVITE; 0 before any.
    pub(crate) phone_invite: u32,
    /// Highest CSeq of the requests that the phone got.
    pub(crate) far_cseq: u32,
    /// Number of the last INVITE that the phone got.
    pub(crate) invited: u32,
    /// A 2xx was seen.
    pub(crate) confirmed: bool,
    /// A BYE was seen.
    pub(crate) ending: bool,
    /// The 2xx to the phone here that called, until that acknowledges it.
    pub(crate) success: Option<Success>,
    /// The caller's last ACK, as it came and from where: for the case that it is lost.
    pub(crate) ack: Option<(Source, Vec<u8>)>,
    /// The numbers of the last ACK of the far end, and of the phone, as they came.
    pub(super) acked: [u32; 2],
    /// The phone's last INVITE took the direct path to this adapter, and so does its ACK.
    pub(crate) ack_over: Option<NodeId>,
    /// What the adapter itself asked the phone last.
    pub(super) inquiry: Option<Inquiry>,
    /// Its session timer, where one was agreed on.
    pub(super) session: Option<SessionTimer>,
    /// When the phone is asked whether it is still there, where no media show it.
    pub(super) asked_at: Option<Instant>,
    /// The phone takes UPDATE (RFC 3311).
    pub(super) takes_update: bool,
}

impl FarEnd {
    /// The direct path, under the names that the request has.
    pub(super) fn direct(source: &Source, side: u8, id: DialogId) -> Self {
        Self {
            path: source.path,
            flow: source.flow,
            local: source.local,
            contact: String::new(),
            side,
            id,
            routes: Vec::new(),
            native: false,
            direct: true,
            shift_out: 0,
            shift_in: 0,
            heard: 0,
            invited: (0, 0),
            over: false,
        }
    }
}

impl Dialog {
    /// A dialog with one far end.
    pub(crate) fn new(id: DialogId, phone: PhoneEnd, far: FarEnd) -> Self {
        let mut ends = heapless::Vec::new();
        let _ = ends.push(far);
        Self {
            id,
            phone,
            ends,
            carrying: 0,
            phone_cseq: 0,
            phone_invite: 0,
            far_cseq: 0,
            invited: 0,
            confirmed: false,
            ending: false,
            success: None,
            ack: None,
            acked: [0; 2],
            ack_over: None,
            inquiry: None,
            session: None,
            asked_at: None,
            takes_update: false,
        }
    }

    /// The far end that carries it.
    pub(crate) fn far(&self) -> &FarEnd {
        &self.ends[self.carrying]
    }

    /// The far end with this index.
    pub(crate) fn end(&self, end: usize) -> Option<&FarEnd> {
        self.ends.get(end)
    }

    /// The far end with this index, to change it.
    pub(crate) fn end_mut(&mut self, end: usize) -> Option<&mut FarEnd> {
        self.ends.get_mut(end)
    }

    /// The far end of this media side that is no direct path.
    pub(crate) fn end_of_side(&self, side: u8) -> Option<usize> {
        self.ends.iter().position(|end| end.side == side && !end.direct)
    }

    /// Takes a far end in, or what is new of one that is known; the number of requests that it
    /// has sent stays. Its index, where there was room.
    pub(crate) fn learn(&mut self, far: FarEnd) -> Option<usize> {
        let known = self
            .ends
            .iter()
            .position(|end| (end.side, end.direct, end.path) == (far.side, far.direct, far.path));
        if let Some(at) = known {
            let old = &mut self.ends[at];
            if !far.contact.is_empty() {
                (old.contact, old.routes) = (far.contact, far.routes);
            }
            (old.flow, old.local, old.id) = (far.flow, far.local, far.id);
            return Some(at);
        }
        self.ends.push(far).ok()?;
        Some(self.ends.len() - 1)
    }

    /// From now on this far end carries it.
    pub(crate) fn carry_by(&mut self, end: usize) {
        if end < self.ends.len() {
            self.carrying = end;
        }
    }

    /// The far end that knows a message by these names, and sends on this path. Among several
    /// the carrying one.
    pub(crate) fn end_named(
        &self,
        path: Path,
        (call_id, phone_tag, far_tag): (&str, &str, &str),
    ) -> Option<usize> {
        let named = |end: &FarEnd| end.id.is(call_id, phone_tag, far_tag);
        let on_path = |end: &&FarEnd| named(end) && same_side(end.path, path);
        if on_path(&self.far()) {
            return Some(self.carrying);
        }
        let found = self.ends.iter().position(|end| on_path(&end));
        found.or_else(|| self.ends.iter().position(named))
    }

    /// The far end whose numbers a request on the direct path continues, where its tags passed
    /// the server unchanged.
    pub(crate) fn end_tagged(&self, phone_tag: &str, far_tag: &str) -> Option<usize> {
        let tagged = |end: &FarEnd| end.id.has_tags(phone_tag, far_tag);
        let first = self.ends.iter().position(tagged);
        first.map(|first| if tagged(self.far()) { self.carrying } else { first })
    }

    /// Another far end that was told of the phone's answer and has not said BYE.
    pub(crate) fn other_end(&self, end: usize) -> Option<usize> {
        let alive = |at: &usize| {
            let other = &self.ends[*at];
            *at != end && !other.over && !other.direct
        };
        (0..self.ends.len()).find(alive)
    }

    /// Whether this far end is the one that carries, or the direct path.
    pub(crate) fn carries(&self, end: usize) -> bool {
        end == self.carrying || self.ends.get(end).is_some_and(|end| end.direct)
    }

    /// Takes the number of a new request of a far end: what is added to it for the phone. None
    /// where it is a copy of one that came before.
    pub(crate) fn take_number(
        &mut self,
        end: usize,
        number: u32,
        method: Method<'_>,
    ) -> Option<i64> {
        let far_cseq = i64::from(self.far_cseq);
        let far = self.ends.get_mut(end)?;
        if far.heard != 0 && number <= far.heard {
            return None;
        }
        far.heard = number;
        let behind = far_cseq + 1 - (i64::from(number) + far.shift_in);
        far.shift_in += behind.max(0);
        self.far_cseq = shifted(number, far.shift_in);
        if method == Method::Invite {
            far.invited = (number, self.far_cseq);
            self.invited = self.far_cseq;
        }
        Some(far.shift_in)
    }

    /// What is added to the number of a far end's ACK: as to that of its INVITE, or so that it
    /// belongs to the last one that the phone got, by whatever way that came.
    pub(crate) fn ack_shift(&self, end: usize, number: u32) -> i64 {
        let known = self.ends.get(end).map(|far| far.invited).filter(|(own, _)| *own == number);
        let (own, invited) = known.unwrap_or((number, self.invited));
        i64::from(invited) - i64::from(own)
    }

    /// The Contact by which the phone knows its far end, where that is the server's own.
    pub(crate) fn stand_in(&self) -> Option<String> {
        let known = self.ends.iter().find(|end| end.native)?;
        let shown = known.path == Path::Server && !known.contact.is_empty();
        shown.then(|| known.contact.clone())
    }

    /// The far end that carries gives a new Contact.
    pub(crate) fn refresh_target(&mut self, contact: String) {
        self.ends[self.carrying].contact = contact;
    }
}

fn same_side(a: Path, b: Path) -> bool {
    matches!((a, b), (Path::Server, Path::Server) | (Path::Peer(_), Path::Peer(_)))
}

/// A number of CSeq after a shift.
pub(crate) fn shifted(number: u32, shift: i64) -> u32 {
    u32::try_from(i64::from(number) + shift).unwrap_or(u32::MAX)
}
