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
    pub(super) shown: Vec<u8>,
    /// The same as it came, and from where it was sent.
    came: Option<(IpAddr, Vec<u8>)>,
}

/// What is new in an exchange of offer and answer.
#[derive(Debug, Default)]
struct Proposal {
    said: Option<Vec<u8>>,
    shown: Option<Vec<u8>>,
    came: Option<(IpAddr, Vec<u8>)>,
}

/// The descriptions of a call.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// What is being agreed on, in requests of the far end, and of the phone: both may ask at once.
    open: [Proposal; 2],
    /// What the phone is asked to agree on by the adapter itself.
    asked: Option<Vec<u8>>,
    /// What was agreed on last.
    agreed: Option<Pair>,
    /// What the phone was shown last, agreed on or not: its version is never written for another
    /// description, nor a lower one.
    latest: Vec<u8>,
    /// The phone was shown another adapter's description first, else the server's.
    by_peer: bool,
    /// It has been shown those of both paths.
    mixed: bool,
}

impl Described {
    /// What was agreed on last.
    pub(super) fn agreed(&self) -> Option<&Pair> {
        self.agreed.as_ref().filter(|pair| !pair.said.is_empty() && !pair.shown.is_empty())
    }

    /// Whether a phone's request only refreshes its session: it offers what was agreed on, or
    /// nothing (RFC 4028 s7.4).
    pub(super) fn is_refresh(&self, message: &Message<'_>) -> bool {
        match (message.method(), text_of(message)) {
            (Method::Invite | Method::Update, Some(offer)) => {
                self.agreed().is_some_and(|pair| says_the_same(&pair.said, offer))
            }
            (Method::Invite, None) => self.agreed().is_some(),
            (Method::Update, None) => message.body().is_empty(),
            _ => false,
        }
    }

    /// Whether the phone asks for something else than what was agreed on.
    pub(super) fn is_changing(&self) -> bool {
        let offer = self.open[1].said.as_deref();
        let agreed = self.agreed.as_ref();
        offer.zip(agreed).is_some_and(|(offer, pair)| !says_the_same(offer, &pair.said))
    }

    /// An answer was taken, in a request of the phone or of its far end.
    pub(super) fn settle(&mut self, by_phone: bool) {
        let open = core::mem::take(&mut self.open[usize::from(by_phone)]);
        let before = self.agreed.take().unwrap_or_default();
        let said = open.said.unwrap_or(before.said);
        let (shown, came) = (open.shown.unwrap_or(before.shown), open.came.or(before.came));
        self.agreed = Some(Pair { said, shown, came });
    }

    /// The far end's media are elsewhere now, where a description says that came from `source`.
    pub(super) fn moved(&mut self, source: IpAddr, there: &[u8]) {
        if let Some(agreed) = &mut self.agreed {
            agreed.came = Some((source, there.to_vec()));
        }
    }

    /// An offer was refused: what was agreed on before holds (RFC 3261 s14.1).
    fn refuse(&mut self, by_phone: bool) {
        if self.agreed.is_some() {
            self.open[usize::from(by_phone)] = Proposal::default();
        }
    }

    /// What the phone is offered by the adapter itself; in the form that it has to have.
    pub(super) fn offer(&mut self, text: &[u8], by_peer: bool) -> Vec<u8> {
        let text = self.show(text, by_peer).unwrap_or_else(|| text.to_vec());
        self.asked = Some(text.clone());
        text
    }

    /// As [`Self::offer`], of what was agreed on.
    pub(super) fn offer_again(&mut self) -> Option<Vec<u8>> {
        let shown = self.shown_again()?;
        self.asked = Some(shown.clone());
        Some(shown)
    }

    /// What was agreed on, for the phone once more. After an offer that it has refused that is a
    /// further version.
    pub(super) fn shown_again(&mut self) -> Option<Vec<u8>> {
        let shown = self.agreed()?.shown.clone();
        if !says_the_same(&shown, &self.latest) {
            self.mixed = true;
            return self.show(&shown, self.by_peer);
        }
        Some(self.latest.clone())
    }

