//! Homes with a router and phones, and a provider: scripted, but for the routers.

use crate::net::{Fate, World};
use crate::node::Node;
use crate::provider::{Proxy, registrar};
use crate::sip::{Dialog, Msg, answer, sdp, write};
use cosip::adapter::Adapter;
use cosip::config::{Config, HostPort, Provider, Server, Transport};
use cosip::identity::{Identity, NetworkKeys};
use cosip::net::{Input, Network};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

pub(crate) const DOMAIN: &str = "example.net";
/// Where the provider's server is.
pub(crate) const SERVER: &str = "198.51.100.1:5060";
pub(crate) const WAN_SIP_PORT: u16 = 5062;
/// When the world began, in seconds since 1970.
pub(crate) const EPOCH_S: u64 = 1_800_000_000;

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn server() -> SocketAddr {
    at(SERVER)
}

/// A router: its place in the world, its addresses, its settings.
pub(crate) struct Router {
    pub(crate) place: usize,
    pub(crate) lan: IpAddr,
    pub(crate) wan: IpAddr,
    /// The router in front.
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    starts: u32,
}

impl Router {
    pub(crate) fn owns(&self, address: SocketAddr) -> bool {
        let sip = [5060, WAN_SIP_PORT].contains(&address.port());
        sip && [self.lan, self.wan].contains(&address.ip())
    }

    /// Where its phones send to.
    pub(crate) fn proxy(&self) -> SocketAddr {
        (self.lan, 5060).into()
    }

    /// Where it speaks to the provider.
    pub(crate) fn outside(&self) -> SocketAddr {
        (self.wan, WAN_SIP_PORT).into()
    }
}

/// A telephone, scripted.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) at: SocketAddr,
    pub(crate) user: String,
    pub(crate) proxy: SocketAddr,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) tcp: bool,
    /// Parameters of its Contact.
    pub(crate) params: String,
}

impl Phone {
    pub(crate) fn aor(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.user)
    }

    pub(crate) fn contact(&self) -> String {
        let transport = if self.tcp { ";transport=tcp" } else { "" };
        format!("sip:{}@{}{transport}", self.user, self.at)
    }

    fn via(&self, branch: &str) -> String {
        let transport = if self.tcp { "TCP" } else { "UDP" };
        format!("SIP/2.0/{transport} {};branch=z9hG4bK{branch};rport", self.at)
    }

    /// A request outside dialogs.
    pub(crate) fn request(
        &self,
        (method, uri): (&str, &str),
        call_id: &str,
        cseq: u32,
        extra: &[(&str, &str)],
        body: &str,
    ) -> Vec<u8> {
        let from = format!("\"{}\" <{}>;tag=t{}", self.user, self.aor(), self.user);
        let via = self.via(&format!("{call_id}{method}{cseq}"));
        let to = format!("<{uri}>");
        let cseq = format!("{cseq} {method}");
        let contact = format!("<{}>", self.contact());
        let mut headers = vec![
            ("Via", via.as_str()),
            ("Max-Forwards", "70"),
            ("From", &from),
            ("To", &to),
            ("Call-ID", call_id),
            ("CSeq", &cseq),
        ];
        if !extra.iter().any(|(name, _)| *name == "Contact") {
            headers.push(("Contact", &contact));
        }
        headers.extend_from_slice(extra);
        write(&format!("{method} {uri} SIP/2.0"), &headers, body)
    }

    /// Where its sound is.
    pub(crate) fn media(&self) -> SocketAddr {
        (self.at.ip(), 4000).into()
    }

    pub(crate) fn invite(&self, uri: &str, call_id: &str) -> Vec<u8> {
        self.request(("INVITE", uri), call_id, 1, &[], &sdp(self.media()))
    }

    /// The CANCEL of [`Self::invite`].
    pub(crate) fn cancel(&self, uri: &str, call_id: &str) -> Vec<u8> {
        let text = String::from_utf8(self.request(("CANCEL", uri), call_id, 1, &[], "")).unwrap();
        let (own, of) = (format!("{call_id}CANCEL1"), format!("{call_id}INVITE1"));
        text.replace(&own, &of).into_bytes()
    }

    /// The ACK of a refusal of [`Self::invite`].
    pub(crate) fn ack_of_refusal(&self, refusal: &Msg, uri: &str) -> Vec<u8> {
        let headers = [
            ("Via", refusal.one("Via")),
            ("Max-Forwards", "70"),
            ("From", refusal.one("From")),
            ("To", refusal.one("To")),
            ("Call-ID", refusal.one("Call-ID")),
            ("CSeq", &refusal.one("CSeq").replace("INVITE", "ACK")),
        ];
        write(&format!("ACK {uri} SIP/2.0"), &headers, "")
    }
}

/// See the module's text.
pub(crate) struct Town {
    pub(crate) world: World<Node>,
    pub(crate) routers: Vec<Router>,
    pub(crate) strangers: BTreeSet<SocketAddr>,
    pub(crate) media_off: bool,
    /// The WAN address of the next router, where it is behind another one.
    pub(crate) behind: Option<IpAddr>,
    /// What was, by the clock of a router that starts, when this world began: seconds since 1970.
    pub(crate) epoch_s: u64,
    pub(crate) keys: NetworkKeys,
}

