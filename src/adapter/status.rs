//! Commands of the control socket: what the daemon tells people and their tools.

use super::call::{Call, Role};
use super::names::Path;
use super::{Adapter, Asker};
use crate::json::{Map, Value, json};
use crate::net::{Command, Event, Request, Ticket};
use crate::overlay::Found;
use crate::time::Instant;

/// The look-up of a command, under way.
pub(super) struct Answering {
    asked: Instant,
    /// What was found so far, and when.
    pub(super) found: Vec<(Instant, Found)>,
}

impl Adapter {
    /// Carries out one command. Its reply is JSON, but for the ladder.
    pub(super) fn handle_command(&mut self, now: Instant, ticket: Ticket, words: Command<'_>) {
        let reply = match words {
            ["status"] => self.status(now).to_string(),
            ["phones"] => Value::Array(self.phones_status(now)).to_string(),
            ["calls"] => Value::Array(self.calls_status(now)).to_string(),
            ["peers"] => self.peers_status(now).to_string(),
            ["trace"] => self.trace.render(),
            ["trace", "json"] => self.trace.to_json(now).to_string(),
            ["probe"] => self.command_probe(now).to_string(),
            ["lookup", uri] => return self.command_lookup(now, ticket, uri),
            _ => json!({ "error": "unknown command" }).to_string(),
        };
        self.reply_command(ticket, reply);
    }

    fn reply_command(&mut self, ticket: Ticket, reply: String) {
        self.events.push_back(Event::Request(ticket, Request::Reply(reply.into_bytes())));
    }

    /// Asks every server for a sign of life that can be asked: one with a registered phone, not
    /// asked just now.
    fn command_probe(&mut self, now: Instant) -> Value {
        let mut asked = Vec::new();
        for id in self.providers.ids() {
            let may = self.providers.get_mut(id).is_some_and(|p| p.state.may_probe(now));
            if may && self.probe(now, id) {
                asked.push(self.providers.options(id).domain.clone());
            }
        }
        json!({ "asked": asked })
    }

    fn command_lookup(&mut self, now: Instant, ticket: Ticket, uri: &str) {
        let aor = self
            .providers
            .ids()
            .find_map(|id| self.spell(Some(id), uri))
            .unwrap_or_else(|| uri.to_owned());
        let Some(overlay) = &mut self.overlay else {
            let error = json!({ "aor": aor, "error": "there is no overlay: no network secret" });
            return self.reply_command(ticket, error.to_string());
        };
        let lookup = overlay.lookup(now, &aor);
        self.answers.insert(ticket, Answering { asked: now, found: Vec::new() });
        self.askers.insert(lookup, Asker::Command(ticket));
    }

    /// The look-up of a command has ended.
    pub(super) fn answer_lookup(&mut self, now: Instant, ticket: Ticket) {
        let Some(Answering { asked, found }) = self.answers.remove(&ticket) else { return };
        let micros = |at: Instant| at.since(asked).as_micros() as u64;
        let records: Vec<Value> =
            found.iter().map(|(at, found)| self.record_status(micros(*at), found)).collect();
        let reply = json!({ "records": records, "took_us": micros(now) });
        self.reply_command(ticket, reply.to_string());
    }

    fn record_status(&self, after_us: u64, found: &Found) -> Value {
        json!({
            "adapter": found.owner,
            "here": found.owner == self.id,
            "addresses": found.addresses[..],
            "seq": found.seq,
            "after_us": after_us,
            "hops": found.hops,
        })
    }

