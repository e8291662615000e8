//! Warm contacts: callees that stay found, so that an outage costs calls to them no look-up.

use crate::net::{Fate, Packet};
use crate::town::{Phone, Router, Town, two_with};
use cosip::config::Config;
use cosip::time::{Duration, Instant};

/// The kind of a datagram on the overlay's port.
fn kind(packet: &Packet) -> Option<u8> {
    (packet.to.port() == 5070).then(|| packet.data.get(2).copied()).flatten()
}

fn is_get(packet: &Packet) -> bool {
    kind(packet) == Some(5)
}

fn is_channel(packet: &Packet) -> bool {
    kind(packet).is_some_and(|kind| (0x40..0x80).contains(&kind))
}

/// Phones need not register all the time.
fn rarely(config: &mut Config) {
    config.adapter.phone_expires = Duration::from_secs(3600);
}

impl Town {
    /// Questions for records that a router has sent since then.
    fn gets(&self, router: usize, since: Instant) -> usize {
        let wan = self.routers[router].wan;
        let sent = |packet: &&Packet| packet.from.ip() == wan && packet.at >= since;
        self.world.log.iter().filter(sent).filter(|packet| is_get(packet)).count()
    }

    /// A phone calls another, which refuses within this time; how many questions the overlay was
    /// asked for that.
    fn calls(&mut self, router: usize, [from, to]: [&Phone; 2], id: &str, ms: u64) -> usize {
        let began = self.world.now;
        self.dial(from, &to.aor(), id);
        let heard = self.world.expect(to.at, "INVITE", ms);
        self.reply(&heard, 486, id, &[]);
        self.refused(from, "486", &to.aor(), 5_000);
        self.world.run_ms(2_000);
        self.gets(router, began)
    }

    /// The server dies, and this router's verdict is that it is down.
    fn server_dies(&mut self, router: usize) {
        let place = self.routers[router].place;
        for fate in [Fate::Deliver, Fate::Drop, Fate::Drop] {
            // Silence to a probe counts where one was answered before.
            self.server_is(fate);
            self.world.ask(place, &["probe"]);
            self.world.run_ms(3_000);
        }
        assert_eq!(self.verdict(router), "down");
    }

    /// A phone registers anew.
    fn renews(&mut self, phone: &mut Phone) {
        self.register(phone, 3600);
        self.world.expect(phone.at, "200 REGISTER", 3_000);
        self.world.run_ms(1_500);
    }

    fn leaves(&mut self, phone: &mut Phone) {
        self.register(phone, 0);
        self.world.expect(phone.at, "200 REGISTER", 3_000);
        self.world.run_ms(1_500);
    }
}

/// Alice, whose router keeps no record of Bob's, for there are routers enough that do.
fn strangers() -> (Town, Phone, Phone, usize) {
    let mut town = Town::with(1, rarely);
    for number in 4..=18 {
        town.add_router(number, rarely);
    }
    town.world.run_ms(20_000);
    let bob = town.registered(1, 1, "bob");
    town.world.run_ms(3_000);
    let far = (0..18).find(|router| {
        let place = town.routers[*router].place;
        let reply = town.world.ask(place, &["lookup", &bob.aor()]);
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        *router > 2 && reply["records"][0]["hops"].as_u64() > Some(0)
    });
    let router = far.expect("a router that keeps no record of it");
    let alice = town.registered(router, 1, "alice");
    (town, alice, bob, router)
}

#[test]
fn a_callee_called_before_the_outage_is_called_in_it_without_a_look_up() {
    let (mut town, alice, bob, router) = strangers();
    town.server_is(Fate::Refuse);
    assert!(town.calls(router, [&alice, &bob], "c1", 300) > 0);
    assert_eq!(town.status(router)["overlay"]["contacts"], 1);
    town.world.run_ms(30 * 60_000);
    town.server_dies(router);
    let done = town.status(router)["counters"]["overlay_lookups_done"].clone();
    // Three ways of 5 ms: from the phone, between the routers, to the phone.
    assert_eq!(town.calls(router, [&alice, &bob], "c2", 15), 0);
    assert_eq!(town.status(router)["counters"]["overlay_lookups_done"], done);
    town.finish();
}

