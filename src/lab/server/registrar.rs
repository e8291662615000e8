//! What the lab's servers share: who may ask, who is where, and the form of an answer.

use crate::lab::dialog::{tag, written};
use crate::rng::Rng;
use crate::sip::digest::{Algorithm, Authenticator, Credentials, Secret, Verdict};
use crate::sip::{Message, Method, Name, NameAddr, Uri, reason_phrase};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const BINDINGS_PER_AOR_MAX: usize = 8;
pub(super) const EXPIRES_MAX: Duration = Duration::from_secs(3600);
/// The realm of the challenges.
const REALM: &str = "lab";
const NONCES: usize = 4096;
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// The country and the area of the lab: what `089…` is short for.
const COUNTRY: &str = "+49";

/// A status with the headers that belong to it.
pub(super) type Verdicted = (u16, Vec<(Name, String)>);

/// A Contact of a registered phone.
#[derive(Clone, Debug)]
struct Binding {
    uri: String,
    expires_at: Instant,
}

/// The passwords and the location table, in memory only.
pub(super) struct Registrar {
    password: Option<String>,
    authenticator: Authenticator,
    locations: BTreeMap<String, Vec<Binding>>,
}

impl Registrar {
    /// An empty table. With a password, every user's, REGISTER and INVITE are challenged.
    pub(super) fn new(password: Option<String>, rng: &mut Rng) -> Self {
        let authenticator = Authenticator::new(NONCES, NONCE_LIFETIME, rng);
        Self { password, authenticator, locations: BTreeMap::new() }
    }

    /// The challenge to a request that needs credentials and does not have them.
    pub(super) fn challenge(&mut self, now: Instant, message: &Message<'_>) -> Option<Verdicted> {
        let password = self.password.clone()?;
        let in_dialog = message.header(Name::To).is_some_and(|to| !tag(to).is_empty());
        let (status, answered, asked) = match message.method() {
            Method::Register => (401, Name::Authorization, Name::WwwAuthenticate),
            Method::Invite if !in_dialog => {
                (407, Name::ProxyAuthorization, Name::ProxyAuthenticate)
            }
            _ => return None,
        };
        let method = message.method();
        let verdict = message.header(answered).and_then(|value| {
            let credentials = Credentials::parse(value).ok()?;
            let (user, realm) = (credentials.user, REALM);
            let secret = Secret { user, realm, password: Some(&password), ..Secret::default() };
            Some(self.authenticator.verify(now, &credentials, method.as_str(), &secret))
        });
        if verdict == Some(Verdict::Accepted) {
            return None;
        }
        let stale = verdict == Some(Verdict::Stale);
        let offer = self.authenticator.challenge(now, REALM, Algorithm::Md5, stale).to_string();
        Some((status, vec![(asked, offer)]))
    }

    /// Binds, refreshes and unbinds Contacts (RFC 3261 s10.3): the answer.
    pub(super) fn register(&mut self, now: Instant, message: &Message<'_>) -> Verdicted {
        let Some(key) = registered(message) else { return (400, Vec::new()) };
        let default = message.header(Name::Expires).and_then(|value| value.parse().ok());
        let bindings = self.locations.entry(key).or_default();
        bindings.retain(|binding| binding.expires_at > now);
        for contact in message.values(Name::Contact) {
            if contact == "*" {
                bindings.clear();
                continue;
            }
            let Ok(contact) = NameAddr::parse(contact) else { continue };
            let own = contact.params.get("expires").and_then(|value| value.parse().ok());
            let asked = own.or(default).map_or(EXPIRES_MAX, Duration::from_secs);
            bindings.retain(|binding| binding.uri != contact.uri);
            if !asked.is_zero() && bindings.len() < BINDINGS_PER_AOR_MAX {
                let expires_at = now + asked.min(EXPIRES_MAX);
                bindings.push(Binding { uri: contact.uri.to_owned(), expires_at });
            }
        }
        let contacts = bindings.iter().map(|binding| {
            let seconds = binding.expires_at.since(now).as_secs();
            (Name::Contact, format!("<{}>;expires={seconds}", binding.uri))
        });
        (200, contacts.collect())
    }

    /// The Contacts where a Request-URI leads to now; none where nobody ever had that address.
    pub(super) fn targets(&self, now: Instant, uri: &str) -> Option<Vec<String>> {
        let bindings = self.locations.get(&key(uri)?)?;
        let live = bindings.iter().filter(|binding| binding.expires_at > now);
        Some(live.map(|binding| binding.uri.clone()).collect())
    }
}

/// The key of the AOR that a REGISTER is about.
pub(super) fn registered(message: &Message<'_>) -> Option<String> {
    key(NameAddr::parse(message.header(Name::To)?).ok()?.uri)
}

/// The key of an AOR in the location table: user and host, the host in lower case, a national
/// number as the international one that it is.
pub(super) fn key(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri).ok()?;
    let host = uri.host.to_ascii_lowercase();
    let user = match uri.user.strip_prefix('0') {
        Some(rest) if rest.bytes().all(|byte| byte.is_ascii_digit()) => format!("{COUNTRY}{rest}"),
        _ => uri.user.to_owned(),
    };
    Some(format!("{user}@{host}")).filter(|_| !user.is_empty())
}

/// A user part in national spelling, where it is a number of the lab's country.
pub(super) fn national(user: &str) -> String {
    user.strip_prefix(COUNTRY).map_or_else(|| user.to_owned(), |rest| format!("0{rest}"))
}

/// Answers a request. `new_tag` goes into a To that has none; `seen` is where it came from.
pub(super) fn answer(
    message: &Message<'_>,
    status: u16,
    new_tag: &str,
    seen: Option<SocketAddr>,
    extra: &[(Name, String)],
    body: &str,
) -> Vec<u8> {
    let mut vias = 0;
    written(body.as_bytes(), |writer| {
        writer.status(status, reason_phrase(status));
        for header in message.headers() {
            match header.name {
                Name::Via => {
                    writer.header(Name::Via, stamped(header.value, seen.filter(|_| vias == 0)));
                    vias += 1;
                }
                Name::From | Name::CallId | Name::CSeq => writer.copy(header),
                Name::To if status == 100 || !tag(header.value).is_empty() => writer.copy(header),
                Name::To => {
                    writer.header(Name::To, format_args!("{};tag={new_tag}", header.value));
                }
                _ => {}
            }
        }
        extra.iter().for_each(|(name, value)| writer.header(*name, value));
        if !body.is_empty() {
            writer.header(Name::ContentType, "application/sdp");
        }
    })
}

/// A Via with the address that its request came from, where it asks for one (RFC 3581).
pub(super) fn stamped(value: &str, from: Option<SocketAddr>) -> String {
    match from {
        Some(from) if !value.contains(";rport=") => {
            let seen = format!(";received={};rport={}", from.ip(), from.port());
            value.replacen(";rport", &seen, 1)
        }
        _ => value.to_owned(),
    }
}