impl Town {
    /// Three routers, which have joined the overlay through the last one, and a server that
    /// registers everybody.
    pub(crate) fn new() -> Self {
        Self::with(1, |_| {})
    }

    /// As [`Self::new`], with changed settings.
    pub(crate) fn with(seed: u64, change: impl Fn(&mut Config)) -> Self {
        let mut town = Self::empty(seed);
        for number in 1..=3 {
            town.add_router(number, &change);
        }
        town.world.autos.insert(server(), Box::new(registrar));
        town.world.run_ms(8_000);
        town
    }

    /// No router, and a server that says nothing.
    pub(crate) fn empty(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            routers: Vec::new(),
            strangers: BTreeSet::from([at("198.51.100.66:5060")]),
            media_off: false,
            behind: None,
            epoch_s: EPOCH_S,
            keys: NetworkKeys::new(&[5; 32], "town"),
        }
    }

    pub(crate) fn add_router(&mut self, number: u8, change: impl Fn(&mut Config)) {
        let mut config = settings(number);
        change(&mut config);
        self.media_off = config.media.path == cosip::config::MediaPath::Off;
        let identity = Identity::from_seed([number; 32]).unwrap();
        let lan = IpAddr::from([192, 168, number, 1]);
        let wan = self.behind.unwrap_or_else(|| [203, 0, 113, number].into());
        let core = self.core(&config, &identity, 1);
        let place = self.world.add(core);
        self.routers.push(Router { place, lan, wan, gateway: None, config, identity, starts: 1 });
        self.start(self.routers.len() - 1);
    }

    fn core(&mut self, config: &Config, identity: &Identity, starts: u32) -> Node {
        let seed = self.world.rng.bytes();
        let now = self.world.now;
        let keys = Some(&self.keys);
        Node::Router(Box::new(Adapter::new(config, identity, keys, starts, seed, now)))
    }

    /// What the driver tells a core first.
    fn start(&mut self, router: usize) {
        let Router { place, lan, wan, gateway, .. } = self.routers[router];
        let network =
            Network { lan: vec![lan], wan: vec![wan], wan_up: true, gateway, ..Network::default() };
        self.set_clock(router);
        self.world.input(place, Input::Network(&network));
    }

    /// A router is told the time.
    pub(crate) fn set_clock(&mut self, router: usize) {
        let seconds = self.epoch_s + self.world.now.millis() / 1000;
        self.world.input(self.routers[router].place, Input::Clock(seconds));
    }

    /// From now on a router is behind another one.
    pub(crate) fn put_behind(&mut self, router: usize, wan: IpAddr, gateway: IpAddr) {
        (self.routers[router].wan, self.routers[router].gateway) = (wan, Some(gateway));
        self.start(router);
    }

    /// The daemon of a router ends at once and starts anew.
    pub(crate) fn restart(&mut self, router: usize) {
        self.routers[router].starts += 1;
        let (config, starts) = (self.routers[router].config.clone(), self.routers[router].starts);
        let identity = Identity::from_seed([router as u8 + 1; 32]).unwrap();
        assert_eq!(identity.id(), self.routers[router].identity.id());
        let core = self.core(&config, &identity, starts);
        self.world.replace(self.routers[router].place, core);
        self.start(router);
    }

    /// The provider gives a router another address.
    pub(crate) fn renumber(&mut self, router: usize, last: u8) {
        self.routers[router].wan = IpAddr::from([203, 0, 113, last]);
        self.start(router);
    }

    /// A phone at the router, not registered yet.
    pub(crate) fn phone(&mut self, router: usize, number: u8, user: &str) -> Phone {
        let lan = IpAddr::from([192, 168, router as u8 + 1, 10 + number]);
        Phone {
            at: (lan, 5060).into(),
            user: user.into(),
            proxy: self.routers[router].proxy(),
            call_id: format!("reg-{user}-{router}-{number}"),
            cseq: 0,
            tcp: false,
            params: String::new(),
        }
    }

    /// A phone that is registered and found in the overlay by everybody.
    pub(crate) fn registered(&mut self, router: usize, number: u8, user: &str) -> Phone {
        let mut phone = self.phone(router, number, user);
        self.register(&mut phone, 3600);
        let answer = self.world.expect(phone.at, "200 REGISTER", 3_000);
        assert!(answer.one("Contact").contains(&phone.contact()));
        self.world.run_ms(1_500);
        phone
    }

    /// As [`Self::registered`], over TCP or UDP.
    pub(crate) fn registered_over(
        &mut self,
        tcp: bool,
        router: usize,
        number: u8,
        user: &str,
    ) -> Phone {
        if !tcp {
            return self.registered(router, number, user);
        }
        let mut phone = self.phone(router, number, user);
        phone.tcp = true;
        phone.at.set_port(40_000 + u16::from(number));
        self.world.connect(phone.at, phone.proxy);
        self.register(&mut phone, 3600);
        self.world.expect(phone.at, "200 REGISTER", 3_000);
        self.world.run_ms(1_500);
        phone
    }

    /// Sends REGISTER.
    pub(crate) fn register(&mut self, phone: &mut Phone, expires_s: u32) {
        let bytes = Self::register_text(phone, expires_s, &[]);
        self.world.send(phone.at, phone.proxy, bytes);
    }

    pub(crate) fn register_text(
        phone: &mut Phone,
        expires_s: u32,
        extra: &[(&str, &str)],
    ) -> Vec<u8> {
        phone.cseq += 1;
        let contact = format!("<{}>{};expires={expires_s}", phone.contact(), phone.params);
        let mut headers = vec![("Contact", contact.as_str())];
        headers.extend_from_slice(extra);
        let target = ("REGISTER", format!("sip:{DOMAIN}"));
        let text = phone.request((target.0, &target.1), &phone.call_id, phone.cseq, &headers, "");
        let (to, aor) = (format!("To: <sip:{DOMAIN}>"), format!("To: <{}>", phone.aor()));
        String::from_utf8(text).unwrap().replace(&to, &aor).into_bytes()
    }

    pub(crate) fn status(&mut self, router: usize) -> Value {
        let reply = self.world.ask(self.routers[router].place, &["status"]);
        serde_json::from_str(&reply).unwrap()
    }

    /// What the router thinks of the provider's server.
    pub(crate) fn verdict(&mut self, router: usize) -> String {
        self.status(router)["servers"][0]["state"].as_str().unwrap().to_owned()
    }

    /// How many records of an AOR a router finds.
    pub(crate) fn finds(&mut self, router: usize, aor: &str) -> usize {
        let reply = self.world.ask(self.routers[router].place, &["lookup", aor]);
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let records = reply["records"].as_array().unwrap();
        let when = records.iter().map(|record| record["after_us"].as_u64().unwrap());
        assert!(when.max() <= reply["took_us"].as_u64(), "none comes after the end: {reply}");
        records.len()
    }

    /// Decides what becomes of all that the server is sent and sends.
    pub(crate) fn server_is(&mut self, fate: Fate) {
        self.world.fates.insert(server(), fate);
    }

    /// Sends from a phone to its router.
    pub(crate) fn say(&mut self, phone: &Phone, bytes: Vec<u8>) {
        self.world.send(phone.at, phone.proxy, bytes);
    }

    /// Answers a request where it arrived.
    pub(crate) fn reply(&mut self, request: &Msg, code: u16, tag: &str, extra: &[(&str, &str)]) {
        let bytes = answer(request, code, tag, extra, "");
        self.world.send(request.at, request.from, bytes);
    }

    /// Accepts an INVITE: 200 with this Contact and a description.
    pub(crate) fn accept(&mut self, invite: &Msg, tag: &str, contact: &str) -> Dialog {
        let contact_header = format!("<{contact}>");
        let body = sdp((invite.at.ip(), 4000).into());
        let bytes = answer(invite, 200, tag, &[("Contact", &contact_header)], &body);
        self.world.send(invite.at, invite.from, bytes);
        Dialog::of_invite(invite, tag, contact)
    }
}

