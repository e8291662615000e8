//! Others on the link, and gateways that send nonsense.

use super::*;
use std::net::SocketAddr;

fn gateway(port: u16) -> SocketAddr {
    SocketAddr::new(place().gateway, port)
}

#[test]
fn only_the_gateway_is_believed() {
    for protocol in ALL {
        let mut bench = Bench::new(Gateway::new());
        bench.want(&[5062]);
        bench.run_ms(if protocol == Protocol::Pcp { 100 } else { 13_000 });
        let stranger = SocketAddr::from(([192, 168, 178, 66], 5351));
        let mut impostor = with(protocol);
        let (now, to) = (bench.now, gateway(if protocol == Protocol::Upnp { 1900 } else { 5351 }));
        let sent: Vec<Vec<u8>> = bench.sent.iter().map(|(_, _, data)| data.clone()).collect();
        for data in sent.iter().filter(|data| (data[0] == b'M') == (protocol == Protocol::Upnp)) {
            for answer in impostor.datagram(now, to, data) {
                assert!(!bench.inject(MAIN, stranger, &answer), "{protocol}");
            }
        }
        assert!(bench.core.counters().foreign > 0, "{protocol}");
        assert_eq!(bench.mapped(5062), None);
    }
}

#[test]
fn a_device_elsewhere_is_not_asked() {
    let mut bench = Bench::new(Gateway::new());
    bench.want(&[5062]);
    bench.run_ms(13_500);
    let answer = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                  LOCATION: http://203.0.113.66/root.xml\r\n\r\n";
    let foreign = bench.core.counters().foreign;
    // The bench fails where a connection to anybody but the gateway is asked for.
    assert!(!bench.inject(MAIN, gateway(1900), answer.as_bytes()));
    assert_eq!(bench.core.counters().foreign, foreign + 1);
    bench.run_ms(10_000);
}

#[test]
fn an_answer_with_another_nonce_opens_nothing() {
    let mut bench = Bench::new(with(Protocol::Pcp));
    bench.want(&[5062]);
    // The question whether PCP is spoken is answered, the one for a mapping is not.
    bench.deaf = true;
    bench.run_ms(10);
    let (_, _, asked) = bench.sent.iter().rfind(|(_, _, data)| data.len() == 60).unwrap().clone();
    let answer = with(Protocol::Pcp).datagram(bench.now, gateway(5351), &asked).remove(0);
    let mut forged = answer.clone();
    forged[30] ^= 1;
    assert!(!bench.inject(MAIN, gateway(5351), &forged));
    assert_eq!(bench.mapped(5062), None);
    assert!(bench.inject(MAIN, gateway(5351), &answer));
    assert!(bench.mapped(5062).is_some());
}

#[test]
fn unusable_grants_are_refused() {
    for outside in [[0, 0, 0, 0], [224, 0, 0, 1]] {
        for protocol in ALL {
            let mut gateway = with(protocol);
            gateway.outside = outside.into();
            let mut bench = Bench::new(gateway);
            bench.want(&[5062]);
            bench.run_ms(20_000);
            assert_eq!(bench.mapped(5062), None, "{protocol} {outside:?}");
        }
    }
}

#[test]
fn an_announcement_is_believed_only_where_the_gateway_confirms_it() {
    for (protocol, announcement) in [
        (Protocol::Pcp, [&[2, 0x80, 0, 0, 0, 0, 0, 0][..], &[0; 16]].concat()),
        (Protocol::NatPmp, [&[0, 0x80, 0, 0, 0, 0, 0, 0][..], &[203, 0, 113, 66]].concat()),
    ] {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062, 5070]);
        bench.run_ms(50_000);
        let (mapped, grants, sent) = (bench.mapped(5062), bench.gateway.grants, bench.sent.len());
        // Anybody on the link can forge one.
        for _ in 0..1_000 {
            bench.inject(LISTENER, gateway(5351), &announcement);
            bench.run_ms(10);
        }
        assert_eq!((bench.mapped(5062), bench.gateway.grants), (mapped, grants), "{protocol}");
        assert_eq!(bench.core.counters().restarts, 0, "{protocol}");
        assert!(bench.sent.len() <= sent + 4, "{protocol}: {}", bench.sent.len() - sent);
    }
}

#[test]
fn nonsense_is_counted_and_forgotten() {
    for protocol in ALL {
        let mut bench = Bench::new(with(protocol));
        bench.want(&[5062, 5070]);
        bench.run_ms(20_000);
        let before = (bench.mapped(5062), bench.mapped(5070));
        for _ in 0..2_000 {
            let len = bench.rng.below(80) as usize;
            let mut data = vec![0; len];
            bench.rng.fill(&mut data);
            if let Some(first) = data.first_mut() {
                *first = [0, 2, b'H'][bench.rng.below(3) as usize];
            }
            let port = [5351, 1900][bench.rng.below(2) as usize];
            let socket = [MAIN, LISTENER][bench.rng.below(2) as usize];
            let _ = bench.inject(socket, gateway(port), &data);
        }
        let counters = *bench.core.counters();
        assert!(counters.malformed + counters.unexpected > 1_000, "{protocol}: {counters:?}");
        bench.run_ms(7_200_000);
        assert_eq!((bench.mapped(5062), bench.mapped(5070)), before, "{protocol}");
    }
}