#[test]
fn a_callee_that_has_moved_to_another_router_is_looked_up_and_kept_there() {
    let (mut town, alice, mut bob) = two_with(rarely);
    assert!(town.calls(0, [&alice, &bob], "c1", 1_000) > 0);
    town.leaves(&mut bob);
    let bob = town.registered(2, 1, "bob");
    town.server_dies(0);
    assert!(town.calls(0, [&alice, &bob], "c2", 100) > 0);
    assert_eq!(town.calls(0, [&alice, &bob], "c3", 15), 0);
    town.finish();
}

/// The adapter that had it is gone without a word.
#[test]
fn a_contact_whose_router_has_lost_its_power_is_looked_up_within_the_call() {
    let (mut town, alice, bob) = two_with(rarely);
    town.calls(0, [&alice, &bob], "c1", 1_000);
    let place = town.routers[1].place;
    town.world.deaf.insert(place);
    let moved = town.registered(2, 1, "bob");
    town.server_dies(0);
    let began = town.world.now;
    town.dial(&alice, &moved.aor(), "c2");
    let heard = town.world.expect(moved.at, "INVITE", 400);
    town.accept(&heard, "b", &moved.contact());
    let mut caller = town.confirm(&alice, 100);
    assert!(town.gets(0, began) > 0);
    town.world.expect(moved.at, "ACK", 100);
    town.bye(&mut caller, moved.at);
    town.world.deaf.remove(&place);
    town.finish();
}

/// The address of the contact's router changes with a new start, so that no session tells of it.
#[test]
fn a_contact_whose_router_starts_anew_elsewhere_is_called_there() {
    let (mut town, alice, mut bob) = two_with(rarely);
    town.calls(0, [&alice, &bob], "c1", 1_000);
    town.routers[1].wan = [203, 0, 113, 77].into();
    town.restart(1);
    // Longer than a peer is believed to be there.
    town.world.run_ms(30_000);
    town.renews(&mut bob);
    town.server_dies(0);
    town.calls(0, [&alice, &bob], "c2", 500);
    assert_eq!(town.calls(0, [&alice, &bob], "c3", 15), 0);
    town.finish();
}

#[test]
fn the_callee_not_called_for_longest_makes_room_and_a_reload_forgets_all() {
    const KEPT: usize = 32;
    let (mut town, alice, _) = two_with(rarely);
    let callees: Vec<Phone> = (0..=KEPT as u8)
        .map(|number| {
            town.registered(1 + usize::from(number % 2), 2 + number, &format!("u{number}"))
        })
        .collect();
    town.server_dies(0);
    for (at, callee) in callees[..KEPT].iter().enumerate() {
        assert!(town.calls(0, [&alice, callee], &format!("a{at}"), 300) > 0);
    }
    assert_eq!(town.calls(0, [&alice, &callees[0]], "b0", 15), 0);
    assert!(town.calls(0, [&alice, &callees[KEPT]], "b32", 300) > 0);
    let status = town.status(0);
    assert_eq!(status["overlay"]["contacts"], KEPT);
    assert_eq!(status["counters"]["contacts_forgotten"], 1);
    assert_eq!(town.calls(0, [&alice, &callees[0]], "c0", 15), 0);
    assert!(town.calls(0, [&alice, &callees[1]], "c1", 300) > 0);
    let Router { place, ref config, .. } = town.routers[0];
    let config = config.clone();
    town.world.input(place, cosip::net::Input::Config(&config));
    assert_eq!(town.status(0)["overlay"]["contacts"], 0);
    town.finish();
}

/// Alice's router with a contact at each of the others.
fn with_contacts(routers: u8) -> (Town, Phone, Vec<Phone>) {
    let mut town = Town::with(1, rarely);
    for number in 4..=routers {
        town.add_router(number, rarely);
    }
    town.world.run_ms(20_000);
    let alice = town.registered(0, 1, "alice");
    let callees: Vec<Phone> = (1..usize::from(routers))
        .map(|router| town.registered(router, 1, &format!("u{router}")))
        .collect();
    town.server_is(Fate::Refuse);
    for (at, callee) in callees.iter().enumerate() {
        town.calls(0, [&alice, callee], &format!("c{at}"), 300);
    }
    town.server_is(Fate::Deliver);
    town.world.run_ms(60_000);
    (town, alice, callees)
}

