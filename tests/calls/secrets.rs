//! Secrets of the network that change while adapters run.

use crate::net::Fate;
use crate::town::{Phone, Town, two_with};
use cosip::net::Input;

/// The secret file of a router holds these from now on, and it is told to look.
fn holds(town: &mut Town, router: usize, secrets: &[&str]) {
    let (place, config) = (town.routers[router].place, town.routers[router].config.clone());
    town.world.secrets.retain(|secret| secret.0 != place);
    town.world.secrets.push((place, secrets.join("\n").into_bytes()));
    town.world.input(place, Input::Config(&config));
}

/// A call over the overlay, which Bob refuses.
pub(crate) fn reaches(town: &mut Town, alice: &Phone, bob: &Phone, call_id: &str) {
    town.dial(alice, &bob.aor(), call_id);
    let invite = town.world.expect(bob.at, "INVITE", 1_500);
    town.reply(&invite, 603, "b", &[]);
    town.world.expect(alice.at, "603", 100);
    town.world.run_ms(1_000);
}

#[test]
fn new_secrets_are_taken_at_a_reload_and_every_call_goes_through_meanwhile() {
    let (mut town, alice, bob) = two_with(|config| config.overlay.name = "town".into());
    let (old, new) = ("05".repeat(32), "06".repeat(32));
    town.world.run_ms(2_000);
    town.server_is(Fate::Drop);
    let stages: [&[&str]; 3] = [&[&old, &new], &[&new, &old], &[&new]];
    for (stage, secrets) in stages.into_iter().enumerate() {
        for router in 0..3 {
            holds(&mut town, router, secrets);
            town.world.run_ms(3_000);
            reaches(&mut town, &alice, &bob, &format!("c{stage}{router}"));
        }
    }
    let counters = town.status(0)["counters"].clone();
    assert_eq!(counters["overlay_unauthentic"], 0, "everybody was heard at every stage");
    town.finish();
}

#[test]
fn a_faulty_secret_file_changes_nothing() {
    let (mut town, alice, bob) = two_with(|config| config.overlay.name = "town".into());
    town.world.run_ms(2_000);
    town.server_is(Fate::Drop);
    for (at, secrets) in [&["xyz"][..], &[]].into_iter().enumerate() {
        holds(&mut town, 0, secrets);
        reaches(&mut town, &alice, &bob, &format!("c{at}"));
    }
    town.finish();
}
