//! What the demo found: `summary.json` for programs, a table for people.

use serde_json::{Value, json};

/// The least share of the sound that counts as sound.
const SHARE_MIN: f64 = 0.95;

const HEAD: &str = "call                 carried by      set-up      bob heard     alice heard";

/// Who carried a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The provider's server, as phones and server agree.
    Server,
    /// The overlay: the server took no part in the answer, as phones and server agree.
    Overlay,
    /// Phones and server tell different stories.
    Unclear,
    /// Nobody: it was not answered.
    Nobody,
}

impl Path {
    /// The name in `summary.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Overlay => "overlay",
            Self::Unclear => "unclear",
            Self::Nobody => "none",
        }
    }
}

/// Which paths are right for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Only this one.
    Only(Path),
    /// Either.
    Either,
}

/// One call of the demo. Times are milliseconds.
#[derive(Clone, Debug)]
pub struct CallResult {
    /// Its name in `summary.json`.
    pub name: &'static str,
    /// Who carried it.
    pub path: Path,
    /// Who may.
    pub expected: Expected,
    /// From the INVITE to its 200, where it was answered.
    pub setup_ms: Option<f64>,
    /// The least set-up time that is credible: the hedge time, where the server fell silent.
    pub setup_ms_min: f64,
    /// The share of the caller's packets that the callee heard.
    pub audio_a_to_b: f64,
    /// The share of the callee's packets that the caller heard.
    pub audio_b_to_a: f64,
    /// How often the callee's phone rang for it.
    pub rings: usize,
    /// Whether both phones saw the end of it.
    pub ended: bool,
    /// When it began and ended, since the start of its series.
    pub began_ms: f64,
    /// See `began_ms`.
    pub ended_ms: f64,
}

impl CallResult {
    /// What is wrong with it, in words; empty where nothing is.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let right = match self.expected {
            Expected::Only(path) => self.path == path,
            Expected::Either => matches!(self.path, Path::Server | Path::Overlay),
        };
        if !right {
            faults.push(format!("carried by {}", self.path.as_str()));
        }
        for (share, whose) in [(self.audio_a_to_b, "caller"), (self.audio_b_to_a, "callee")] {
            if share < SHARE_MIN {
                faults.push(format!("{:.0} % of the {whose}'s sound arrived", share * 100.0));
            }
        }
        match self.setup_ms {
            None => faults.push("not answered".to_owned()),
            Some(ms) if ms < self.setup_ms_min => faults.push(format!(
                "answered after {ms:.0} ms, before the hedge time of {:.0} ms",
                self.setup_ms_min
            )),
            Some(_) => {}
        }
        if self.rings > 1 {
            faults.push(format!("the callee's phone rang {} times", self.rings));
        }
        if !self.ended {
            faults.push("one phone did not see the end".to_owned());
        }
        faults
    }

    /// One line of the table.
    pub fn line(&self) -> String {
        let setup =
            self.setup_ms.map_or_else(|| "no answer".to_owned(), |ms| format!("{ms:.1} ms"));
        let faults = self.faults();
        let mark = if faults.is_empty() { "" } else { "  <- " };
        format!(
            "{:<20} {:<11} {:>10}  {:>13.1} % {:>13.1} %{mark}{}",
            self.name,
            self.path.as_str(),
            setup,
            self.audio_a_to_b * 100.0,
            self.audio_b_to_a * 100.0,
            faults.join("; ")
        )
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "path": self.path.as_str(),
            "setup_ms": self.setup_ms.map(tenths),
            "audio_a_to_b": thousandths(self.audio_a_to_b),
            "audio_b_to_a": thousandths(self.audio_b_to_a),
        })
    }
}

/// How the server failed in a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was stopped: silence.
    Stopped,
    /// It was killed, its port unreachable, and started anew with an empty location table.
    Killed,
}

impl Fault {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "the server falls silent (SIGSTOP), and goes on",
            Self::Killed => "the server is killed, and starts anew knowing nobody",
        }
    }

    /// In one word, for a file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        }
    }
}

/// A stretch of time with one state. Times are milliseconds since the start of the series.
#[derive(Clone, Debug)]
pub struct Span {
    /// From when.
    pub from_ms: f64,
    /// To when.
    pub to_ms: f64,
    /// The state.
    pub state: String,
}

/// One series of calls over one failure.
#[derive(Clone, Debug)]
pub struct Series {
    /// How the server failed.
    pub fault: Fault,
    /// The calls, in order.
    pub calls: Vec<CallResult>,
    /// Whether the server ran: `running`, or the fault's name.
    pub server: Vec<Span>,
    /// What the caller's adapter thought of it, as `cosip status` told.
    pub verdict: Vec<Span>,
    /// What the caller's adapter did in `first-after-failure`, message by message.
    pub ladder: String,
    /// Rings that belong to no call.
    pub ghost_rings: usize,
}

/// All that the demo found.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Which server: `embedded` or `kamailio`.
    pub server: &'static str,
    /// The series, the stopped server first.
    pub series: Vec<Series>,
}

impl Summary {
    /// All that is wrong, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for series in &self.series {
            for call in &series.calls {
                let name = call.name;
                faults.extend(call.faults().iter().map(|fault| format!("{name}: {fault}")));
            }
            if series.ghost_rings > 0 {
                let (rings, fault) = (series.ghost_rings, series.fault.as_str());
                faults.push(format!("{rings} rings without a call while {fault}"));
            }
        }
        if self.series.is_empty() {
            faults.push("no call was made".to_owned());
        }
        faults
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        format!("{:#}\n", self.value())
    }

    /// The same as a part of something larger.
    pub(in crate::lab) fn value(&self) -> Value {
        let calls = |fault| -> Vec<Value> {
            let series = self.series.iter().filter(|series| series.fault == fault);
            series.flat_map(|series| series.calls.iter().map(CallResult::json)).collect()
        };
        let faults = self.faults();
        json!({
            "server": self.server,
            "ok": faults.is_empty(),
            "calls": calls(Fault::Stopped),
            "calls_server_killed": calls(Fault::Killed),
            "faults": faults,
        })
    }

    /// A table that explains itself.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "Alice calls bob; each is behind a router of their own. \"Carried by\" is who took\n\
             the answered call from router to router, as both phones and the server saw it;\n\
             \"set-up\" is the time from alice's INVITE to bob's answer, who picks up at once;\n\
             \"heard\" is the share of the other's sound that arrived.\n",
        );
        for series in &self.series {
            text += &format!("\n{}\n  {}\n", series.fault.as_str(), HEAD);
            series.calls.iter().for_each(|call| text += &format!("  {}\n", call.line()));
        }
        for series in self.series.iter().filter(|series| !series.ladder.is_empty()) {
            text += &format!(
                "\nfirst-after-failure as alice's adapter saw it ({}):\n",
                series.fault.as_str()
            );
            series.ladder.lines().for_each(|line| text += &format!("  {line}\n"));
        }
        text
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
pub(in crate::lab) mod tests;
