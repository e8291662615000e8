//! A thousand adapters whose server comes back: what it hears of them in each second.

use super::*;
use crate::adapter::providers::ProviderId;
use crate::adapter::server::{Reason, Sent, ServerState, State};
use crate::config::Provider;
use std::collections::BTreeMap;

const ADAPTERS: u32 = 1000;
/// How often a phone refreshes at its adapter.
const REFRESH: Duration = Duration::from_secs(60);
const OUTAGE: Duration = Duration::from_secs(20 * 60);
/// When every adapter has come to its verdict.
const SETTLED_S: u64 = 150;
const AFTER: Duration = Duration::from_secs(25 * 60);

/// What the server hears, in whole seconds since it came back.
#[derive(Default)]
struct Heard {
    registers: BTreeMap<u64, u32>,
    probes: BTreeMap<u64, u32>,
}

/// An adapter with one phone.
struct Home {
    server: ServerState,
    registrar: Registrar,
    rng: Rng,
    granted_s: u32,
    key: u32,
    /// When the server came to be trusted again, and when it then heard of the phone first.
    trusted: Option<Instant>,
    registered: Option<Instant>,
}

impl Home {
    fn new(seed: u32, granted_s: u32) -> Self {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        let mut rng = Rng::new(bytes);
        let server = ServerState::new(start(), &Provider::default(), &mut rng);
        let registrar = Registrar::new(1, &mut rng);
        let (trusted, registered) = (None, None);
        Self { server, registrar, rng, granted_s, key: 0, trusted, registered }
    }

    /// Asks the server, which answers where it lives.
    fn ask(&mut self, now: Instant, kind: Sent, lives: bool) {
        self.key += 1;
        self.server.on_request_sent(now, self.key, kind);
        if lives {
            self.server.on_response(now, self.key);
        }
    }

    /// The phone is registered at the provider.
    fn granted(&mut self, now: Instant) {
        let phone = Accepted { granted_s: self.granted_s, ..phone(1) };
        self.registrar.enter(now, 1_000_000, phone).unwrap();
        if self.trusted.is_some() {
            self.registered.get_or_insert(now);
        }
    }

    /// The phone refreshes. Whether the server is asked, as `register` does.
    fn refresh(&mut self, now: Instant, lives: bool) -> bool {
        let id = self.registrar.by_wan_user("p1").unwrap();
        let up = self.server.state() == State::Up;
        let fresh = now < self.registrar.get(id).unwrap().forward_at;
        if up && fresh || !up && !self.server.may_ask(now) {
            self.registrar.refresh(now, id, 120, asked(1));
            return false;
        }
        self.ask(now, Sent::Request, lives);
        if lives {
            self.granted(now);
        }
        true
    }

    /// When the server's verdict or the phone wants something next.
    fn next(&self, refresh: Instant) -> Instant {
        self.server.poll_timeout().map_or(refresh, |at| at.min(refresh))
    }

    /// Lives through an outage and what follows it. How often the phone was not known to the
    /// server though it could have been.
    fn live(&mut self, heard: &mut Heard) -> u32 {
        let back = start() + OUTAGE;
        // When it registered last is its own affair.
        let age = self.rng.jitter(Duration::from_secs(u64::from(self.granted_s) / 2));
        self.granted(start());
        self.ask(start(), Sent::Probe, true);
        let mut now = start() + age;
        let mut refresh = now + self.rng.jitter(REFRESH);
        let (down, end) = (now, now + OUTAGE + AFTER);
        let back = back + age;
        let mut lapses = 0;
        // The outage begins with somebody's call.
        self.ask(down, Sent::Request, false);
        while now < end {
            now = self.next(refresh).max(now);
            let lives = now >= back;
            let second = now.since(back).as_secs();
            self.server.handle_timeout(now);
            if self.server.probe_due(now) {
                self.ask(now, Sent::Probe, lives);
                *heard.probes.entry(second).or_default() += u32::from(lives);
            }
            if now >= refresh {
                let asked = self.refresh(now, lives);
                *heard.registers.entry(second).or_default() += u32::from(asked && lives);
                refresh = now + REFRESH;
            }
            if self.server.poll_change() == Some(State::Up)
                && self.server.reason() == Reason::Recovered
            {
                self.trusted = Some(now);
                self.registrar.spread_refreshes(now, ProviderId(0), &mut self.rng);
                let (_, binding) = self.registrar.iter().next().unwrap();
                let lapses_soon = binding.granted_until < now + 2 * REFRESH;
                lapses += u32::from(!lapses_soon && self.lapses(now, refresh));
            }
        }
        lapses
    }

    /// Whether the phone's registration ends before the refresh that renews it.
    fn lapses(&self, now: Instant, refresh: Instant) -> bool {
        let (_, binding) = self.registrar.iter().next().unwrap();
        let mut at = refresh.max(now);
        while at < binding.forward_at {
            at += REFRESH;
        }
        binding.granted_until < at
    }
}

/// The most in one second.
fn most(seconds: &BTreeMap<u64, u32>) -> u32 {
    seconds.values().copied().max().unwrap_or_default()
}

#[test]
fn a_thousand_adapters_come_back_to_their_server_one_after_another() {
    for (granted_s, span) in [(3600, RECOVERY_SPREAD), (600, Duration::from_secs(300))] {
        let mut heard = Heard::default();
        let (mut lapses, mut slowest) = (0, Duration::ZERO);
        for seed in 0..ADAPTERS {
            let mut home = Home::new(seed, granted_s);
            lapses += home.live(&mut heard);
            let (trusted, registered) = (home.trusted.unwrap(), home.registered.unwrap());
            slowest = slowest.max(registered.since(trusted));
        }
        let (registers, probes) = (most(&heard.registers), most(&heard.probes));
        // Those that the adapters' verdicts spread, a while after all have come to one.
        let later: BTreeMap<u64, u32> = heard.registers.split_off(&SETTLED_S);
        let spread = most(&later);
        println!(
            "{granted_s} s granted: in one second at most {probes} OPTIONS, {registers} REGISTERs \
             in the first {SETTLED_S} s and {spread} after it; the last phone after {} s",
            slowest.as_secs()
        );
        assert_eq!(lapses, 0);
        assert!(slowest <= span + REFRESH, "{slowest:?}");
        // No more than ask a server that is down, each once a minute or a little more often.
        assert!(registers <= 40, "{registers} REGISTERs in one second");
        // Each goes on asking for some seconds when it has heard the first answer.
        assert!(probes <= 160, "{probes} OPTIONS in one second");
        // As if each came by itself: the mean, and what chance adds to it.
        let mean = ADAPTERS / span.as_secs() as u32;
        assert!(spread <= 4 * mean + 8, "{spread} REGISTERs in one second");
    }
}
