//! Who a leg says is calling: what a leg by the server is matched with notices by (CALLS §3.8).
//!
//! A provider may write the caller's number in the national way, put a trunk's number into From
//! and the caller into P-Asserted-Identity, or withhold it altogether.

use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::adapter::providers::ProviderId;
use crate::adapter::spelling;
use crate::channel::SessionKey;
use crate::config::Provider;
use crate::limits::CLAIMS_MAX;
use crate::media::multipart;
use crate::media::sdp::origin::Origin;
use crate::sip::{Message, Name, NameAddr, Uri};
use crate::text;
use std::net::IpAddr;

/// What is known of the caller of a leg, or of a call that a notice tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Its addresses, as spelled for look-ups; none where it is withheld.
    names: heapless::Vec<String, CLAIMS_MAX>,
    /// Which session its SDP describes: user, id and address of `o=`, together unique (RFC 8866
    /// s5.2). Where a B2BUA that withholds the caller leaves it alone, it says whose leg it is.
    pub(super) session: Option<SessionKey>,
}

impl Claim {
    /// Whether the caller is withheld.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.names.is_empty()
    }

    /// The caller that a notice names, and the session that it offers.
    pub(crate) fn told<'a>(
        aliases: impl Iterator<Item = &'a str>,
        session: Option<SessionKey>,
    ) -> Self {
        let aliases = aliases.filter(|alias| !alias.is_empty()).take(CLAIMS_MAX);
        Self { names: aliases.map(str::to_owned).collect(), session }
    }

    /// Takes what a leg says of a call whose notice came before its session was known.
    pub(crate) fn learn_session(&mut self, leg: &Self) {
        self.session = self.session.or(leg.session);
    }

    /// The same where its session proves nothing.
    pub(crate) fn without_session(&self) -> Self {
        Self { session: None, ..self.clone() }
    }

    /// Whether both name one caller: seven equal digits at the end suffice.
    pub(crate) fn is_same_caller(&self, other: &Self) -> bool {
        let same = |a: &String, b: &String| a == b || is_number(a) && spelling::same_number(a, b);
        self.names.iter().any(|name| other.names.iter().any(|alias| same(alias, name)))
    }

    /// Whether both offer one and the same session.
    pub(crate) fn is_same_session(&self, other: &Self) -> bool {
        self.session.is_some() && self.session == other.session
    }
}

/// The session that a body describes, by user, id and address of its `o=`, where the id tells it
/// from others.
pub(super) fn session_of(kind: &str, body: &[u8]) -> Option<SessionKey> {
    let found = multipart::find(kind, body)?;
    let text = core::str::from_utf8(body.get(found.text)?).ok()?;
    let origin = text.lines().find_map(|line| line.strip_prefix("o="))?;
    let mut words = origin.split(' ');
    let (user, id) = (words.next()?, words.next()?);
    let address = words.next_back()?.trim_end();
    let origin = || SessionKey::of(&format!("{user} {id} {address}"));
    is_telling(id).then(origin)
}

/// The session that an answer describes, by user and id of its `o=`: relays on its way may each
/// write their own address.
pub(super) fn session_of_answer(description: &[u8]) -> Option<SessionKey> {
    let Origin { session, .. } = Origin::of(description)?;
    let (_, id) = session.rsplit_once(' ')?;
    is_telling(id).then(|| SessionKey::of(&session))
}

/// Whether a session's id tells it from others. Short ones are counters that begin anew with each
/// start of a phone; one digit or two repeated, or digits in a row, are what somebody typed for
/// all phones of a make.
fn is_telling(id: &str) -> bool {
    let digits = id.as_bytes();
    let kinds = (0..=u8::MAX).filter(|byte| digits.contains(byte)).count();
    let next = |digit: u8, step: u8| b'0' + (digit - b'0' + step) % 10;
    let steps = |step| digits.windows(2).all(|two| two[1] == next(two[0], step));
    let in_a_row = digits.iter().all(u8::is_ascii_digit) && (steps(1) || steps(9));
    digits.len() >= SESSION_ID_DIGITS_MIN && kinds >= SESSION_ID_KINDS_MIN && !in_a_row
}

const SESSION_ID_DIGITS_MIN: usize = 6;
const SESSION_ID_KINDS_MIN: usize = 3;

fn is_number(alias: &str) -> bool {
    let user = alias.rsplit_once('@').map_or(alias, |(user, _)| user);
    let digits = user.strip_prefix('+').unwrap_or(user);
    digits.len() >= spelling::SAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the caller withholds who calls: Privacy (RFC 3323 s4.2, RFC 3325 s9.3), or an anonymous
/// From.
pub(crate) fn withholds(message: &Message<'_>) -> bool {
    let hides =
        |value: &str| ["id", "user", "header"].iter().any(|p| p.eq_ignore_ascii_case(value));
    let privacy =
        message.values(Name::Privacy).any(|v| v.split(';').any(|value| hides(value.trim())));
    let anonymous =
        message.from().is_some_and(|from| text::has(&from.uri.to_ascii_lowercase(), "anonymous@"));
    privacy || anonymous
}

impl Adapter {
    /// What an INVITE from `source` says of its caller.
    pub(crate) fn claim_of(
        &mut self,
        provider: Option<ProviderId>,
        message: &Message<'_>,
        source: &Source,
    ) -> Claim {
        let kind = message.header(Name::ContentType).unwrap_or_default();
        let session = session_of(kind, message.body());
        let mut claim = Claim { session, ..Claim::default() };
        let options = self.providers.get(provider).map(|p| &p.options);
        let Some(options) = options else { return claim };
        let from = message.from().map(|from| from.uri).filter(|_| !withholds(message));
        // Only a provider can assert (RFC 3325 s5): what another adapter says of others is nothing.
        let by_provider = !matches!(source.path, Path::Peer(_));
        let asserted = [Name::PAssertedIdentity, Name::RemotePartyId].into_iter();
        let asserted = asserted.filter(|_| by_provider).flat_map(|name| message.values(name));
        let asserted = asserted.filter_map(|value| NameAddr::parse(value).ok().map(|a| a.uri));
        for uri in from.into_iter().chain(asserted).filter(|uri| !is_nobody(uri)) {
            // The asserted address is often that of From once more.
            let name = name_of(uri, options, source.flow.to.ip())
                .filter(|name| !claim.names.contains(name));
            if let Some(name) = name {
                let dropped = claim.names.push(name).is_err();
                self.counters.claims_dropped += u64::from(dropped);
            }
        }
        claim
    }
}

/// An address as its key. A B2BUA may write its own address in place of the domain.
fn name_of(uri: &str, provider: &Provider, source: IpAddr) -> Option<String> {
    let host = Uri::parse(uri).ok().and_then(|uri| uri.host_ip());
    if host == Some(source) {
        let user = crate::adapter::names::uri_user(uri);
        let uri = format!("sip:{user}@{}", provider.domain);
        return spelling::key(&uri, provider).map(|aor| aor.as_str().to_owned());
    }
    spelling::key(uri, provider).map(|aor| aor.as_str().to_owned())
}

/// Whether an address stands for a caller that is withheld (RFC 3323 s4.1.1.3).
fn is_nobody(uri: &str) -> bool {
    let user = crate::adapter::names::uri_user(uri);
    ["anonymous", "unknown", "unavailable", "restricted", ""]
        .iter()
        .any(|nobody| user.eq_ignore_ascii_case(nobody))
}

#[cfg(test)]
mod tests;
