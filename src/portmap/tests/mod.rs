//! Port mapping against a scripted gateway, in virtual time.

mod bench;
mod formats;
mod gateway;
mod hostile;

use super::*;
use bench::{Bench, LISTENER, MAIN, place};
use gateway::Gateway;

/// A gateway with one of the protocols.
fn with(protocol: Protocol) -> Gateway {
    let mut gateway = Gateway::new();
    match protocol {
        Protocol::Pcp => gateway.pcp = true,
        Protocol::NatPmp => gateway.nat_pmp = true,
        Protocol::Upnp => gateway.upnp = Some(2),
    }
    gateway
}

const ALL: [Protocol; 3] = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];

#[test]
fn each_protocol_alone_opens_renews_and_withdraws() {
    for protocol in ALL {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062, 5070]);
        bench.run_ms(20_000);
        assert_eq!(bench.mapped(5062).unwrap(), "203.0.113.9:5062", "{protocol}");
        assert_eq!(bench.mapped(5070).unwrap(), "203.0.113.9:5070");
        assert_eq!(
            bench.core.report(),
            format!("the router in front (192.168.178.1) opens ports by {protocol}")
        );
        assert!(bench.core.take_changed() && !bench.core.take_changed());
        // Five lifetimes later all is as it was: renewed in time, never more than needed.
        bench.run_ms(5 * 7_200_000);
        assert_eq!(bench.gateway.held.len(), 2, "{protocol}");
        assert!(bench.gateway.grants <= 2 * 11, "{protocol}: {}", bench.gateway.grants);
        assert!(!bench.core.take_changed());
        bench.want(&[5070]);
        bench.run_ms(1_000);
        assert_eq!(bench.gateway.held.keys().collect::<Vec<_>>(), [&5070]);
        bench.core.stop(bench.now);
        bench.run_ms(100);
        assert!(bench.core.is_idle() && bench.gateway.held.is_empty(), "{protocol}");
    }
}

#[test]
fn the_first_protocol_that_answers_is_used() {
    let mut all = Gateway::new();
    (all.pcp, all.nat_pmp, all.upnp) = (true, true, Some(1));
    let mut bench = Bench::new(all);
    bench.want(&[5062]);
    bench.run_ms(50);
    assert!(bench.core.report().ends_with("by PCP"), "{}", bench.core.report());
    // A gateway that speaks NAT-PMP alone says so at once, by its version.
    let mut bench = Bench::new(with(Protocol::NatPmp));
    bench.want(&[5062]);
    bench.run_ms(50);
    assert!(bench.core.report().ends_with("by NAT-PMP"));
    // Where nobody listens ICMP tells, and nothing is waited for.
    let mut bench = Bench::new(with(Protocol::Upnp));
    bench.closed_port = true;
    bench.want(&[5062]);
    bench.run_ms(50);
    assert!(bench.core.report().ends_with("by UPnP"));
}

#[test]
fn a_router_that_opens_nothing_is_named_and_asked_again() {
    let mut bench = Bench::new(Gateway::new());
    bench.want(&[5062]);
    bench.run_ms(20_000);
    let front = "the router in front (192.168.178.1) does not open ports";
    assert_eq!(bench.core.report(), format!("{front}: PCP, NAT-PMP and UPnP unanswered"));
    bench.run_ms(1_500_000);
    let asked = bench.sent.iter().filter(|(_, _, data)| data[0] == 2);
    let asked: Vec<u64> = asked.map(|(at, ..)| at.micros() / 1_000_000).collect();
    // Two questions an attempt, which takes 17 s or so until the last protocol has failed.
    let pauses: Vec<u64> = asked.chunks(2).map_while(|a| a.first()).copied().collect();
    let pauses: Vec<u64> = pauses.windows(2).map(|pair| pair[1] - pair[0] - 17).collect();
    for (pause, wanted) in pauses.iter().zip([30, 60, 120, 240, 300, 300]) {
        assert!(pause.abs_diff(wanted) <= 4, "soon, then more and more rarely: {pauses:?}");
    }
    assert!(pauses.len() >= 5);
    bench.gateway.pcp = true;
    bench.gateway.refuses = Some(2);
    bench.run_ms(300_000);
    let said = bench.core.report();
    assert_eq!(said, format!("{front}: NAT-PMP and UPnP unanswered, PCP refused"));
    bench.gateway.refuses = None;
    bench.run_ms(330_000);
    assert!(bench.mapped(5062).is_some());
}

