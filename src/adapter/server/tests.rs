//! The verdict on a server, event by event.

use super::*;
use crate::rng::Rng;
use proptest::prelude::*;

/// A server's verdict in virtual time, with a log of the probes that came due.
struct Bench {
    server: ServerState,
    now: Instant,
    key: u32,
    probes: std::vec::Vec<Instant>,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Bench {
    fn new() -> Self {
        Self::with(&Provider::default(), 1)
    }

    fn with(provider: &Provider, seed: u8) -> Self {
        let now = Instant::from_micros(1_000_000_000);
        let server = ServerState::new(now, provider, &mut Rng::new([seed; 32]));
        Self { server, now, key: 0, probes: std::vec::Vec::new() }
    }

    /// Lets time pass, waking the server exactly when it asks for it.
    fn pass(&mut self, interval: Duration) -> &mut Self {
        let end = self.now + interval;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            if self.server.probe_due(self.now) {
                self.probes.push(self.now);
            }
        }
        self.now = end;
        self
    }

    fn send(&mut self, kind: Sent) -> u32 {
        self.key += 1;
        self.server.on_request_sent(self.now, self.key, kind);
        self.key
    }

    fn request(&mut self) -> u32 {
        self.send(Sent::Request)
    }

    /// A request that is answered after 10 ms.
    fn exchange(&mut self) -> &mut Self {
        let key = self.request();
        self.pass(ms(10));
        self.server.on_response(self.now, key);
        self
    }

    fn is(&self, state: State, reason: Reason) -> bool {
        (self.server.state(), self.server.reason()) == (state, reason)
    }

    fn fall(&mut self) -> &mut Self {
        self.request();
        self.pass(ms(2000));
        assert_eq!(self.server.state(), State::Down);
        self
    }

    /// Answers one request a second until the server is up; how long that took.
    fn rise(&mut self) -> Duration {
        let start = self.now;
        while self.server.state() != State::Up {
            self.exchange().pass(ms(990));
            assert!(self.now.since(start) < Duration::from_secs(1000));
        }
        self.now.since(start)
    }
}

#[test]
fn an_unasked_server_is_up() {
    let mut bench = Bench::new();
    bench.pass(Duration::from_secs(3600));
    assert!(bench.is(State::Up, Reason::Start));
    assert_eq!((bench.server.rtt(), bench.server.poll_change()), (None, None));
}

#[test]
fn silence_for_a_hedge_is_a_suspicion_and_two_seconds_are_an_outage() {
    let mut bench = Bench::new();
    bench.request();
    bench.pass(ms(499));
    assert!(bench.is(State::Up, Reason::Start));
    bench.pass(ms(1));
    assert!(bench.is(State::Suspect, Reason::Silent));
    assert_eq!(bench.server.poll_change(), Some(State::Suspect));
    bench.pass(ms(1499));
    assert!(bench.is(State::Suspect, Reason::Silent));
    bench.pass(ms(1));
    assert!(bench.is(State::Down, Reason::SilentLong));
    assert_eq!(bench.server.poll_change(), Some(State::Down));
    assert_eq!(bench.server.poll_change(), None);
    assert_eq!(bench.server.since(), bench.now);
}

#[test]
fn two_silent_requests_are_an_outage() {
    let mut bench = Bench::new();
    bench.request();
    bench.pass(ms(300));
    bench.request();
    bench.pass(ms(499));
    assert!(bench.is(State::Suspect, Reason::Silent));
    bench.pass(ms(1));
    assert!(bench.is(State::Down, Reason::SilentTwice));
}

#[test]
fn any_response_ends_a_suspicion() {
    let mut bench = Bench::new();
    bench.exchange().exchange();
    let key = bench.request();
    bench.pass(ms(600));
    bench.server.on_response(bench.now, key);
    assert!(bench.is(State::Up, Reason::Answered));
    bench.pass(Duration::from_secs(10));
    assert!(bench.is(State::Up, Reason::Answered));
    assert!(!bench.server.is_recovering(bench.now), "a suspicion is no outage");
    // Neither did its silence leave a mark: one more silent request is only one.
    bench.request();
    bench.pass(ms(600));
    assert!(bench.is(State::Suspect, Reason::Silent));
    bench.server.on_heard(bench.now);
    assert!(bench.is(State::Up, Reason::Answered));
    assert_eq!(bench.server.rtt(), Some(ms(10)), "one late answer is no round trip");
}