#[test]
fn an_idle_contact_costs_less_than_a_third_of_a_byte_a_second_and_no_look_up() {
    let (mut town, _, callees) = with_contacts(8);
    let began = town.world.now;
    town.world.run_ms(3_600_000);
    let log = town.world.log.iter().filter(|packet| packet.at >= began);
    let bytes: usize = log.filter(|it| is_channel(it)).map(|it| it.data.len() + 28).sum();
    let each = bytes as f64 / 3600.0 / callees.len() as f64;
    println!("an idle contact: {each:.2} B/s");
    assert!(each > 0.05 && each < 0.3, "{each}");
    assert_eq!(town.gets(0, began), 0);
    assert_eq!(town.status(0)["overlay"]["contacts"], callees.len());
    town.finish();
}

/// Nothing of the channel gets through for an hour: who was asked in vain is looked up, rarely and
/// one at a time; after it all are warm again.
#[test]
fn contacts_that_fall_silent_are_looked_up_rarely_and_not_together_and_are_warm_again() {
    let (mut town, mut alice, mut callees) = with_contacts(8);
    let began = town.world.now;
    let wan = town.routers[0].wan;
    let silent = move |packet: &Packet| {
        let own = packet.from.ip() == wan || packet.to.ip() == wan;
        if own && is_channel(packet) { Fate::Drop } else { Fate::Deliver }
    };
    town.world.rule = Some(Box::new(silent));
    town.world.run_ms(3_600_000);
    town.world.rule = None;
    let back = town.world.now;
    town.world.run_ms(2 * 3_600_000);
    let own = |packet: &&Packet| packet.from.ip() == wan && packet.at >= began;
    let gets = town.world.log.iter().filter(|packet| own(packet) && is_get(packet));
    let seconds: Vec<u64> = gets.map(|packet| packet.at.since(began).as_secs()).collect();
    let mut lookups = seconds.clone();
    lookups.dedup_by(|later, earlier| *later < *earlier + 2);
    println!("{} look-ups, {} questions after", lookups.len(), town.gets(0, back));
    assert!((callees.len()..=5 * callees.len()).contains(&lookups.len()), "{lookups:?}");
    let crowd = |from: &u64| seconds.iter().filter(|at| (*from..*from + 4).contains(at)).count();
    assert!(seconds.iter().map(crowd).max() <= Some(12), "more than one look-up's questions");
    town.renews(&mut alice);
    callees.iter_mut().for_each(|callee| town.renews(callee));
    town.server_dies(0);
    for (at, callee) in callees.iter().enumerate() {
        assert_eq!(town.calls(0, [&alice, callee], &format!("d{at}"), 15), 0);
    }
    town.finish();
}

/// Who keeps Bob's record has not heard yet that his router has another address; its neighbour has.
#[test]
fn an_owner_that_has_just_moved_is_reached_by_what_its_neighbours_say() {
    let (mut town, alice, bob) = two_with(rarely);
    let (reader, new) = (town.routers[0].wan, std::net::IpAddr::from([203, 0, 113, 77]));
    let unheard = move |packet: &Packet| {
        let overlay = kind(packet).is_some_and(|kind| kind < 0x40);
        let tells = overlay && packet.from.ip() == new && packet.to.ip() == reader;
        let asks = is_get(packet) && packet.from.ip() == reader;
        if tells || asks { Fate::Drop } else { Fate::Deliver }
    };
    town.world.rule = Some(Box::new(unheard));
    town.renumber(1, 77);
    town.world.run_ms(500);
    town.server_is(Fate::Refuse);
    town.calls(0, [&alice, &bob], "c1", 400);
    assert_ne!(town.status(0)["counters"]["overlay_neighbours_asked"], 0);
    town.finish();
}
