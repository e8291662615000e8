//! Whole calls, simulated: phones, adapters and a provider as cores, and one seed that decides
//! everything else.
//!
//! [`plan`] draws from a seed what kind of house the provider is, what the phones are like, what
//! people do, what the network loses, and when and how the server fails. [`scene`] plays it,
//! [`evidence`] is what is left of it: who sent what to whom, and what phones and adapters say in
//! the end. The [`oracles`] judge that and nothing else, each one rule. What they find names the
//! seed: `COSIP_SEED=n` plays that one call again, and prints who sent what.

mod evidence;
mod oracles;
mod plan;
mod planted;
mod random;
mod scene;
mod sweep;

use evidence::Evidence;
use plan::Plan;

/// Plays a plan and judges it; what is wrong, each with the name of its oracle.
fn judge(plan: &Plan) -> (Evidence, Vec<String>) {
    let evidence = scene::play(plan);
    let faults = oracles::all(&evidence);
    (evidence, faults)
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Where seeds begin that no run had before.
fn fresh() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64 >> 10 & 0xffff_ffff)
}

/// Plays a plan whose failure is only counted: its faults, or why it could not be played.
fn faults(plan: &Plan) -> Vec<String> {
    let played = std::panic::catch_unwind(|| judge(plan).1);
    played.unwrap_or_else(|why| {
        let text = why.downcast_ref::<String>().cloned();
        let text = text.or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![format!("played: {}", text.unwrap_or_default())]
    })
}

/// Plays one plan and tells everything.
fn replay(plan: &Plan) {
    let (evidence, faults) = judge(plan);
    eprintln!("{plan:#?}\n{}\nfailed: {:?}", evidence.ladder(), evidence.failed);
    for (router, trace) in evidence.traces.iter().enumerate() {
        eprintln!("router {router}:\n{trace}");
    }
    eprintln!("mailboxes: {:?}, forwarded: {:?}", evidence.mailboxes, evidence.forwards);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Fails with a list of what went wrong, the first of it at full length, each with the command that
/// plays it again.
fn report(test: &str, played: u64, failed: &[(Plan, Vec<String>)]) {
    let lines: Vec<String> = failed
        .iter()
        .take(40)
        .map(|(plan, faults)| {
            format!(
                "{plan:?}\n    {}\n    again: COSIP_SEED={} cargo test --locked --features \
                 lab,server --test calls {test} -- --nocapture",
                faults.join("\n    "),
                plan.seed
            )
        })
        .collect();
    assert!(failed.is_empty(), "{} of {played} calls:\n{}", failed.len(), lines.join("\n"));
}
