//! Certificates and trust anchors that come while adapters run.

use crate::town::{Phone, Town, two_with};
use cosip::config::Anchor;
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::certificate::text;
use cosip::identity::chain::Validity;
use cosip::identity::record::Key;
use cosip::identity::revocation::{Revocations, Revoked};
use cosip::identity::{Certificate, Identity};
use cosip::limits::BUILT_UNIX_S;
use cosip::net::{File, Input};

const DAY_S: u32 = 86_400;

fn anchor() -> Identity {
    Identity::from_seed([77; 32]).unwrap()
}

/// What the provider issues to a router, for a phone of it if it has one.
fn certificate(town: &Town, router: usize, phone: Option<&Phone>, serial: u64) -> Certificate {
    let network = town.keys.network();
    let key = town.routers[router].identity.public();
    let now_s = town.epoch_s.max(BUILT_UNIX_S) as u32;
    // As the overlay knows it.
    let key_of =
        |phone: &Phone| Key::of(&town.keys.aor_key(phone.aor().trim_start_matches("sip:")));
    let keys: Vec<Key> = phone.map(key_of).into_iter().collect();
    Authority::anchor(anchor(), network).certify(&Subject {
        serial,
        key,
        place: Authority::place(&[5; 32], &key),
        validity: Validity { from_s: now_s - DAY_S, until_s: now_s + 13 * DAY_S },
        keys: &keys,
    })
}

/// A router's file of certificates holds this from now on, and it is told to look.
pub(crate) fn holds(town: &mut Town, router: usize, file: &str) {
    let (place, config) = (town.routers[router].place, town.routers[router].config.clone());
    town.world.files.retain(|(at, of, _)| (*at, *of) != (place, File::Certificates));
    town.world.files.push((place, File::Certificates, file.as_bytes().to_vec()));
    town.world.input(place, Input::Config(&config));
}

#[test]
fn a_town_takes_certificates_up_and_renews_them_at_reloads() {
    let (mut town, alice, bob) = two_with(|config| config.overlay.name = "town".into());
    town.world.run_ms(2_000);
    assert_eq!([town.finds(2, &alice.aor()), town.finds(0, &bob.aor())], [1, 1]);
    let phones = [Some(&alice), Some(&bob), None];
    for (router, phone) in phones.into_iter().enumerate() {
        town.routers[router].config.identity.trust_anchor = vec![Anchor(anchor().public())];
        let certificate = certificate(&town, router, phone, 1);
        holds(&mut town, router, &text::write(&[certificate]));
        town.world.run_ms(1_000);
    }
    town.world.run_ms(60_000);
    for router in 0..3 {
        let place = certificate(&town, router, None, 1).place().to_string();
        assert_eq!(town.status(router)["overlay"]["id"], place);
    }
    assert_eq!([town.finds(2, &alice.aor()), town.finds(0, &bob.aor())], [1, 1]);
    // A faulty file changes nothing, and neither does one that is somebody else's.
    let other = text::write(&[certificate(&town, 1, Some(&alice), 9)]);
    holds(&mut town, 0, "zz\n");
    town.world.run_ms(5_000);
    assert_eq!(town.finds(2, &alice.aor()), 1);
    let renewed = certificate(&town, 0, Some(&alice), 2);
    holds(&mut town, 0, &format!("{other}{}", text::write(std::slice::from_ref(&renewed))));
    for _ in 0..10 {
        town.world.run_ms(500);
        assert_eq!(town.finds(2, &alice.aor()), 1);
    }
    let counters = town.status(2)["counters"].clone();
    for refused in ["uncertified", "expired", "revoked", "bad_signature"] {
        assert_eq!(counters[format!("overlay_{refused}")], 0, "{refused}");
    }
    // The next start may be in 1970.
    let of =
        |file: &&(usize, File, Vec<u8>)| (file.0, file.1) == (town.routers[0].place, File::Time);
    let saved = town.world.files.iter().find(of).map(|file| file.2.clone()).unwrap();
    let saved: u64 = String::from_utf8(saved).unwrap().trim().parse().unwrap();
    assert!(saved >= u64::from(renewed.validity().from_s) && saved >= BUILT_UNIX_S);
    assert_eq!(town.world.files.iter().filter(|file| file.1 == File::Time).count(), 3);
    town.restart(0);
    town.world.run_ms(60_000);
    assert_eq!(town.status(0)["overlay"]["id"], renewed.place().to_string());
    town.finish();
}

