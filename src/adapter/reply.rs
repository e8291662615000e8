//! Responses and requests of the adapter's own.

use super::call::goodbye::COMPLETED_ELSEWHERE;
use super::inbound::Source;
use super::names::Local;
use super::rewrite::{self, write_via};
use super::ways::turned;
use super::{Adapter, ClientOwner, crossing};
use crate::media::multipart;
use crate::sip::Message;
use crate::sip::Name;
use crate::sip::proxy::{Refusal, unsupported};
use crate::sip::transaction::{ClientId, Flow, ServerId};
use crate::sip::{RouteSet, Uri, Writer, reason_phrase};
use crate::time::Instant;
use core::fmt;

/// What is written into the To of a response: 32 random bits are enough within one Call-ID.
struct Tag(u32);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A header that a response of ours has beside those of every response.
type Extra<'a> = (Name, &'a dyn fmt::Display);

impl Adapter {
    /// Responds with a status of our own. Without `tag` a random one goes into the To of all but
    /// a 100.
    pub(crate) fn reply(&mut self, now: Instant, id: ServerId, code: u16, tag: Option<&str>) {
        self.reply_full(now, id, (code, reason_phrase(code)), tag, &[]);
    }

    /// Responds with a status and headers of our own.
    pub(crate) fn reply_with(
        &mut self,
        now: Instant,
        id: ServerId,
        code: u16,
        extra: &[Extra<'_>],
    ) {
        self.reply_full(now, id, (code, reason_phrase(code)), None, extra);
    }

    /// Responds with a status of our own under this To tag.
    pub(crate) fn reply_tagged(&mut self, now: Instant, id: ServerId, code: u16, tag: &str) {
        self.reply_full(now, id, (code, reason_phrase(code)), Some(tag), &[]);
    }

    /// Refuses a request.
    pub(crate) fn refuse(&mut self, now: Instant, id: ServerId, code: u16) {
        self.reply(now, id, code, None);
    }

    /// Refuses what no proxy may pass on (RFC 3261 s16.3).
    pub(crate) fn refuse_invalid(
        &mut self,
        now: Instant,
        id: ServerId,
        refusal: &Refusal,
        message: &Message<'_>,
    ) {
        let status = (refusal.status, reason_phrase(refusal.status));
        match refusal.header {
            Some(name) => {
                let value = unsupported(message);
                self.reply_full(now, id, status, None, &[(name, &value)]);
            }
            None => self.reply_full(now, id, status, None, &[]),
        }
    }

    fn reply_full(
        &mut self,
        now: Instant,
        id: ServerId,
        status: (u16, &str),
        tag: Option<&str>,
        extra: &[Extra<'_>],
    ) {
        let Some(request) = self.transactions.request(id).map(<[u8]>::to_vec) else { return };
        let Ok(message) = Message::parse(&request) else { return };
        self.reply_to(now, id, &message, status, tag, extra);
    }

    /// Responds 100 to `request`, which is that of this transaction.
    pub(crate) fn reply_trying(&mut self, now: Instant, id: ServerId, request: &Message<'_>) {
        self.reply_to(now, id, request, (100, reason_phrase(100)), None, &[]);
    }

    fn reply_to(
        &mut self,
        now: Instant,
        id: ServerId,
        message: &Message<'_>,
        status: (u16, &str),
        tag: Option<&str>,
        extra: &[Extra<'_>],
    ) {
        let Some(flow) = self.transactions.server_flow(id) else { return };
        let random = Tag(self.rng.next_u32());
        let tag: &dyn fmt::Display = tag.as_ref().map_or(&random, |tag| tag);
        let to_tag = (status.0 != 100).then_some(tag);
        let bytes =
            crossing::write(|out| rewrite::reply(message, flow.to, status, to_tag, extra, out));
        if let Some(bytes) = bytes {
            self.transactions.respond(now, id, &bytes);
        }
    }

    /// Answers without a transaction: what is malformed, or what finds no room.
    pub(crate) fn refuse_stateless(
        &mut self,
        source: Source,
        message: &Message<'_>,
        status: (u16, &str),
    ) {
        let tag = Tag(self.rng.next_u32());
        let bytes = crossing::write(|out| {
            rewrite::reply(message, source.flow.to, status, Some(&tag), &[], out)
        });
        if let Some(bytes) = bytes {
            self.send(source.flow, &bytes);
        }
    }

    /// Acknowledges the 2xx of a leg that lost, and ends its dialog (RFC 3261 s16.7, s13.2.2.4).
    pub(crate) fn acknowledge_late(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message<'_>,
    ) {
        let Some(invite) = self.transactions.client_request(client).map(<[u8]>::to_vec) else {
            return;
        };
        let Some(flow) = self.transactions.client_flow(client) else { return };
        let room = self.transactions.client_room(client);
        let Some(local) = self.local_of(flow) else { return };
        let Ok(invite) = Message::parse(&invite) else { return };
        let own = self.own_addresses();
        let is_ours = |uri: &Uri<'_>| crossing::is_own(uri, &own);
        let routes = RouteSet::of_caller(response, invite.request_uri(), is_ours);
        let flow = turned(flow, routes.next_hop());
        let number = response.cseq().map_or(1, |(number, _)| number);
        for (method, number) in [("ACK", number), ("BYE", number.saturating_add(1))] {
            let branch = self.transactions.branch();
            let bytes = crossing::write(|out| {
                in_dialog_request(
                    (method, number),
                    (local, &branch),
                    &routes,
                    (&invite, response),
                    out,
                )
            });
            let Some(bytes) = bytes else { return };
            if method == "ACK" {
                self.send(flow, &bytes);
            } else {
                let owner = ClientOwner::Quiet.encode();
                let _ = self.transactions.send_request_in(room, now, flow, &bytes, owner);
            }
        }
    }

    /// Sends CRLF on a flow: a keep-alive that no server has to answer (RFC 5626 s3.5.1).
    pub(crate) fn keep_alive(&mut self, flow: Flow) {
        self.send(flow, b"\r\n\r\n");
    }
}

/// Writes a request inside the dialog that `response` to `invite` made, as its caller.
fn in_dialog_request(
    (method, number): (&str, u32),
    (local, branch): (Local, &dyn fmt::Display),
    routes: &RouteSet<'_>,
    (invite, response): (&Message<'_>, &Message<'_>),
    out: &mut [u8],
) -> Result<usize, crate::sip::TooLong> {
    let mut writer = Writer::new(out);
    writer.request(method, routes.request_uri());
    write_via(&mut writer, local, branch);
    routes.write(&mut writer);
    writer.header(Name::MaxForwards, 70);
    for header in invite.headers() {
        if matches!(header.name, Name::From | Name::CallId) {
            writer.copy(header);
        }
    }
    for header in response.headers().iter().filter(|h| h.name == Name::To) {
        writer.copy(header);
    }
    writer.header(Name::CSeq, format_args!("{number} {method}"));
    if method == "BYE" {
        writer.header(Name::Reason, COMPLETED_ELSEWHERE);
    }
    let kind = response.header(Name::ContentType).unwrap_or_default();
    let offer = multipart::find(kind, response.body()).filter(|_| invite.body().is_empty());
    if let (Some(offer), "ACK") = (offer, method) {
        // An offer has to be answered (RFC 3264): with nothing (CALLS §3.7).
        let offer = response.body().get(offer.text).unwrap_or_default();
        writer.header(Name::ContentType, "application/sdp");
        return writer.finish(&crate::media::sdp::write::refusal(offer));
    }
    writer.finish(&[])
}
