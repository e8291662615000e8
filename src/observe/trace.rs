//! The ladder of recent calls: which message went where and when, for a person to read.
//!
//! The last [`TRACE_CALLS_MAX`] calls are kept, each with its first [`TRACE_ENTRIES_MAX`]
//! entries; what does not fit is counted in the ladder itself.

use crate::json::{Value, json};
use crate::limits::{TRACE_CALLS_MAX, TRACE_ENTRIES_MAX};
use crate::list::List;
use crate::time::Instant;
use core::fmt::{self, Write};

/// A column of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The phone on the LAN.
    Phone,
    /// The adapter itself.
    Adapter,
    /// The provider's server.
    Server,
    /// Another adapter.
    Peer,
}

/// What an entry says beside its lanes; never longer than a column is wide.
type Text = heapless::String<40>;

#[derive(Clone, Debug)]
struct Entry {
    at: Instant,
    from: Lane,
    to: Lane,
    text: Text,
}

/// One call's ladder.
#[derive(Clone, Debug)]
struct Ladder {
    /// Which call since the start it is.
    number: u32,
    slot: u32,
    begun: Instant,
    ended: bool,
    title: String,
    /// Who carries it, once it was answered.
    carrier: Option<Lane>,
    entries: Vec<Entry>,
    omitted: u32,
}

/// Ladders of the calls that began last.
#[derive(Default)]
pub struct Trace {
    ladders: List<Ladder, TRACE_CALLS_MAX>,
    /// Calls that began since the start.
    begun: u32,
}

impl Trace {
    /// A call begins in this slot; the oldest ladder makes way.
    pub fn begin(&mut self, now: Instant, slot: u32, title: String) {
        if self.ladders.is_full() {
            self.ladders.remove(0);
        }
        for ladder in self.ladders.iter_mut().filter(|ladder| ladder.slot == slot) {
            ladder.ended = true;
        }
        let entries = Vec::new();
        self.begun = self.begun.wrapping_add(1);
        let _ = self.ladders.push(Ladder {
            number: self.begun,
            slot,
            begun: now,
            ended: false,
            title,
            carrier: None,
            entries,
            omitted: 0,
        });
    }

    /// Something passed between two lanes of the call in this slot.
    pub fn add(&mut self, now: Instant, slot: u32, from: Lane, to: Lane, what: fmt::Arguments<'_>) {
        let current = self.ladders.iter_mut().rev().find(|l| l.slot == slot && !l.ended);
        let Some(ladder) = current else { return };
        if ladder.entries.len() == TRACE_ENTRIES_MAX {
            ladder.omitted += 1;
            return;
        }
        let mut text = Text::new();
        let _ = text.write_fmt(what);
        ladder.entries.push(Entry { at: now, from, to, text });
    }

    /// The call in this slot was answered, and goes by this lane.
    pub fn carried(&mut self, slot: u32, by: Lane) {
        let current = self.ladders.iter_mut().rev().find(|l| l.slot == slot && !l.ended);
        if let Some(ladder) = current {
            ladder.carrier = Some(by);
        }
    }

    /// The call in this slot is over.
    pub fn end(&mut self, slot: u32) {
        for ladder in self.ladders.iter_mut().filter(|ladder| ladder.slot == slot) {
            ladder.ended = true;
        }
    }

    /// All ladders as JSON, the newest first.
    pub fn to_json(&self, now: Instant) -> Value {
        self.ladders.iter().rev().map(|ladder| ladder.to_json(now)).collect()
    }

    /// All ladders as text, the oldest first.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for ladder in &self.ladders {
            let _ = render(ladder, &mut out);
        }
        if out.is_empty() {
            out.push_str("no calls yet\n");
        }
        out
    }
}

impl Lane {
    /// As JSON names it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Adapter => "adapter",
            Self::Server => "server",
            Self::Peer => "peer",
        }
    }
}

impl Ladder {
    fn to_json(&self, now: Instant) -> Value {
        let path = match self.carrier {
            Some(Lane::Server) => "server",
            Some(Lane::Peer) => "overlay",
            _ => "",
        };
        let entry = |entry: &Entry| {
            let after_ms = entry.at.since(self.begun).as_millis() as u64;
            let (from, to) = (entry.from.as_str(), entry.to.as_str());
            json!({ "after_ms": after_ms, "from": from, "to": to, "text": entry.text.as_str() })
        };
        json!({
            "number": self.number,
            "title": self.title,
            "running": !self.ended,
            "path": path,
            "ago_s": now.since(self.begun).as_secs(),
            "entries": self.entries.iter().map(entry).collect::<Value>(),
            "omitted": self.omitted,
        })
    }
}

/// Width between two columns.
const WIDTH: usize = 22;

/// Order of the columns.
const LANES: [(Lane, &str); 4] = [
    (Lane::Phone, "phone"),
    (Lane::Adapter, "cosip"),
    (Lane::Server, "server"),
    (Lane::Peer, "other adapter"),
];

