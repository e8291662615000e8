//! The language of rpcd's plugins: a signature on `list`, one JSON object for each `call`.

use serde_json::{Value, json};

/// Methods without arguments; `lookup` has one.
const METHODS: [&str; 5] = ["status", "phones", "calls", "peers", "trace"];

/// The signature that rpcd reads once: every method with its arguments.
pub fn list() -> String {
    let mut methods = serde_json::Map::new();
    for method in METHODS {
        methods.insert(method.to_owned(), json!({}));
    }
    methods.insert("lookup".to_owned(), json!({ "aor": "str" }));
    Value::Object(methods).to_string()
}

/// The command of the control socket behind a method; `None` where there is none, or an argument
/// is missing.
pub fn command(method: &str, arguments: &str) -> Option<Vec<String>> {
    if METHODS.contains(&method) {
        return Some(vec![method.to_owned()]);
    }
    let arguments: Value = serde_json::from_str(arguments).ok()?;
    let aor = arguments.get("aor")?.as_str()?;
    (method == "lookup").then(|| vec![method.to_owned(), aor.to_owned()])
}

/// A daemon's reply as one object: lists and text under the method's name.
pub fn reply(method: &str, reply: &[u8]) -> String {
    match serde_json::from_slice::<Value>(reply) {
        Ok(object @ Value::Object(_)) => object.to_string(),
        Ok(value) => json!({ method: value }).to_string(),
        Err(_) => json!({ method: String::from_utf8_lossy(reply) }).to_string(),
    }
}

/// What went wrong, as an object.
pub fn error(text: &str) -> String {
    json!({ "error": text }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_signature_leads_to_a_command() {
        let list: Value = serde_json::from_str(&list()).unwrap();
        for method in list.as_object().unwrap().keys() {
            let arguments = r#"{"aor":"sip:bob@example.net","ubus_rpc_session":"x"}"#;
            let words = command(method, arguments).unwrap();
            assert_eq!(words[0], *method);
        }
        assert_eq!(command("lookup", "{}"), None);
        assert_eq!(command("lookup", "not json"), None);
        assert_eq!(command("reboot", r#"{"aor":"x"}"#), None);
    }

    #[test]
    fn replies_are_objects_whatever_the_daemon_says() {
        assert_eq!(reply("status", br#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(reply("phones", b"[1]"), r#"{"phones":[1]}"#);
        assert_eq!(reply("trace", b"no calls yet"), r#"{"trace":"no calls yet"}"#);
    }
}
