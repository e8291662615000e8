//! The table of phones, by what a registration does to it.

use super::*;
use crate::adapter::providers::ProviderId;
use crate::limits::RECOVERY_SPREAD;
use crate::net::Via;
use crate::net::{ConnId, SocketId};

mod identify;
mod storm;

const HOUR: Duration = Duration::from_secs(3600);

fn udp(address: &str) -> Flow {
    Flow { via: Via::Udp(SocketId(1)), to: address.parse().unwrap() }
}

fn start() -> Instant {
    Instant::from_micros(1_000_000_000)
}

fn asked(cseq: u32) -> Asked {
    Asked { at: start(), cseq }
}

/// Phone number `n`, at its own address, with its own instance.
fn phone(n: u16) -> Accepted {
    Accepted {
        aor: format!("p{n}@example.net"),
        known: None,
        provider: Some(ProviderId(0)),
        contact: format!("sip:p{n}@192.168.1.{}:5060", n % 250),
        wan_user: format!("p{n}"),
        flow: udp(&format!("192.168.1.{}:5060", n % 250)),
        instance: format!("<urn:uuid:{n}>"),
        mac: None,
        call_id: format!("call-{n}"),
        asked: asked(1),
        granted_s: 3600,
        phone_s: 120,
        accepted_by: None,
        aliases: vec![format!("+4989{n:05}@example.net")],
        answer: Vec::new(),
        template: Vec::new(),
    }
}

struct Bench {
    registrar: Registrar,
    now: Instant,
}

impl Bench {
    fn new(max_phones: usize) -> Self {
        Self { registrar: Registrar::new(max_phones, &mut Rng::new([5; 32])), now: start() }
    }

    fn register(&mut self, accepted: Accepted) -> Result<(BindingId, bool), Full> {
        self.registrar.enter(self.now, 1_000_000, accepted)
    }

    /// The phone that this would be taken for.
    fn same(&self, accepted: &Accepted) -> Option<BindingId> {
        self.registrar.same_phone(&accepted.applicant())
    }

    /// Lets time pass; every registration that ran out becomes a known phone.
    fn pass(&mut self, interval: Duration) {
        self.now += interval;
        while let Some(id) = self.registrar.pop_expired(self.now) {
            self.registrar.expire(id);
        }
    }

    fn found(&self, aor: &str) -> usize {
        self.registrar.by_aor(aor).count()
    }
}

#[test]
fn a_phone_is_found_by_every_name_that_it_has() {
    let mut bench = Bench::new(4);
    let (id, new) = bench.register(phone(1)).unwrap();
    bench.register(phone(2)).unwrap();
    assert!(new);
    for aor in ["p1@example.net", "+498900001@example.net"] {
        assert_eq!(bench.registrar.by_aor(aor).collect::<Vec<_>>(), [id], "{aor}");
    }
    assert_eq!(bench.found("p3@example.net"), 0);
    assert_eq!(bench.registrar.by_wan_user("p1"), Some(id));
    assert_eq!(bench.registrar.by_wan_user("p3"), None);
    assert_eq!(bench.registrar.find(udp("192.168.1.1:5060"), None), Some(id));
    assert_eq!(bench.registrar.find(udp("192.168.1.9:5060"), None), None);
}

#[test]
fn two_lines_of_one_phone_are_told_apart_by_address() {
    let mut bench = Bench::new(4);
    let second = Accepted { flow: phone(1).flow, contact: phone(1).contact, ..phone(2) };
    let (first, _) = bench.register(phone(1)).unwrap();
    let (second, _) = bench.register(second).unwrap();
    let flow = phone(1).flow;
    assert_eq!(bench.registrar.find(flow, Some("p1@example.net")), Some(first));
    assert_eq!(bench.registrar.find(flow, Some("p2@example.net")), Some(second));
}

#[test]
fn a_new_address_replaces_the_old_one_of_the_same_instance() {
    let mut bench = Bench::new(4);
    let (id, _) = bench.register(phone(1)).unwrap();
    let moved = Accepted {
        flow: udp("192.168.1.77:5062"),
        contact: "sip:p1@192.168.1.77:5062".into(),
        aliases: vec!["other@example.net".into()],
        ..phone(1)
    };
    assert_eq!(bench.register(moved), Ok((id, false)));
    assert_eq!(bench.registrar.find(udp("192.168.1.77:5062"), None), Some(id));
    assert_eq!(bench.registrar.find(phone(1).flow, None), None);
    assert_eq!((bench.found("other@example.net"), bench.found("+498900001@example.net")), (1, 0));
    let other = Accepted { instance: "<urn:uuid:other>".into(), ..phone(1) };
    assert!(bench.register(other).unwrap().1, "another instance is another phone");
    assert_eq!(bench.found("p1@example.net"), 2);
}

