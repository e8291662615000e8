//! What members tell a CoSIP server of others, and a server that watches: of several adapters one
//! denies what it has promised to keep.

use crate::clerk::Clerk;
use crate::node::Node;
use crate::town::{DOMAIN, EPOCH_S, Phone, Town, at};
use crate::vouched::holds;
use cosip::channel::WatchAsk;
use cosip::config::{Accept, Anchor, HostPort};
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::certificate::text;
use cosip::identity::chain::Validity;
use cosip::identity::record::Key;
use cosip::identity::{Certificate, Identity, Statement};
use cosip::limits::BUILT_UNIX_S;
use cosip::net::NodeId;
use std::net::SocketAddr;

const CLERK: &str = "198.51.100.7:5070";
const DAY_S: u32 = 86_400;
const USERS: [&str; 3] = ["alice", "bob", "carol"];

fn anchor() -> Identity {
    Identity::from_seed([77; 32]).unwrap()
}

fn key_of(town: &Town, user: &str) -> Key {
    Key::of(&town.keys.aor_key(&format!("{user}@{DOMAIN}")))
}

fn certificate(town: &Town, router: usize) -> Certificate {
    let identity = &town.routers[router].identity;
    let now_s = (town.epoch_s + town.world.now.millis() / 1000) as u32;
    Authority::anchor(anchor(), town.keys.network()).certify(&Subject {
        serial: router as u64 + 2,
        key: identity.public(),
        place: identity.id(),
        validity: Validity { from_s: now_s - 60, until_s: now_s + 14 * DAY_S },
        keys: &[key_of(town, USERS[router])],
    })
}

/// Three certified routers with a phone each, and members of whom the first is a CoSIP server.
struct Home {
    town: Town,
    members: Vec<usize>,
    _phones: Vec<Phone>,
}

impl Home {
    fn new(others: &[&str]) -> Self {
        let mut town = Town::empty(1);
        town.epoch_s = EPOCH_S.max(BUILT_UNIX_S);
        let since = (town.world.now, town.epoch_s + 1);
        let aors =
            [cosip::identity::enrolment::SERVER_AOR].into_iter().chain(others.iter().copied());
        let mut members = Vec::new();
        for (number, aor) in (0..).zip(aors) {
            let local = SocketAddr::new([198, 51, 100, 7 + number].into(), 5070);
            let seed = (88 + number, local);
            let clerk = Clerk::certified_for(aor, since, seed, &town.keys, &anchor());
            members.push(town.world.add(Node::Clerk(Box::new(clerk.joins(at(CLERK))))));
        }
        for number in 1..=3 {
            town.add_router(number, |config| {
                let (host, port) = (at(CLERK).ip().to_string(), at(CLERK).port());
                config.overlay.bootstrap = vec![HostPort { host, port }];
                config.overlay.name = "town".into();
                config.identity.trust_anchor = vec![Anchor(anchor().public())];
                config.identity.accept = Accept::Verified;
            });
            let file = text::write(&[certificate(&town, usize::from(number) - 1)]);
            holds(&mut town, usize::from(number) - 1, &file);
        }
        town.world.autos.insert(crate::town::server(), Box::new(crate::provider::registrar));
        town.world.run_ms(30_000);
        let phones = (0..3).map(|at| town.registered(at, 1, USERS[at])).collect();
        town.world.run_ms(60_000);
        Self { town, members, _phones: phones }
    }

    fn router(&self, router: usize) -> (NodeId, SocketAddr) {
        let router = &self.town.routers[router];
        (router.identity.id(), (router.wan, 5070).into())
    }

    /// One of those members asks the first router; what it has been told within a second.
    fn ask(&mut self, member: usize, number: u32, ask: WatchAsk) -> Option<Vec<Statement>> {
        let (place, router) = (self.members[member], self.router(0));
        self.town.world.order(place, |node, now| {
            node.clerk().ask_about_others(now, router, (number, ask));
        });
        self.town.world.run_ms(900);
        let told = &self.town.world.nodes[place].clerk().told;
        let answer = told.iter().find(|(peer, of, _)| (*peer, *of) == (router.0, number));
        answer.map(|(_, _, statements)| statements.clone())
    }

    fn counted(&mut self, counter: &str) -> u64 {
        self.town.status(0)["counters"][counter].as_u64().unwrap()
    }
}

#[test]
fn a_cosip_server_is_told_what_holders_have_signed_and_no_more_often_than_each_second() {
    let mut home = Home::new(&[]);
    let network = *home.town.keys.network();
    let receipts = home.ask(0, 1, WatchAsk::Receipts).unwrap();
    let (alice, key) = (home.router(0).0, key_of(&home.town, "alice"));
    assert!((1..=3).contains(&receipts.len()), "of the other members: {receipts:?}");
    for receipt in &receipts {
        let said = receipt.said();
        assert_eq!((said.owner, said.key), (alice, key));
        assert!(receipt.verify(&network) && said.until_s > said.said_s + 9_000, "{receipt:?}");
    }
    // The second question within a second is lost.
    assert_eq!(home.ask(0, 2, WatchAsk::Receipts), None);
    assert_eq!([home.counted("watch_answers"), home.counted("watch_refused")], [1, 1]);
    home.town.world.run_ms(1_000);
    // What a holder says of a record goes on as it has signed it.
    let ((holder, address), owner) = (home.router(1), home.router(2).0);
    let get = |key: Key, owner: NodeId, holder: NodeId, address| WatchAsk::Get {
        key: key.0,
        owner: owner.0,
        holder: holder.0,
        address,
    };
    let carol = key_of(&home.town, "carol");
    let said = home.ask(0, 3, get(carol, owner, holder, address)).unwrap();
    let [statement] = said[..] else { panic!("{said:?}") };
    let said = statement.said();
    assert!(statement.verify(&network) && said.seq > 0);
    assert_eq!((said.place, said.key, said.owner), (holder, carol, owner));
    assert_eq!(said.holder, home.town.routers[1].identity.public());
    home.town.world.run_ms(1_000);
    // So does that there is none.
    let nothing = key_of(&home.town, "nobody");
    let said = home.ask(0, 4, get(nothing, owner, holder, address)).unwrap();
    assert!(said[0].verify(&network) && said[0].said().seq == 0, "{said:?}");
    home.town.world.run_ms(1_000);
    // And silence is no statement.
    let nowhere = at("203.0.113.99:5070");
    home.ask(0, 5, get(carol, owner, holder, nowhere));
    home.town.world.run_ms(10_000);
    let told = home.town.world.nodes[home.members[0]].clerk().told.last().cloned();
    assert_eq!(told, Some((alice, 5, Vec::new())));
    home.town.finish();
}

#[test]
fn nobody_else_is_told_what_holders_have_signed() {
    let mut home = Home::new(&["mallory@example.net"]);
    for number in 0..5 {
        assert_eq!(home.ask(1, number, WatchAsk::Receipts), None);
        home.town.world.run_ms(2_000);
    }
    assert_eq!([home.counted("watch_answers"), home.counted("watch_refused")], [0, 5]);
    // And it keeps no server from being told.
    home.ask(1, 6, WatchAsk::Receipts);
    assert!(home.ask(0, 1, WatchAsk::Receipts).is_some());
    home.town.finish();
}

#[cfg(feature = "server")]
mod by_a_server;
