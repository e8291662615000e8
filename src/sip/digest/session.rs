//! The client's side over several requests: one challenge answers for as long as its server takes
//! the nonce (RFC 7616 s3.4.5, s3.5).

use super::parse::next_nonce;
use super::{Algorithm, Challenge, Secret, answer};
use crate::sip::{Message, Name};

/// What is remembered of a challenge.
#[derive(Clone, Debug)]
pub struct Session {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    auth: bool,
    proxy: bool,
    /// How often the nonce was used.
    count: u32,
}

impl Session {
    /// Takes the first challenge of a 401 or 407 that `secret` can answer.
    pub fn challenged(response: &Message<'_>, secret: &Secret<'_>) -> Option<Self> {
        let (name, proxy) = match response.status() {
            401 => (Name::WwwAuthenticate, false),
            407 => (Name::ProxyAuthenticate, true),
            _ => return None,
        };
        let challenges = response.headers().iter().filter(|header| header.name == name);
        let challenge = challenges
            .filter_map(|header| Challenge::parse(header.value).ok())
            .find(|challenge| secret.can_answer(challenge))?;
        Some(Self {
            realm: challenge.realm.to_owned(),
            nonce: challenge.nonce.to_owned(),
            opaque: challenge.opaque.map(str::to_owned),
            algorithm: challenge.algorithm,
            auth: challenge.auth,
            proxy,
            count: 0,
        })
    }

    /// Whether a challenge repeats this one: what answered it was wrong, and is again.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.realm, &self.nonce, self.proxy) == (&other.realm, &other.nonce, other.proxy)
    }

    /// Takes the nonce that the server wants next (Authentication-Info), if it names one.
    pub fn accepted(&mut self, response: &Message<'_>) {
        let info = response.header(Name::AuthenticationInfo);
        if let Some(nonce) = info.and_then(next_nonce) {
            self.nonce = nonce;
            self.count = 0;
        }
    }

    /// The header with credentials for a request. `cnonce` is random and without quotes.
    pub fn credentials(
        &mut self,
        secret: &Secret<'_>,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> Option<(Name, String)> {
        self.count = self.count.saturating_add(1);
        let challenge = Challenge {
            realm: &self.realm,
            nonce: &self.nonce,
            opaque: self.opaque.as_deref(),
            algorithm: self.algorithm,
            auth: self.auth,
            stale: false,
        };
        let value = answer(&challenge, secret, method, uri, cnonce, self.count)?;
        let name = if self.proxy { Name::ProxyAuthorization } else { Name::Authorization };
        Some((name, value.to_string()))
    }
}