    /// The phone has answered the adapter's own offer; whether it says anything new.
    pub(super) fn answer(&mut self, said: &[u8]) -> bool {
        let before = self.agreed.take().unwrap_or_default();
        let shown = self.asked.take().unwrap_or(before.shown);
        let new = !says_the_same(&before.said, said);
        self.agreed = Some(Pair { said: said.to_vec(), shown, came: before.came });
        new
    }

    /// The phone has not taken the adapter's own offer.
    pub(super) fn withdraw(&mut self) {
        self.asked = None;
    }

    /// Takes note of a description for the phone; another form of it, where its origin has to be
    /// written anew. Before an answer each leg's early dialog is a session of its own.
    fn show(&mut self, text: &[u8], by_peer: bool) -> Option<Vec<u8>> {
        match self.agreed {
            Some(_) => self.mixed |= self.by_peer != by_peer,
            None => self.by_peer = by_peer,
        }
        let before = Origin::of(&self.latest).filter(|_| self.mixed);
        let text = match before {
            Some(mut origin) => {
                let change = !says_the_same(&self.latest, text);
                origin.version = origin.version.saturating_add(change.into());
                origin.write(text)
            }
            None => text.to_vec(),
        };
        self.latest.clone_from(&text);
        self.mixed.then_some(text)
    }
}

/// The description in a message.
pub(super) fn text_of<'m>(message: &Message<'m>) -> Option<&'m [u8]> {
    let kind = message.header(Name::ContentType).unwrap_or_default();
    let found = multipart::find(kind, message.body())?;
    message.body().get(found.text)
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
        let Some(media) = self.calls.get(id).map(|call| call.media) else {
            return message.body().to_vec();
        };
        let stays = self.is_left(id, sides.0, message);
        let body = self.relay_body(now, media, sides, source, message);
        let by_phone = (sides.0 == Side::Phone) == message.is_request();
        let by_peer = matches!(source.via, Via::Peer(_));
        let sender = self.media_source(source);
        let Some(call) = self.calls.get_mut(id) else { return body };
        let described = &mut call.described;
        let body = match (sides.0, text_of(message)) {
            (_, None) => body,
            _ if call.media.is_none() => body,
            (Side::Phone, Some(text)) => {
                described.open[usize::from(by_phone)].said = Some(text.to_vec());
                body
            }
            (Side::Far(_), Some(text)) => {
                if !stays {
                    described.open[usize::from(by_phone)].came = Some((sender, text.to_vec()));
                }
                note_shown(described, by_phone, body, message, (by_peer, stays))
            }
        };
        match (message.method(), message.status()) {
            (Method::Invite | Method::Update, 200..300) => described.settle(by_phone),
            (Method::Invite | Method::Update, 300..) => {
                described.refuse(by_phone);
                self.aim_back(now, id, sides.1);
            }
            (Method::Ack, _) if !message.body().is_empty() => described.settle(by_phone),
            _ => {}
        }
        if !stays {
            self.note_anchor(now, id, sides.0, source, message);
        }
        body
    }

    /// An offer was refused: the media of a far end that made it are where they were (RFC 3261
    /// s14.1).
    fn aim_back(&mut self, now: Instant, id: CallId, offerer: Side) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let came = call.described.agreed().and_then(|pair| pair.came.as_ref());
        if let (Some(media), Some((source, text)), Side::Far(_)) = (call.media, came, offerer) {
            let _ = self.media.aim(now, media, offerer, *source, text);
            self.media.come_back(media, offerer);
        }
    }
}

