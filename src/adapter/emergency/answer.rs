//! The refusal of an emergency call that no way has taken: it says what became of each.

use super::super::Adapter;
use super::super::call::{Call, CallId, LegState, UpstreamState};
use crate::sip::{Message, Name, reason_phrase};
use crate::time::Instant;
use core::fmt::{self, Write as _};

impl Adapter {
    /// Refuses an emergency call at once, with what became of each way.
    pub(super) fn refuse_emergency(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let text = outcome(call);
        let best = best_refusal(call);
        log::warn!("{text}");
        self.trace_note(now, id, &text);
        self.counters.emergency_calls_failed += 1;
        let Some(call) = self.calls.get(id) else { return };
        match best {
            // The phone can follow these itself, with what they carry.
            Some((at, 300..=399 | 401 | 407)) => {
                let refusal = call.legs[at].answer.clone();
                if let Ok(message) = Message::parse(&refusal) {
                    self.relay_response(now, id, at, 0, &message);
                }
            }
            best => {
                let code = best.map_or(503, |(_, code)| code);
                let waiting = call.upstreams.first().filter(|u| u.state != UpstreamState::Done);
                if let Some((server, local)) = waiting.map(|up| (up.server, up.local)) {
                    let warning = format!("399 {} \"{text}\"", local.host());
                    self.reply_with(now, server, code, &[(Name::Warning, &warning)]);
                }
            }
        }
        self.finish_upstream(id, 0);
        self.lose_others(now, id, usize::MAX);
        self.reap(now, id);
    }
}

/// The best refusal, and on which leg.
fn best_refusal(call: &Call) -> Option<(usize, u16)> {
    let refusals = call.legs.iter().enumerate().filter_map(|(at, leg)| match leg.state {
        LegState::Refused { code, .. } => Some((at, code)),
        _ => None,
    });
    refusals.min_by_key(|(_, code)| crate::sip::proxy::rank(*code))
}

/// "emergency call failed: server: no answer; sip:gateway.example.net: 486 Busy Here".
fn outcome(call: &Call) -> String {
    let mut text = "emergency call failed: ".to_owned();
    // Writing to a String cannot fail.
    let _ = write_outcome(call, &mut text);
    text
}

fn write_outcome(call: &Call, out: &mut String) -> fmt::Result {
    if call.legs.is_empty() {
        return out.write_str("no way is configured");
    }
    for (at, leg) in call.legs.iter().enumerate() {
        let separator = if at == 0 { "" } else { "; " };
        write!(out, "{separator}{}: ", call.way_name(at))?;
        match leg.state {
            LegState::Refused { code, .. } => write!(out, "{code} {}", reason_phrase(code))?,
            LegState::Failed => out.write_str("unreachable")?,
            LegState::Trying(_) => out.write_str("no answer but 100")?,
            _ => out.write_str("no answer")?,
        }
    }
    Ok(())
}