#[test]
fn a_lost_request_does_not_outweigh_a_live_server() {
    let mut bench = Bench::new();
    bench.request();
    for _ in 0..30 {
        bench.pass(ms(90)).exchange();
    }
    assert!(bench.is(State::Up, Reason::Start));
    bench.pass(ms(60_000));
    assert!(bench.is(State::Up, Reason::Start));
    // But it counts from a sign that came shortly after it.
    let other = bench.request();
    bench.request();
    bench.pass(ms(300));
    bench.server.on_response(bench.now, other);
    bench.pass(ms(499));
    assert_eq!(bench.server.state(), State::Up);
    bench.pass(ms(1501));
    assert!(bench.is(State::Down, Reason::SilentLong));
}

#[test]
fn a_transport_error_is_a_suspicion_and_errors_on_all_targets_an_outage() {
    let mut bench = Bench::new();
    bench.server.set_targets(2);
    let (a, b) = (bench.request(), bench.request());
    bench.server.on_transport_error(bench.now, a, 0);
    assert!(bench.is(State::Suspect, Reason::Error));
    bench.server.on_transport_error(bench.now, 99, 0);
    assert!(bench.is(State::Suspect, Reason::Error), "the same target twice");
    bench.server.on_transport_error(bench.now, b, 1);
    assert!(bench.is(State::Down, Reason::ErrorOnAll));

    let mut bench = Bench::new();
    bench.server.set_targets(2);
    bench.server.on_transport_error(bench.now, 0, 0);
    bench.exchange();
    assert!(bench.is(State::Up, Reason::Answered));
    bench.server.on_transport_error(bench.now, 0, 1);
    assert!(bench.is(State::Suspect, Reason::Error), "an answer lay between");

    let mut bench = Bench::new();
    bench.server.on_transport_error(bench.now, 0, 0);
    assert!(bench.is(State::Down, Reason::ErrorOnAll), "one target is all targets");
}

#[test]
fn rising_takes_three_answers_spread_over_the_hold() {
    let mut bench = Bench::new();
    bench.fall();
    for _ in 0..5 {
        bench.exchange().pass(ms(890));
    }
    assert_eq!(bench.server.state(), State::Down, "enough answers, but in too short a time");
    bench.pass(ms(500)).exchange();
    assert!(bench.is(State::Up, Reason::Recovered));

    let mut bench = Bench::new();
    bench.fall().exchange().pass(Duration::from_secs(20)).exchange();
    assert_eq!(bench.server.state(), State::Down, "enough time, but too few answers");
    bench.exchange();
    assert!(bench.is(State::Up, Reason::Recovered));
}

#[test]
fn a_failure_among_the_answers_starts_the_count_again() {
    let mut bench = Bench::new();
    bench.fall().exchange().exchange().pass(Duration::from_secs(6));
    bench.request();
    bench.pass(ms(600)).exchange();
    assert_eq!(bench.server.state(), State::Down);
    bench.exchange().exchange();
    assert_eq!(bench.server.state(), State::Down, "the hold starts again too");
    bench.pass(Duration::from_secs(6)).exchange();
    assert_eq!(bench.server.state(), State::Up);
}

#[test]
fn answers_to_requests_from_before_the_last_failure_do_not_count() {
    let mut bench = Bench::new();
    let old: std::vec::Vec<u32> = (0..4).map(|_| bench.request()).collect();
    bench.pass(ms(1900));
    assert_eq!(bench.server.state(), State::Down);
    for key in old {
        bench.server.on_response(bench.now, key);
        bench.pass(Duration::from_secs(3));
    }
    assert_eq!(bench.server.state(), State::Down);
    assert!(bench.rise() >= Duration::from_secs(5));
}

