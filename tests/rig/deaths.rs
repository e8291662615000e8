//! The server dies at once for three calls: one that talks, one that rings, one just dialled.

use crate::baresip::Baresip;
use crate::calls::{await_sound, call, end};
use crate::provider::Provider;
use crate::router::Settings;
use crate::script::Step::*;
use crate::script::{CALL, CALL_UNTIL_BYE};
use crate::sipp::Sipp;
use crate::town::{FIRST, SECOND, Town};
use crate::transport::Transport::{Tcp, Udp};
use crate::wait;
use crate::world::inside;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// B2BUAs that rename calls, with a mailbox behind them.
const NATIONAL: [&str; 3] = ["MASKED", "NATIONAL", "MAILBOX"];
const WITHHOLDING: [&str; 3] = ["MASKED", "ANONYMOUS", "MAILBOX"];

/// How a server goes.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Its host says that nothing listens there.
    Killed,
    /// It takes everything and does nothing.
    Stalled,
    /// Nothing reaches its host.
    Unreachable,
}

impl Death {
    fn befall(self, provider: &mut Provider) {
        match self {
            Self::Killed => provider.kill(),
            Self::Stalled => provider.stall(),
            Self::Unreachable => provider.host.fall_silent(),
        }
    }
}

/// A server of this kind dies, and every call is set up, goes on and ends as if it had not.
fn no_call_is_lost(folder: &Path, settings: &Settings, death: Death) {
    let mut town = Town::build(folder, settings);
    let number = |place: u8| format!("+4989123456{place}");
    let users = [1, 2, 3, 4, 5, 6].map(number);
    let [alice, bob, carol, dave, erin, frank] = users.each_ref().map(String::as_str);
    let mut carols = Sipp::start(&town, &town.socket(2, SECOND), carol);
    let mut daves = Sipp::start(&town, &town.socket(3, FIRST), dave);
    let mut erins = Sipp::start(&town, &town.socket(3, SECOND), erin);
    let mut franks = Sipp::start(&town, &town.socket(1, SECOND), frank);
    let mut alices = Baresip::start(&town, &town.socket(1, FIRST), (alice, 400), Udp);
    let mut bobs = Baresip::start(&town, &town.socket(2, FIRST), (bob, 700), Tcp);
    for (home, user) in [(1, bob), (2, alice), (2, dave), (3, frank)] {
        town.await_record(home, user);
    }
    call(&mut alices, &mut bobs);
    let ring = Reply("180 Ringing");
    let late = [Await("INVITE"), ring, Pause(1800), Accept, Await("ACK"), Pause(300)];
    let mut ringing = daves.follow(&[&late[..], &[HangUpCallee, Expect("200")]].concat());
    let carol_calls = carols.call(dave, &CALL_UNTIL_BYE);
    ringing.await_received("INVITE ");
    wait::pause(Duration::from_millis(100));

    death.befall(&mut town.provider);
    let soon = [Await("INVITE"), ring, Pause(200), Accept, Await("ACK"), Await("BYE"), Confirm];
    let dialled = franks.follow(&soon);
    let erin_calls = erins.call(frank, &CALL);
    await_sound(&alices, &bobs);
    for (calls, called) in [(erin_calls, dialled), (carol_calls, ringing)] {
        calls.succeed();
        assert_eq!(called.succeed().rings(), 1);
    }
    end(&mut bobs, &mut alices);
    call(&mut bobs, &mut alices);
    end(&mut alices, &mut bobs);
    assert!(!town.provider.log().contains("to the mailbox"));
}

/// A proxy of this kind, which the routers know by its address.
fn kind(server: &'static [&'static str]) -> Settings {
    Settings { server, ..Settings::default() }
}

macro_rules! deaths {
    ($($name:ident: $settings:expr, $death:ident;)*) => { $(
        #[test]
        fn $name() {
            inside(LIMIT, |folder| no_call_is_lost(folder, &$settings, Death::$death));
        }
    )* };
}

deaths! {
    a_proxy_is_killed: kind(&[]), Killed;
    a_proxy_stalls: kind(&[]), Stalled;
    a_proxy_is_cut_off: kind(&[]), Unreachable;
    a_proxy_found_by_its_name_is_killed: Settings { named: true, ..kind(&[]) }, Killed;
    a_proxy_found_by_its_name_is_cut_off: Settings { named: true, ..kind(&[]) }, Unreachable;
    a_proxy_that_is_deaf_to_probes_is_killed: kind(&["DEAF"]), Killed;
    a_proxy_that_is_deaf_to_probes_stalls: kind(&["DEAF"]), Stalled;
    a_proxy_out_of_breath_is_killed: kind(&["BUSY"]), Killed;
    a_proxy_out_of_breath_stalls: kind(&["BUSY"]), Stalled;
    a_b2bua_that_names_callers_nationally_is_killed: kind(&NATIONAL), Killed;
    a_b2bua_that_names_callers_nationally_stalls: kind(&NATIONAL), Stalled;
    a_b2bua_that_withholds_callers_is_killed: kind(&WITHHOLDING), Killed;
    a_b2bua_that_withholds_callers_is_cut_off: kind(&WITHHOLDING), Unreachable;
}
