//! Credentials of section `account`: whose they are, and requests of the adapter's own that are
//! challenged (CALLS §2.2, §3.7).

use super::providers::ProviderId;
use super::{Adapter, ClientOwner, crossing, rewrite};
use crate::config::Account;
use crate::sip::digest::{Secret, Session};
use crate::sip::transaction::ClientId;
use crate::sip::{Message, Name, TooLong, Writer};
use crate::time::Instant;
use core::fmt;

impl Adapter {
    /// The account of an address of record, as spelled for look-ups.
    pub(crate) fn account_of(&self, provider: Option<ProviderId>, aor: &str) -> Option<&Account> {
        let is = |account: &&Account| {
            self.spell(provider, &account.aor).is_some_and(|spelled| spelled == aor)
        };
        self.config.accounts.iter().find(is)
    }

    /// Answers a challenge to a BYE of the adapter's own, of a leg that lost or of a call that it
    /// ends, where an account has the credentials. Once: who challenges again does not take them.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message<'_>,
    ) {
        if !matches!(response.status(), 401 | 407) {
            return;
        }
        let Some(bytes) = self.transactions.client_request(client).map(<[u8]>::to_vec) else {
            return;
        };
        let Some(flow) = self.transactions.client_flow(client) else { return };
        let Ok(request) = Message::parse(&bytes) else { return };
        let tried = [Name::Authorization, Name::ProxyAuthorization];
        if request.headers().iter().any(|header| tried.contains(&header.name)) {
            return;
        }
        let from = request.from().map(|from| from.uri).unwrap_or_default();
        let provider = self.provider_of_uri(from);
        let aor = self.spell(provider, from).unwrap_or_default();
        let Some(account) = self.account_of(provider, &aor).cloned() else { return };
        let secret = secret(&account);
        let Some(mut session) = Session::challenged(response, &secret) else { return };
        let cnonce = format!("{:08x}", self.rng.next_u32());
        let (method, uri) = (request.method().as_str(), request.request_uri());
        let Some(credentials) = session.credentials(&secret, method, uri, &cnonce) else { return };
        let Some(local) = self.local_of(flow) else { return };
        let branch = self.transactions.branch();
        let again = crossing::write(|out| {
            let mut writer = Writer::new(out);
            writer.request(method, uri);
            rewrite::write_via(&mut writer, local, &branch);
            write_again(writer, &request, &credentials)
        });
        if let Some(again) = again {
            let owner = ClientOwner::Quiet.encode();
            let _ = self.transactions.send_request(now, flow, &again, owner);
        }
    }
}

/// The rest of a request that is sent again with credentials: under the next number.
fn write_again(
    mut writer: Writer<'_>,
    request: &Message<'_>,
    (name, value): &(Name, String),
) -> Result<usize, TooLong> {
    for header in request.headers() {
        match header.name {
            Name::Via | Name::ContentLength => {}
            Name::CSeq => {
                let number = request.cseq().map_or(1, |(number, _)| number.saturating_add(1));
                let method = request.method().as_str();
                writer.header(Name::CSeq, format_args!("{number} {method}"));
            }
            _ => writer.copy(header),
        }
    }
    writer.header(*name, value as &dyn fmt::Display);
    writer.finish(request.body())
}

/// What a user and a server share, as the digest takes it.
pub(crate) fn secret(account: &Account) -> Secret<'_> {
    Secret {
        user: &account.user,
        realm: &account.realm,
        password: account.password.as_ref().map(|secret| secret.expose()),
        ha1: account.ha1.as_ref().map(|secret| secret.expose()),
        ha1_sha256: account.ha1_sha256.as_ref().map(|secret| secret.expose()),
    }
}