/// A router's file of revocations holds this from now on.
fn lists(town: &mut Town, router: usize, file: Vec<u8>) {
    let place = town.routers[router].place;
    town.world.files.retain(|(at, of, _)| (*at, *of) != (place, File::Revocations));
    town.world.files.push((place, File::Revocations, file));
}

fn listed(town: &Town, router: usize) -> Option<&[u8]> {
    let place = town.routers[router].place;
    let files = town.world.files.iter();
    files.filter(|it| (it.0, it.1) == (place, File::Revocations)).map(|it| &it.2[..]).next()
}

/// How many records of each the third router finds, where all are registered.
fn found(town: &mut Town, phones: [&mut Phone; 2]) -> [usize; 2] {
    phones.map(|phone| {
        town.register(phone, 3_600);
        town.world.run_ms(3_000);
        town.finds(2, &phone.aor())
    })
}

#[test]
fn a_list_of_revocations_spreads_and_is_kept_over_reboots_and_reloads() {
    let (mut town, mut alice, mut bob) = two_with(|config| config.overlay.name = "town".into());
    town.world.run_ms(2_000);
    for (router, phone) in [Some(&alice), Some(&bob), None].into_iter().enumerate() {
        town.routers[router].config.identity.trust_anchor = vec![Anchor(anchor().public())];
        let certificate = certificate(&town, router, phone, 11 + router as u64);
        holds(&mut town, router, &text::write(&[certificate]));
        town.world.run_ms(1_000);
    }
    town.world.run_ms(60_000);
    assert_eq!(found(&mut town, [&mut alice, &mut bob]), [1, 1]);
    let now_s = town.epoch_s.max(BUILT_UNIX_S) as u32;
    let network = *town.keys.network();
    let list = |number: u32, serials: &[u64]| {
        let ends_day = (now_s / DAY_S + 13) as u16;
        let entries: Vec<Revoked> =
            serials.iter().map(|&serial| Revoked { serial, ends_day, number }).collect();
        let head = Authority::anchor(anchor(), &network).revoke(number, now_s, &entries);
        Revocations::default().restored(&head, &entries).unwrap().to_bytes()
    };
    let first = now_s / 60;
    let [one, two] = [(first, &[12][..]), (first + 1, &[12, 99])].map(|(n, it)| list(n, it));
    let numbers = |town: &mut Town| {
        [0, 1, 2].map(|at| town.status(at)["identity"]["revocations"]["number"].clone())
    };
    // The third finds one in its file.
    lists(&mut town, 2, one.clone());
    town.restart(2);
    town.world.run_ms(120_000);
    assert_eq!(numbers(&mut town), [first; 3]);
    assert_eq!(found(&mut town, [&mut alice, &mut bob]), [1, 0]);
    for router in 0..3 {
        assert_eq!(listed(&town, router), Some(&one[..]), "{router}");
    }
    // The next one is written an hour later.
    lists(&mut town, 2, two.clone());
    town.restart(2);
    town.world.run_ms(120_000);
    let config = town.routers[0].config.clone();
    let place = town.routers[0].place;
    town.world.input(place, Input::Config(&config));
    town.world.run_ms(1_000);
    assert_eq!(numbers(&mut town), [first + 1; 3], "a reload forgets nothing");
    assert_eq!(listed(&town, 0), Some(&one[..]));
    town.world.run_ms(3_600_000);
    assert_eq!(listed(&town, 0), Some(&two[..]));
    // What is read is verified again.
    let mut forged = list(first + 2, &[11, 99]);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    lists(&mut town, 0, forged);
    town.restart(0);
    town.world.run_ms(120_000);
    assert_eq!(numbers(&mut town), [first + 1; 3]);
    assert_eq!(town.status(0)["identity"]["revocations"]["entries"], 2);
    assert_eq!(found(&mut town, [&mut alice, &mut bob]), [1, 0]);
    // A file that held no list that counts is replaced by the next one that does.
    town.world.run_ms(3_600_000);
    assert_eq!(listed(&town, 0), Some(&two[..]));
    town.finish();
}
