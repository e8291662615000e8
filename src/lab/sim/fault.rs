//! What may be wrong with the world, so that the oracles can be seen to notice.

use super::packet::{GET, PING, VALUE, answers, kind};

/// Which router storms, where one does.
const STORMY: u32 = 5;

/// What is wrong with the world, so that the oracles can be seen to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Records that are asked for do not arrive.
    LosesValues,
    /// Answers are longer than what they answer.
    GrowsAnswers,
    /// What an AOR was bound to first is all that is ever told.
    TellsTheOld,
    /// Nobody hears how a look-up ended.
    ForgetsToEnd,
    /// One router asks for each record 1,200 times.
    Storms,
    /// Each ping is sent 20 times.
    Chatters,
    /// Carriers forget a flow before it is used again.
    ForgetsFlows,
    /// What is upgraded speaks nothing else any more.
    SpeaksTheNewAlone,
    /// Whatever arrives is taken.
    TakesAnything,
}

/// What a broken world does to a datagram that leaves.
pub(super) fn spoil(fault: Option<Fault>, data: &mut Vec<u8>) {
    match fault {
        Some(Fault::LosesValues) if kind(data) == VALUE => data.clear(),
        Some(Fault::GrowsAnswers) if answers(data).is_some() => data.push(0),
        _ => {}
    }
}

/// How often a router says something.
pub(super) fn times(fault: Option<Fault>, router: u32, data: &[u8]) -> usize {
    match fault {
        Some(Fault::Storms) if router == STORMY && kind(data) == GET => 1200,
        Some(Fault::Chatters) if kind(data) == PING => 20,
        _ => 1,
    }
}
