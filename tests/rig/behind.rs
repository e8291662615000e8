//! A home behind a modem: real miniupnpd opens the ports, by each protocol alone.

use crate::calls::{call, end, two_phones};
use crate::modem::{Asked, INNER, OUTER};
use crate::router::{OVERLAY_PORT, Settings, WAN_SIP_PORT};
use crate::town::Town;
use crate::transport::Transport;
use crate::wait;
use crate::world::inside;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);
/// SIP, overlay, and four pairs for the media of the next calls.
const OPENED: usize = 10;
/// Time for the router to try the protocols before the one that is spoken.
const SOON: Duration = Duration::from_secs(30);

fn called_and_calling(folder: &Path, asked: Asked, spoken: &str) {
    let (mut town, modem) = Town::build_behind(folder, &Settings::default(), asked);
    wait::until("the modem to open all ports", SOON, || modem.opened().len() >= OPENED);
    let opened = modem.opened();
    assert!(opened.contains(&WAN_SIP_PORT) && opened.contains(&OVERLAY_PORT), "{opened:?}");
    let network = &town.router(1).status()["network"];
    let state = format!("the router in front ({INNER}) opens ports by {spoken}");
    assert_eq!(network["port_mapping"]["state"], state.as_str());
    assert_eq!(network["public_address"], OUTER);

    let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
    // The server has nothing but her Contact to reach her by.
    call(&mut bob, &mut alice);
    assert_eq!(town.router(2).call_path(), "server");
    end(&mut bob, &mut alice);
    town.provider.kill();
    call(&mut bob, &mut alice);
    assert_eq!(town.router(2).call_path(), "overlay");
    end(&mut alice, &mut bob);
    call(&mut alice, &mut bob);
    end(&mut bob, &mut alice);

    town.router_mut(1).stop();
    // It may take its time for what it was told.
    wait::until("all ports to be closed", Duration::from_secs(5), || modem.opened().is_empty());
}

#[test]
fn a_modem_that_speaks_pcp_opens_the_ports() {
    inside(LIMIT, |folder| called_and_calling(folder, Asked::Pcp, "PCP"));
}

#[test]
fn a_modem_that_speaks_nat_pmp_alone_opens_the_ports() {
    inside(LIMIT, |folder| called_and_calling(folder, Asked::NatPmp, "NAT-PMP"));
}

#[test]
fn a_modem_that_speaks_upnp_alone_opens_the_ports() {
    inside(LIMIT, |folder| called_and_calling(folder, Asked::Upnp, "UPnP"));
}

#[test]
fn a_modem_that_was_restarted_opens_the_ports_anew() {
    inside(LIMIT, |folder| {
        let (_town, mut modem) = Town::build_behind(folder, &Settings::default(), Asked::Pcp);
        wait::until("the modem to open all ports", SOON, || modem.opened().len() >= OPENED);
        // A restart shows by the gateway's clock, which may be wrong by some seconds.
        wait::pause(Duration::from_secs(4));
        modem.restart();
        assert_eq!(modem.opened(), [0; 0]);
        wait::until("the ports to be opened anew", SOON, || modem.opened().len() >= OPENED);
    });
}
