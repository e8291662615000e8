//! What memory a process has, by who else has it.

use std::fs;

/// Kilobytes of memory, of one process or of several on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// All that it has in use.
    pub(super) rss_kb: u64,
    /// That, where what several have is shared out among them.
    pub(super) pss_kb: u64,
    /// What it alone has.
    pub(super) uss_kb: u64,
}

impl Memory {
    /// That of a process; nothing where it is gone.
    pub(super) fn of(process: u32) -> Self {
        let file = format!("/proc/{process}/smaps_rollup");
        Self::read(&fs::read_to_string(file).unwrap_or_default())
    }

    /// Takes it from the text of `/proc/PID/smaps_rollup`.
    pub(super) fn read(text: &str) -> Self {
        let kb = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Self {
            rss_kb: kb("Rss:"),
            pss_kb: kb("Pss:"),
            uss_kb: kb("Private_Clean:") + kb("Private_Dirty:"),
        }
    }

    /// The average.
    pub(super) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> u64| all.iter().map(of).sum::<u64>() / all.len().max(1) as u64;
        Self {
            rss_kb: mean(|it| it.rss_kb),
            pss_kb: mean(|it| it.pss_kb),
            uss_kb: mean(|it| it.uss_kb),
        }
    }
}
