//! The language of rpcd's plugins: a signature on `list`, one JSON object for each `call`.
//!
//! What only reads and what writes is divided by rpcd's access lists; a test holds the shipped list
//! to [`METHODS`]. No method tells a secret that is stored: `new_secret` tells the one that it
//! made, once, because the other routers of the network need it.

use crate::config::Secret;
use crate::config::account::Credentials;
use crate::json::{self, Map, Value, json};

/// A method of the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, all of them text.
    pub arguments: &'static [&'static str],
    /// Whether it changes something, or makes traffic.
    pub writes: bool,
}

const fn reads(name: &'static str, arguments: &'static [&'static str]) -> Method {
    Method { name, arguments, writes: false }
}

const fn writes(name: &'static str, arguments: &'static [&'static str]) -> Method {
    Method { name, arguments, writes: true }
}

/// Every method.
pub const METHODS: [Method; 12] = [
    reads("status", &[]),
    reads("phones", &[]),
    reads("calls", &[]),
    reads("peers", &[]),
    reads("trace", &[]),
    reads("config", &[]),
    writes("probe", &[]),
    writes("reload", &[]),
    writes("restart", &[]),
    writes("set_secret", &["secret"]),
    writes("new_secret", &[]),
    writes("set_account", &["aor", "user", "realm", "password"]),
];

/// What a call wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An answer of the daemon to these words.
    Ask(&'static [&'static str]),
    /// How the daemon is, or without one how its settings are.
    Status,
    /// The settings without their secrets, and what is wrong with them.
    Config,
    /// The settings and secrets taken anew, as the init script does it.
    Reload,
    /// An end and a start, as the init script does it.
    Restart,
    /// These secrets of the network in place of those before.
    SetSecret(Secret),
    /// A secret for a new network.
    NewSecret,
    /// Credentials of a phone.
    SetAccount(Credentials),
}

/// The signature that rpcd reads once: every method with its arguments.
pub fn list() -> String {
    let mut methods = Map::new();
    for method in &METHODS {
        let mut arguments = Map::new();
        method.arguments.iter().for_each(|name| arguments.insert(name, json!("str")));
        methods.insert(method.name, Value::Object(arguments));
    }
    Value::Object(methods).to_string()
}

/// What a call of `method` wants; `None` where there is no such method, or an argument is missing.
pub fn wish(method: &str, arguments: &str) -> Option<Wish> {
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
    let Value::Object(arguments) = json::parse(arguments.as_bytes())? else { return None };
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(match method {
        "status" => Wish::Status,
        "phones" => Wish::Ask(&["phones"]),
        "calls" => Wish::Ask(&["calls"]),
        "peers" => Wish::Ask(&["peers"]),
        "trace" => Wish::Ask(&["trace", "json"]),
        "probe" => Wish::Ask(&["probe"]),
        "config" => Wish::Config,
        "reload" => Wish::Reload,
        "restart" => Wish::Restart,
        "set_secret" => Wish::SetSecret(Secret::new(text("secret")?)),
        "new_secret" => Wish::NewSecret,
        "set_account" => Wish::SetAccount(Credentials {
            aor: text("aor")?,
            user: text("user").unwrap_or_default(),
            realm: text("realm").unwrap_or_default(),
            password: Secret::new(text("password")?),
        }),
        _ => return None,
    })
}

/// A daemon's reply as one object: lists and text under the method's name.
pub fn reply(method: &str, reply: &[u8]) -> String {
    match json::parse(reply) {
        Some(object @ Value::Object(_)) => object.to_string(),
        Some(value) => json!({ method: value }).to_string(),
        None => json!({ method: String::from_utf8_lossy(reply) }).to_string(),
    }
}

/// What went wrong, as an object.
pub fn error(text: &str) -> String {
    json!({ "error": text }).to_string()
}

#[cfg(test)]
mod tests;
