//! Users who ask, played on real daemons: each look-up goes to a daemon's control socket when the
//! plan has it, and is judged by who was to be found.

use super::figures::Answers;
use super::member::{Member, OVERLAY_PORT, wan};
use super::plan::Ask;
use crate::lab::demo::{Error, Interrupt};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;
use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What has not been answered by then never is.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_millis(50);

/// A question that was put.
struct Open {
    ask: Ask,
    stream: UnixStream,
    since: Instant,
    reply: Vec<u8>,
}

/// How look-ups went.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) answers: Answers,
    /// From the command to the end of its answer, in microseconds.
    pub(super) commands_us: Vec<u32>,
}

/// Puts all questions, each at its time, and waits for the answers.
pub(super) fn ask_all(
    members: &[Member],
    asks: &[Ask],
    began: Instant,
    interrupt: &Interrupt,
) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    let mut open: Vec<Open> = Vec::new();
    let mut asks = asks.iter().peekable();
    while asks.peek().is_some() || !open.is_empty() {
        interrupt.check()?;
        while let Some(ask) = asks.next_if(|ask| began + ask.at <= Instant::now()) {
            match put(members, *ask) {
                Some(question) => open.push(question),
                None => asked.answers.take((false, None), 0),
            }
        }
        let next = asks.peek().map_or(WAIT_MAX, |ask| {
            (began + ask.at).saturating_duration_since(Instant::now()).min(WAIT_MAX)
        });
        await_replies(&open, next);
        open.retain_mut(|question| match question.hear() {
            Some(()) => asked.take(question),
            None => true,
        });
    }
    Ok(asked)
}

fn put(members: &[Member], ask: Ask) -> Option<Open> {
    let at = members.binary_search_by_key(&ask.router, |member| member.number).ok()?;
    let since = Instant::now();
    let stream = members[at].open(&["lookup", &super::member::name(ask.aor)]).ok()?;
    Some(Open { ask, stream, since, reply: Vec::new() })
}

fn await_replies(open: &[Open], limit: Duration) {
    let mut polled: Vec<PollFd<'_>> =
        open.iter().map(|it| PollFd::new(it.stream.as_fd(), PollFlags::POLLIN)).collect();
    let millis = u16::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
    // An interrupted wait is a short one.
    let _ = poll(&mut polled, PollTimeout::from(millis));
}

impl Open {
    /// Takes what has come of the reply; something where it is over.
    fn hear(&mut self) -> Option<()> {
        match self.stream.read_to_end(&mut self.reply) {
            Ok(_) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                (self.since.elapsed() > ANSWER_MAX).then_some(())
            }
            Err(_) => Some(()),
        }
    }
}

impl Asked {
    fn take(&mut self, question: &Open) -> bool {
        let reply: Value = serde_json::from_slice(&question.reply).unwrap_or_default();
        self.answers.take(judge(&question.ask, &reply), micros(&reply["took_us"]).unwrap_or(0));
        self.commands_us.push(question.since.elapsed().as_micros() as u32);
        false
    }
}

/// Whether a reply is right, and when its first record came.
pub(super) fn judge(ask: &Ask, reply: &Value) -> (bool, Option<u32>) {
    let Some(records) = reply["records"].as_array() else { return (false, None) };
    let found = records.first().and_then(|record| micros(&record["after_us"]));
    let is_right = match (ask.owner(), records.last()) {
        (None, last) => last.is_none(),
        (Some(_), None) => false,
        (Some(owner), Some(last)) => {
            let there = SocketAddr::from((wan(owner), OVERLAY_PORT)).to_string();
            last["addresses"].as_array().is_some_and(|all| all.iter().any(|it| *it == *there))
        }
    };
    (is_right, found)
}

fn micros(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}
