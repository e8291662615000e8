//! The order of targets, shared questions, and the silence of DNS.

use super::*;
use std::collections::HashMap;

fn at(second: u64) -> Instant {
    Instant::from_micros(second * 1_000_000)
}

fn address(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

fn service(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Service { priority, weight, port, target: target.into() }
}

/// A zone that answers, and counts what it was asked.
#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordKind), Vec<Record>>,
    asked: usize,
    dead: bool,
}

impl Zone {
    fn with(entries: &[(&str, &[Record])]) -> Self {
        let mut zone = Self::default();
        for (name, records) in entries {
            let kind =
                if name.starts_with('_') { RecordKind::Service } else { RecordKind::Address };
            zone.records.insert(((*name).into(), kind), records.to_vec());
        }
        zone
    }

    fn serve(&mut self, now: Instant, locator: &mut Locator) {
        while let Some(Question { id, name, kind }) = locator.poll_question() {
            self.asked += 1;
            let answer = match self.records.get(&(name, kind)) {
                _ if self.dead => Err(Failure::TimedOut),
                None => Err(Failure::Absent),
                Some(records) => Ok((&records[..], 60)),
            };
            locator.on_answer(now, id, answer);
        }
    }
}

fn locator() -> Locator {
    Locator::new(&mut Rng::new([2; 32]))
}

fn domain(host: &str) -> Query<'_> {
    Query { host, port: None, transport: None, preferred: Transport::Udp }
}

fn find(
    locator: &mut Locator,
    zone: &mut Zone,
    now: Instant,
    query: &Query<'_>,
) -> Result<Vec<String>, LocateError> {
    locator.start(now, query, 1)?;
    zone.serve(now, locator);
    let (user, result) = locator.poll_found().unwrap();
    assert_eq!(user, 1);
    assert!(locator.poll_found().is_none());
    let show = |target: &Target| format!("{:?} {}", target.transport, target.addr);
    result.map(|targets| targets.iter().map(show).collect())
}

#[test]
fn a_numeric_host_asks_nobody() {
    let (mut locator, mut zone) = (locator(), Zone::default());
    for (host, port, transport, expected) in [
        ("192.0.2.1", None, None, "Udp 192.0.2.1:5060"),
        ("192.0.2.1", Some(5080), Some(Transport::Tcp), "Tcp 192.0.2.1:5080"),
        ("[2001:db8::1]", None, None, "Udp [2001:db8::1]:5060"),
        ("2001:db8::1", Some(0), None, "Udp [2001:db8::1]:5060"),
    ] {
        let query = Query { host, port, transport, preferred: Transport::Udp };
        assert_eq!(find(&mut locator, &mut zone, at(1), &query), Ok(vec![expected.into()]));
    }
    assert_eq!(zone.asked, 0);
}

#[test]
fn a_port_leaves_services_out_and_no_service_leads_to_the_host() {
    let mut zone = Zone::with(&[("example.net", &[address("192.0.2.7"), address("::7")])]);
    let query = Query { port: Some(5070), ..domain("Example.NET.") };
    let found = find(&mut locator(), &mut zone, at(1), &query).unwrap();
    assert_eq!(found, ["Udp 192.0.2.7:5070", "Udp [::7]:5070"]);
    assert_eq!(zone.asked, 1);
    let query = Query { preferred: Transport::Tcp, ..domain("example.net") };
    let mut locator = locator();
    locator.set_families(true, false);
    let found = find(&mut locator, &mut zone, at(1), &query).unwrap();
    assert_eq!(found, ["Tcp 192.0.2.7:5060"]);
    assert_eq!(zone.asked, 4);
}

#[test]
fn services_come_by_transport_then_priority_then_weight() {
    let mut zone = Zone::with(&[
        (
            "_sip._udp.example.net",
            &[
                service(20, 0, 5062, "c.example.net"),
                service(10, 90, 5060, "A.example.net."),
                service(10, 10, 5061, "b.example.net"),
                service(5, 1, 5060, "."),
            ],
        ),
        ("_sip._tcp.example.net", &[service(1, 1, 5063, "a.example.net")]),
        ("a.example.net", &[address("192.0.2.1")]),
        ("b.example.net", &[address("192.0.2.2")]),
        ("c.example.net", &[address("192.0.2.3")]),
    ]);
    let mut first = 0;
    let mut locator = locator();
    for _ in 0..200 {
        let found = find(&mut locator, &mut zone, at(1), &domain("example.net")).unwrap();
        first += u32::from(found[0] == "Udp 192.0.2.1:5060");
        assert!(found[..2].contains(&"Udp 192.0.2.2:5061".into()));
        assert_eq!(found[2..], ["Udp 192.0.2.3:5062", "Tcp 192.0.2.1:5063"]);
    }
    assert!((160..198).contains(&first), "{first} of 200 with a share of 90 %");
    assert_eq!(zone.asked, 5, "later searches use what is known");
    let only = Query { transport: Some(Transport::Tcp), ..domain("example.net") };
    let found = find(&mut locator, &mut zone, at(1), &only).unwrap();
    assert_eq!(found, ["Tcp 192.0.2.1:5063"]);
}