#[test]
fn a_registration_runs_out_but_the_phone_stays_known() {
    let mut bench = Bench::new(4);
    let (id, _) = bench.register(phone(1)).unwrap();
    bench.pass(Duration::from_secs(119));
    bench.registrar.refresh(bench.now, id, 120, asked(2));
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.found("p1@example.net"), 1, "the refresh counts");
    bench.pass(Duration::from_secs(4));
    assert_eq!((bench.found("p1@example.net"), bench.registrar.poll_timeout()), (0, None));
    assert_eq!(bench.registrar.by_wan_user("p1"), None);
    let again = Accepted { contact: "sip:x".into(), flow: udp("10.0.0.1:1"), ..phone(1) };
    assert_eq!(bench.same(&again), Some(id));
    let (flow, contact, call_id) = (udp("10.0.0.1:1"), "sip:x@10.0.0.1:1", "after a restart");
    let shielded = Shielded { flow, contact, call_id, given_s: 60, asked: asked(3) };
    bench.registrar.shield(bench.now, 1_000_500, id, &shielded, bench.now);
    assert_eq!(bench.found("p1@example.net"), 1);
    let binding = bench.registrar.get(id).unwrap();
    assert_eq!((binding.contact.as_str(), binding.known_since_s), ("sip:x@10.0.0.1:1", 1_000_500));
    assert!(binding.forward_at <= bench.now, "the provider is to hear of it");
    assert!(binding.is_refresh(flow, call_id, contact), "what it says next is the same again");
}

#[test]
fn phones_are_forgotten_after_survive_days_by_the_wall_clock() {
    let mut bench = Bench::new(4);
    bench.register(phone(1)).unwrap();
    bench.pass(HOUR);
    bench.registrar.forget_old(1_000_000 + 7 * 86_400, 7);
    assert_eq!(bench.registrar.known().count(), 1);
    bench.registrar.forget_old(1_000_001 + 7 * 86_400, 7);
    assert_eq!(bench.registrar.known().count(), 0);
}

#[test]
fn a_full_table_forgets_the_phone_longest_gone_and_no_registered_one() {
    let mut bench = Bench::new(2);
    bench.registrar.enter(bench.now, 500, phone(1)).unwrap();
    bench.registrar.enter(bench.now, 400, phone(2)).unwrap();
    assert!(bench.registrar.is_full());
    assert_eq!(bench.register(phone(3)), Err(Full));
    assert_eq!(bench.registrar.iter().count(), 2);
    bench.pass(HOUR);
    assert!(!bench.registrar.is_full());
    assert!(bench.register(phone(3)).unwrap().1);
    let left: Vec<&str> = bench.registrar.known().map(|(_, b)| b.aor.as_str()).collect();
    assert!(left.contains(&"p1@example.net") && !left.contains(&"p2@example.net"), "{left:?}");
}

#[test]
fn refreshes_go_on_at_half_the_providers_time_and_after_a_change() {
    let mut bench = Bench::new(2);
    let (id, _) = bench.register(phone(1)).unwrap();
    let binding = bench.registrar.get(id).unwrap();
    assert_eq!(binding.forward_at, start() + HOUR / 2);
    let same = phone(1);
    assert!(binding.is_refresh(same.flow, &same.call_id, &same.contact));
    assert!(!binding.is_refresh(udp("192.168.1.1:5061"), &same.call_id, &same.contact));
    assert!(!binding.is_refresh(same.flow, "other", &same.contact));
    assert!(!binding.is_refresh(same.flow, &same.call_id, "sip:p1@192.168.1.1"));
    bench.registrar.spread_refreshes(bench.now, ProviderId(1), &mut Rng::new([1; 32]));
    assert_eq!(bench.registrar.get(id).unwrap().forward_at, start() + HOUR / 2);
    bench.registrar.spread_refreshes(bench.now, ProviderId(0), &mut Rng::new([1; 32]));
    assert!(bench.registrar.get(id).unwrap().forward_at <= bench.now + RECOVERY_SPREAD);
    bench.registrar.address_changed(bench.now);
    assert!(bench.registrar.get(id).unwrap().forward_at <= bench.now);
}

#[test]
fn phones_that_share_a_user_part_get_a_suffix_that_stays() {
    let mut bench = Bench::new(4);
    let user = |bench: &Bench, n: u16| {
        let p = phone(n);
        bench.registrar.wan_user((&p.aor, &p.instance), "sip:line@192.168.1.1", p.flow, |_| false)
    };
    assert_eq!(user(&bench, 1), "line");
    bench.register(Accepted { wan_user: "line".into(), ..phone(1) }).unwrap();
    let second = user(&bench, 2);
    assert!(second.starts_with("line-") && second != user(&bench, 3), "{second}");
    assert_eq!(second, user(&bench, 2));
}