#[test]
fn repetitions_keep_the_times_of_the_rfcs() {
    let mut bench = Bench::new(Gateway::new());
    bench.want(&[5062]);
    bench.run_ms(20_000);
    let start = bench.sent[0].0;
    let at = |kind: fn(&[u8]) -> bool| -> Vec<u64> {
        let of = bench.sent.iter().filter(|(_, _, data)| kind(data));
        of.map(|(at, ..)| at.since(start).as_millis() as u64).collect()
    };
    let near = |times: &[u64], wanted: &[u64]| {
        assert_eq!(times.len(), wanted.len(), "{times:?}");
        for (time, wanted) in times.iter().zip(wanted) {
            assert!(time.abs_diff(*wanted) <= wanted / 10 + 1, "{times:?}");
        }
    };
    near(&at(|data| data[0] == 2), &[0, 3_000]);
    let pmp = at(|data| data[0] == 0);
    let since: Vec<u64> = pmp.iter().map(|at| at - pmp[0]).collect();
    near(&since, &[0, 250, 750, 1_750]);
    assert!(pmp[0].abs_diff(9_000) <= 900);
    // Each search goes to the gateway alone and to all.
    assert_eq!(at(|data| data[0] == b'M').len(), 4);
}

#[test]
fn lost_datagrams_cost_time_and_nothing_else() {
    for protocol in [Protocol::Pcp, Protocol::NatPmp] {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062, 5070, 30_000, 30_001]);
        bench.run_ms(20_000);
        bench.loss_percent = 30;
        bench.run_ms(3 * 7_200_000);
        for port in [5062, 5070, 30_000, 30_001] {
            assert!(bench.mapped(port).is_some(), "{protocol} {port}");
        }
        assert!(!bench.core.report().contains("not"));
    }
}

#[test]
fn a_restarted_gateway_is_noticed_and_all_is_opened_anew() {
    for protocol in ALL {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062, 5070]);
        bench.run_ms(600_000);
        bench.gateway.restart(bench.now);
        bench.run_ms(310_000);
        assert_eq!(bench.gateway.held.len(), 2, "{protocol}");
        assert_eq!(bench.core.counters().restarts, 1, "{protocol}");
        // No restart is seen where there was none.
        bench.run_ms(7_200_000);
        assert_eq!(bench.core.counters().restarts, 1, "{protocol}");
    }
}

#[test]
fn a_restart_that_is_announced_is_noticed_at_once() {
    for (protocol, announcement) in [
        (Protocol::Pcp, [&[2, 0x80, 0, 0, 0, 0, 0, 0][..], &[0; 16]].concat()),
        (Protocol::NatPmp, [&[0, 0x80, 0, 0, 0, 0, 0, 0][..], &[203, 0, 113, 9]].concat()),
    ] {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062, 5070]);
        bench.run_ms(50_000);
        bench.gateway.restart(bench.now);
        let other = SocketAddr::from(([192, 168, 178, 66], 5351));
        assert!(!bench.inject(LISTENER, other, &announcement), "another's announcement");
        bench.run_ms(1_000);
        assert_eq!(bench.gateway.held.len(), 0);
        let gateway = SocketAddr::new(place().gateway, 5351);
        assert!(bench.inject(LISTENER, gateway, &announcement));
        bench.run_ms(1_000);
        assert_eq!(bench.gateway.held.len(), 2, "{protocol}");
    }
}

#[test]
fn a_socket_that_cannot_be_bound_at_first_is_bound_later() {
    // The main socket's bind fails, and that of the one for announcements; twice.
    for failures in [1, 2, 4] {
        let mut bench = Bench::new(with(Protocol::Pcp));
        bench.unbindable = failures;
        bench.want(&[5062]);
        bench.run_ms(1_000);
        assert_eq!(bench.mapped(5062), None);
        assert!(bench.core.report().ends_with("it could not be asked"), "{}", bench.core.report());
        bench.run_ms(100_000);
        assert!(bench.mapped(5062).is_some(), "{failures}: {}", bench.core.report());
    }
}

#[test]
fn a_gateway_whose_clock_goes_backwards_is_asked_anew_once_a_minute() {
    for protocol in [Protocol::Pcp, Protocol::NatPmp] {
        let mut bench = Bench::new(with(protocol));
        bench.gateway.sinks = Some(1_000_000);
        bench.want(&[5062, 5070]);
        bench.run_ms(600_000);
        assert!(bench.mapped(5062).is_some() && bench.mapped(5070).is_some());
        assert!(bench.core.counters().restarts > 10, "{protocol}");
        // One or both, each minute.
        assert!((11..=24).contains(&bench.gateway.grants), "{protocol}: {}", bench.gateway.grants);
    }
}

#[test]
fn another_outer_address_is_found_and_told() {
    for protocol in ALL {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062]);
        bench.run_ms(20_000);
        assert!(bench.core.take_changed());
        bench.gateway.outside = [203, 0, 113, 77].into();
        if protocol == Protocol::Pcp {
            // A PCP server begins a new epoch where its address changed (RFC 6887 s8.5).
            bench.gateway.restart(bench.now);
        }
        // Somebody else saw it first.
        bench.core.check(bench.now);
        bench.run_ms(1_000);
        assert_eq!(bench.mapped(5062).unwrap(), "203.0.113.77:5062", "{protocol}");
        assert!(bench.core.take_changed());
    }
}

