//! Routers that crash, go or change their address while phones call.

use crate::calls::{call, end, two_phones};
use crate::host::run;
use crate::router::Settings;
use crate::town::Town;
use crate::transport::Transport;
use crate::wait;
use crate::world::inside;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn an_adapter_that_was_killed_serves_its_phones_as_before() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        for home in [1, 2] {
            call(&mut alice, &mut bob);
            town.router_mut(home).crash();
            town.router_mut(home).start();
            // The dialog goes on where its routes say, though the adapter knows it no more.
            end(&mut alice, &mut bob);
        }
        call(&mut alice, &mut bob);
        end(&mut bob, &mut alice);
        town.provider.kill();
        for home in [1, 2] {
            town.router_mut(home).crash();
            town.router_mut(home).start();
            town.await_peers(home, 2);
            call(&mut alice, &mut bob);
            end(&mut alice, &mut bob);
        }
    });
}

#[test]
fn a_router_that_held_records_goes_and_calls_still_find_their_way() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        wait::until("a record on router 3", Duration::from_secs(20), || {
            town.router(3).status()["overlay"]["stored"].as_u64() >= Some(1)
        });
        town.router_mut(3).crash();
        town.router(3).host.fall_silent();
        town.provider.kill();
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "overlay");
        end(&mut alice, &mut bob);
        call(&mut bob, &mut alice);
        end(&mut bob, &mut alice);
    });
}

#[test]
fn a_new_wan_address_keeps_phones_within_reach() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        let renumber = |town: &Town, home: u8, (old, new): (u8, u8)| {
            town.router(home).host.on(|| {
                run("ip", &["address", "del", &format!("203.0.113.{old}/24"), "dev", "wan"]);
                run("ip", &["address", "add", &format!("203.0.113.{new}/24"), "dev", "wan"]);
            });
            let address = format!("203.0.113.{new}");
            wait::until("the new address", Duration::from_secs(15), || {
                town.router(home).status()["network"]["wan"][0] == address.as_str()
            });
        };
        // The server still sends Bob's calls to the address that he had.
        renumber(&town, 2, (22, 42));
        call(&mut alice, &mut bob);
        end(&mut alice, &mut bob);
        town.provider.kill();
        call(&mut alice, &mut bob);
        end(&mut bob, &mut alice);
        renumber(&town, 1, (21, 41));
        call(&mut bob, &mut alice);
        end(&mut bob, &mut alice);
        call(&mut alice, &mut bob);
        end(&mut bob, &mut alice);
    });
}
