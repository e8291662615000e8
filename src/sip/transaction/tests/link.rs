//! Two layers back to back over a link that loses, repeats and reorders.

use super::*;
use crate::rng::Rng;
use proptest::prelude::proptest;
use std::collections::{BTreeMap, BinaryHeap};

const DELAY_MS_MAX: u32 = 400;

/// What one side still has to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    ToServer(Vec<u8>),
    ToClient(Vec<u8>),
    Send(u32),
    /// The client's Timer C.
    Cancel(u32),
    Answer(u32, u16),
    /// The callee repeats its 2xx.
    Repeat(u32, u64),
}

#[derive(Default)]
struct Call {
    client: Option<ClientId>,
    server: Option<ServerId>,
    sent_at: Instant,
    arrivals: u32,
    finals: u32,
    failures: u32,
    provisional: bool,
    acknowledged: bool,
}

struct World {
    client: Transactions,
    server: Transactions,
    now: Instant,
    rng: Rng,
    loss_percent: u32,
    agenda: BinaryHeap<core::cmp::Reverse<(Instant, u64, Act)>>,
    sequence: u64,
    calls: BTreeMap<u32, Call>,
    flow: Flow,
}

/// Every third request is a MESSAGE.
fn is_invite(call: u32) -> bool {
    !call.is_multiple_of(3)
}

fn data_of(call: u32) -> Vec<u8> {
    let method = if is_invite(call) { "INVITE" } else { "MESSAGE" };
    request(method, &format!("z9hG4bK{call}"))
}

fn call_of(message: &Message<'_>) -> u32 {
    message.via().unwrap().branch().unwrap()["z9hG4bK".len()..].parse().unwrap()
}

impl World {
    fn new(seed: u64, loss_percent: u32, flow: Flow, calls: u32) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(key);
        let mut world = Self {
            client: Transactions::new(64, 64, &mut rng),
            server: Transactions::new(64, 64, &mut rng),
            now: Instant::from_micros(1),
            rng,
            loss_percent,
            agenda: BinaryHeap::new(),
            sequence: 0,
            calls: BTreeMap::new(),
            flow,
        };
        for call in 0..calls {
            let after = ms(u64::from(world.rng.below(5_000)));
            world.plan(after, Act::Send(call));
        }
        world
    }

    fn plan(&mut self, after: Duration, act: Act) {
        self.sequence += 1;
        self.agenda.push(core::cmp::Reverse((self.now + after, self.sequence, act)));
    }

    fn carry(&mut self) {
        let mut buf = vec![0; limits::SIP_MESSAGE_BYTES_MAX];
        for to_server in [true, false] {
            loop {
                let side = if to_server { &mut self.client } else { &mut self.server };
                let Some(Transmit { len, .. }) = side.poll_transmit(&mut buf) else { break };
                let copies = match (self.flow.is_reliable(), self.rng.below(100)) {
                    (true, _) => 1,
                    (false, draw) if draw < self.loss_percent => 0,
                    (false, draw) if draw > 90 => 2,
                    (false, _) => 1,
                };
                for _ in 0..copies {
                    let data = buf[..len].to_vec();
                    let act = if to_server { Act::ToServer(data) } else { Act::ToClient(data) };
                    let jitter = if self.flow.is_reliable() { 1 } else { DELAY_MS_MAX };
                    let delay = ms(u64::from(self.rng.below(jitter)));
                    self.plan(delay, act);
                }
            }
        }
    }

    fn act(&mut self, act: Act) {
        let now = self.now;
        match act {
            Act::Send(call) => {
                let id = self.client.send_request(now, self.flow, &data_of(call), call).unwrap();
                let entry = Call { client: Some(id), sent_at: now, ..Call::default() };
                self.calls.insert(call, entry);
                self.plan(ms(180_000), Act::Cancel(call));
            }
            Act::Cancel(call) => {
                let client = self.calls[&call].client.unwrap();
                self.client.cancel(now, client);
            }
            Act::Answer(call, status) => {
                let id = self.calls[&call].server.unwrap();
                let sent = self.server.respond(now, id, &reply(&data_of(call), status));
                let invite = is_invite(call);
                if sent && invite && (200..300).contains(&status) {
                    self.plan(ms(500), Act::Repeat(call, 1));
                }
            }
            Act::Repeat(call, count) => {
                let entry = &self.calls[&call];
                if !entry.acknowledged && count < 12 {
                    let id = entry.server.unwrap();
                    self.server.respond(now, id, &reply(&data_of(call), 200));
                    self.plan(ms((500 << count).min(4_000)), Act::Repeat(call, count + 1));
                }
            }
            Act::ToServer(data) => self.serve(&data),
            Act::ToClient(data) => self.hear(&data),
        }
    }

    fn serve(&mut self, data: &[u8]) {
        let message = Message::parse(data).unwrap();
        let call = call_of(&message);
        let entry = self.calls.get_mut(&call).unwrap();
        match self.server.receive_request(self.now, &message, self.flow).unwrap() {
            Incoming::New(id) => {
                entry.server = Some(id);
                entry.arrivals += 1;
                if is_invite(call) {
                    self.plan(Duration::ZERO, Act::Answer(call, 100));
                    let ring = ms(u64::from(self.rng.below(2_000)));
                    self.plan(ring, Act::Answer(call, 180));
                }
                let status = [200, 486, 404][self.rng.below(3) as usize];
                let after = ms(u64::from(self.rng.below(9_000)));
                self.plan(after, Act::Answer(call, status));
            }
            Incoming::AckOfSuccess => entry.acknowledged = true,
            Incoming::Cancel { id, .. } => {
                assert!(self.server.respond(self.now, id, &reply(data, 200)));
            }
            Incoming::Repeated | Incoming::Ack => {}
        }
    }

    fn hear(&mut self, data: &[u8]) {
        let message = Message::parse(data).unwrap();
        let Some((id, call)) = self.client.receive_response(self.now, &message, self.flow) else {
            return;
        };
        assert_eq!(call, call_of(&message));
        let entry = self.calls.get_mut(&call).unwrap();
        assert_eq!(entry.client, Some(id));
        let invite = is_invite(call);
        match message.status() {
            100..200 => entry.provisional = true,
            200..300 if invite => {
                entry.finals = 1;
                let ack = request("ACK", &format!("z9hG4bK{call}"));
                assert!(self.client.send_stateless(self.flow, &ack));
            }
            _ => entry.finals += 1,
        }
    }

    fn run(&mut self) {
        for _ in 0..200_000 {
            self.carry();
            while let Some(event) = self.client.poll_event() {
                let TransactionEvent::Failed { user, .. } = event else { panic!("{event:?}") };
                let entry = self.calls.get_mut(&user).unwrap();
                entry.failures += 1;
                // An INVITE that rang fails by Timer C and 64·T1 more, at the latest.
                let life = self.now.since(entry.sent_at);
                let rang = entry.provisional && is_invite(user);
                assert_eq!(life, if rang { ms(212_000) } else { ms(32_000) }, "call {user}");
            }
            while self.server.poll_event().is_some() {}
            let planned = self.agenda.peek().map(|next| next.0.0);
            let timers = earlier(self.client.poll_timeout(), self.server.poll_timeout());
            let Some(next) = earlier(planned, timers) else { return };
            self.now = self.now.max(next);
            match planned {
                Some(at) if at <= self.now => {
                    let act = self.agenda.pop().unwrap().0.2;
                    self.act(act);
                }
                _ => {
                    self.client.handle_timeout(self.now);
                    self.server.handle_timeout(self.now);
                }
            }
        }
        panic!("does not come to rest");
    }
}

