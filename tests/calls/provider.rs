//! The provider's server, scripted: a registrar, or a stateless proxy (RFC 3261 s16.11).

use crate::sip::{Msg, answer, uri_of, write};
use crate::town::{DOMAIN, SERVER, server};
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub(crate) type Sent = Vec<(SocketAddr, Vec<u8>)>;

/// A server that registers everybody and answers probes; the rest goes to its inbox.
pub(crate) fn registrar(message: &Msg) -> Option<Sent> {
    let back = |bytes| Some(vec![(message.from, bytes)]);
    match message.method() {
        "OPTIONS" if message.is_request() => back(answer(message, 200, "srv", &[], "")),
        "REGISTER" if message.is_request() => {
            let contact = message.all("Contact");
            let mut contacts = Vec::new();
            for value in contact.iter().filter(|value| !value.ends_with("expires=0")) {
                contacts.push(("Contact", *value));
            }
            back(answer(message, 200, "srv", &contacts, ""))
        }
        _ => None,
    }
}

/// A server that also carries calls, to the Contacts that were registered with it.
#[derive(Default)]
pub(crate) struct Proxy {
    contacts: BTreeMap<String, String>,
}

impl Proxy {
    pub(crate) fn act(&mut self, message: &Msg) -> Option<Sent> {
        if !message.is_request() {
            return Some(backward(message).into_iter().collect());
        }
        if message.method() == "REGISTER" {
            let user = user_of(uri_of(message.one("To"))).to_owned();
            self.contacts.insert(user, message.contact().to_owned());
        }
        registrar(message).or_else(|| Some(self.pass(message)))
    }

    fn pass(&self, message: &Msg) -> Sent {
        let mut sent = Vec::new();
        let fresh = message.tag("To").is_empty();
        if message.method() == "INVITE" && fresh {
            sent.push((message.from, answer(message, 100, "", &[], "")));
        }
        let to_user = message.uri().ends_with(DOMAIN);
        let target = match self.contacts.get(user_of(message.uri())) {
            Some(contact) if to_user => contact.clone(),
            None if to_user => return vec![(message.from, answer(message, 404, "s", &[], ""))],
            _ => message.uri().to_owned(),
        };
        sent.push(forward(message, &target));
        sent
    }
}

/// An INVITE or another request as a proxy passes it on, and where to.
pub(crate) fn forward(message: &Msg, target: &str) -> (SocketAddr, Vec<u8>) {
    let below = message.all("Via")[0].to_owned();
    let branch = below.split_once("branch=z9hG4bK").map_or("", |(_, rest)| rest);
    let branch = branch.split(';').next().unwrap_or_default();
    let via = format!("SIP/2.0/UDP {SERVER};branch=z9hG4bKp{branch}");
    let mut headers = vec![("Via", via.as_str())];
    let dialog = message.method() == "INVITE" && message.tag("To").is_empty();
    if dialog {
        headers.push(("Record-Route", "<sip:198.51.100.1:5060;lr>"));
    }
    for (name, value) in message.headers() {
        let own = name == "Route" && value.contains(SERVER);
        if !own && name != "Content-Length" {
            headers.push((name, value));
        }
    }
    let bytes = write(&format!("{} {target} SIP/2.0", message.method()), &headers, message.body());
    (host_of(target), bytes)
}

/// A response as a proxy passes it back, and where to.
pub(crate) fn backward(message: &Msg) -> Option<(SocketAddr, Vec<u8>)> {
    let next = message.all("Via").get(1)?.split(' ').nth(1)?.split(';').next()?.parse().ok()?;
    let mut headers = message.headers();
    let first = headers.iter().position(|(name, _)| *name == "Via")?;
    headers.remove(first);
    headers.retain(|(name, _)| *name != "Content-Length");
    Some((next, write(message.line(), &headers, message.body())))
}

pub(crate) fn user_of(uri: &str) -> &str {
    uri.trim_start_matches("sip:").split('@').next().unwrap_or_default()
}

pub(crate) fn host_of(uri: &str) -> SocketAddr {
    let host = uri.trim_start_matches("sip:");
    let host = host.split_once('@').map_or(host, |(_, host)| host);
    host.split(';').next().and_then(|host| host.parse().ok()).unwrap_or_else(server)
}