#[test]
fn answers_expire_and_outlive_a_dead_dns() {
    let mut zone = Zone::with(&[("example.net", &[address("192.0.2.7")])]);
    let mut locator = locator();
    let query = Query { port: Some(5060), ..domain("example.net") };
    for (now, asked) in [(1, 1), (61, 1), (62, 2)] {
        assert!(find(&mut locator, &mut zone, at(now), &query).is_ok());
        assert_eq!(zone.asked, asked);
    }
    zone.dead = true;
    let found = find(&mut locator, &mut zone, at(500), &query).unwrap();
    assert_eq!((found, zone.asked), (vec!["Udp 192.0.2.7:5060".into()], 3));
    assert!(find(&mut locator, &mut zone, at(530), &query).is_ok());
    assert_eq!(zone.asked, 3, "a dead DNS is not asked for every call");
    let unknown = Query { port: Some(5060), ..domain("other.example") };
    assert_eq!(find(&mut locator, &mut zone, at(531), &unknown), Err(LocateError::Silent));
    let services = domain("third.example");
    assert_eq!(find(&mut locator, &mut zone, at(531), &services), Err(LocateError::Silent));
    let srv = "_sip._udp.fourth.example".to_string();
    zone.dead = false;
    zone.records.insert((srv, RecordKind::Service), vec![service(1, 1, 1, "h.example")]);
    locator.start(at(532), &domain("fourth.example"), 1).unwrap();
    while let Some(Question { id, name, kind }) = locator.poll_question() {
        let answer = zone.records.get(&(name, kind)).map(|records| (&records[..], 60));
        let failure =
            [Failure::TimedOut, Failure::Absent][usize::from(kind == RecordKind::Service)];
        locator.on_answer(at(532), id, answer.ok_or(failure));
    }
    assert_eq!(locator.poll_found(), Some((1, Err(LocateError::Silent))));
    assert_eq!(find(&mut locator, &mut zone, at(600), &unknown), Err(LocateError::Absent));
}

#[test]
fn searches_share_questions_and_can_be_forgotten() {
    let mut zone = Zone::with(&[("example.net", &[address("192.0.2.7")])]);
    let mut locator = locator();
    for user in 0..5 {
        locator.start(at(1), &domain("example.net"), user).unwrap();
    }
    locator.forget(3);
    zone.serve(at(2), &mut locator);
    assert_eq!(zone.asked, 3);
    let users: Vec<u32> = core::iter::from_fn(|| locator.poll_found()).map(|f| f.0).collect();
    assert_eq!(users, [0, 1, 2, 4]);
    locator.on_answer(at(3), 0, Ok((&[], 1)));
    locator.on_answer(at(3), 99, Err(Failure::Absent));
}

#[test]
fn limits_hold_and_what_is_no_name_is_refused() {
    let mut locator = locator();
    for host in ["", "a b", "a..b", ".", "[::1", "é", &"a".repeat(254)] {
        assert_eq!(locator.start(at(1), &domain(host), 0), Err(LocateError::Name), "{host}");
    }
    let names: Vec<String> =
        (0..limits::LOCATE_SEARCHES_MAX + 1).map(|n| format!("h{n}")).collect();
    for (user, name) in names.iter().enumerate() {
        let query = Query { port: Some(1), ..domain(name) };
        let full = user == limits::LOCATE_SEARCHES_MAX;
        let expected = if full { Err(LocateError::Full) } else { Ok(()) };
        assert_eq!(locator.start(at(1), &query, user as u32), expected);
    }
    let mut zone = Zone::default();
    for round in 0..4 {
        zone.serve(at(1), &mut locator);
        while locator.poll_found().is_some() {}
        for user in 0..limits::LOCATE_SEARCHES_MAX {
            let name = format!("x{round}-{user}");
            let query = Query { port: Some(1), ..domain(&name) };
            locator.start(at(1), &query, 0).unwrap();
        }
    }
    assert!(locator.answers.len() <= limits::LOCATE_ANSWERS_MAX);
}