fn check(seed: u64, loss_percent: u32, flow: Flow) -> u32 {
    let mut world = World::new(seed, loss_percent, flow, 30);
    world.run();
    let mut failures = 0;
    for (call, entry) in &world.calls {
        assert_eq!(entry.finals + entry.failures, 1, "call {call}: answered once or failed");
        assert!(entry.arrivals <= 1, "call {call}: {} times new", entry.arrivals);
        failures += entry.failures;
    }
    for side in [&world.client, &world.server] {
        assert_eq!((side.clients.len(), side.servers.len(), side.live()), (0, 0, (0, 0)));
        assert_eq!(side.counters().evicted + side.counters().full, 0);
    }
    failures
}

proptest! {
    #![proptest_config(crate::properties::cases(150))]
    #[test]
    fn every_request_is_answered_once_or_fails_and_nothing_is_left(
        seed: u64,
        loss_percent in 0..100u32,
        channel: bool,
    ) {
        check(seed, loss_percent, if channel { peer() } else { udp() });
    }
}

#[test]
fn a_third_of_the_datagrams_may_be_lost_without_harm() {
    let failures: u32 = (0..20).map(|seed| check(seed, 33, udp())).sum();
    assert!(failures <= 1, "{failures} of 600 requests failed");
}

#[test]
fn a_stream_answers_everything_without_a_repeat() {
    assert_eq!(check(1, 0, tcp()), 0);
    let mut world = World::new(2, 0, tcp(), 30);
    world.run();
    assert_eq!(world.client.counters().requests_retransmitted, 0);
    assert_eq!(world.server.counters().responses_retransmitted, 0);
}

#[test]
fn a_dead_link_ends_everything_after_64_t1() {
    assert_eq!(check(3, 100, udp()), 30);
}