/// Takes note of a description for the phone as it leaves in `body`; what leaves in the end.
/// `stays`: media have left who describes itself so, and stay where they are.
fn note_shown(
    described: &mut Described,
    by_phone: bool,
    body: Vec<u8>,
    message: &Message<'_>,
    (by_peer, stays): (bool, bool),
) -> Vec<u8> {
    let kind = message.header(Name::ContentType).unwrap_or_default();
    let Some(found) = multipart::find(kind, &body) else { return body };
    let text = body.get(found.text.clone()).unwrap_or_default();
    let again = if stays { described.shown_again() } else { None };
    let written = again.or_else(|| described.show(text, by_peer));
    let shown = written.as_deref().unwrap_or(text);
    described.open[usize::from(by_phone)].shown = Some(shown.to_vec());
    let Some(text) = written else { return body };
    let mut out = Vec::with_capacity(body.len() + 8);
    multipart::replace(&body, &found, &text, &mut out);
    out
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
        let written = described.show(came, by_peer);
        let origin = Origin::of(written.as_deref().unwrap_or(came)).unwrap();
        (origin.session, origin.version)
    }

    #[test]
    fn versions_count_up_by_one_whichever_path_a_description_comes_by() {
        let mut described = Described::default();
        let told = |version| ("o=- 7".to_owned(), version);
        assert_eq!(read(&mut described, &text(2, 9, 10), true), ("o=- 2".to_owned(), 9), "early");
        assert_eq!(read(&mut described, &text(7, 3, 10), false), told(3));
        described.settle(false);
        assert_eq!(read(&mut described, &text(7, 4, 12), false), told(4));
        assert_eq!(read(&mut described, &text(1, 900, 14), true), told(5));
        assert_eq!(read(&mut described, &text(1, 900, 14), true), told(5), "a repetition");
        assert_eq!(read(&mut described, &text(1, 901, 16), true), told(6));
        assert_eq!(read(&mut described, &text(7, 4, 12), false), told(7), "and back");
        assert_eq!(read(&mut described, &text(7, 5, 10), false), told(8));
    }

    /// A description comes by the server and is agreed on, or not.
    fn comes(described: &mut Described, text: &[u8], accepted: bool) {
        assert_eq!(described.show(text, false), None, "passed as it comes");
        described.open[0].shown = Some(text.to_vec());
        if accepted {
            described.open[0].said = Some(b"m=audio 4000 RTP/AVP 0\r\n".to_vec());
            return described.settle(false);
        }
        described.refuse(false);
    }

    #[test]
    fn one_path_is_passed_as_it_comes_and_a_refused_offer_is_forgotten() {
        let mut described = Described::default();
        for (session, version) in [(7, 3), (8, 1), (8, 5)] {
            comes(&mut described, &text(session, version, 10), true);
        }
        comes(&mut described, &text(8, 6, 0), false);
        assert_eq!(described.agreed().unwrap().shown, text(8, 5, 10));
    }

    #[test]
    fn no_version_is_written_twice_nor_a_lower_one_after_a_refused_offer() {
        let mut described = Described::default();
        comes(&mut described, &text(8, 5, 10), true);
        assert_eq!(described.offer(&text(1, 900, 12), true), text(8, 6, 12));
        described.withdraw();
        assert_eq!(described.offer(&text(1, 900, 12), true), text(8, 6, 12), "the same again");
        described.withdraw();
        assert_eq!(described.offer(&text(1, 901, 14), true), text(8, 7, 14));
        described.withdraw();
        assert_eq!(described.agreed().unwrap().shown, text(8, 5, 10));
        assert_eq!(described.offer_again().unwrap(), text(8, 8, 10));
        assert!(!described.answer(b"m=audio 4000 RTP/AVP 0\r\n"));
        assert_eq!(described.agreed().unwrap().shown, text(8, 8, 10));
    }

    #[test]
    fn an_offer_survives_the_refusal_of_one_that_it_crossed() {
        let mut described = Described::default();
        comes(&mut described, &text(8, 5, 10), true);
        described.open[1].said = Some(b"O1".to_vec());
        comes(&mut described, &text(8, 6, 0), false);
        described.open[1].shown = Some(text(8, 6, 20));
        described.settle(true);
        let agreed = described.agreed().unwrap();
        assert_eq!((&agreed.said, &agreed.shown), (&b"O1".to_vec(), &text(8, 6, 20)));
    }
}
