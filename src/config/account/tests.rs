//! What `uci` is told for an account that there is, for a new one, and for hostile values.

use super::super::parse;
use super::*;

const FILE: &str = "
config account
	option aor 'sip:carol@example.net'
	option password 'hers'
config adapter 'adapter'
	option enabled '1'
config account 'alice'
	option aor 'sip:alice@example.net'
	option user 'al'
	option ha1 '0123456789abcdef0123456789abcdef'
	list alias 'tel:+4989123'
";
const HARD: &str = r#"it's "hard" \ # to; quote=$(x)"#;

fn credentials(aor: &str, password: &str) -> Credentials {
    let password = Secret::new(password);
    Credentials { aor: aor.into(), user: String::new(), realm: "r".into(), password }
}

#[test]
fn an_account_that_there_is_keeps_its_place_and_loses_its_hashes() {
    let commands = credentials("sip:alice@example.net", HARD).commands("cosip", FILE).unwrap();
    let wanted = "'delete' 'cosip.@account[1].user'
'set' 'cosip.@account[1].realm=r'
'set' 'cosip.@account[1].password=it'\\''s \"hard\" \\ # to; quote=$(x)'
'delete' 'cosip.@account[1].ha1'
'commit' 'cosip'
";
    assert_eq!(commands.as_deref(), Some(wanted));
}

#[test]
fn a_new_account_is_added_behind_the_others() {
    let commands = credentials("sip:bob@example.net", "x").commands("cosip", FILE).unwrap();
    let wanted = "'add' 'cosip' 'account'
'set' 'cosip.@account[2].aor=sip:bob@example.net'
'set' 'cosip.@account[2].realm=r'
'set' 'cosip.@account[2].password=x'
'commit' 'cosip'
";
    assert_eq!(commands.as_deref(), Some(wanted));
    let first = credentials("sip:bob@example.net", "x").commands("cosip", "").unwrap().unwrap();
    assert!(first.contains("@account[0].aor=sip:bob@example.net"), "{first}");
}

#[test]
fn what_stands_there_already_is_not_written_again() {
    let text = "config account\n option aor sip:bob@example.net\n option realm r\n \
                option password 'it'\\''s'";
    let again = credentials("sip:bob@example.net", "it's").commands("cosip", text).unwrap();
    assert_eq!(again, None);
}

#[test]
fn what_uci_reads_of_a_command_is_the_value() {
    let commands = credentials("sip:bob@example.net", HARD).commands("cosip", "").unwrap().unwrap();
    let line = commands.lines().find(|line| line.contains("password")).unwrap();
    let quoted = line.split_once("'cosip.@account[0].password=").unwrap().1;
    let file =
        format!("config account\n option aor sip:bob@example.net\n option password '{quoted}");
    let (config, _) = parse(&file, "test").unwrap();
    assert_eq!(config.accounts[0].password.as_ref().unwrap().expose(), HARD);
}

#[test]
fn values_that_no_option_takes_are_refused_and_stay_secret() {
    for (aor, password, option) in [
        ("alice", "x", "aor"),
        ("sip:a@b\n.test", "x", "aor"),
        ("sip:a@b.test", "", "password"),
        ("sip:a@b.test", "hidden\nadd cosip account", "password"),
    ] {
        let refused = credentials(aor, password).check().unwrap_err();
        assert!(refused.starts_with(&format!("'{option}' is not ")), "{refused}");
        assert!(!refused.contains("hidden"), "{refused}");
    }
    credentials("sip:a@b.test", HARD).check().unwrap();
    let realm = "x\nexit".to_owned();
    let fine = credentials("sip:a@b.test", "x");
    Credentials { realm: realm.clone(), ..fine.clone() }.check().unwrap_err();
    Credentials { user: realm, ..fine.clone() }.check().unwrap_err();
    fine.commands("cosip", "option x y").unwrap_err();
}
