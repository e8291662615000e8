//! Which rewriting a message gets on its way from one side to another: CALLS §1.1 to §1.4.
//!
//! One [`Crossing`] names both sides; requests and responses of a call, of a registration and of
//! anything else are written by the two functions here, so that a rule stands in one place.

#[cfg(test)]
mod tests;

use super::call::identity::{DialogId, NOBODY_USER, Rename};
use super::names::{Local, Path};
use super::rewrite::{self, Contacts, RecordRoute, RequestPlan, ResponsePlan, Routes};
use crate::limits::SIP_MESSAGE_BYTES_MAX;
use crate::sip::proxy::{LoopDetector, Routed};
use crate::sip::{Message, Method, Uri};
use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// A message's way through the adapter.
pub(crate) struct Crossing {
    /// The side that it comes from.
    pub(crate) from: Path,
    /// Our own end on that side.
    pub(crate) from_local: Local,
    /// The side that it goes to.
    pub(crate) to: Path,
    /// Our own end on that side.
    pub(crate) to_local: Local,
    /// User part of the Contact that stands for the sender on the other side.
    pub(crate) user: String,
    /// What that Contact says beside the transport.
    pub(crate) contact_parameter: &'static str,
    /// Addresses under which the phone names itself.
    pub(crate) phone_hosts: heapless::Vec<IpAddr, 2>,
    /// The whole URI of that Contact, where it is not to be one of ours.
    pub(crate) stand_in: Option<String>,
    /// Where a request goes instead of where its sender said.
    pub(crate) next_hop: Option<NextHop>,
    /// The names that the other side has for the dialog, where they are others.
    pub(crate) rename: Option<Rename>,
    /// Who sends it is withheld there (CALLS §1.4).
    pub(crate) withheld: bool,
    /// Our own addresses that a Route may name.
    pub(crate) own: Vec<SocketAddr>,
    /// Marks our branches, so that a request that comes back is known.
    pub(crate) loops: LoopDetector,
}

/// A next hop that the sender of a request does not know, as the request names it: an emergency
/// route, or the remote target and route set of another leg.
pub(crate) struct NextHop {
    /// The Request-URI.
    pub(crate) uri: String,
    /// The Route headers.
    pub(crate) routes: Vec<String>,
}

impl Crossing {
    /// The URI that stands for the sender towards the receiver.
    pub(crate) fn contact_uri(&self) -> String {
        if let Some(uri) = &self.stand_in {
            return uri.clone();
        }
        let (local, user) = (&self.to_local, &self.user);
        let user = if self.withheld { NOBODY_USER } else { user };
        let at = if user.is_empty() { "" } else { "@" };
        let further = self.contact_parameter;
        format!("sip:{user}{at}{}{}{further}", local.host(), local.parameter())
    }

    fn contacts<'c>(&'c self, uri: &'c str) -> Contacts<'c> {
        match (self.from, self.to) {
            _ if self.stand_in.is_some() => Contacts::All(uri),
            (Path::Lan, Path::Server) => Contacts::Replace { hosts: &self.phone_hosts, uri },
            (Path::Server, _) => Contacts::Keep,
            _ => Contacts::All(uri),
        }
    }

    fn touches_overlay(&self) -> bool {
        matches!(self.from, Path::Peer(_)) || matches!(self.to, Path::Peer(_))
    }

    /// Writes a request that crosses. None where it would grow beyond the limit.
    pub(crate) fn request(
        &self,
        message: &Message<'_>,
        uri: &str,
        branch: &dyn fmt::Display,
        cseq_shift: i64,
        body: &[u8],
    ) -> Option<Vec<u8>> {
        let contact = self.contact_uri();
        let routed = Routed::new(message, |uri| is_own(uri, &self.own));
        let value = self.loops.value(message);
        let branch = format_args!("{branch}-{value}");
        let forms_dialog = matches!(
            message.method(),
            Method::Invite | Method::Subscribe | Method::Refer | Method::Notify
        );
        let (uri, routes) = match (&self.next_hop, self.to) {
            (Some(hop), _) => (hop.uri.as_str(), Routes::Set(&hop.routes)),
            (None, Path::Server) => (routed.request_uri, Routes::Routed(&routed)),
            (None, _) => (uri, Routes::Drop),
        };
        let own = || DialogId::of(message, true).rename(true);
        let withheld = self.withheld.then(|| self.rename.clone().unwrap_or_else(own).withheld());
        let plan = RequestPlan {
            uri,
            local: self.to_local,
            branch: &branch,
            routes,
            rename: withheld.as_ref().or(self.rename.as_ref()),
            withheld: self.withheld,
            record_route: (self.to == Path::Lan && forms_dialog).then_some(self.to_local),
            keep_record_routes: !self.touches_overlay(),
            contacts: self.contacts(&contact),
            cseq_shift,
            allow_list: self.touches_overlay(),
            body,
        };
        write(|out| rewrite::request(message, &plan, out))
    }

    /// Writes a response that crosses, to `upstream`, a request that came from `source`.
    pub(crate) fn response(
        &self,
        message: &Message<'_>,
        upstream: &Message<'_>,
        source: SocketAddr,
        body: &[u8],
    ) -> Option<Vec<u8>> {
        let contact = self.contact_uri();
        let redirect = (300..400).contains(&message.status());
        let routed = (101..300).contains(&message.status()) && self.forms_dialog(upstream);
        let plan = ResponsePlan {
            upstream,
            source,
            record_route: match (self.from, self.to) {
                (Path::Lan, Path::Server) => RecordRoute::Remove(self.from_local),
                (from, Path::Lan) if routed => {
                    RecordRoute::Append { local: self.to_local, keep: from == Path::Server }
                }
                (Path::Server, Path::Lan) => RecordRoute::Keep,
                _ => RecordRoute::Drop,
            },
            contacts: match redirect {
                true if self.touches_overlay() => Contacts::Names,
                true => Contacts::Keep,
                false => self.contacts(&contact),
            },
            to: self.rename.as_ref().map(|rename| rename.to.as_str()),
            allow_list: self.touches_overlay(),
            to_phone: self.to == Path::Lan,
            body,
        };
        write(|out| rewrite::response(message, &plan, out))
    }

    fn forms_dialog(&self, upstream: &Message<'_>) -> bool {
        matches!(upstream.method(), Method::Invite | Method::Subscribe | Method::Refer)
            && upstream.to().is_none_or(|to| to.tag().is_none())
    }
}

/// Whether a URI is one that our Record-Route has: our address without a user. With one it is a
/// phone's Contact towards the provider, which another phone of ours may be in a dialog with.
pub(crate) fn is_own(uri: &Uri<'_>, own: &[SocketAddr]) -> bool {
    let port = uri.port.unwrap_or(5060);
    let named = uri.host_ip().is_some_and(|ip| own.contains(&(ip, port).into()));
    named && uri.user.is_empty()
}

/// Runs a writer on a buffer of the usual length, or of the greatest where that is too short,
/// and keeps what it wrote.
pub(crate) fn write(
    writer: impl Fn(&mut [u8]) -> Result<usize, crate::sip::TooLong>,
) -> Option<Vec<u8>> {
    for room in [USUAL_BYTES, SIP_MESSAGE_BYTES_MAX] {
        let mut out = vec![0; room];
        if let Ok(length) = writer(&mut out) {
            out.truncate(length);
            return Some(out);
        }
    }
    None
}

/// Longer than most SIP messages: clearing the greatest buffer for each costs more than writing.
const USUAL_BYTES: usize = 2048;
