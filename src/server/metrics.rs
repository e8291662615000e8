//! What Prometheus is told, in its text format (version 0.0.4). `docs/isp.md` says what each means.

use super::desk::Desk;
use super::watch::Watch;
use crate::json::{Map, Value, json};
use core::fmt::Write as _;

/// What the books hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Certificates that count.
    pub certificates: u64,
    /// Adapters that hold one.
    pub adapters: u64,
    /// AORs that are certified.
    pub aors: u64,
    /// Numbers that are revoked and have not ended.
    pub revoked: u64,
    /// Keys that are certified no more.
    pub blocked: u64,
    /// Until when the anchor has delegated, in seconds of Unix time; 0: it has not.
    pub delegated_until_s: u64,
    /// From when the newest secret of the network is sent, in seconds of Unix time; 0: there was
    /// one alone.
    pub secret_from_s: u64,
}

/// A page that is being written.
struct Page(String);

impl Page {
    /// One metric: its name without the prefix, its type and what it means, and its samples, each
    /// with its label.
    fn metric(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        samples: &[(Option<(&str, &str)>, &str)],
    ) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP cosip_{name} {help}\n# TYPE cosip_{name} {kind}");
        for (label, value) in samples {
            let _ = match label {
                Some((label, of)) => {
                    let of = of.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    writeln!(self.0, "cosip_{name}{{{label}=\"{of}\"}} {value}")
                }
                None => writeln!(self.0, "cosip_{name} {value}"),
            };
        }
    }

    /// Counters under one name, told apart by their own.
    fn events(
        &mut self,
        name: &str,
        help: &str,
        counters: &mut dyn Iterator<Item = (&'static str, u64)>,
    ) {
        let all: Vec<(&str, String)> = counters.map(|(name, n)| (name, n.to_string())).collect();
        let samples: Vec<_> =
            all.iter().map(|(name, value)| (Some(("name", *name)), value.as_str())).collect();
        self.metric((name, "counter", help), &samples);
    }

    fn gauge(&mut self, name: &str, help: &str, value: &str) {
        self.metric((name, "gauge", help), &[(None, value)]);
    }
}

/// The page: `status` is the adapter's, `dropped` what did not reach the desk.
pub(super) fn write(
    status: &Value,
    (desk, dropped): (&Desk, u64),
    watch: &Watch,
    books: &Counts,
) -> String {
    let mut page = Page(String::new());
    let number = |value: &Value| match value {
        Value::Number(number) => number.clone(),
        Value::Bool(is) => u8::from(*is).to_string(),
        _ => "0".to_owned(),
    };
    let version = status["version"].as_str().unwrap_or_default();
    let info = [(Some(("version", version)), "1")];
    page.metric(("server_info", "gauge", "The version that runs."), &info);
    page.gauge("uptime_seconds", "Since its start.", &number(&status["uptime_s"]));
    for (name, help, field) in [
        ("overlay_joined", "Whether it is a member of the overlay.", "joined"),
        ("overlay_peers", "Members that it knows.", "peers"),
        ("overlay_clients", "Adapters behind NATs that are met through it.", "clients"),
        ("overlay_stored", "Records that it keeps for others.", "stored"),
        ("overlay_published", "Records of its own, by which it is found.", "published"),
    ] {
        page.gauge(name, help, &number(&status["overlay"][field]));
    }
    let list = number(&status["identity"]["revocations"]["number"]);
    page.gauge("overlay_list", "Number of the list of revocations that it goes by.", &list);
    let mut up = Vec::new();
    if let Value::Array(servers) = &status["servers"] {
        for server in servers {
            let domain = server["domain"].as_str().unwrap_or_default();
            let is_up = server["state"].as_str() == Some("up");
            up.push((Some(("domain", domain)), if is_up { "1" } else { "0" }));
        }
    }
    let help = "Whether the SIP server of this provider is thought to work.";
    page.metric(("sip_server_up", "gauge", help), &up);
    write_desk(&mut page, desk, dropped);
    let help = "What happened of the watch over members.";
    page.events("watch_events_total", help, &mut watch.counters().iter());
    let help = "Owners of records that the watch asks, or checks.";
    page.gauge("watch_pairs_open", help, &watch.open().to_string());
    write_books(&mut page, books);
    let counters: Vec<(&str, String)> = status["counters"]
        .as_object()
        .map(|all| all.iter().map(|(name, value)| (name, number(value))).collect())
        .unwrap_or_default();
    let samples: Vec<_> =
        counters.iter().map(|(name, value)| (Some(("name", *name)), value.as_str())).collect();
    let help = "What happened at its adapter: counters of cosip status.";
    page.metric(("adapter_events_total", "counter", help), &samples);
    page.0
}

fn write_desk(page: &mut Page, desk: &Desk, dropped: u64) {
    let help = "What happened at the desk where adapters ask for certificates.";
    let counters = desk.counters();
    page.events("desk_events_total", help, &mut counters.iter().chain([("dropped", dropped)]));
    for (name, value) in desk.in_use() {
        let help = "What the desk works on.";
        page.gauge(&format!("desk_{name}"), help, &value.to_string());
    }
}

fn write_books(page: &mut Page, books: &Counts) {
    for (name, help, value) in [
        ("books_certificates", "Certificates that count.", books.certificates),
        ("books_adapters", "Adapters that hold one of these.", books.adapters),
        ("books_aors", "AORs that they cover.", books.aors),
        ("books_revoked", "Revoked numbers that have not ended.", books.revoked),
        ("books_blocked", "Keys that are certified no more.", books.blocked),
        (
            "delegation_until_seconds",
            "Unix time until which the issuing key may sign.",
            books.delegated_until_s,
        ),
        (
            "secret_from_seconds",
            "Unix time from which the newest secret of the network is sent.",
            books.secret_from_s,
        ),
    ] {
        page.gauge(name, help, &value.to_string());
    }
}

/// What the command `desk` answers.
pub(super) fn desk(desk: &Desk) -> Value {
    told(&desk.in_use(), &mut desk.counters().iter())
}

/// What the command `watch` answers.
pub(super) fn watch(watch: &Watch) -> Value {
    told(&[("pairs_open", watch.open() as u64)], &mut watch.counters().iter())
}

fn told(
    in_use: &[(&'static str, u64)],
    events: &mut dyn Iterator<Item = (&'static str, u64)>,
) -> Value {
    let mut all = Map::new();
    in_use.iter().for_each(|(name, value)| all.insert(name, json!(*value)));
    let mut counters = Map::new();
    events.for_each(|(name, value)| counters.insert(name, json!(value)));
    all.insert("counters", Value::Object(counters));
    Value::Object(all)
}