/// As [`two`], with a server that carries calls.
pub(crate) fn two_and_proxy() -> (Town, Phone, Phone) {
    let mut town = Town::new();
    let mut proxy = Proxy::default();
    town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(1, 1, "bob");
    (town, alice, bob)
}

/// As [`Town::new`], with a server that is reached over TCP.
pub(crate) fn over_tcp() -> Town {
    let mut town = Town::with(1, |config| {
        config.providers[0].server.as_mut().unwrap().transport = Some(Transport::Tcp);
    });
    town.world.listening.insert(server());
    town
}

/// As [`two`], with a server that is reached over TCP.
pub(crate) fn two_over_tcp() -> (Town, Phone, Phone) {
    let mut town = over_tcp();
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(1, 1, "bob");
    (town, alice, bob)
}

/// Alice behind the first router and Bob behind the second, both registered.
pub(crate) fn two() -> (Town, Phone, Phone) {
    two_with(|_| {})
}

/// As [`two`], with changed settings.
pub(crate) fn two_with(change: impl Fn(&mut Config)) -> (Town, Phone, Phone) {
    let mut town = Town::with(1, change);
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(1, 1, "bob");
    (town, alice, bob)
}

fn settings(number: u8) -> Config {
    let mut config = Config::default();
    config.adapter.enabled = true;
    config.adapter.wan_sip_port = WAN_SIP_PORT;
    config.providers.push(Provider {
        domain: DOMAIN.into(),
        server: Some(Server {
            host: server().ip().to_string(),
            port: Some(server().port()),
            transport: Some(Transport::Udp),
        }),
        ..Provider::default()
    });
    if number != 3 {
        config.overlay.bootstrap = vec![HostPort { host: "203.0.113.3".into(), port: 5070 }];
    }
    config
}
