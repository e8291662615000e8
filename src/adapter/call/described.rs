//! What a phone said of its media, and what it was told of its far end's: the descriptions (SDP)
//! of one call as its phone knows them.
//!
//! All SDP of a call passes here on its way through the relay. What both ends have agreed on last
//! is kept: media that move and sessions that are refreshed need it. A phone that is told by two
//! paths in one dialog still sees one session whose version counts up by one (RFC 3264 s8, CALLS
//! §4.1): from the first description of the second path on, `o=` is written here.

use super::CallId;
use crate::adapter::Adapter;
use crate::media::sdp::origin::{Origin, says_the_same};
use crate::media::{Side, multipart};
use crate::net::Via;
use crate::sip::transaction::Flow;
use crate::sip::{Message, Method, Name};
use crate::time::Instant;
use std::net::IpAddr;

/// Both descriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pair {
    /// The phone's, as it wrote it.
    pub(super) said: Vec<u8>,
    /// Its far end's, as the phone read it.
    pub(super) told: Vec<u8>,
    /// The same as it came, and from where it was sent.
    came: Option<(IpAddr, Vec<u8>)>,
}

/// The descriptions of a call.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// What came last, agreed on or not.
    last: Pair,
    /// What was agreed on last.
    agreed: Option<Pair>,
    /// The phone was told by another adapter first, else by the server.
    by_peer: bool,
    /// It has been told by both paths.
    mixed: bool,
}

impl Described {
    /// What was agreed on last.
    pub(super) fn agreed(&self) -> Option<&Pair> {
        self.agreed.as_ref().filter(|pair| !pair.said.is_empty() && !pair.told.is_empty())
    }

    /// Whether a phone's request only refreshes its session: it offers what was agreed on, or
    /// nothing (RFC 4028 s7.4).
    pub(super) fn is_refresh(&self, message: &Message<'_>) -> bool {
        let kind = message.header(Name::ContentType).unwrap_or_default();
        let offer = multipart::find(kind, message.body()).and_then(|f| message.body().get(f.text));
        match (message.method(), offer) {
            (Method::Invite | Method::Update, Some(offer)) => {
                self.agreed().is_some_and(|pair| says_the_same(&pair.said, offer))
            }
            (Method::Invite, None) => self.agreed().is_some(),
            (Method::Update, None) => message.body().is_empty(),
            _ => false,
        }
    }

    /// The phone has answered what it was told last.
    pub(super) fn answer(&mut self, text: &[u8]) {
        self.last.said = text.to_vec();
        self.settle();
    }

    /// An answer was taken.
    pub(super) fn settle(&mut self) {
        self.agreed = Some(self.last.clone());
    }

    /// An offer was refused: what was agreed on before holds (RFC 3261 s14.1).
    fn revert(&mut self) {
        if let Some(agreed) = &self.agreed {
            self.last = agreed.clone();
        }
    }

    /// The far end's media are elsewhere now, where a description says that came from `source`.
    pub(super) fn moved(&mut self, source: IpAddr, there: &[u8]) {
        self.last.came = Some((source, there.to_vec()));
        if let Some(agreed) = &mut self.agreed {
            agreed.came.clone_from(&self.last.came);
        }
    }

    /// Takes note of a description for the phone; another form of it, where its origin has to be
    /// written anew. Before an answer each leg's early dialog is a session of its own.
    fn tell(&mut self, text: &[u8], by_peer: bool) -> Option<Vec<u8>> {
        match self.agreed {
            Some(_) => self.mixed |= self.by_peer != by_peer,
            None => self.by_peer = by_peer,
        }
        let before = Origin::of(&self.last.told).filter(|_| self.mixed);
        let text = match before {
            Some(mut origin) => {
                let change = !says_the_same(&self.last.told, text);
                origin.version = origin.version.saturating_add(change.into());
                origin.write(text)
            }
            None => text.to_vec(),
        };
        self.last.told.clone_from(&text);
        self.mixed.then_some(text)
    }
}

