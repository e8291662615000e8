//! Who a leg says is calling: what a leg by the server is matched with notices by (CALLS §3.8).
//!
//! A provider may write the caller's number in the national way, put a trunk's number into From
//! and the caller into P-Asserted-Identity, or withhold it altogether.

use super::caller::withholds;
use crate::adapter::Adapter;
use crate::adapter::names::literal;
use crate::adapter::spelling;
use crate::config::Provider;
use crate::limits::CLAIMS_MAX;
use crate::sip::{Message, Name, NameAddr, Uri};
use std::net::IpAddr;

/// The addresses that an INVITE names as its caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// As spelled for look-ups; and as written where that has another domain.
    names: heapless::Vec<String, CLAIMS_MAX>,
}

impl Claim {
    /// Whether the caller is withheld.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, as a notice has them.
    pub(crate) fn aliases(&self) -> Vec<String> {
        self.names.to_vec()
    }

    /// Whether it names one of these aliases: seven equal digits at the end suffice.
    pub(crate) fn names(&self, aliases: &[String]) -> bool {
        let same = |alias: &String, name: &String| {
            alias == name || is_number(alias) && spelling::same_number(alias, name)
        };
        self.names.iter().any(|name| aliases.iter().any(|alias| same(alias, name)))
    }
}

fn is_number(alias: &str) -> bool {
    let user = alias.rsplit_once('@').map_or(alias, |(user, _)| user);
    let digits = user.strip_prefix('+').unwrap_or(user);
    digits.len() >= spelling::SAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl Adapter {
    /// What an INVITE from `source` says of its caller.
    pub(crate) fn claim_of(
        &self,
        provider: Option<u8>,
        message: &Message<'_>,
        source: IpAddr,
    ) -> Claim {
        let mut claim = Claim::default();
        let options = provider.and_then(|at| self.config.providers.get(usize::from(at)));
        let Some(options) = options else { return claim };
        let from = message.from().map(|from| from.uri).filter(|_| !withholds(message));
        let asserted = [Name::PAssertedIdentity, Name::RemotePartyId].into_iter();
        let asserted = asserted.flat_map(|name| message.values(name));
        let asserted = asserted.filter_map(|value| NameAddr::parse(value).ok().map(|a| a.uri));
        for uri in from.into_iter().chain(asserted).filter(|uri| !is_nobody(uri)) {
            if let Some(name) = name_of(uri, options, source) {
                let _ = claim.names.push(name);
            }
        }
        claim
    }
}

/// An address as its key. A B2BUA may write its own address in place of the domain.
fn name_of(uri: &str, provider: &Provider, source: IpAddr) -> Option<String> {
    let host = Uri::parse(uri).ok().and_then(|uri| literal(uri.host));
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
