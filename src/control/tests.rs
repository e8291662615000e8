//! Commands and what they print.

use super::commands::{Action, parse};
use super::{decode, encode, render};
use std::ffi::OsString;

fn action(line: &str) -> Result<Action, String> {
    let words = line.split_whitespace().map(OsString::from);
    parse(words).map(|invocation| invocation.action).map_err(|error| error.to_string())
}

#[test]
fn commands_survive_the_line() {
    let words = ["lookup", "sip:a b@example.net", ""];
    assert_eq!(decode(encode(&words).as_bytes()).unwrap(), words);
    assert_eq!(decode(encode(&["a\u{1f}b\nc"]).as_bytes()).unwrap(), ["abc"]);
    assert_eq!(decode(b"status").unwrap(), ["status"]);
    assert_eq!(decode(b"\n"), None);
    assert_eq!(decode(b"\xff\n"), None);
    assert_eq!(decode(&[0x1f; 100]), None);
}

#[test]
fn the_command_line_says_what_to_do_or_what_is_wrong() {
    assert_eq!(action("run --user nobody"), Ok(Action::Run { user: Some("nobody".into()) }));
    assert_eq!(action("check"), Ok(Action::Check));
    assert_eq!(action("check --schema"), Ok(Action::Schema));
    assert_eq!(action("run -h"), Ok(Action::Help));
    let ask = |words: &[&str], json| {
        Ok(Action::Ask { words: words.iter().map(|word| (*word).into()).collect(), json })
    };
    assert_eq!(action("status --json"), ask(&["status"], true));
    assert_eq!(action("lookup sip:a@b"), ask(&["lookup", "sip:a@b"], false));
    assert_eq!(action("trace --json"), ask(&["trace", "json"], true));
    let (words, service) = (vec!["list".into()], "/x/cosip".into());
    assert_eq!(action("rpcd list --service /x/cosip"), Ok(Action::Rpcd { words, service }));
    for (line, about) in [
        ("", "missing"),
        ("stauts", "stauts"),
        ("status now", "too many"),
        ("lookup", "address"),
        ("status --user nobody", "--user"),
        ("check --json", "--json"),
        ("status --service /x", "--service"),
        ("run --schema", "--schema"),
        ("check --frob", "frob"),
        ("check -c", "-c"),
    ] {
        let error = action(line).unwrap_err();
        assert!(error.contains(about) && error.contains("--help"), "{line}: {error}");
    }
    let words = "status -c /x/conf --state s --run=r".split(' ').map(OsString::from);
    let invocation = parse(words).unwrap();
    assert_eq!(invocation.settings.to_str(), Some("/x/conf"));
    assert_eq!(invocation.state.unwrap().to_str(), Some("s"));
    assert_eq!(invocation.run.unwrap().to_str(), Some("r"));
}

#[test]
fn replies_become_text_that_cannot_drive_a_terminal() {
    let reply = r#"{"counters":{"a":1},"mode":"server","running":true,
        "phones":[{"aor":"sip:a@b","via":null},{"aor":"sip:\u001b[2J","expires_s":60}]}"#;
    let expected = "\
running  yes
mode     server
phones:
  aor       via  expires_s
  sip:a@b   -    -
  sip:\u{fffd}[2J  -    60
counters:
  a  1
";
    assert_eq!(render::text(reply.as_bytes()), expected);
    assert_eq!(render::text(b"[]"), "none\n");
    assert_eq!(render::text(b"plain\ntext\x1b"), "plain\ntext\u{fffd}\n");
}

#[test]
fn status_tells_the_drivers_counters_and_that_no_daemon_runs() {
    let merged = render::with_driver_counters(br#"{"counters":{"x":1}}"#, br#"{"lost":2}"#);
    assert_eq!(merged, br#"{"counters":{"driver":{"lost":2},"x":1}}"#);
    assert_eq!(render::with_driver_counters(b"no", b"{}"), b"no");
    let error =
        crate::config::Error { file: "f".into(), line: 3, value: "v".into(), allowed: "w".into() };
    let text = render::not_running("1", Some(&error));
    assert!(text.contains(r#""running":false"#) && text.contains(r#""line":3"#), "{text}");
}
