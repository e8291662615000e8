//! A phone's answer to a digest challenge (RFC 7616, RFC 3261 s22).

use super::Phone;
use crate::sip::digest::{Challenge, Secret, answer};
use crate::sip::{Message, Name};

/// A header with credentials.
pub(super) type Credentials = (Name, String);

impl Phone {
    /// Answers the first challenge of a 401 or 407 that this phone understands. None where it
    /// has no password, or nothing was asked.
    pub(super) fn credentials(
        &mut self,
        message: &Message<'_>,
        method: &str,
        uri: &str,
    ) -> Option<Credentials> {
        let (asked, answered) = match message.status() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        let cnonce = format!("{:08x}", self.rng.next_u32());
        let password = self.settings.password.as_deref()?;
        let secret =
            Secret { user: &self.settings.user, password: Some(password), ..Secret::default() };
        message
            .headers()
            .iter()
            .filter(|header| header.name == asked)
            .filter_map(|header| Challenge::parse(header.value).ok())
            .find_map(|challenge| answer(&challenge, &secret, method, uri, &cnonce, 1))
            .map(|value| (answered, value.to_string()))
    }
}
