//! Which phone a REGISTER is from.

use super::*;
use crate::net::Mac;

const MAC: Option<Mac> = Some(Mac([2, 0, 0, 0, 0, 1]));
const OTHER_MAC: Option<Mac> = Some(Mac([2, 0, 0, 0, 0, 2]));

/// A phone without an instance.
fn bare(mac: Option<Mac>) -> Accepted {
    Accepted { instance: String::new(), mac, ..phone(1) }
}

/// The same after its start, at this address.
fn restarted(mac: Option<Mac>, at: &str) -> Accepted {
    let contact = format!("sip:p1@{at}");
    Accepted { contact, flow: udp(at), call_id: "after its start".into(), ..bare(mac) }
}

#[test]
fn a_phone_without_instance_is_known_again_on_another_port_once_it_was_gone() {
    for mac in [None, MAC] {
        let mut bench = Bench::new(4);
        let (id, _) = bench.register(bare(mac)).unwrap();
        let port = restarted(mac, "192.168.1.1:40000");
        assert_eq!(bench.same(&port), None);
        bench.pass(HOUR);
        assert_eq!(bench.same(&port), Some(id));
        let instance = "<urn:uuid:1>".into();
        assert_eq!(bench.same(&Accepted { instance, ..port }), None);
    }
}

#[test]
fn a_phone_that_was_renumbered_is_known_by_its_mac() {
    let renumbered = restarted(MAC, "192.168.1.77:40000");
    let mut bench = Bench::new(4);
    let (id, _) = bench.register(bare(MAC)).unwrap();
    bench.pass(HOUR);
    assert_eq!(bench.same(&renumbered), Some(id));
    for mac in [None, OTHER_MAC] {
        assert_eq!(bench.same(&restarted(mac, "192.168.1.77:40000")), None);
    }
    let another = Accepted { aor: "p2@example.net".into(), ..renumbered.clone() };
    assert_eq!(bench.same(&another), None, "another line");
    assert_eq!(bench.register(renumbered), Ok((id, false)));
    assert_eq!(bench.registrar.find(phone(1).flow, None), None);
}

#[test]
fn phones_behind_one_repeater_are_told_apart_while_both_are_registered() {
    let mut bench = Bench::new(4);
    bench.register(bare(MAC)).unwrap();
    let second = restarted(MAC, "192.168.1.77:5060");
    assert_eq!(bench.same(&second), None);
    bench.register(second).unwrap();
    assert_eq!(bench.found("p1@example.net"), 2);
    // The first is renumbered without a restart: it goes on by its Call-ID.
    let first = Accepted { call_id: bare(MAC).call_id, ..restarted(MAC, "192.168.1.78:5060") };
    bench.register(first).unwrap();
    assert_eq!(bench.found("p1@example.net"), 2);
}

#[test]
fn another_phone_that_was_given_the_address_of_one_that_is_gone_is_not_that_one() {
    let mut bench = Bench::new(4);
    let (gone, _) = bench.register(bare(MAC)).unwrap();
    bench.pass(HOUR);
    let other = restarted(OTHER_MAC, "192.168.1.1:40000");
    assert_eq!(bench.same(&other), None);
    let (other_id, _) = bench.register(other).unwrap();
    // Either is known wherever it comes next, and rather by its MAC than by its host.
    let back = restarted(MAC, "192.168.1.1:5070");
    assert_eq!(bench.same(&back), Some(gone));
    bench.pass(HOUR);
    assert_eq!(bench.same(&restarted(OTHER_MAC, "192.168.1.9:5070")), Some(other_id));
}

#[test]
fn a_mac_is_remembered_where_it_is_not_found_again_and_the_phone_stayed() {
    let mut bench = Bench::new(4);
    let (id, _) = bench.register(bare(MAC)).unwrap();
    bench.register(bare(None)).unwrap();
    let mac = |bench: &Bench| bench.registrar.get(id).and_then(|binding| binding.mac);
    assert_eq!(mac(&bench), MAC);
    let elsewhere = Accepted { flow: udp("10.0.0.1:5060"), ..bare(None) };
    bench.register(elsewhere).unwrap();
    assert_eq!(mac(&bench), None);
}

#[test]
fn another_phone_at_the_same_contact_is_not_the_one_before() {
    let mut bench = Bench::new(4);
    let (before, _) = bench.register(bare(MAC)).unwrap();
    let other = bare(OTHER_MAC);
    assert_eq!(bench.same(&other), None);
    let (after, _) = bench.register(other).unwrap();
    assert_ne!(after, before);
    assert_eq!(bench.registrar.displaced_by(after), [before], "one of them has the Contact");
}
