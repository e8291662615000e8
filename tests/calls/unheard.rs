//! Calls without relay ports, whose end no media show (CALLS §4.2).

use crate::net::Fate;
use crate::provider::Proxy;
use crate::sip::{Dialog, answer, sdp};
use crate::town::{Phone, Town, server};
use cosip::config::MediaPath;

/// A call by the server, whose media pass by; Bob's 2xx has these headers too.
fn talking(extra: &[(&str, &str)]) -> (Town, Phone, Phone, Dialog) {
    let mut town = Town::with(1, |config| config.media.path = MediaPath::Off);
    let mut proxy = Proxy::default();
    town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(1, 1, "bob");
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    let contact = format!("<{}>", bob.contact());
    let mut headers = vec![("Contact", contact.as_str())];
    headers.extend_from_slice(extra);
    let yes = answer(&invite, 200, "b", &headers, &sdp(bob.media()));
    town.world.send(bob.at, bob.proxy, yes);
    let caller = town.confirm(&alice, 300);
    town.world.expect(bob.at, "ACK", 300);
    (town, alice, bob, caller)
}

fn calls(town: &mut Town, router: usize) -> usize {
    town.status(router)["calls"].as_array().unwrap().len()
}

#[test]
fn a_phone_that_lost_its_power_is_found_out_and_one_that_lives_talks_on() {
    let (mut town, alice, bob, _) = talking(&[]);
    town.world.fates.insert(bob.at, Fate::Drop);
    let asked = town.world.expect(alice.at, "OPTIONS", 301_000);
    town.reply(&asked, 200, "", &[]);
    // Bob's adapter has ended it for Alice too.
    let bye = town.world.expect(alice.at, "BYE", 40_000);
    town.reply(&bye, 200, "", &[]);
    town.world.run_ms(40_000);
    assert_eq!([calls(&mut town, 0), calls(&mut town, 1)], [0, 0]);
}

#[test]
fn a_call_between_phones_that_live_lasts() {
    let (mut town, alice, bob, mut caller) = talking(&[]);
    for _ in 0..5 {
        for phone in [&alice, &bob] {
            let asked = town.world.expect(phone.at, "OPTIONS", 301_000);
            assert_eq!(asked.uri(), phone.contact());
            town.reply(&asked, 200, "", &[]);
        }
    }
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn it_dies_with_its_session_interval_where_all_of_them_are_dead() {
    let expires = [("Require", "timer"), ("Session-Expires", "120;refresher=uac")];
    let (mut town, alice, bob, _) = talking(&expires);
    for end in [alice.at, bob.at, server()] {
        town.world.fates.insert(end, Fate::Drop);
    }
    town.world.run_ms(118_000);
    assert_eq!([calls(&mut town, 0), calls(&mut town, 1)], [1, 1]);
    town.world.run_ms(40_000);
    assert_eq!([calls(&mut town, 0), calls(&mut town, 1)], [0, 0]);
}
