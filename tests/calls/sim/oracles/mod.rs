//! What has to hold of every simulated call, whatever was drawn for it.
//!
//! Each oracle looks at the evidence alone, by its own means, and says what is wrong. How an
//! adapter came to what it did is none of its business.

mod acknowledged;
mod agreement;
mod answered;
mod left_behind;
mod mailbox;
mod one_answer;
mod one_ring;
mod own_answer;
mod set_up;
mod sound;

use super::evidence::Evidence;

pub(super) type Oracle = fn(&Evidence) -> Vec<String>;

pub(super) const ALL: [(&str, Oracle); 10] = [
    ("one ring", one_ring::judge),
    ("one answered leg", one_answer::judge),
    ("CANCEL and BYE answered", answered::judge),
    ("2xx acknowledged", acknowledged::judge),
    ("no mailbox while it rings", mailbox::judge),
    ("no caller merged away", own_answer::judge),
    ("set up", set_up::judge),
    ("both ends agree", agreement::judge),
    ("sound both ways", sound::judge),
    ("nothing left behind", left_behind::judge),
];

/// What all of them find, each with its name.
pub(super) fn all(evidence: &Evidence) -> Vec<String> {
    let named = |(name, oracle): &(&'static str, Oracle)| {
        let name = *name;
        oracle(evidence).into_iter().map(move |fault| format!("{name}: {fault}"))
    };
    ALL.iter().flat_map(named).collect()
}