#[test]
fn a_shorter_lifetime_than_asked_is_kept() {
    for protocol in [Protocol::Pcp, Protocol::NatPmp] {
        let mut gateway = with(protocol);
        gateway.lifetime_s_max = 60;
        let mut bench = Bench::new(gateway);
        bench.want(&[5062]);
        bench.run_ms(20_000);
        for _ in 0..60 {
            bench.run_ms(10_000);
            assert!(bench.gateway.held.values().all(|held| held.until > bench.now));
            assert_eq!(bench.gateway.held.len(), 1, "{protocol}");
        }
        assert!((14..=24).contains(&bench.gateway.grants), "{}", bench.gateway.grants);
    }
}

#[test]
fn a_taken_port_gets_another_number() {
    for (protocol, upnp) in [
        (Protocol::Pcp, None),
        (Protocol::NatPmp, None),
        (Protocol::Upnp, Some(1)),
        (Protocol::Upnp, Some(2)),
    ] {
        let mut gateway = with(protocol);
        gateway.upnp = upnp;
        gateway.taken = vec![5062];
        let mut bench = Bench::new(gateway);
        bench.want(&[5062]);
        bench.run_ms(20_000);
        let (external, held) = bench.gateway.held.iter().next().unwrap();
        assert_eq!(bench.mapped(5062).unwrap(), format!("203.0.113.9:{external}"));
        assert_ne!((*external, held.internal), (5062, 5062));
        // Renewed, it stays the same.
        let before = bench.mapped(5062);
        bench.run_ms(7_200_000);
        assert_eq!(bench.mapped(5062), before);
        assert_eq!(bench.gateway.held.len(), 1);
    }
}

#[test]
fn a_device_with_endless_leases_only_is_served_and_cleaned_up() {
    let mut gateway = with(Protocol::Upnp);
    gateway.only_permanent = true;
    let mut bench = Bench::new(gateway);
    bench.want(&[5062]);
    bench.run_ms(20_000);
    assert!(bench.mapped(5062).is_some());
    bench.core.stop(bench.now);
    bench.run_ms(100);
    assert!(bench.gateway.held.is_empty() && bench.core.is_idle());
}

#[test]
fn a_gateway_that_falls_silent_loses_the_mappings_when_they_end_and_is_asked_anew() {
    let mut bench = Bench::new(with(Protocol::Pcp));
    bench.want(&[5062]);
    bench.run_ms(1_000);
    bench.deaf = true;
    bench.run_ms(7_000_000);
    assert!(bench.mapped(5062).is_some(), "until its lifetime ends");
    bench.run_ms(200_000);
    assert!(bench.mapped(5062).is_none());
    // Another router takes its place.
    bench.deaf = false;
    bench.gateway = with(Protocol::Upnp);
    bench.run_ms(700_000);
    assert!(bench.core.report().ends_with("by UPnP"), "{}", bench.core.report());
}

#[test]
fn another_place_forgets_and_asks_there() {
    let mut bench = Bench::new(with(Protocol::Pcp));
    bench.want(&[5062]);
    bench.run_ms(1_000);
    bench.core.set_place(bench.now, None);
    bench.run_ms(1_000);
    assert_eq!(bench.mapped(5062), None);
    assert!(bench.closed.contains(&Request::CloseSocket(MAIN)));
    assert!(bench.closed.contains(&Request::CloseSocket(LISTENER)));
    assert_eq!(bench.core.poll_timeout(), None);
    bench.core.set_place(bench.now, Some(place()));
    bench.run_ms(1_000);
    assert!(bench.mapped(5062).is_some());
}

#[test]
fn more_ports_than_there_is_room_for_are_counted() {
    let mut bench = Bench::new(with(Protocol::Pcp));
    let ports: Vec<u16> = (30_000..30_100).collect();
    bench.want(&ports);
    bench.run_ms(1_000);
    let most = PORTMAP_MAPPINGS_MAX;
    assert_eq!(bench.gateway.held.len(), most);
    assert_eq!(bench.core.counters().full, (100 - most) as u64);
    // What is wanted no longer makes room.
    bench.want(&ports[60..]);
    bench.run_ms(1_000);
    bench.want(&ports[60..]);
    bench.run_ms(1_000);
    assert_eq!(bench.gateway.held.len(), 40);
}

#[test]
fn what_is_wanted_again_while_it_is_withdrawn_is_open_in_the_end() {
    for protocol in ALL {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062]);
        bench.run_ms(20_000);
        bench.want(&[]);
        bench.want(&[5062]);
        bench.run_ms(1_000);
        assert!(bench.mapped(5062).is_some(), "{protocol}");
        assert_eq!(bench.gateway.held.len(), 1, "{protocol}");
    }
}