    /// What the daemon does and knows.
    pub(super) fn status(&self, now: Instant) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": self.config.adapter.mode.as_str(),
            "running": true,
            "uptime_s": now.since(self.started).as_secs(),
            "time_known": self.knows_time(),
            "network": {
                "lan": self.network.lan,
                "wan": self.network.wan,
                "public_address": self.outside.address(),
                "wan_sip_port": self.wan_sip_port,
                "port_mapping": self.mapping_status(),
                "alg_in_front": self.outside.alg.evidence(),
            },
            "interception": self.interception_status(),
            "servers": self.servers_status(now),
            "overlay": self.overlay_status(),
            "secrets": self.secrets_status(now),
            "identity": self.identity_status(now),
            "phones": self.phones_status(now),
            "calls": self.calls_status(now),
            "refused": self.turned_away_status(now),
            "config": {
                "error": self.reloaded.error.as_ref().map(|error| json!({
                    "file": error.file,
                    "line": error.line,
                    "value": error.value,
                    "allowed": error.allowed,
                })),
                "restart_pending": self.reloaded.restart_pending,
            },
            "in_use": self.in_use(),
            "counters": self.counters_status(),
        })
    }

    /// What is held now: all zero where nothing is going on.
    fn in_use(&self) -> Value {
        let (answering, asking) = self.transactions.live();
        json!({
            "calls": self.calls.len(),
            "exchanges": self.exchanges.len(),
            "transactions": answering + asking,
            "media": self.media.open_sessions(),
            "lookups": self.askers.len(),
        })
    }

    fn servers_status(&self, now: Instant) -> Vec<Value> {
        self.providers
            .iter()
            .map(|(_, provider)| {
                let state = &provider.state;
                let address = provider.targets.order(now, None).first().copied();
                let history: Vec<Value> = state
                    .history()
                    .map(|change| {
                        json!({
                            "state": change.state.as_str(),
                            "reason": change.reason.to_string(),
                            "ago_s": now.since(change.at).as_secs(),
                        })
                    })
                    .collect();
                json!({
                    "domain": provider.options.domain,
                    "state": state.state().as_str(),
                    "reason": state.reason().to_string(),
                    "address": address.map(|target| target.addr),
                    "rtt_ms": state.rtt().map(|rtt| rtt.as_millis() as u64),
                    "since_s": now.since(state.since()).as_secs(),
                    "history": history,
                })
            })
            .collect()
    }

    fn overlay_status(&self) -> Value {
        let key: String = self.vouched.key().iter().map(|byte| format!("{byte:02x}")).collect();
        let Some(overlay) = &self.overlay else {
            return json!({
                "peers": 0,
                "id": Value::Null,
                "key": key,
                "reachable": "no",
                "reason": "no network secret: see option secret_file",
            });
        };
        let status = overlay.status();
        json!({
            "peers": status.peers,
            "id": status.id,
            "key": key,
            "reachable": status.reachable.as_str(),
            "reason": self.reason_of(&status),
            "rendezvous": status.rendezvous,
            "clients": status.clients,
            "joined": status.joined,
            "size_estimate": status.size_estimate,
            "size_doubt": status.size_doubt,
            "suspects": status.suspects,
            "stored": status.stored,
            "published": status.published,
            "contacts": self.contacts.len(),
            "public_address": status.public_address,
        })
    }

    fn phones_status(&self, now: Instant) -> Vec<Value> {
        let known = self.known_phones_status(now);
        let over_tls = self.sockets.intercepting.over_tls().iter().map(|ip| {
            json!({
                "aor": Value::Null,
                "address": ip,
                "registered": false,
                "note": "not protected: TLS",
            })
        });
        known.into_iter().chain(over_tls).collect()
    }

    fn known_phones_status(&self, now: Instant) -> Vec<Value> {
        self.registrar
            .known()
            .map(|(_, binding)| {
                let replicas = self.overlay.as_ref().and_then(|o| o.is_published(&binding.aor));
                json!({
                    "aor": binding.aor,
                    "aliases": binding.aliases,
                    "contact": binding.contact,
                    "address": binding.flow.to,
                    "mac": binding.mac,
                    "registered": binding.registered,
                    "expires_s": binding.expires_at.since(now).as_secs(),
                    "provider_expires_s": binding.granted_until.since(now).as_secs(),
                    "silent": binding.silent,
                    "chosen_server": binding.chosen,
                    "replicas": replicas,
                })
            })
            .collect()
    }

    fn calls_status(&self, now: Instant) -> Vec<Value> {
        self.calls.iter().map(|(_, call)| self.call_status(now, call)).collect()
    }

    fn call_status(&self, now: Instant, call: &Call) -> Value {
        let path = match (call.role, call.dialogs.first(), call.winner) {
            (_, Some(dialog), Some(_)) => path_name(dialog.far().path),
            _ => "",
        };
        let stats = call.media.and_then(|media| self.media.stats(media));
        json!({
            "call_id": call.call_id,
            "role": if call.role == Role::Caller { "caller" } else { "callee" },
            "caller": call.caller,
            "callee": call.callee,
            "state": if call.winner.is_some() { "answered" } else { "setting up" },
            "path": path,
            "reason": call.reason,
            "age_s": now.since(call.started).as_secs(),
            "media": stats.map(media_status),
        })
    }

    fn peers_status(&self, now: Instant) -> Value {
        let sessions: Vec<Value> = self
            .channel
            .iter()
            .flat_map(|channel| channel.sessions())
            .map(|session| {
                json!({
                    "adapter": session.peer,
                    "address": session.address,
                    "heard_s": now.since(session.heard).as_secs(),
                    "rtt_ms": session.rtt.map(|rtt| rtt.as_millis() as u64),
                })
            })
            .collect();
        json!({ "overlay": self.overlay_status(), "channels": sessions })
    }

    fn counters_status(&self) -> Value {
        let mut counters = Map::new();
        add(&mut counters, "", &mut self.counters.iter());
        add(&mut counters, "", &mut self.callers.door.counters.iter());
        let sip = self.transactions.counters();
        let rtp = self.media.counters();
        let of_cores = [
            ("sip_retransmitted", sip.requests_retransmitted),
            ("sip_absorbed", sip.responses_absorbed),
            ("sip_timeouts", sip.timeouts),
            ("sip_transport_errors", sip.transport_errors),
            ("sip_strays", sip.strays),
            ("sip_full", sip.full),
            ("sip_outbox_full", sip.outbox_full),
            ("sip_evicted", sip.evicted),
            ("rtp_relayed", rtp.relayed),
            ("rtp_joined", rtp.joined),
            ("rtp_foreign", rtp.foreign),
            ("rtp_oversize", rtp.oversize),
            ("rtp_unowned", rtp.unowned),
            ("rtp_unwanted", rtp.unwanted),
            ("rtp_unheard", rtp.unheard),
            ("rtp_full", rtp.full),
        ];
        add(&mut counters, "", &mut of_cores.into_iter());
        add(&mut counters, "portmap_", &mut self.portmap.counters().iter());
        add(&mut counters, "enrolment_", &mut self.enrolment.counters.iter());
        counters.insert("work_done", json!(self.work_done()));
        if let Some(overlay) = &self.overlay {
            add(&mut counters, "overlay_", &mut overlay.counters().iter());
        }
        if let Some(channel) = &self.channel {
            add(&mut counters, "channel_", &mut channel.counters().iter());
        }
        Value::Object(counters)
    }
}

/// Adds counters under their names, each with the prefix of its layer.
fn add(to: &mut Map, prefix: &str, counters: &mut dyn Iterator<Item = (&'static str, u64)>) {
    for (name, value) in counters {
        to.insert(&format!("{prefix}{name}"), json!(value));
    }
}

fn media_status(stats: crate::media::Stats) -> Value {
    let flow = |flow: crate::media::Flow| json!({ "packets": flow.packets, "bytes": flow.bytes });
    json!({
        "to_far": flow(stats.to_far),
        "to_phone": flow(stats.to_phone),
        "foreign": stats.foreign,
    })
}

fn path_name(path: Path) -> &'static str {
    match path {
        Path::Server => "server",
        Path::Peer(_) => "overlay",
        Path::Lan => "",
    }
}
