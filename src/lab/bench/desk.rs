//! What a CoSIP server's processor does for each router that comes with its certificate.
//!
//! Its channel and those of the routers are in this process, and nothing is between them: the time
//! is that of the arithmetic. Only what the server's end does is counted.

use super::Figures;
use crate::budget::Budget;
use crate::channel::Channel;
use crate::identity::trust::Clock;
use crate::identity::{Identity, NetworkKeys};
use crate::lab::demo::Error;
use crate::lab::issuer::Issuer;
use crate::limits::{CHANNEL_SESSIONS_MAX, DESK_SESSIONS_MAX, DESK_WORK_PIECE, TRANSMIT_BYTES_MAX};
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Routers that come.
const ROUTERS: u32 = 1000;
/// Between two of them, so that the budget for others never makes one wait.
const APART: Duration = Duration::from_millis(20);
const NOW_S: u32 = 1_800_000_000;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Desk {
    agreed: u64,
    operations: u64,
    spent: Duration,
}

/// Who has a channel, and the time that it has taken.
struct End {
    channel: Channel,
    budget: Budget,
    address: SocketAddr,
    spent: Duration,
}

/// Lets a thousand routers come.
pub(super) fn measure() -> Result<Desk, Error> {
    println!("{ROUTERS} certified routers come to a CoSIP server ...");
    let failed = |error: &dyn core::fmt::Display| Error::new("the routers".to_owned(), error);
    let keys = NetworkKeys::new(&[6; 32], "desk");
    let issuer = Issuer::new(&keys, NOW_S, false).ok_or_else(|| failed(&"bad keys"))?;
    let mut now = Instant::from_micros(1_000_000);
    let certified = |number: u32| {
        let mut seed = [8; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let identity = Identity::from_seed(seed).map_err(|error| failed(&error))?;
        let certificate = issuer.certify(1 + u64::from(number), &identity, &[]);
        Ok(identity.certified(&[certificate]))
    };
    let trust = Arc::new(issuer.trust());
    let clock = Clock { unix_s: Some(NOW_S.into()), floor_s: 0 };
    let mut rng = Rng::new([3; 32]);
    let mut end = |number: u32, now: Instant, sessions: usize, piece: Option<Duration>| {
        let mut channel = Channel::new(&certified(number)?, &keys, &mut rng, sessions);
        channel.set_trust(now, trust.clone(), clock);
        let budget = piece.map_or_else(|| Budget::new(now), |it| Budget::of_pieces(now, it));
        let address = SocketAddr::from((0x0a00_0000u32.wrapping_add(number).to_be_bytes(), 5070));
        Ok::<_, Error>(End { channel, budget, address, spent: Duration::ZERO })
    };
    let mut server = end(0, now, DESK_SESSIONS_MAX, Some(DESK_WORK_PIECE))?;
    let peer = server.channel.id();
    for number in 1..=ROUTERS {
        let mut router = end(number, now, CHANNEL_SESSIONS_MAX, None)?;
        meet(now, &mut router, &mut server, peer);
        now += APART;
    }
    let counters = server.channel.counters();
    Ok(Desk {
        agreed: counters.handshakes_done,
        operations: counters.public_key_operations,
        spent: server.spent,
    })
}

/// One opens a channel to the other, and what they say arrives at once.
fn meet(now: Instant, router: &mut End, server: &mut End, peer: NodeId) {
    if router.channel.open(now, peer, &[server.address]).is_err() {
        return;
    }
    loop {
        let said = router.turn(now, server);
        if !server.turn(now, router) && !said {
            return;
        }
    }
}

impl End {
    /// Does what is there to do, and says the result to the other. False where there was nothing.
    fn turn(&mut self, now: Instant, other: &mut Self) -> bool {
        let since = std::time::Instant::now();
        let mut busy = false;
        while self.channel.work(now, &mut self.budget) {
            busy = true;
        }
        let mut datagrams = Vec::new();
        let mut buffer = [0; TRANSMIT_BYTES_MAX];
        while let Some((_, len)) = self.channel.poll_transmit(&mut buffer) {
            datagrams.push(buffer[..len].to_vec());
        }
        while self.channel.poll_event(&mut buffer).is_some() {}
        self.spent += since.elapsed();
        for datagram in &datagrams {
            let since = std::time::Instant::now();
            // What is refused is counted there.
            let _ = other.channel.handle_datagram(now, self.address, datagram);
            other.spent += since.elapsed();
        }
        busy || !datagrams.is_empty()
    }
}

impl Desk {
    fn each_us(&self) -> f64 {
        self.us_of(self.agreed)
    }

    fn us_of(&self, count: u64) -> f64 {
        self.spent.as_secs_f64() * 1e6 / count.max(1) as f64
    }

    fn per_s(&self) -> f64 {
        self.agreed as f64 / self.spent.as_secs_f64().max(1e-6)
    }
}

impl Figures for Desk {
    fn key(&self) -> &'static str {
        "cosip_server"
    }

    fn failed(&self) -> u32 {
        ROUTERS.saturating_sub(self.agreed as u32)
    }

    fn json(&self) -> Value {
        json!({
            "handshakes": self.agreed,
            "handshake_us": self.each_us().round(),
            "operation_us": self.us_of(self.operations).round(),
            "handshakes_per_s_of_one_core": self.per_s().round(),
        })
    }

    fn table(&self) -> String {
        format!(
            "{:<42}{:.0} us of its processor, {:.0} a second\n",
            "a certified router comes to a server",
            self.each_us(),
            self.per_s(),
        )
    }
}
