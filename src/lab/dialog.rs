//! A dialog as one end of it holds it (RFC 3261 s12): who, by which way, and the next number.

use crate::sip::{Message, Method, Name, NameAddr, Uri, Writer};
use std::net::SocketAddr;

/// The port of SIP where a URI names none.
const SIP_PORT: u16 = 5060;

/// One side of a dialog.
#[derive(Clone, Debug, Default)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// Our From or To, tag included.
    pub(super) local: String,
    /// The other side's To or From, tag included once it is known.
    pub(super) remote: String,
    /// The route set, next hop first.
    pub(super) routes: Vec<String>,
    /// The remote target: the other side's Contact.
    pub(super) target: String,
    /// The number of the last request that we sent.
    pub(super) cseq: u32,
}

impl Dialog {
    /// The other side's tag; empty before the dialog stands.
    pub(super) fn remote_tag(&self) -> &str {
        tag(&self.remote)
    }

    /// Our tag.
    pub(super) fn local_tag(&self) -> &str {
        tag(&self.local)
    }

    /// Takes what a response to our INVITE tells: tag, route set, target (s12.1.2).
    pub(super) fn learn_response(&mut self, message: &Message<'_>) {
        if let Some(to) = message.header(Name::To) {
            self.remote = to.to_owned();
        }
        self.routes = record_routes(message);
        self.routes.reverse();
        self.learn_target(message);
    }

    /// Takes what an INVITE to us tells (s12.1.1); `local_tag` is the tag that we answer with.
    pub(super) fn of_request(message: &Message<'_>, local_tag: u32) -> Self {
        let mut dialog = Self {
            call_id: message.call_id().to_owned(),
            local: format!("{};tag={local_tag:08x}", message.header(Name::To).unwrap_or("")),
            remote: message.header(Name::From).unwrap_or("").to_owned(),
            routes: record_routes(message),
            ..Self::default()
        };
        dialog.learn_target(message);
        dialog
    }

    /// Takes a new remote target from a Contact (s12.2).
    pub(super) fn learn_target(&mut self, message: &Message<'_>) {
        let contact = message.values(Name::Contact).next();
        if let Some(contact) = contact.and_then(|value| NameAddr::parse(value).ok()) {
            self.target = contact.uri.to_owned();
        }
    }

    /// Where the next request goes: the first route, else the target.
    pub(super) fn next_hop(&self) -> Option<SocketAddr> {
        match self.routes.first() {
            Some(route) => route_address(route),
            None => address(&self.target),
        }
    }

    /// Whether `message`, a request to us, belongs to this dialog.
    pub(super) fn has_request(&self, message: &Message<'_>) -> bool {
        let from = message.header(Name::From).map_or("", tag);
        let to = message.header(Name::To).map_or("", tag);
        self.call_id == message.call_id() && from == self.remote_tag() && to == self.local_tag()
    }

    /// Writes a request inside this dialog. `via` and `contact` are whole header values, `extra`
    /// are further headers.
    pub(super) fn write(
        &self,
        method: Method<'_>,
        cseq: u32,
        via: &str,
        contact: &str,
        extra: &[(Name, String)],
        body: &str,
    ) -> Vec<u8> {
        written(body.as_bytes(), |writer| {
            writer.request(method.as_str(), &self.target);
            writer.header(Name::Via, via);
            writer.header(Name::MaxForwards, 70);
            self.routes.iter().for_each(|route| writer.header(Name::Route, route));
            writer.header(Name::From, &self.local);
            writer.header(Name::To, &self.remote);
            writer.header(Name::CallId, &self.call_id);
            writer.header(Name::CSeq, format_args!("{cseq} {}", method.as_str()));
            writer.header(Name::Contact, contact);
            extra.iter().for_each(|(name, value)| writer.header(*name, value));
            if !body.is_empty() {
                writer.header(Name::ContentType, "application/sdp");
            }
        })
    }
}

/// Lets `fill` write a head and adds the body. What does not fit is no message: empty.
pub(super) fn written(body: &[u8], fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; crate::limits::SIP_MESSAGE_BYTES_MAX];
    let mut writer = Writer::new(&mut buffer);
    fill(&mut writer);
    let len = writer.finish(body).unwrap_or(0);
    buffer.truncate(len);
    buffer
}

/// The Record-Route values of a message, top first.
pub(super) fn record_routes(message: &Message<'_>) -> Vec<String> {
    message.values(Name::RecordRoute).map(str::to_owned).collect()
}

/// Where a URI with a literal address points to.
pub(super) fn address(uri: &str) -> Option<SocketAddr> {
    let uri = Uri::parse(uri).ok()?;
    Some(SocketAddr::new(uri.host_ip()?, uri.port.unwrap_or(SIP_PORT)))
}

/// Where a Route value points to.
pub(super) fn route_address(route: &str) -> Option<SocketAddr> {
    address(NameAddr::parse(route).ok()?.uri)
}

/// The tag of a From or To value; empty where there is none.
pub(super) fn tag(value: &str) -> &str {
    NameAddr::parse(value).ok().and_then(|name| name.tag()).unwrap_or("")
}
