//! What is shown of settings, and what is not.

use super::super::{Secret, parse};
use super::*;

const FILE: &str = "
config adapter 'adapter'
	option enabled '1'
	list lan 'lan'
	list lan '10.0.0.1'
	option unheard 'of'
config account
	option aor 'sip:alice@example.net'
	option password 'it is a secret'
	option ha1 '0123456789abcdef0123456789abcdef'
	option passwrd 'misspelled secret'
	list alias 'tel:+4989123'
config strange
	option password 'another secret'
";

fn credentials(aor: &str, password: &str) -> Credentials {
    let password = Secret::new(password);
    Credentials { aor: aor.into(), user: String::new(), realm: "r".into(), password }
}

#[test]
fn secrets_are_named_and_never_shown() {
    let shown = shown(FILE, "test").unwrap();
    let text = shown.to_string();
    assert!(!text.contains("secret") && !text.contains("0123456789abcdef"), "{text}");
    assert_eq!(shown[0]["options"]["lan"], json!(["lan", "10.0.0.1"]));
    assert_eq!(shown[0]["options"]["enabled"], "1");
    assert_eq!(shown[0]["options"].get("unheard"), None);
    assert_eq!(shown[1]["stored"], json!(["password", "ha1"]));
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(super::shown("option x y", "test").unwrap_err().line, 1);
}

#[test]
fn an_account_is_added_or_replaced_and_the_rest_stays() {
    let hard = r#"it's "hard" \ # to; quote"#;
    let text = with_account(FILE, "test", &credentials("sip:alice@example.net", hard)).unwrap();
    let (config, _) = parse(&text, "test").unwrap();
    let alice = &config.accounts[0];
    assert_eq!(alice.password.as_ref().unwrap().expose(), hard);
    assert_eq!((&alice.ha1, alice.realm.as_str()), (&None, "r"));
    assert_eq!(alice.alias, ["tel:+4989123"]);
    let text = with_account(&text, "test", &credentials("sip:bob@example.net", "x")).unwrap();
    let (config, _) = parse(&text, "test").unwrap();
    assert_eq!(config.accounts[0].password.as_ref().unwrap().expose(), hard);
    assert_eq!((config.accounts.len(), config.accounts[1].user.as_str()), (2, "bob"));
    assert_eq!(config.adapter.lan, ["lan", "10.0.0.1"]);
    assert!(text.contains("option unheard 'of'") && text.contains("config strange"));
}

#[test]
fn credentials_that_no_option_takes_change_nothing_and_stay_secret() {
    for (aor, password) in [("alice", "x"), ("sip:a@b\nc", "x"), ("sip:a@b.test", "")] {
        with_account(FILE, "test", &credentials(aor, password)).unwrap_err();
    }
    let error = with_account("", "test", &credentials("sip:a@b.test", "line\nfeed")).unwrap_err();
    assert_eq!(error.value, "(secret)");
}
