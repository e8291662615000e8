//! Many pairs that speak at the same time: what of it is heard, and what routers need for it.

use super::calls::{ANSWER_MAX, END_MAX, homes_cpu, is_busy, start_call};
use crate::lab::demo::process::Usage;
use crate::lab::demo::town::Town;
use crate::lab::phone::Phone;
use crate::time::Duration;

/// Between two calls that begin.
const APART: Duration = Duration::from_millis(7);
/// What was said last is given this time to arrive.
const SETTLE: Duration = Duration::from_millis(300);

/// What all the talking came to.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Talk {
    /// Packets of sound that the phones sent.
    pub(in crate::lab) packets_sent: u64,
    /// Those that the far phones heard.
    pub(in crate::lab) packets_heard: u64,
    /// How long each was on its way, sorted.
    pub(in crate::lab) delays_us: Vec<u32>,
    /// The final status of each call that failed.
    pub(in crate::lab) failed: Vec<u16>,
    /// Processor time of one router for one packet.
    pub(in crate::lab) cpu_ns_per_packet: u64,
    /// What each router had used at its end.
    pub(in crate::lab) usage: Vec<Usage>,
}

impl Talk {
    /// Lets the first `pairs` of phones call each other and speak for `length`.
    pub(in crate::lab) fn hold(town: &mut Town<'_>, pairs: usize, length: Duration) -> Self {
        let mut talk = Self::default();
        for pair in 0..pairs {
            start_call(town, pair);
            town.stage.run_for(APART);
        }
        let places: Vec<usize> = (0..pairs).flat_map(|pair| [pair, town.pairs() + pair]).collect();
        let answered =
            |phone: &Phone| phone.reports().last().is_some_and(|it| it.answered.is_some());
        town.stage.run_until(ANSWER_MAX, |phones| places.iter().all(|at| answered(&phones[*at])));
        let (before, sent) = (homes_cpu(&town.usage()), packets_sent(town, &places));
        town.stage.run_for(length);
        talk.usage = town.usage();
        let cpu = homes_cpu(&talk.usage).saturating_sub(before);
        // Each packet passes two routers, whose time this is.
        let passed = 2 * u128::from(packets_sent(town, &places) - sent);
        talk.cpu_ns_per_packet = cpu.as_nanos().checked_div(passed).unwrap_or(0) as u64;
        places.iter().for_each(|at| town.stage.order(*at, |phone, _| phone.fall_silent()));
        town.stage.run_for(SETTLE);
        for place in places {
            talk.note(town.stage.core(place));
            town.stage.order(place, Phone::hang_up_all);
        }
        town.stage.run_until(END_MAX, |phones| !phones.iter().any(is_busy));
        talk.delays_us.sort_unstable();
        talk
    }

    /// Notes what a phone saw of its call.
    fn note(&mut self, phone: &Phone) {
        match phone.reports().last() {
            Some(report) if report.answered.is_some() => {
                self.packets_sent += u64::from(report.sound.sent);
                self.packets_heard += u64::from(report.sound.received);
                self.delays_us.extend_from_slice(&report.sound.delays_us);
            }
            // A call has two ends; it fails once.
            Some(report) if report.caller => self.failed.push(report.status),
            _ => {}
        }
    }
}

fn packets_sent(town: &Town<'_>, places: &[usize]) -> u64 {
    let last = |at: &usize| town.stage.core(*at).reports().last();
    places.iter().filter_map(last).map(|report| u64::from(report.sound.sent)).sum()
}
