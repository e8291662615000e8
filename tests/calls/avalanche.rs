//! A district loses its power, and all of it comes back within seconds, at other addresses, to a
//! server that can take a few of them at a time, or to none.

use crate::district::{District, Seen, Talk};
use crate::net::Fate;
use cosip::lab::server::{Beyond, Capacity};
use cosip::time::Duration;
use std::collections::VecDeque;

const HOMES: usize = 30;
const HOME_PHONES: usize = 4;
/// What the server answers in a second.
const REGISTERS_PER_S: u32 = 4;
/// Homes that have light call each other once in each of so many seconds.
const CALLS: usize = 40;
/// Seconds of the first wave, with its repeats.
const FIRST_S: u64 = 35;
/// REGISTERs that come in one second after that.
const LATER_MAX: usize = 5;
/// Datagrams that one router's overlay gets in a second.
const OVERLAY_MAX: usize = 250;

/// A power cut of a minute and a half for three of ten homes, and what follows for so long: no call
/// of the others is lost. The dark homes, and what came to the server since they are back.
fn power_cut(district: &mut District, follows: Duration) -> (Vec<usize>, Seen) {
    let dark = district.cut();
    let lit: Vec<usize> = (0..district.homes.len()).filter(|home| !dark.contains(home)).collect();
    // These go on through all of it.
    let long: Vec<Talk> = (0..3).map(|at| district.call((lit[at], 0), (lit[at + 3], 0))).collect();
    district.town.world.run_ms(90_000);
    let back = district.town.world.now;
    let mut returns = district.returns(&dark);
    let (mut talks, mut lost) = (VecDeque::new(), Vec::new());
    for second in 0..CALLS {
        let end = back + Duration::from_secs(second as u64 + 1);
        district.come_back(&mut returns, back, end);
        let [from, to] = [second, second + 1].map(|at| lit[at % lit.len()]);
        talks.push_back(district.call((from, 1), (to, 2)));
        if talks.len() > 4 {
            lost.extend(talks.pop_front().and_then(|talk| district.over(&talk)));
        }
    }
    district.town.world.run_ms(4_000);
    lost.extend(talks.iter().chain(&long).filter_map(|talk| district.over(talk)));
    // The server knows the old addresses of the others, as long as it has not heard them.
    let called = dark.iter().zip(&lit);
    let talks: Vec<_> = called.map(|(to, from)| district.call((*from, 0), (*to, 0))).collect();
    district.town.world.run_ms(8_000);
    lost.extend(talks.iter().filter_map(|talk| district.over(talk)));
    assert_eq!(lost, Vec::<String>::new());
    district.run_until(back + follows);
    (dark, Seen::since(&district.town, back))
}

/// The server dies, and each of the homes that were dark calls the next one.
fn server_dies(mut district: District, dark: &[usize]) {
    district.town.server_is(Fate::Drop);
    let next = |at: usize| dark[(at + 1) % dark.len()];
    let talks: Vec<Talk> =
        (0..dark.len()).map(|at| district.call((dark[at], 0), (next(at), 1))).collect();
    district.town.world.run_ms(4_000);
    let lost: Vec<_> = talks.iter().filter_map(|talk| district.over(talk)).collect();
    assert_eq!(lost, Vec::<String>::new());
    district.town.world.run_ms(3_000);
    district.town.finish();
}

