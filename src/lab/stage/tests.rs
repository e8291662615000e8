//! The stage on real sockets.

use super::*;
use crate::lab::part::Part;
use crate::lab::phone::{Habits, Phone, Settings};
use crate::lab::server::Server;

#[test]
fn a_call_on_real_sockets_has_sound_both_ways() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut stage = Stage::new();
    let server = stage.add(Part::Server(Box::new(Server::new(any, None, [9; 32]))));
    let proxy = stage.order(server, |part, _| part.server_mut().unwrap().listen());
    let places = ["alice", "bob"].map(|user| {
        let settings = Settings {
            user: user.to_owned(),
            domain: "example.net".to_owned(),
            sip: any,
            media: any,
            proxy,
            relay: None,
            password: None,
            ring: Duration::from_millis(20),
            expires: Duration::from_secs(60),
            habits: Habits::default(),
        };
        let place = stage.add(Part::Phone(Box::new(Phone::new(settings, [user.len() as u8; 32]))));
        stage.order(place, |part, now| part.phone_mut().unwrap().register(now));
        place
    });
    let phone = |part: &Part| part.phone().unwrap().registration_status();
    let limit = Duration::from_secs(5);
    assert!(stage.run_until(limit, |parts| places.iter().all(|at| phone(&parts[*at]) == 200)));
    stage.order(places[0], |part, now| {
        part.phone_mut().unwrap().call(now, "sip:bob@example.net");
    });
    let heard = |part: &Part| {
        part.phone().unwrap().reports().last().map_or(0, |report| report.sound.received)
    };
    assert!(stage.run_until(limit, |parts| places.iter().all(|at| heard(&parts[*at]) >= 10)));
    for place in places {
        let sound = &stage.core(place).phone().unwrap().reports().last().unwrap().sound;
        assert_eq!((sound.corrupt, sound.foreign, sound.repeated), (0, 0, 0));
    }
}

#[test]
fn an_address_that_is_not_ours_is_no_socket() {
    let mut stage = Stage::new();
    let place = stage.add(Server::new("192.0.2.1:5060".parse().unwrap(), None, [1; 32]));
    assert!(!stage.core(place).is_ready());
}
