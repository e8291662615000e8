//! Requests of the adapter's own: one way to write them, whomever they go to.
//!
//! Inside dialogs `call::own` says under which names, by which routes and with which number (RFC
//! 3261 s12.2.1.1); a probe begins a dialog of its own. What repeats a phone's request, such as a
//! REGISTER of an account, is that request rewritten, and not one of these.

use super::call::identity::Rename;
use super::names::Local;
use super::rewrite::write_via;
use super::{Adapter, crossing};
use crate::sip::proxy::MAX_FORWARDS;
use crate::sip::transaction::{Flow, Room};
use crate::sip::{Method, Name, TooLong, Writer};
use crate::time::Instant;
use core::fmt;

/// Such a request, and where it goes.
pub(crate) struct OwnRequest {
    pub(crate) method: Method<'static>,
    /// Number of its CSeq.
    pub(crate) number: u32,
    pub(crate) uri: String,
    /// Where it goes.
    pub(crate) flow: Flow,
    /// Our own end of that.
    pub(crate) local: Local,
    /// Route headers.
    pub(crate) routes: Vec<String>,
    /// From, To and Call-ID.
    pub(crate) name: Rename,
    /// Headers beside those of every request.
    pub(crate) headers: Vec<(Name, String)>,
    pub(crate) body: Vec<u8>,
    /// The room of the transactions that it may take.
    pub(crate) room: Room,
}

impl OwnRequest {
    /// The first request under this name, with nothing in it that not every request has.
    pub(crate) fn new(
        method: Method<'static>,
        uri: String,
        (flow, local): (Flow, Local),
        name: Rename,
    ) -> Self {
        let (routes, headers, body) = (Vec::new(), Vec::new(), Vec::new());
        Self { method, number: 1, uri, flow, local, routes, name, headers, body, room: Room::Usual }
    }

    /// The same with another number: an ACK has that of its INVITE.
    pub(crate) fn numbered(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// The same in another room of the transactions.
    pub(crate) fn roomed(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// The same with more headers.
    pub(crate) fn with(mut self, headers: impl IntoIterator<Item = (Name, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The same with a description.
    pub(crate) fn describing(self, body: &[u8]) -> Self {
        let kind = (Name::ContentType, "application/sdp".to_owned());
        Self { body: body.to_owned(), ..self }.with((!body.is_empty()).then_some(kind))
    }

    fn write(&self, branch: &dyn fmt::Display, out: &mut [u8]) -> Result<usize, TooLong> {
        let mut writer = Writer::new(out);
        writer.request(self.method.as_str(), &self.uri);
        write_via(&mut writer, self.local, branch);
        for route in &self.routes {
            writer.header(Name::Route, route);
        }
        writer.header(Name::MaxForwards, MAX_FORWARDS);
        writer.header(Name::From, &self.name.from);
        writer.header(Name::To, &self.name.to);
        writer.header(Name::CallId, &self.name.call_id);
        writer.header(Name::CSeq, format_args!("{} {}", self.number, self.method.as_str()));
        self.headers.iter().for_each(|(name, value)| writer.header(*name, value));
        writer.finish(&self.body)
    }
}

impl Adapter {
    /// Writes a request of our own, under a branch of its own.
    pub(crate) fn write_own(&mut self, own: &OwnRequest) -> Option<Vec<u8>> {
        let branch = self.transactions.branch();
        crossing::write(|out| own.write(&branch, out))
    }

    /// Sends a request whose answer changes nothing.
    pub(crate) fn send_own(&mut self, now: Instant, own: &OwnRequest) {
        if let Some(bytes) = self.write_own(own) {
            self.send_quiet_in(own.room, now, own.flow, &bytes);
        }
    }

    /// Sends an ACK, which is no transaction.
    pub(crate) fn send_own_ack(&mut self, ack: &OwnRequest) {
        if let Some(bytes) = self.write_own(ack) {
            self.send(ack.flow, &bytes);
        }
    }
}