impl Adapter {
    /// The body of a message of a call, for the other side.
    pub(crate) fn translate_body(
        &mut self,
        now: Instant,
        id: CallId,
        sides: (Side, Side),
        source: Flow,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let Some(call) = self.calls.get(id) else { return message.body().to_vec() };
        let body = self.relay_body(now, call.media, sides, source, message);
        let kind = message.header(Name::ContentType).unwrap_or_default();
        let by_peer = matches!(source.via, Via::Peer(_));
        let sender = (by_peer, self.media_source(source));
        let body = self.note_description(id, sides, (kind, message.body()), body, sender);
        let Some(call) = self.calls.get_mut(id) else { return body };
        let status = message.status();
        match message.method() {
            Method::Invite | Method::Update if (200..300).contains(&status) => {
                call.described.settle();
            }
            Method::Invite | Method::Update if status >= 300 => self.aim_back(now, id, sides),
            Method::Ack if !message.body().is_empty() => call.described.settle(),
            _ => {}
        }
        body
    }

    /// An offer was refused: what was agreed on before holds, and the media of a far end that made
    /// it are where they were (RFC 3261 s14.1).
    pub(super) fn aim_back(&mut self, now: Instant, id: CallId, (_, offerer): (Side, Side)) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.described.revert();
        let came = call.described.agreed().and_then(|pair| pair.came.as_ref());
        if let (Some(media), Some((source, text)), Side::Far(_)) = (call.media, came, offerer) {
            let _ = self.media.aim(now, media, offerer, *source, text);
        }
    }

    /// Takes note of a description on its way, `came` as it came and `body` as it leaves; returns
    /// what leaves in the end.
    pub(super) fn note_description(
        &mut self,
        id: CallId,
        (from, _): (Side, Side),
        (kind, came): (&str, &[u8]),
        body: Vec<u8>,
        (by_peer, source): (bool, IpAddr),
    ) -> Vec<u8> {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.media.is_some()) else {
            return body;
        };
        if from == Side::Phone {
            if let Some(text) = multipart::find(kind, came).and_then(|f| came.get(f.text)) {
                call.described.last.said = text.to_vec();
            }
            return body;
        }
        if let Some(text) = multipart::find(kind, came).and_then(|f| came.get(f.text)) {
            call.described.last.came = Some((source, text.to_vec()));
        }
        let Some(found) = multipart::find(kind, &body) else { return body };
        let text = body.get(found.text.clone()).unwrap_or_default();
        let Some(text) = call.described.tell(text, by_peer) else { return body };
        let mut out = Vec::with_capacity(body.len() + 8);
        multipart::replace(&body, &found, &text, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(session: u32, version: u32, port: u16) -> Vec<u8> {
        let origin = format!("v=0\r\no=- {session} {version} IN IP4 192.0.2.1\r\n");
        format!("{origin}s=-\r\nm=audio {port} RTP/AVP 0\r\n").into_bytes()
    }

    /// What a phone reads of session, version and port.
    fn read(described: &mut Described, came: &[u8], by_peer: bool) -> (String, u64) {
        let written = described.tell(came, by_peer);
        let origin = Origin::of(written.as_deref().unwrap_or(came)).unwrap();
        (origin.session, origin.version)
    }

    #[test]
    fn versions_count_up_by_one_whichever_path_a_description_comes_by() {
        let mut described = Described::default();
        let told = |version| ("o=- 7".to_owned(), version);
        assert_eq!(read(&mut described, &text(2, 9, 10), true), ("o=- 2".to_owned(), 9), "early");
        assert_eq!(read(&mut described, &text(7, 3, 10), false), told(3));
        described.settle();
        assert_eq!(read(&mut described, &text(7, 4, 12), false), told(4));
        assert_eq!(read(&mut described, &text(1, 900, 14), true), told(5));
        assert_eq!(read(&mut described, &text(1, 900, 14), true), told(5), "a repetition");
        assert_eq!(read(&mut described, &text(1, 901, 16), true), told(6));
        assert_eq!(read(&mut described, &text(7, 4, 12), false), told(7), "and back");
        assert_eq!(read(&mut described, &text(7, 5, 10), false), told(8));
    }

    #[test]
    fn one_path_is_passed_as_it_comes_and_a_refused_offer_is_forgotten() {
        let mut described = Described::default();
        for (session, version) in [(7, 3), (8, 1), (8, 5)] {
            assert_eq!(described.tell(&text(session, version, 10), false), None);
            described.last.said = text(1, 1, 4000);
            described.settle();
        }
        described.tell(&text(8, 6, 0), false);
        described.revert();
        assert_eq!(described.agreed().unwrap().told, text(8, 5, 10));
        assert_eq!(described.last.told, text(8, 5, 10));
    }
}
