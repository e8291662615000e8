//! The swarm's parts without processes: the plan, what is read, what is judged.

use super::*;
use crate::lab::sim::NOBODYS;
use serde_json::{Value, json};
use wire::Count;

const SIZE: Size =
    Size { routers: 40, settle: Duration::from_secs(5), idle: Duration::from_secs(10), asks: 200 };

#[test]
fn a_plan_follows_from_its_seed_and_asks_again_for_everything() {
    let (one, same, other) = (Plan::new(SIZE, 1), Plan::new(SIZE, 1), Plan::new(SIZE, 2));
    assert_eq!((&one.asks, &one.victims, &one.again), (&same.asks, &same.victims, &same.again));
    assert_ne!(one.asks, other.asks);
    assert!(one.asks.iter().all(|ask| ask.owner() != Some(ask.router)), "asks for others");
    let absent = one.asks.iter().filter(|ask| ask.owner().is_none()).count();
    assert!((20..60).contains(&absent), "{absent} of 200 ask for nobody");
    assert_eq!(one.victims.len(), 20);
    assert!(one.victims.iter().all(|victim| *victim >= plan::SEEDS));
    assert!(one.again.iter().all(|ask| !one.victims.contains(&ask.router)));
    let mut again: Vec<u32> = one.again.iter().map(|ask| ask.aor).collect();
    again.sort_unstable();
    let all: Vec<u32> = (0..SIZE.routers).flat_map(plan::aors_of).collect();
    assert_eq!(again[..all.len()], all);
    assert!(again[all.len()..].iter().all(|aor| *aor >= NOBODYS));
    assert!(one.again.iter().all(|ask| (one.vanish_at()..one.ends()).contains(&ask.at)));
}

#[test]
fn memory_is_what_the_kernel_tells() {
    let text = "00400000-7ffe [rollup]\nRss:    900 kB\nPss:   300 kB\nPss_Dirty: 1 kB\n\
                Private_Clean:   20 kB\nPrivate_Dirty:  200 kB\n";
    let one = Memory::read(text);
    assert_eq!(one, Memory { rss_kb: 900, pss_kb: 300, uss_kb: 220 });
    let none = Memory::default();
    assert_eq!(Memory::mean(&[one, none]), Memory { rss_kb: 450, pss_kb: 150, uss_kb: 110 });
}

#[test]
fn the_rehearsal_of_a_plan_is_the_same_each_time_and_answers_everything_right() {
    let plan = Plan::new(SIZE, 1);
    let [one, same] = [rehearse(&plan, 20, 1), rehearse(&plan, 20, 1)];
    assert_eq!((one.idle.bytes(), &one.settled), (same.idle.bytes(), &same.settled));
    assert_eq!((one.settled.asked, one.settled.right), (200, 200));
    assert_eq!(one.halved.asked, plan.again.len() as u32);
    assert!(one.halved.right_percent() > 99.0, "{:?}", one.halved);
    let ms = one.settled.found_ms(99);
    assert!((39.0..60.0).contains(&ms), "there and back over 20 ms: {ms} ms");
}

#[test]
fn an_answer_is_right_where_it_names_the_owner_and_nobody_else() {
    let ask = |aor| plan::Ask { at: Duration::ZERO, router: 9, aor };
    let record = |wan: &str, after_us: u32| json!({ "addresses": [wan], "after_us": after_us });
    let reply = |records: &[Value]| json!({ "records": records, "took_us": 50_000 });
    let owners = format!("{}:5070", member::wan(2));
    // The first AOR of router 2 is 6, that of router 1 is 3.
    let judged = |aor, records: &[Value]| asking::judge(&ask(aor), &reply(records));
    assert_eq!(judged(6, &[record(&owners, 41_000)]), (true, Some(41_000)));
    assert_eq!(judged(3, &[record(&owners, 41_000)]), (false, Some(41_000)));
    let newer = [record("11.0.0.9:5070", 41_000), record(&owners, 43_000)];
    assert_eq!(judged(6, &newer), (true, Some(41_000)));
    assert_eq!(judged(6, &[]), (false, None));
    assert_eq!(judged(NOBODYS, &[]), (true, None));
    assert_eq!(judged(NOBODYS, &[record(&owners, 1)]), (false, Some(1)));
    assert_eq!(asking::judge(&ask(NOBODYS), &Value::Null), (false, None), "no answer");
}

#[test]
fn what_passes_is_counted_by_its_kind_and_by_who_sends_it() {
    let packet = |port: u16, kind: u8, len: usize| {
        let mut bytes = vec![0; len];
        (bytes[0], bytes[9]) = (0x45, 17);
        bytes[12..16].copy_from_slice(&member::wan(0).octets());
        bytes[16..20].copy_from_slice(&member::wan(70).octets());
        bytes[20..22].copy_from_slice(&port.to_be_bytes());
        bytes[22..24].copy_from_slice(&5070u16.to_be_bytes());
        bytes[30] = kind;
        bytes
    };
    let mut other = packet(53, 5, 100);
    other[22..24].copy_from_slice(&53u16.to_be_bytes());
    let (mut count, before) = (Count::default(), Count::default());
    for bytes in [packet(5070, 5, 1128), packet(41_000, 6, 1128), other] {
        count.note(&bytes);
    }
    let sent = count.since(&before);
    assert_eq!((sent.datagrams, sent.bytes(), sent.lookup_bytes()), (3, 2356, 2256));
}

#[test]
fn figures_that_are_too_far_apart_are_faults() {
    let answers = |found_us| Answers {
        asked: 10,
        right: 10,
        found_us: vec![found_us; 8],
        absent_us: vec![80_000; 2],
    };
    let figures = |found_us| Figures {
        joining: figures::Sent { seconds: 10.0, datagrams: 9, kinds: vec![("find", 900)] },
        idle: figures::Sent { seconds: 10.0, datagrams: 9, kinds: vec![("ping", 900)] },
        asking: figures::Sent { seconds: 10.0, datagrams: 9, kinds: vec![("get", 90_000)] },
        settled: answers(found_us),
        halved: answers(40_000),
        counters: Vec::new(),
    };
    let load = Load { size: SIZE, delay_ms: 20, seed: 1, beside: false };
    let of = |found_us| Results {
        load,
        simulated: figures(40_000),
        real: figures(found_us),
        costs: Costs::default(),
        beside: None,
    };
    assert_eq!(of(47_000).faults(), Vec::<String>::new());
    let faults = of(50_000).faults();
    assert_eq!(faults.len(), 2, "p50 and p99: {faults:?}");
    let mut wrong = of(40_000);
    wrong.real.settled.right = 9;
    assert_eq!(wrong.faults(), ["9 of 10 look-ups right"]);
    let json: Value = serde_json::from_str(&of(50_000).json()).unwrap();
    assert_eq!((&json["ok"], &json["ratio"]["found_ms_p50"]), (&false.into(), &1.25.into()));
}