/// Thirty homes with four phones each; the server takes four REGISTERs a second, and what is beyond
/// fares as told. Each phone's place at the server is its own again within so many seconds.
fn played(beyond: Beyond, accounts: bool, within_s: u64) -> (District, Vec<usize>, Seen) {
    let mut district = District::new(&[HOME_PHONES; HOMES], accounts);
    let capacity = Capacity { registers_per_s: REGISTERS_PER_S, beyond };
    district.town.world.order(district.house, |node, _| node.server().set_capacity(capacity));
    let began = district.town.world.now;
    let (dark, seen) = power_cut(&mut district, Duration::from_secs(within_s));
    for (home, number) in dark.iter().flat_map(|home| (0..HOME_PHONES).map(|at| (*home, at))) {
        let aor = district.aor((home, number));
        assert!(seen.accepted.contains_key(&aor), "{aor} is not registered again");
    }
    let phones = dark.len() * HOME_PHONES;
    let [first, later] = [0..FIRST_S, FIRST_S..within_s].map(|seconds| seen.busiest(seconds));
    let (all, pause_ms) = (seen.seconds.values().sum::<usize>(), seen.shortest_pause_ms());
    let overlay = district.busiest_overlay(began);
    println!(
        "{beyond:?}: {all} REGISTERs of {phones} phones, at most {first} in one of the first \
         {FIRST_S} s and {later} after that, {pause_ms} ms apart at least, the last new one \
         accepted after {:?} ms; at most {overlay} overlay datagrams for a router in a second",
        seen.accepted.values().max()
    );
    assert!(overlay <= OVERLAY_MAX, "{overlay} overlay datagrams for one router in a second");
    assert!(first <= phones, "more than one of each phone in a second: {:?}", seen.seconds);
    assert!(later <= LATER_MAX, "{later} REGISTERs in a second: {:?}", seen.seconds);
    assert!(pause_ms >= 20_000, "a phone is registered anew after {pause_ms} ms");
    (district, dark, seen)
}

/// What all phones say at once is not said at once again (RFC 5626 s4.5).
#[test]
fn a_busy_server_gets_each_phone_once_and_those_it_refused_when_it_wants_spread_over_time() {
    const RETRY_AFTER_S: u32 = 20;
    for accounts in [false, true] {
        let (district, dark, seen) = played(Beyond::Refused(RETRY_AFTER_S), accounts, 360);
        let first = seen.seconds.range(..FIRST_S).map(|(_, count)| count).sum::<usize>();
        assert_eq!(first, dark.len() * HOME_PHONES, "one each: {:?}", seen.seconds);
        // After what the server wants half a minute to a minute.
        let pause_ms = seen.shortest_pause_ms();
        assert!(pause_ms >= u64::from(RETRY_AFTER_S) * 1000 + 30_000, "{pause_ms} ms");
        server_dies(district, &dark);
    }
}

#[test]
fn a_server_that_hears_few_gets_few_repeats_and_then_no_more_than_it_hears() {
    for accounts in [false, true] {
        let (district, dark, seen) = played(Beyond::Unheard, accounts, 1020);
        let first = seen.seconds.range(..FIRST_S).map(|(_, count)| count).sum::<usize>();
        assert!(first <= 4 * dark.len() * HOME_PHONES, "{first}: {:?}", seen.seconds);
        server_dies(district, &dark);
    }
}

/// Three offices come back, and the server does not: all their records are put at once.
#[test]
fn members_drop_and_count_what_records_they_cannot_verify_in_time_and_all_are_there_soon() {
    const OFFICE_PHONES: usize = 96;
    let office = |home| [3, 6, 9].contains(&home);
    let phones: Vec<usize> =
        (0..10).map(|home| if office(home) { OFFICE_PHONES } else { 3 }).collect();
    let mut district = District::new(&phones, false);
    let offices = (0..10).filter(|home| office(*home));
    let phones = offices.flat_map(|home| (0..OFFICE_PHONES).map(move |number| (home, number)));
    let aors: Vec<String> = phones.map(|phone| district.aor(phone)).collect();
    let before: Vec<u64> = aors.iter().map(|aor| district.newest(aor)).collect();
    let began = district.town.world.now;
    district.town.server_is(Fate::Drop);
    let (dark, _) = power_cut(&mut district, Duration::from_secs(50));
    let old = (0..aors.len()).filter(|at| district.newest(&aors[*at]) <= before[*at]).count();
    let dropped = district.counted("overlay_work_full");
    let overlay = district.busiest_overlay(began);
    println!(
        "{} records at once: {dropped:?} dropped; at most {overlay} overlay datagrams in a second",
        aors.len()
    );
    let mut lit = (0..dropped.len()).filter(|home| !office(*home));
    assert!(lit.any(|home| dropped[home] > 0), "no more came than can be verified: {dropped:?}");
    assert_eq!(old, 0, "records of the last run");
    server_dies(district, &dark);
}