fn column(lane: Lane) -> usize {
    LANES.iter().position(|(known, _)| *known == lane).unwrap_or(0)
}

fn render(ladder: &Ladder, out: &mut String) -> fmt::Result {
    let state = if ladder.ended { "" } else { " (running)" };
    writeln!(out, "{}{state}", ladder.title)?;
    write!(out, "{:>10}  ", "ms")?;
    for (_, name) in LANES {
        write!(out, "{name:<WIDTH$}")?;
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    for entry in &ladder.entries {
        let since = entry.at.since(ladder.begun);
        let (ms, tenth) = (since.as_millis() as u64, since.subsec_micros() / 100 % 10);
        write!(out, "{:>10}  ", format!("{ms}.{tenth}"))?;
        write_row(entry, out)?;
    }
    if ladder.omitted > 0 {
        writeln!(out, "{:>10}  … and {} more", "", ladder.omitted)?;
    }
    out.push('\n');
    Ok(())
}

/// One row: an arrow between two columns, or a remark in the adapter's.
fn write_row(entry: &Entry, out: &mut String) -> fmt::Result {
    let (from, to) = (column(entry.from), column(entry.to));
    let (left, right) = (from.min(to), from.max(to));
    let mut row = String::new();
    for _ in 0..left {
        write!(row, "{:<WIDTH$}", "|")?;
    }
    if left == right {
        write!(row, "* {}", entry.text)?;
        return writeln!(out, "{row}");
    }
    let span = (right - left) * WIDTH;
    let text: String = entry.text.chars().take(span - 6).collect();
    let fill = span.saturating_sub(text.chars().count() + 6);
    let (head, tail) = if from < to { ("|-", "->") } else { ("|<", "--") };
    write!(row, "{head} {text} {}{tail}", "-".repeat(fill))?;
    for _ in right..LANES.len() {
        write!(row, "{:<WIDTH$}", "|")?;
    }
    writeln!(out, "{}", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_shows_who_sent_what_to_whom_and_when() {
        let mut trace = Trace::default();
        let t = Instant::from_micros(1_000_000);
        trace.begin(t, 3, "alice calls bob".into());
        trace.add(t, 3, Lane::Phone, Lane::Adapter, format_args!("INVITE"));
        let later = t + core::time::Duration::from_micros(500_300);
        trace.add(later, 3, Lane::Adapter, Lane::Adapter, format_args!("server silent"));
        trace.add(later, 3, Lane::Peer, Lane::Adapter, format_args!("180 Ringing"));
        trace.add(later, 4, Lane::Phone, Lane::Adapter, format_args!("no such call"));
        let text = trace.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "alice calls bob (running)");
        assert!(lines[2].starts_with("       0.0  |- INVITE ---"), "{text}");
        assert!(lines[3].contains("500.3") && lines[3].ends_with("* server silent"), "{text}");
        assert!(lines[4].contains("|< 180 Ringing ----"), "{text}");
        assert!(!text.contains("no such call"));
    }

    #[test]
    fn as_json_the_newest_call_comes_first_with_its_path() {
        let mut trace = Trace::default();
        trace.begin(Instant::ZERO, 1, "first".into());
        trace.carried(1, Lane::Server);
        trace.end(1);
        trace.carried(1, Lane::Peer);
        let t = Instant::from_micros(2_000_000);
        trace.begin(t, 1, "second".into());
        let later = t + core::time::Duration::from_millis(1500);
        trace.add(later, 1, Lane::Peer, Lane::Adapter, format_args!("200 OK"));
        let calls = trace.to_json(later);
        assert_eq!((&calls[0]["title"], &calls[0]["running"]), (&json!("second"), &json!(true)));
        assert_eq!((&calls[0]["path"], &calls[0]["ago_s"]), (&json!(""), &json!(1)));
        let entry = json!({ "after_ms": 1500, "from": "peer", "to": "adapter", "text": "200 OK" });
        assert_eq!(calls[0]["entries"], json!([entry]));
        assert_eq!((&calls[0]["number"], &calls[1]["number"]), (&json!(2), &json!(1)));
        assert_eq!((&calls[1]["path"], &calls[1]["running"]), (&json!("server"), &json!(false)));
    }

    #[test]
    fn ladders_and_entries_are_bounded() {
        let mut trace = Trace::default();
        for slot in 0..TRACE_CALLS_MAX as u32 + 5 {
            trace.begin(Instant::ZERO, slot, format!("call {slot}"));
        }
        let slot = TRACE_CALLS_MAX as u32 + 4;
        for _ in 0..TRACE_ENTRIES_MAX + 2 {
            trace.add(Instant::ZERO, slot, Lane::Phone, Lane::Adapter, format_args!("x"));
        }
        let text = trace.render();
        assert!(!text.contains("call 4 ") && text.contains("call 5 ("));
        assert!(text.contains("… and 2 more"));
    }
}
