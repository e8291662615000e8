//! `cosip rpcd` as rpcd calls it, without a daemon: what it says, and what it writes.

use crate::scratch;
use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// A router's files.
struct Router(PathBuf);

impl Router {
    fn new(name: &str, settings: &str) -> Self {
        let router = Self(scratch(&format!("luci-plugin-{name}")));
        std::fs::write(router.settings(), settings).unwrap();
        router
    }

    fn settings(&self) -> PathBuf {
        self.0.join("settings")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.settings()).unwrap()
    }

    /// A program of this router.
    fn program(&self, name: &str, text: &str) {
        let path = self.0.join("bin").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn call(&self, method: &str, arguments: &str) -> Value {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_cosip"))
            .args(["rpcd", "call", method])
            .arg("-c")
            .arg(self.settings())
            .arg("--state")
            .arg(self.0.join("state"))
            .arg("--run")
            .arg(self.0.join("run"))
            .arg("--service")
            .arg(self.0.join("init"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.0.join("bin").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        plugin.stdin.take().unwrap().write_all(arguments.as_bytes()).unwrap();
        let output = plugin.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn without_a_daemon_the_plugin_checks_the_settings_itself() {
    let router = Router::new("check", "config adapter\n\toption sip_port '70000'\n");
    let status = router.call("status", "{}");
    assert_eq!(
        (&status["running"], &status["config"]["error"]["line"]),
        (&false.into(), &2.into())
    );
    let config = router.call("config", "");
    assert_eq!(config["error"]["value"], "70000");
    assert_eq!(config["sections"][0]["options"]["sip_port"], "70000");
    assert!(router.call("phones", "{}")["error"].as_str().unwrap().contains("no daemon answers"));
    assert!(router.call("phones", "no json")["error"].is_string());
    assert!(router.call("reboot", "{}")["error"].is_string());
    assert!(router.call("reload", "{}")["error"].as_str().unwrap().contains("init"));
}

#[test]
fn a_secret_is_stored_for_its_owner_alone_and_only_where_it_is_one() {
    let router = Router::new("secret", "config adapter\n\toption enabled '0'\n");
    assert_eq!(router.call("config", "{}")["secret"]["stored"], false);
    for wrong in ["", "5e", &"0".repeat(64), &format!("{SECRET}x"), "../../etc/passwd"] {
        let arguments = serde_json::json!({ "secret": wrong }).to_string();
        assert!(router.call("set_secret", &arguments)["error"].is_string(), "{wrong}");
    }
    let file = router.0.join("state/network.key");
    assert!(!file.exists());
    let arguments = serde_json::json!({ "secret": format!("{SECRET}\n") }).to_string();
    assert_eq!(router.call("set_secret", &arguments), serde_json::json!({ "ok": true }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{SECRET}\n"));
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let config = router.call("config", "{}");
    assert_eq!(config["secret"]["stored"], true);
    assert!(!config.to_string().contains(SECRET));
    let made = router.call("new_secret", "{}")["secret"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), made);
    assert_ne!(router.call("new_secret", "{}")["secret"], made.as_str());
    assert_eq!(std::fs::read_dir(router.0.join("state")).unwrap().count(), 1);
}

#[test]
fn what_root_writes_belongs_to_the_owner_of_the_folder() {
    let router = Router::new("owner", "");
    let state = router.0.join("state");
    std::fs::create_dir(&state).unwrap();
    if std::os::unix::fs::chown(&state, Some(65_534), Some(65_534)).is_err() {
        return;
    }
    router.call("new_secret", "{}");
    let file = std::fs::metadata(state.join("network.key")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (65_534, 65_534, 0o600));
}

#[test]
fn an_account_is_written_by_uci_and_its_password_stands_on_no_command_line() {
    let settings = "config account\n\toption aor 'sip:a@b.test'\n\toption ha1 \
                    '0123456789abcdef0123456789abcdef'\n";
    let router = Router::new("account", settings);
    router.program("true-uci", include_str!("../openwrt/stubs/uci"));
    let log = router.0.join("words");
    router.program(
        "uci",
        &format!("#!/bin/sh\necho \"$@\" >>{}\nexec true-uci \"$@\"", log.display()),
    );
    for wrong in [r#"{"aor":"a","password":"x"}"#, r#"{"aor":"sip:a@b.test"}"#] {
        assert!(router.call("set_account", wrong)["error"].is_string(), "{wrong}");
    }
    assert!(!log.exists());
    let ok = serde_json::json!({ "ok": true });
    let hard = r#"{"aor":"sip:a@b.test","realm":"r","password":"it's $hidden\\ #"}"#;
    let more = r#"{"aor":"sip:c@b.test","user":"u","password":"hidden"}"#;
    assert_eq!(router.call("set_account", hard), ok);
    assert_eq!(router.call("set_account", more), ok);
    let text = router.text();
    assert!(text.contains(r"option password 'it'\''s $hidden\ #'"), "{text}");
    assert!(!text.contains("ha1"), "{text}");
    let config = router.call("config", "{}");
    let sections = config["sections"].as_array().unwrap();
    let aors: Vec<&Value> = sections.iter().map(|section| &section["options"]["aor"]).collect();
    assert_eq!(aors, ["sip:a@b.test", "sip:c@b.test"]);
    assert_eq!(config["error"], Value::Null);
    assert_eq!(sections[0]["stored"], serde_json::json!(["password"]));
    assert!(!config.to_string().contains("hidden"));
    // What is there already is only looked for.
    assert_eq!(router.call("set_account", more), ok);
    let words = std::fs::read_to_string(log).unwrap();
    let folder = router.0.display();
    let (export, batch) = (format!("-c {folder} export settings"), format!("-c {folder} batch"));
    assert_eq!(words.lines().collect::<Vec<_>>(), [&export, &batch, &export, &batch, &export]);
}

#[test]
fn an_account_that_uci_did_not_write_is_an_error() {
    let router = Router::new("no-uci", "config adapter\n");
    let arguments = r#"{"aor":"sip:a@b.test","password":"hidden"}"#;
    let failed = || router.call("set_account", arguments)["error"].as_str().unwrap().to_owned();
    assert!(failed().contains("the program uci, which writes the settings"), "{}", failed());
    router.program("uci", "#!/bin/sh\necho 'uci: Entry not found' >&2\nexit 1\n");
    assert!(failed().contains("uci export settings: uci: Entry not found"), "{}", failed());
    // The real one's batch succeeds whatever happens.
    router.program(
        "uci",
        "#!/bin/sh\n[ $3 = export ] || { cat >/dev/null; echo 'uci: I/O error' >&2; }\n",
    );
    assert!(failed().contains("did not write the account: uci: I/O error"), "{}", failed());
    assert_eq!(router.text(), "config adapter\n");
}

#[test]
fn reload_and_restart_are_the_init_scripts() {
    let router = Router::new("init", "");
    let script = router.0.join("init");
    let log = || std::fs::read_to_string(router.0.join("init.log")).unwrap();
    std::fs::write(&script, "#!/bin/sh\necho $1 >>\"$0.log\"\n[ $1 = reload ]\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(router.call("reload", "{}"), serde_json::json!({ "ok": true }));
    assert!(router.call("restart", "{}")["error"].as_str().unwrap().contains("restart"));
    assert_eq!(log(), "reload\nrestart\n");
    // An init script may end first what it then cannot start.
    std::fs::write(router.settings(), "config adapter\n\toption sip_port '70000'\n").unwrap();
    assert!(router.call("restart", "{}")["error"].as_str().unwrap().contains("70000"));
    assert_eq!(log(), "reload\nrestart\n");
}
