//! A provider whose server is no proxy: a B2BUA that renames everything on its far side.

use crate::provider::{Sent, host_of, registrar, user_of};
use crate::sip::{Msg, answer, uri_of, write};
use crate::town::{Phone, SERVER, Town, server};
use cosip::config::Config;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How the caller is shown to the callee.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// As it called.
    From,
    /// Withheld, whatever the caller wanted.
    Nobody,
    /// By this number, From naming a trunk, the caller in P-Asserted-Identity.
    Asserted(&'static str),
}

/// See the module's text. On the side of the callee every Call-ID begins with `b2b-`, tags of the
/// caller with `B`; on the side of the caller tags of the callee begin with `A`. Numbers of CSeq
/// grow by 1000 on the way to the callee and by 7000 on the way back.
pub(crate) struct B2bua {
    shows: Shows,
    /// The formats that callee and caller are told, where sound goes through a machine of its own
    /// at [`anchor`].
    anchors: Option<[&'static str; 2]>,
    /// How often each was told.
    versions: [u32; 2],
    contacts: BTreeMap<String, String>,
    /// By the caller's Call-ID: where caller and callee are.
    calls: BTreeMap<String, [String; 2]>,
}

/// Where its machine for sound hears the callee, or the caller.
pub(crate) fn anchor(caller: bool) -> SocketAddr {
    (server().ip(), if caller { 20_002 } else { 20_000 }).into()
}

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToCallee,
    ToCaller,
}

