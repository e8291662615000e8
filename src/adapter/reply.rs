//! Responses of the adapter's own.

use super::inbound::Source;
use super::rewrite;
use super::{Adapter, crossing};
use crate::sip::proxy::{Refusal, unsupported};
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Name, reason_phrase};
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
pub(crate) type Extra<'a> = (Name, &'a dyn fmt::Display);

impl Adapter {
    /// Responds with a status of our own. Without `tag` a random one goes into the To of all but
    /// a 100.
    pub(crate) fn reply(&mut self, now: Instant, id: ServerId, code: u16, tag: Option<&str>) {
        self.reply_full(now, id, (code, reason_phrase(code)), tag, (&[], &[]));
    }

    /// Responds with a status and headers of our own.
    pub(crate) fn reply_with(
        &mut self,
        now: Instant,
        id: ServerId,
        code: u16,
        extra: &[Extra<'_>],
    ) {
        self.reply_full(now, id, (code, reason_phrase(code)), None, (extra, &[]));
    }

    /// Responds 200 with headers and a body of our own; returns the response.
    pub(crate) fn reply_described(
        &mut self,
        now: Instant,
        id: ServerId,
        extra: &[Extra<'_>],
        body: &[u8],
    ) -> Option<Vec<u8>> {
        self.reply_full(now, id, (200, reason_phrase(200)), None, (extra, body))
    }

    /// Refuses a request.
    pub(crate) fn refuse(&mut self, now: Instant, id: ServerId, code: u16) {
        self.reply(now, id, code, None);
    }

    /// Refuses a request with a status that says more than its number, and with why.
    pub(crate) fn refuse_because(
        &mut self,
        now: Instant,
        id: ServerId,
        status: (u16, &str),
        warning: &str,
    ) {
        self.reply_full(now, id, status, None, (&[(Name::Warning, &warning)], &[]));
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
                self.reply_full(now, id, status, None, (&[(name, &value)], &[]));
            }
            None => {
                self.reply_full(now, id, status, None, (&[], &[]));
            }
        }
    }

    fn reply_full(
        &mut self,
        now: Instant,
        id: ServerId,
        status: (u16, &str),
        tag: Option<&str>,
        content: (&[Extra<'_>], &[u8]),
    ) -> Option<Vec<u8>> {
        let request = self.transactions.request(id).map(<[u8]>::to_vec)?;
        let message = Message::parse(&request).ok()?;
        self.reply_to(now, id, &message, status, tag, content)
    }

    /// Responds 100 to `request`, which is that of this transaction.
    pub(crate) fn reply_trying(&mut self, now: Instant, id: ServerId, request: &Message<'_>) {
        self.reply_to(now, id, request, (100, reason_phrase(100)), None, (&[], &[]));
    }

    fn reply_to(
        &mut self,
        now: Instant,
        id: ServerId,
        message: &Message<'_>,
        status: (u16, &str),
        tag: Option<&str>,
        content: (&[Extra<'_>], &[u8]),
    ) -> Option<Vec<u8>> {
        let flow = self.transactions.server_flow(id)?;
        let random = Tag(self.rng.next_u32());
        let tag: &dyn fmt::Display = tag.as_ref().map_or(&random, |tag| tag);
        let to_tag = (status.0 != 100).then_some(tag);
        let bytes =
            crossing::write(|out| rewrite::reply(message, flow.to, status, to_tag, content, out))?;
        self.transactions.respond(now, id, &bytes);
        Some(bytes)
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
            rewrite::reply(message, source.flow.to, status, Some(&tag), (&[], &[]), out)
        });
        if let Some(bytes) = bytes {
            self.send(source.flow, &bytes);
        }
    }
}
