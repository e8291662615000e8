//! Credentials of section `account`: whose they are, and requests of the adapter's own that are
//! challenged (CALLS §2.2, §3.7).

use super::providers::ProviderId;
use super::{Adapter, ClientOwner, crossing, rewrite};
use crate::config::Account;
use crate::net::Via;
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

    /// Answers a challenge to a request of the adapter's own outside of what a phone has asked for,
    /// such as the BYE of a leg that lost, where an account has the credentials. Once: who
    /// challenges again does not take them. None where that was not done. Only who may be a
    /// provider is answered: a member that chose the nonce could try passwords on the answer.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        (owner, client): (ClientOwner, ClientId),
        response: &Message<'_>,
    ) -> Option<ClientId> {
        if !matches!(response.status(), 401 | 407) {
            return None;
        }
        let bytes = self.transactions.client_request(client).map(<[u8]>::to_vec)?;
        let flow = self.transactions.client_flow(client)?;
        if matches!(flow.via, Via::Peer(_)) {
            return None;
        }
        let request = Message::parse(&bytes).ok()?;
        let tried = [Name::Authorization, Name::ProxyAuthorization];
        if request.headers().iter().any(|header| tried.contains(&header.name)) {
            return None;
        }
        let from = request.from().map(|from| from.uri).unwrap_or_default();
        let provider = self.provider_of_uri(from);
        let aor = self.spell(provider, from).unwrap_or_default();
        let account = self.account_of(provider, &aor).cloned()?;
        let secret = secret(&account);
        let mut session = Session::challenged(response, &secret)?;
        let cnonce = format!("{:08x}", self.rng.next_u32());
        let (method, uri) = (request.method().as_str(), request.request_uri());
        let credentials = session.credentials(&secret, method, uri, &cnonce)?;
        let local = self.local_of(flow)?;
        let branch = self.transactions.branch();
        let again = crossing::write(|out| {
            let mut writer = Writer::new(out);
            writer.request(method, uri);
            rewrite::write_via(&mut writer, local, &branch);
            write_again(writer, &request, &credentials)
        });
        self.transactions.send_request(now, flow, &again?, owner.encode()).ok()
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
