//! Which texts came lately, and by which path: so that a phone gets each of them once.
//!
//! A copy has the same body for the same phone, came by the other path within
//! [`MESSAGE_COPY_LIFE`], and is the same message by Call-ID or by sender: a B2BUA renames the
//! one and may withhold or respell the other. Who withholds over the overlay is nobody whom a
//! provider names: else any member could have a text of another dropped. What comes again on one
//! path is a new text, for somebody may say "yes" twice; so each text that was seen stands for
//! one copy only.

use crate::adapter::call::PhoneEnd;
use crate::adapter::call::claim::withholds;
use crate::adapter::names::Path;
use crate::adapter::spelling::same_number;
use crate::limits::{AOR_BYTES_MAX, MESSAGE_COPY_LIFE, MESSAGES_SEEN_MAX};
use crate::list::List;
use crate::sip::{Message, Name, NameAddr};
use crate::time::Instant;

/// A text, as its copy is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// The phone, by the user part that stands for it.
    phone: String,
    over_overlay: bool,
    body: blake3::Hash,
    call_id: blake3::Hash,
    /// Who sends it, as From and the provider's assertions write it; empty where withheld.
    senders: heapless::Vec<String, SENDERS_MAX>,
}

/// From, P-Asserted-Identity and Remote-Party-ID.
const SENDERS_MAX: usize = 3;

impl Text {
    /// `message` for `phone`, which came by `path`.
    pub(crate) fn new(phone: &PhoneEnd, path: Path, message: &Message<'_>) -> Self {
        let from = message.from().map(|from| from.uri).filter(|_| !withholds(message));
        let asserted = [Name::PAssertedIdentity, Name::RemotePartyId].map(|name| {
            let value = message.header(name)?;
            Some(NameAddr::parse(value).ok()?.uri)
        });
        let all = [from].into_iter().chain(asserted).flatten();
        let senders = all.filter(|uri| uri.len() <= AOR_BYTES_MAX).map(str::to_owned).collect();
        Self {
            phone: phone.user.clone(),
            over_overlay: matches!(path, Path::Peer(_)),
            body: blake3::hash(message.body()),
            call_id: blake3::hash(message.call_id().as_bytes()),
            senders,
        }
    }

    fn is_copy_of(&self, other: &Self) -> bool {
        let by_server = if self.over_overlay { other } else { self };
        let same_sender = || {
            let mut pairs =
                self.senders.iter().flat_map(|a| other.senders.iter().map(move |b| (a, b)));
            by_server.senders.is_empty() || pairs.any(|(a, b)| same_number(a, b))
        };
        self.phone == other.phone
            && self.over_overlay != other.over_overlay
            && self.body == other.body
            && (self.call_id == other.call_id || same_sender())
    }
}

/// The texts of the last [`MESSAGE_COPY_LIFE`], at most [`MESSAGES_SEEN_MAX`] of them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    texts: List<(Instant, Text), MESSAGES_SEEN_MAX>,
}

impl Seen {
    /// Takes notice of a text. True where it is the copy of one that came by the other path.
    pub(crate) fn is_copy(&mut self, now: Instant, text: Text, dropped: &mut u64) -> bool {
        while self.texts.first().is_some_and(|(at, _)| now >= *at + MESSAGE_COPY_LIFE) {
            self.texts.remove(0);
        }
        if let Some(at) = self.texts.iter().position(|(_, known)| text.is_copy_of(known)) {
            self.texts.remove(at);
            return true;
        }
        if self.texts.is_full() {
            self.texts.remove(0);
            *dropped += 1;
        }
        let _ = self.texts.push((now, text));
        false
    }

    /// The phone did not take this text: a copy of it is welcome.
    pub(crate) fn forget(&mut self, text: &Text) {
        if let Some(at) = self.texts.iter().rposition(|(_, known)| known == text) {
            self.texts.remove(at);
        }
    }
}