#[test]
fn a_second_response_to_one_request_is_no_second_answer() {
    let mut bench = Bench::new();
    bench.fall();
    let key = bench.request();
    for _ in 0..10 {
        bench.server.on_response(bench.now, key);
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(bench.server.state(), State::Down);
}

#[test]
fn the_hold_doubles_for_a_server_that_flaps_and_is_bounded() {
    let mut bench = Bench::new();
    let mut holds = std::vec::Vec::new();
    for _ in 0..9 {
        holds.push(bench.fall().rise().as_secs() / 5 * 5);
    }
    assert_eq!(holds, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    bench.pass(Duration::from_secs(601)).exchange();
    assert_eq!(bench.fall().rise().as_secs() / 5 * 5, 5, "ten quiet minutes are forgiven");
}

#[test]
fn after_an_outage_the_server_is_recovering_for_the_grace() {
    let mut bench = Bench::new();
    assert!(!bench.server.is_recovering(bench.now));
    bench.fall();
    assert!(!bench.server.is_recovering(bench.now), "it has not come back yet");
    bench.rise();
    assert!(bench.server.is_recovering(bench.now));
    bench.pass(Duration::from_secs(3590));
    assert!(bench.server.is_recovering(bench.now));
    bench.pass(Duration::from_secs(11));
    assert!(!bench.server.is_recovering(bench.now));
    assert!(bench.server.recovering_until().is_some());
}

#[test]
fn probes_go_only_after_an_interval_without_a_sign() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        bench.pass(Duration::from_secs(59)).exchange();
    }
    assert_eq!(bench.probes, []);
    let sign = bench.now;
    bench.pass(Duration::from_secs(600));
    assert!((7..=10).contains(&bench.probes.len()));
    let mut last = sign;
    for at in &bench.probes {
        let gap = at.since(last);
        assert!((ms(60_000)..=ms(75_000)).contains(&gap), "{gap:?}");
        last = *at;
    }
}

#[test]
fn probes_back_off_while_the_server_is_not_up() {
    let mut bench = Bench::new();
    bench.fall();
    let fallen = bench.now;
    bench.pass(Duration::from_secs(600));
    let early = |s: u64| bench.probes.iter().filter(|at| at.since(fallen) <= ms(s * 1000)).count();
    assert!((2..=5).contains(&early(5)), "{:?}", early(5));
    assert!((5..=8).contains(&early(60)), "{:?}", early(60));
    assert!(early(600) <= 27, "at most the normal rate, jittered: {}", early(600));
    let gaps: std::vec::Vec<Duration> =
        bench.probes.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps.iter().rev().take(5).all(|gap| (ms(30_000)..=ms(60_000)).contains(gap)));
}

#[test]
fn an_answer_while_down_makes_probes_quick_again() {
    let mut bench = Bench::new();
    bench.fall().pass(Duration::from_secs(600));
    let before = bench.probes.len();
    bench.exchange().pass(Duration::from_secs(8));
    assert!(bench.probes.len() >= before + 3, "so that three answers come within the hold");
}

#[test]
fn a_request_may_take_the_turn_of_a_probe_and_no_more() {
    let mut bench = Bench::new();
    let key = bench.send(Sent::Probe);
    bench.server.on_response(bench.now, key);
    bench.fall();
    let mut asked = 0;
    for _ in 0..600 {
        bench.pass(ms(1000));
        asked += usize::from(bench.server.may_ask(bench.now));
    }
    let all = asked + bench.probes.len();
    assert!(asked >= 8, "requests go too: {asked}");
    assert!(all <= 30, "but both together no faster than probes: {all}");
    bench.server.link_down();
    bench.pass(Duration::from_secs(600));
    assert!(!bench.server.may_ask(bench.now), "not without a link");
}

#[test]
fn early_looks_are_few_at_once_and_in_the_long_run_as_rare_as_probes() {
    let mut bench = Bench::new();
    let mut looks = std::vec::Vec::new();
    assert!(!bench.server.may_look_early(bench.now), "its silence would say nothing yet");
    for second in 0..3600 {
        let key = bench.send(Sent::Probe);
        bench.pass(ms(10));
        bench.server.on_response(bench.now, key);
        if bench.server.may_look_early(bench.now) {
            looks.push(second);
        }
        bench.pass(ms(990));
    }
    assert!(looks[..3].iter().all(|second| *second < 20), "{looks:?}");
    assert!(looks.len() <= 3600 / 60 + 3, "{}", looks.len());
    assert!(bench.probes.is_empty(), "it gives signs all the time");
}

#[test]
fn a_request_that_could_not_leave_says_nothing_of_the_server() {
    let mut bench = Bench::new();
    bench.request();
    bench.pass(ms(400));
    bench.server.own_link_failed();
    bench.pass(ms(60_000));
    assert!(bench.is(State::Up, Reason::Start));
}

#[test]
fn jitter_differs_from_adapter_to_adapter() {
    let first = |seed| {
        let mut bench = Bench::with(&Provider::default(), seed);
        bench.pass(Duration::from_secs(80));
        bench.probes[0]
    };
    assert_ne!(first(1), first(2));
    assert_eq!(first(1), first(1));
}

