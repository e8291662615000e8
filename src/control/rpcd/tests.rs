//! Calls of the plugin, and who may make them.

use super::*;
use serde_json::{Map, Value, json};

const ALL: &str = r#"{"aor":"sip:bob@example.net","secret":"5e","password":"pw","user":"u",
    "ubus_rpc_session":"x"}"#;

#[test]
fn every_method_of_the_signature_is_known() {
    let list: Map<String, Value> = serde_json::from_str(&list()).unwrap();
    assert_eq!(list.len(), METHODS.len());
    for (method, arguments) in &list {
        assert!(wish(method, ALL).is_some(), "{method}");
        assert!(arguments.as_object().unwrap().values().all(|kind| kind == "str"));
    }
    assert_eq!(wish("reboot", ALL), None);
    assert_eq!(wish("status", ""), Some(Wish::Status));
}

#[test]
fn what_is_missing_or_malformed_is_no_wish() {
    for arguments in ["{}", "not json", "[]", r#"{"secret":1}"#] {
        assert_eq!(wish("set_secret", arguments), None, "{arguments}");
    }
    for arguments in ["{}", r#"{"aor":"sip:a@b.test"}"#, r#"{"aor":1,"password":"pw"}"#] {
        assert_eq!(wish("set_account", arguments), None, "{arguments}");
    }
    let stored = wish("set_secret", ALL).unwrap();
    assert!(!format!("{stored:?}").contains("5e"));
    let Some(Wish::SetAccount(credentials)) = wish("set_account", ALL) else { panic!("no wish") };
    assert_eq!((credentials.user.as_str(), credentials.realm.as_str()), ("u", ""));
    assert!(!format!("{credentials:?}").contains("pw"));
}

#[test]
fn replies_are_objects_whatever_the_daemon_says() {
    assert_eq!(reply("status", br#"{"a":1}"#), r#"{"a":1}"#);
    assert_eq!(reply("phones", b"[1]"), r#"{"phones":[1]}"#);
    assert_eq!(reply("trace", b"no calls yet"), r#"{"trace":"no calls yet"}"#);
}

#[test]
fn the_shipped_access_list_lets_readers_read_and_nothing_else() {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openwrt/luci-app-cosip");
    let path = package.join("root").join("usr/share/rpcd/acl.d/luci-app-cosip.json");
    let list: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let group = &list["luci-app-cosip"];
    for (part, writes) in [("read", false), ("write", true)] {
        let named = group[part]["ubus"]["luci.cosip"].as_array().unwrap();
        let named: Vec<&str> = named.iter().map(|name| name.as_str().unwrap()).collect();
        let known = METHODS.iter().filter(|method| method.writes == writes);
        assert_eq!(named, known.map(|method| method.name).collect::<Vec<_>>(), "{part}");
        assert_eq!(group[part]["ubus"].as_object().unwrap().len(), 1);
    }
    // The file holds passwords: who may not write it may not read it either.
    assert_eq!(group["read"].as_object().unwrap().len(), 1);
    assert_eq!(group["write"]["uci"], json!({ "cosip": ["read", "write"] }));
    assert_eq!(group["write"].as_object().unwrap().len(), 2);
}