impl B2bua {
    pub(crate) fn new(shows: Shows) -> Self {
        Self {
            shows,
            anchors: None,
            versions: [0; 2],
            contacts: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }

    /// As [`Self::new`], with a machine for sound that tells callee and caller these formats.
    pub(crate) fn anchored(callee: &'static str, caller: &'static str) -> Self {
        Self { anchors: Some([callee, caller]), ..Self::new(Shows::From) }
    }

    pub(crate) fn act(&mut self, message: &Msg) -> Option<Sent> {
        if message.is_request() && ["REGISTER", "OPTIONS"].contains(&message.method()) {
            if message.method() == "REGISTER" {
                let user = user_of(uri_of(message.one("To"))).to_owned();
                self.contacts.insert(user, message.contact().to_owned());
            }
            return registrar(message);
        }
        Some(match message.is_request() {
            true => self.request(message),
            false => self.response(message).into_iter().collect(),
        })
    }

    fn request(&mut self, message: &Msg) -> Sent {
        let mut sent = Vec::new();
        let call_id = message.one("Call-ID");
        let (key, way) = match call_id.strip_prefix("b2b-") {
            Some(key) => (key.to_owned(), Way::ToCaller),
            None => (call_id.to_owned(), Way::ToCallee),
        };
        if message.method() == "INVITE" && message.tag("To").is_empty() {
            sent.push((message.from, answer(message, 100, "", &[], "")));
            let Some(callee) = self.contacts.get(user_of(message.uri())) else {
                sent.push((message.from, answer(message, 404, "s", &[], "")));
                return sent;
            };
            let ends = [message.contact().to_owned(), callee.clone()];
            self.calls.insert(key.clone(), ends);
        }
        let Some(ends) = self.calls.get(&key) else { return sent };
        let target = ends[usize::from(way == Way::ToCallee)].clone();
        let below = message.all("Via")[0].to_owned();
        let branch = below.split_once("branch=z9hG4bK").map_or("", |(_, rest)| rest);
        let branch = branch.split(';').next().unwrap_or_default();
        let via = format!("SIP/2.0/UDP {SERVER};branch=z9hG4bKb{branch}");
        let line = format!("{} {target} SIP/2.0", message.method());
        sent.push((host_of(&target), self.renamed(message, way, &line, &[&via, &below])));
        sent
    }

    fn response(&mut self, message: &Msg) -> Option<(SocketAddr, Vec<u8>)> {
        let call_id = message.one("Call-ID");
        let (key, way) = match call_id.strip_prefix("b2b-") {
            Some(key) => (key.to_owned(), Way::ToCaller),
            None => (call_id.to_owned(), Way::ToCallee),
        };
        if message.status() == 100 {
            return None;
        }
        if message.method() == "INVITE" && message.has("Contact") {
            let end = usize::from(way == Way::ToCaller);
            self.calls.get_mut(&key)?[end] = message.contact().to_owned();
        }
        // Its own Via is first; behind it stands, for this script alone, the one below.
        let below = message.all("Via").get(1).map(|via| (*via).to_owned())?;
        let next = below.split(' ').nth(1)?.split(';').next()?.parse().ok()?;
        Some((next, self.renamed(message, way, message.line(), &[&below])))
    }

    /// A description on its way.
    fn described(&mut self, body: &str, way: Way) -> String {
        let to_caller = usize::from(way == Way::ToCaller);
        let Some(formats) = self.anchors.filter(|_| !body.is_empty()) else { return body.into() };
        self.versions[to_caller] += 1;
        let (at, version) = (anchor(to_caller == 1), self.versions[to_caller]);
        let (ip, port) = (at.ip(), at.port());
        let (formats, attributes) = formats[to_caller].split_once('|').unwrap();
        let head = format!("v=0\r\no=sbc 7{to_caller} {version} IN IP4 {ip}\r\ns=-\r\n");
        let media = format!("c=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n");
        let directions = ["a=sendonly", "a=recvonly", "a=inactive"];
        let direction = body.lines().filter(|line| directions.contains(line));
        let lines = attributes.split('|').map(|line| format!("a={line}"));
        let lines = lines.chain(direction.map(str::to_owned));
        lines.fold(head + &media, |text, line| text + &line + "\r\n")
    }

    fn renamed(&mut self, message: &Msg, way: Way, line: &str, vias: &[&str]) -> Vec<u8> {
        let request = message.is_request();
        // The end that a request names in From is the one that a response comes back to.
        let from_is_caller = request == (way == Way::ToCallee);
        let mut headers: Vec<(String, String)> = Vec::new();
        for via in vias {
            headers.push(("Via".into(), (*via).into()));
        }
        for (name, value) in message.headers() {
            let value = match name.to_ascii_lowercase().as_str() {
                "via" | "content-length" | "content-type" | "record-route" | "route" => continue,
                "call-id" if way == Way::ToCallee => format!("b2b-{value}"),
                "call-id" => value.trim_start_matches("b2b-").to_owned(),
                "from" => self.address(value, from_is_caller, way),
                "to" => self.address(value, !from_is_caller, way),
                "contact" => format!("<sip:b2b@{}>", server()),
                "cseq" => {
                    let (number, method) = value.split_once(' ').unwrap();
                    let number: u32 = number.parse().unwrap();
                    let step = if from_is_caller { 1000 } else { 7000 };
                    let number = if request { number + step } else { number - step };
                    format!("{number} {method}")
                }
                _ => value.to_owned(),
            };
            headers.push((name.into(), value));
        }
        if let (Shows::Asserted(number), true, Way::ToCallee) = (self.shows, request, way) {
            let asserted = format!("<sip:{number}@example.net>");
            headers.push(("P-Asserted-Identity".into(), asserted));
        }
        let all: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = self.described(message.body(), way);
        write(line, &all, &body)
    }

    /// From or To on its way: the caller's or the callee's.
    fn address(&self, value: &str, caller: bool, way: Way) -> String {
        let (address, tag) = value.split_once(";tag=").unwrap_or((value, ""));
        let address = match (self.shows, caller, way) {
            (Shows::Nobody, true, Way::ToCallee) => "<sip:anonymous@anonymous.invalid>",
            (Shows::Asserted(_), true, Way::ToCallee) => "<sip:trunk7@198.51.100.1>",
            _ => address,
        };
        let tag = match (caller, way, tag) {
            (_, _, "") => return address.to_owned(),
            (true, Way::ToCallee, tag) => format!("B{tag}"),
            (true, Way::ToCaller, tag) => tag.trim_start_matches('B').to_owned(),
            (false, Way::ToCaller, tag) => format!("A{tag}"),
            (false, Way::ToCallee, tag) => tag.trim_start_matches('A').to_owned(),
        };
        format!("{address};tag={tag}")
    }
}

fn german(config: &mut Config) {
    let provider = &mut config.providers[0];
    provider.country_code = "49".into();
    provider.area_code = "89".into();
    provider.international_prefix = "00".into();
    provider.trunk_prefix = "0".into();
}

/// Alice, a number, and Bob, behind a B2BUA.
pub(crate) fn two_renamed(shows: Shows) -> (Town, Phone, Phone) {
    let mut town = Town::with(1, german);
    let mut b2bua = B2bua::new(shows);
    town.world.autos.insert(server(), Box::new(move |message| b2bua.act(message)));
    let alice = town.registered(0, 1, "+493012345678");
    let bob = town.registered(1, 1, "bob");
    (town, alice, bob)
}
