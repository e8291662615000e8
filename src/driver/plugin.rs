//! `cosip rpcd`: the plugin that LuCI talks to through rpcd, as root.
//!
//! Its arguments come on standard input as JSON, and every reply is one JSON object. Secrets that
//! it writes replace a file as a whole, readable by its owner alone; the settings are written by
//! the program `uci`.

use super::files::standard;
use super::tools::print;
use super::{Folders, ask, program, settings, start, uci};
use crate::config::{Config, Secret, show};
use crate::control::render;
use crate::control::rpcd::{Wish, error, list, reply, wish};
use crate::identity::network::NetworkKeys;
use crate::json::{Value, json};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

/// Where things lie that the plugin works with.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The settings file.
    pub settings: &'a Path,
    /// The daemon's folders.
    pub folders: &'a Folders,
    /// The init script.
    pub service: &'a Path,
}

/// Answers rpcd: `list`, or `call METHOD`.
pub fn rpcd(places: &Places<'_>, words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let method = match words.as_slice() {
        ["list"] => return print(&list()),
        ["call", method] => *method,
        _ => return print(&error("usage: rpcd list, or rpcd call METHOD")),
    };
    let mut arguments = String::new();
    let limit = crate::limits::CONTROL_COMMAND_BYTES_MAX as u64;
    let _ = standard(rustix::stdio::stdin())
        .and_then(|input| input.take(limit).read_to_string(&mut arguments));
    let Some(wish) = wish(method, &arguments) else {
        return print(&error("no such method, or an argument is missing"));
    };
    print(&places.serve(method, wish).unwrap_or_else(|failed| error(&failed)))
}

impl Places<'_> {
    fn serve(&self, method: &str, wish: Wish) -> Result<String, String> {
        match wish {
            Wish::Ask(words) => {
                let asked = ask(self.folders, words);
                let answer = asked.map_err(|error| format!("no daemon answers: {error}"))?;
                Ok(reply(method, &answer))
            }
            Wish::Status => Ok(match ask(self.folders, &["status"]) {
                Ok(answer) => reply(method, &answer),
                Err(_) => {
                    let checked = start::check_settings(self.settings);
                    render::not_running(env!("CARGO_PKG_VERSION"), checked.as_ref().err())
                }
            }),
            Wish::Config => Ok(self.config().to_string()),
            Wish::Reload => self.run_service("reload"),
            Wish::Restart => {
                // What runs is not ended for settings that start nothing.
                self.usable_settings()?;
                self.run_service("restart")
            }
            Wish::SetSecret(secret) => self.store_secret(&secret, &json!({ "ok": true })),
            Wish::NewSecret => {
                let seed = start::random_seed().map_err(|error| error.to_string())?;
                let secret: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
                let told = json!({ "ok": true, "secret": secret });
                self.store_secret(&Secret::new(secret), &told)
            }
            Wish::SetAccount(credentials) => {
                uci::set_account(self.settings, &credentials)?;
                Ok(json!({ "ok": true }).to_string())
            }
        }
    }

    /// The settings as they are in the file, which the daemon may not have taken yet.
    fn config(&self) -> Value {
        let text = settings::read_settings(self.settings).unwrap_or_default();
        let name = self.settings.display().to_string();
        let sections = show::shown(&text, &name).unwrap_or_else(|_| json!([]));
        let checked = start::check_settings(self.settings);
        let warnings: Vec<Value> = checked
            .iter()
            .flat_map(|(_, warnings)| warnings)
            .map(|warning| json!({ "line": warning.line, "text": warning.text }))
            .collect();
        let keys = checked.as_ref().ok().map(|(config, _)| {
            let path = self.folders.resolve(&config.overlay.secret_file);
            start::network_keys(config, &path)
        });
        json!({
            "sections": sections,
            "error": render::config_error(checked.as_ref().err()),
            "warnings": warnings,
            "secret": {
                "stored": matches!(keys, Some(Ok(_))),
                "error": keys.and_then(Result::err).filter(is_no_absence).map(|e| e.to_string()),
            },
        })
    }

    fn run_service(&self, action: &str) -> Result<String, String> {
        let name = self.service.display();
        let done = program::run(&[self.service.as_os_str(), OsStr::new(action)], b"")
            .map_err(|error| format!("{name}: {error}"))?;
        match done.failure() {
            None => Ok(json!({ "ok": true }).to_string()),
            Some(failure) => Err(format!("{name} {action}: {failure}")),
        }
    }

    fn store_secret(&self, secret: &Secret, told: &Value) -> Result<String, String> {
        let config = self.usable_settings()?;
        NetworkKeys::parse(secret.expose(), config.network_name())
            .map_err(|error| error.to_string())?;
        let stored = self.folders.create().and_then(|()| {
            let path = self.folders.resolve(&config.overlay.secret_file);
            settings::replace_secret(&path, &format!("{}\n", secret.expose().trim_end()))
        });
        stored.map_err(|error| error.to_string())?;
        Ok(told.to_string())
    }

    fn usable_settings(&self) -> Result<Config, String> {
        let checked = start::check_settings(self.settings);
        checked.map(|(config, _)| config).map_err(|error| error.to_string())
    }
}

fn is_no_absence(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::NotFound
}