#[test]
fn silence_to_options_counts_only_where_options_was_answered_before() {
    let mut bench = Bench::new();
    bench.send(Sent::Probe);
    bench.send(Sent::Probe);
    bench.pass(Duration::from_secs(10));
    assert!(bench.is(State::Up, Reason::Start));
    let key = bench.send(Sent::Probe);
    bench.server.on_response(bench.now, key);
    bench.send(Sent::Probe);
    bench.pass(ms(2000));
    assert!(bench.is(State::Down, Reason::SilentLong));
}

#[test]
fn our_own_link_freezes_the_verdict() {
    let mut bench = Bench::new();
    bench.request();
    bench.pass(ms(600));
    assert_eq!(bench.server.state(), State::Suspect);
    bench.server.link_down();
    bench.request();
    bench.server.on_transport_error(bench.now, 1, 0);
    bench.pass(Duration::from_secs(3600));
    assert!(bench.is(State::Suspect, Reason::OwnLink));
    assert_eq!((bench.server.poll_timeout(), bench.probes.len()), (None, 0));
    bench.server.link_up(bench.now);
    bench.pass(ms(3000));
    assert!(bench.is(State::Suspect, Reason::Silent), "what was lost in between says nothing");
    assert!(!bench.probes.is_empty());
    bench.exchange();
    assert!(bench.is(State::Up, Reason::Answered));
}

#[test]
fn slow_servers_are_given_twice_their_round_trip() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        let key = bench.request();
        bench.pass(ms(400));
        bench.server.on_response(bench.now, key);
    }
    assert_eq!(bench.server.rtt(), Some(ms(400)));
    assert_eq!(bench.server.hedge(), ms(800));
    bench.request();
    bench.pass(ms(799));
    assert_eq!(bench.server.state(), State::Up);
    bench.pass(ms(1));
    assert_eq!(bench.server.state(), State::Suspect);
}

#[test]
fn a_long_hedge_outlasts_the_two_seconds() {
    let provider = Provider { hedge: ms(5000), ..Provider::default() };
    let mut bench = Bench::with(&provider, 1);
    bench.request();
    bench.pass(ms(4999));
    assert_eq!(bench.server.state(), State::Up);
    bench.server.configure(&Provider::default());
    bench.pass(ms(1));
    assert!(bench.is(State::Down, Reason::SilentLong), "a reload takes effect at once");
}

#[test]
fn history_is_kept_and_bounded() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.request();
        bench.pass(ms(600)).exchange();
    }
    let history: std::vec::Vec<&Change> = bench.server.history().collect();
    assert_eq!(history.len(), SERVER_HISTORY_MAX);
    assert!(history.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(history.last().map(|c| c.state), Some(State::Up));
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u16),
    Send(bool),
    Answer(u8),
    Error(u8, u8),
    Link(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5000_u16).prop_map(Step::Pass),
        any::<bool>().prop_map(Step::Send),
        (0..4_u8).prop_map(Step::Answer),
        (0..4_u8, 0..3_u8).prop_map(|(a, b)| Step::Error(a, b)),
        any::<bool>().prop_map(Step::Link),
    ]
}

proptest! {
    #![proptest_config(crate::properties::cases(150))]
    /// Whatever happens: time-outs make progress, an outage needs a cause, and a server that
    /// answers everything again is up within the longest hold.
    #[test]
    fn no_history_wedges_the_verdict(steps in proptest::collection::vec(step(), 0..60)) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Pass(millis) => { bench.pass(ms(u64::from(millis))); }
                Step::Send(probe) => {
                    bench.send(if probe { Sent::Probe } else { Sent::Request });
                }
                Step::Answer(back) => {
                    bench.server.on_response(bench.now, bench.key.wrapping_sub(back.into()));
                }
                Step::Error(back, target) => {
                    let key = bench.key.wrapping_sub(back.into());
                    bench.server.on_transport_error(bench.now, key, target);
                }
                Step::Link(true) => bench.server.link_up(bench.now),
                Step::Link(false) => bench.server.link_down(),
            }
            if let Some(at) = bench.server.poll_timeout() {
                bench.server.handle_timeout(at.max(bench.now));
                bench.server.probe_due(at.max(bench.now));
                bench.now = at.max(bench.now);
            }
        }
        bench.server.link_up(bench.now);
        prop_assert!(bench.rise() <= SERVER_HOLD_MAX + Duration::from_secs(10));
    }
}
