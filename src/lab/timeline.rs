//! The demo's picture: `timeline.svg`, one panel a series, time from left to right.
//!
//! Each panel shows whether the server ran, what the caller's adapter thought of it, and the
//! calls: when each began, how long its set-up took, who carried it, and what was heard. The time
//! without a server is shaded, so that the picture can be read without the words.

use super::report::{CallResult, Path, Series, Span, Summary};
use super::svg::{close, line, open, rect, text, text_on};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 122.0;
const PANEL: f64 = 330.0;
/// Where the rows of a panel are, below its top.
const SERVER_Y: f64 = 30.0;
const VERDICT_Y: f64 = 66.0;
const CALLS_Y: f64 = 162.0;
const AXIS_Y: f64 = 260.0;
const BAND: f64 = 24.0;
const BAR: f64 = 30.0;
const GREEN: &str = "#4f9d69";
const GREY: &str = "#6d7780";
const AMBER: &str = "#e2b04a";
const RED: &str = "#c8503c";
const BLUE: &str = "#3b6fb6";
const ORANGE: &str = "#e07b39";
const SHADE: &str = "#f3ebe6";
/// What the server does, in the words of [`Span`], while all is well.
const RUNNING: &str = "running";

/// Draws a summary.
pub fn svg(summary: &Summary) -> String {
    let height = TOP + PANEL * summary.series.len() as f64;
    let mut out = String::new();
    open(&mut out, WIDTH, height);
    text(&mut out, 20.0, 32.0, "start", "Calls while the provider's SIP server fails", 20);
    let server = if summary.server == "kamailio" { "Kamailio" } else { "the lab's own" };
    let words = format!(
        "Alice calls bob, again and again; each has a router with cosip. The server is {server}. \
         Shaded: no server answers."
    );
    text(&mut out, 20.0, 56.0, "start", &words, 13);
    legend(&mut out);
    for (at, series) in summary.series.iter().enumerate() {
        panel(&mut out, TOP + PANEL * at as f64, series);
    }
    close(&mut out);
    out
}

fn legend(out: &mut String) {
    let entries = [
        (BLUE, "call carried by the server"),
        (ORANGE, "call carried by the overlay, from router to router"),
        (AMBER, "set-up: from dialling to answer"),
        (RED, "a call that went wrong"),
    ];
    let mut x = 20.0;
    for (colour, words) in entries {
        rect(out, x, 76.0, 14.0, 14.0, colour);
        text(out, x + 20.0, 88.0, "start", words, 13);
        x += 48.0 + words.len() as f64 * 7.0;
    }
}

/// The stretch of time that a panel shows, in milliseconds.
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    fn of(series: &Series) -> Self {
        let spans = series.server.iter().chain(&series.verdict);
        let ends = spans.map(|span| span.to_ms).chain(series.calls.iter().map(|c| c.ended_ms));
        let starts = series.server.iter().map(|span| span.from_ms);
        let to = ends.fold(0.0, f64::max) + 200.0;
        let from = starts.fold(to, f64::min);
        Self { from, to: to.max(from + 1000.0) }
    }

    fn x(&self, ms: f64) -> f64 {
        LEFT + (ms - self.from) / (self.to - self.from) * (WIDTH - LEFT - RIGHT)
    }
}

fn panel(out: &mut String, top: f64, series: &Series) {
    let scale = Scale::of(series);
    text(out, 20.0, top + 14.0, "start", &capitalized(series.fault.as_str()), 15);
    for span in series.server.iter().filter(|span| span.state != RUNNING) {
        let (x, to) = (scale.x(span.from_ms), scale.x(span.to_ms));
        rect(out, x, top + SERVER_Y - 6.0, to - x, AXIS_Y - SERVER_Y + 6.0, SHADE);
    }
    row(out, top + SERVER_Y, "provider's server", &scale, &series.server);
    row(out, top + VERDICT_Y, "alice's router: it is", &scale, &series.verdict);
    text(out, LEFT - 12.0, top + CALLS_Y + BAR / 2.0 + 5.0, "end", "calls", 13);
    for (at, call) in series.calls.iter().enumerate() {
        bar(out, top, &scale, call, at % 2 == 1);
    }
    axis(out, top + AXIS_Y, &scale);
}

fn row(out: &mut String, y: f64, name: &str, scale: &Scale, spans: &[Span]) {
    text(out, LEFT - 12.0, y + 17.0, "end", name, 13);
    for (at, span) in spans.iter().enumerate() {
        // A verdict holds until the next one is known.
        let to = spans.get(at + 1).map_or(span.to_ms, |next| next.from_ms);
        let colour = match span.state.as_str() {
            RUNNING | "up" => GREEN,
            "suspect" => AMBER,
            "down" => RED,
            _ => GREY,
        };
        let (x, width) = (scale.x(span.from_ms), scale.x(to) - scale.x(span.from_ms));
        rect(out, x, y, width.max(2.0), BAND, colour);
        // The longest words that fit.
        let words = in_words(&span.state).into_iter();
        if let Some(words) = words.rev().find(|words| width > 7.5 * words.len() as f64) {
            text_on(out, x + width / 2.0, y + 17.0, words);
        }
    }
}

/// A state in few words, and in more.
fn in_words(state: &str) -> [&str; 2] {
    [
        state,
        match state {
            "stopped" => "stopped: falls silent",
            "killed" => "killed: port closed",
            "suspect" => "suspect: asked again",
            "down" => "down: no call waits for it",
            _ => state,
        },
    ]
}

fn bar(out: &mut String, top: f64, scale: &Scale, call: &CallResult, below: bool) {
    let y = top + CALLS_Y;
    let colour = match call.path {
        _ if !call.faults().is_empty() => RED,
        Path::Server => BLUE,
        Path::Overlay => ORANGE,
        Path::Unclear | Path::Nobody => RED,
    };
    let began = scale.x(call.began_ms);
    let answered = scale.x(call.began_ms + call.setup_ms.unwrap_or(0.0));
    let width = (scale.x(call.ended_ms) - began).max(3.0);
    rect(out, began, y, width, BAR, colour);
    rect(out, began, y, (answered - began).max(2.0), BAR, AMBER);
    let setup = call.setup_ms.map_or_else(|| "not answered".to_owned(), |ms| format!("{ms:.0} ms"));
    let first_y = if below { y + 46.0 } else { y - 38.0 };
    text(out, began, first_y, "start", call.name, 13);
    text(out, began, first_y + 15.0, "start", &format!("set-up {setup}"), 12);
    let heard = call.audio_a_to_b.min(call.audio_b_to_a) * 100.0;
    text(out, began, first_y + 30.0, "start", &format!("{heard:.0} % heard"), 12);
}

fn axis(out: &mut String, y: f64, scale: &Scale) {
    let (x1, x2) = (scale.x(scale.from), scale.x(scale.to));
    line(out, x1, y, x2, y);
    let step = if scale.to - scale.from > 30_000.0 { 5_000.0 } else { 1_000.0 };
    let mut ms = 0.0;
    while scale.from + ms <= scale.to {
        let x = scale.x(scale.from + ms);
        line(out, x, y, x, y + 5.0);
        text(out, x, y + 19.0, "middle", &format!("{:.0}", ms / 1000.0), 12);
        ms += step;
    }
    text(out, LEFT - 12.0, y + 19.0, "end", "seconds", 12);
}

fn capitalized(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
