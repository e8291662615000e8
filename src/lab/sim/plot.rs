//! The pictures of a simulation: how long look-ups took, how many were right over time, and what
//! that cost in networks of several sizes.

use super::measure::{Measured, percentile};
use super::report::Summary;
use crate::lab::svg::{close, curve, line, open, rect, text};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 220.0;
const TOP: f64 = 60.0;
const HEIGHT: f64 = 320.0;
const BELOW: f64 = 60.0;
const COLOURS: [&str; 6] = ["#3b6fb6", "#e07b39", "#4f9d69", "#c8503c", "#7a5ca8", "#6d7780"];
/// The curve of latencies ends here, in round-trip times.
const RTTS_MAX: f64 = 5.0;
/// The least share of right answers that the panels show, in percent.
const LEAST: f64 = 90.0;

/// What share of the look-ups was answered within which time, a curve for each phase.
pub(super) fn latencies(summary: &Summary) -> String {
    let mut out = String::new();
    open(&mut out, WIDTH, TOP + HEIGHT + BELOW);
    let words = format!("Time to the newest record, {} routers", summary.routers);
    text(&mut out, 20.0, 32.0, "start", &words, 20);
    frame(&mut out, TOP, ("0", "100 %"));
    for rtts in 0..=RTTS_MAX as u32 {
        let x = LEFT + f64::from(rtts) / RTTS_MAX * (WIDTH - LEFT - RIGHT);
        line(&mut out, x, TOP + HEIGHT, x, TOP + HEIGHT + 5.0);
        text(&mut out, x, TOP + HEIGHT + 20.0, "middle", &rtts.to_string(), 12);
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let words = "multiples of the links' median round-trip time";
    text(&mut out, middle, TOP + HEIGHT + 42.0, "middle", words, 13);
    for (at, phase) in summary.phases.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let point = |percent: usize| {
            let us = f64::from(percentile(&phase.latencies_us, percent));
            let rtts = (us / phase.rtt_us.max(1) as f64).min(RTTS_MAX);
            let x = LEFT + rtts / RTTS_MAX * (WIDTH - LEFT - RIGHT);
            (x, TOP + HEIGHT * (1.0 - percent as f64 / 100.0))
        };
        let points: Vec<_> = (0..100).map(point).collect();
        curve(&mut out, &points, colour);
        legend(&mut out, at, phase.scenario.name(), colour);
    }
    close(&mut out);
    out
}

/// How many look-ups were answered right, a panel for each phase.
pub(super) fn success(summary: &Summary) -> String {
    let mut out = String::new();
    let panel = HEIGHT + BELOW + TOP;
    open(&mut out, WIDTH, panel * summary.phases.len() as f64);
    for (at, phase) in summary.phases.iter().enumerate() {
        over_time(&mut out, panel * at as f64, phase);
    }
    close(&mut out);
    out
}

/// What a router sends and receives, against how many routers there are, a curve for each phase.
pub(super) fn traffic(summaries: &[Summary]) -> String {
    let mut out = String::new();
    open(&mut out, WIDTH, TOP + HEIGHT + BELOW);
    text(&mut out, 20.0, 32.0, "start", "Traffic of a router, without look-ups", 20);
    let phases = || summaries.iter().flat_map(|summary| &summary.phases);
    let most = phases().map(|phase| phase.bytes_per_s).fold(1.0, f64::max);
    let sizes = || summaries.iter().map(|summary| f64::from(summary.routers));
    let (least_size, most_size) = (sizes().fold(f64::MAX, f64::min), sizes().fold(2.0, f64::max));
    frame(&mut out, TOP, ("0", &format!("{most:.0} B/s")));
    // Sizes are in a ratio to one another.
    let span = (most_size / least_size).ln().max(f64::MIN_POSITIVE);
    let x = |size: f64| LEFT + (size / least_size).ln() / span * (WIDTH - LEFT - RIGHT);
    for size in sizes() {
        line(&mut out, x(size), TOP + HEIGHT, x(size), TOP + HEIGHT + 5.0);
        text(&mut out, x(size), TOP + HEIGHT + 20.0, "middle", &size.to_string(), 12);
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    text(&mut out, middle, TOP + HEIGHT + 42.0, "middle", "routers", 13);
    let first = summaries.first().map_or(&[][..], |summary| &summary.phases);
    for (at, scenario) in first.iter().map(|phase| phase.scenario).enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let point = |summary: &Summary| {
            let phase = summary.phases.iter().find(|phase| phase.scenario == scenario)?;
            let y = TOP + HEIGHT * (1.0 - phase.bytes_per_s / most);
            Some((x(f64::from(summary.routers)), y))
        };
        let points: Vec<_> = summaries.iter().filter_map(point).collect();
        curve(&mut out, &points, colour);
        legend(&mut out, at, scenario.name(), colour);
    }
    close(&mut out);
    out
}

fn over_time(out: &mut String, top: f64, phase: &Measured) {
    let words = format!("{}: look-ups answered right, each ten seconds", phase.scenario.name());
    text(out, 20.0, top + 32.0, "start", &words, 20);
    let top = top + TOP;
    frame(out, top, (&format!("{LEAST} %"), "100 %"));
    let width = WIDTH - LEFT - RIGHT;
    let steps = phase.curve.len().max(1) as f64;
    let from = phase.scenario.counts_from_s() as f64 / 10.0 / steps;
    if from > 0.0 {
        let shade = width * from.min(1.0);
        rect(out, LEFT + 1.0, top, shade, HEIGHT, "#f3ebe6");
        text(out, LEFT + 6.0, top + HEIGHT - 8.0, "start", "does not count yet", 12);
    }
    let points: Vec<_> = (0u32..)
        .zip(&phase.curve)
        .filter(|(_, (asked, _))| *asked > 0)
        .map(|(at, (asked, right))| {
            let percent = (*right as f64 * 100.0 / *asked as f64).max(LEAST);
            let x = LEFT + width * (f64::from(at) + 0.5) / steps;
            (x, top + HEIGHT * (100.0 - percent) / (100.0 - LEAST))
        })
        .collect();
    curve(out, &points, COLOURS[0]);
    for minute in (0..=phase.minutes).step_by(if phase.minutes > 20 { 10 } else { 1 }) {
        let x = LEFT + width * minute as f64 / phase.minutes.max(1) as f64;
        line(out, x, top + HEIGHT, x, top + HEIGHT + 5.0);
        text(out, x, top + HEIGHT + 20.0, "middle", &minute.to_string(), 12);
    }
    text(out, LEFT + width / 2.0, top + HEIGHT + 42.0, "middle", "minutes", 13);
}

fn frame(out: &mut String, top: f64, (low, high): (&str, &str)) {
    line(out, LEFT, top, LEFT, top + HEIGHT);
    line(out, LEFT, top + HEIGHT, WIDTH - RIGHT, top + HEIGHT);
    text(out, LEFT - 10.0, top + 5.0, "end", high, 12);
    text(out, LEFT - 10.0, top + HEIGHT, "end", low, 12);
}

fn legend(out: &mut String, at: usize, name: &str, colour: &str) {
    let y = TOP + 10.0 + 24.0 * at as f64;
    rect(out, WIDTH - RIGHT + 30.0, y, 14.0, 14.0, colour);
    text(out, WIDTH - RIGHT + 52.0, y + 12.0, "start", name, 13);
}