#[test]
fn the_suffix_of_a_phone_without_instance_follows_from_its_address() {
    let mut bench = Bench::new(4);
    let contact = |port: u16| format!("sip:line@192.168.1.5:{port}");
    let user = |bench: &Bench, port: u16| {
        let flow = udp(&format!("192.168.1.5:{port}"));
        bench.registrar.wan_user(("p1@example.net", ""), &contact(port), flow, |_| false)
    };
    bench.register(Accepted { wan_user: "line".into(), ..phone(9) }).unwrap();
    let first = user(&bench, 5060);
    assert_eq!(first, user(&bench, 40_000), "its port may change");
    bench.register(Accepted { wan_user: first.clone(), ..phone(1) }).unwrap();
    let second = user(&bench, 40_000);
    assert!(second.starts_with("line-") && second != first, "a neighbour has the first");
}

#[test]
fn two_refusals_a_minute_apart_are_needed_to_forget() {
    let mut bench = Bench::new(2);
    let (id, _) = bench.register(phone(1)).unwrap();
    assert!(!bench.registrar.refused(bench.now, id));
    bench.pass(Duration::from_secs(10));
    assert!(!bench.registrar.refused(bench.now, id));
    bench.pass(Duration::from_secs(50));
    assert!(bench.registrar.refused(bench.now, id));
    bench.register(phone(1)).unwrap();
    assert!(!bench.registrar.refused(bench.now, id), "an acceptance lay between");
}

#[test]
fn a_connection_that_stands_again_carries_its_phone() {
    let mut bench = Bench::new(2);
    let tcp =
        |conn| Flow { via: Via::Stream(ConnId(conn)), to: "192.168.1.1:5060".parse().unwrap() };
    let (id, _) = bench.register(Accepted { flow: tcp(7), ..phone(1) }).unwrap();
    assert_eq!(bench.registrar.find(tcp(7), None), Some(id));
    bench.registrar.reconnected("192.168.1.1:5060".parse().unwrap(), tcp(8));
    assert_eq!(bench.registrar.find(tcp(8), None), Some(id));
    assert_eq!(bench.registrar.find(tcp(7), None), None);
}

#[test]
fn a_phone_that_says_who_it_is_is_known_on_a_new_flow_of_its_host() {
    let mut bench = Bench::new(2);
    let at = |conn, to: &str| Flow { via: Via::Stream(ConnId(conn)), to: to.parse().unwrap() };
    let registered = Accepted { flow: at(7, "192.168.1.1:40001"), ..phone(1) };
    let (id, _) = bench.register(registered).unwrap();
    let find = |flow, aor| bench.registrar.find(flow, aor);
    assert_eq!(find(at(8, "192.168.1.1:40002"), Some("p1@example.net")), Some(id));
    assert_eq!(find(at(8, "192.168.1.1:40002"), Some("p2@example.net")), None);
    assert_eq!(find(at(8, "192.168.1.1:40002"), None), None);
    assert_eq!(find(at(8, "192.168.1.2:40001"), Some("p1@example.net")), None);
}

/// Against a plain list: no sequence of arrivals, departures and removals loses or keeps a phone
/// wrongly.
#[test]
fn the_table_agrees_with_a_list_under_random_use() {
    let mut bench = Bench::new(8);
    let mut rng = Rng::new([9; 32]);
    let mut model: Vec<u16> = Vec::new();
    for _ in 0..3000 {
        let n = rng.below(12) as u16;
        let registered = model.contains(&n);
        if rng.below(3) > 0 {
            let result = bench.register(phone(n));
            assert_eq!(result.is_err(), !registered && model.len() == 8);
            if result.is_ok() && !registered {
                model.push(n);
            }
        } else if let Some(id) = bench.registrar.by_wan_user(&phone(n).wan_user) {
            if rng.below(2) == 0 {
                bench.registrar.remove(id);
            } else {
                bench.registrar.expire(id);
            }
            model.retain(|m| *m != n);
        }
        for n in 0..12 {
            let expected = usize::from(model.contains(&n));
            assert_eq!(bench.found(&phone(n).aor), expected);
            assert_eq!(bench.found(&phone(n).aliases[0]), expected);
            assert_eq!(bench.registrar.find(phone(n).flow, None).is_some(), expected == 1);
        }
        assert_eq!(bench.registrar.iter().count(), model.len());
        assert_eq!(bench.registrar.poll_timeout().is_some(), !model.is_empty());
    }
}
