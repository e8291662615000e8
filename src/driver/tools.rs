//! The tools of the command line: they ask the daemon, or check the settings, and print.

use super::files::put_out;
use super::{Folders, ask, start};
use crate::config;
use crate::control::render;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit status of sysexits.h: wrong settings (EX_CONFIG).
const CONFIG: u8 = 78;

/// `cosip check`: prints what is wrong with the settings.
pub fn check(settings: &Path) -> ExitCode {
    match start::check_settings(settings) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| eprintln!("{warning}"));
            start::raise_descriptor_limit(&config).iter().for_each(|few| eprintln!("{few}"));
            print(&format!("{}: no errors", settings.display()))
        }
        Err(error) => {
            eprintln!("{error}");
            CONFIG.into()
        }
    }
}

/// Asks the daemon and prints what it says.
pub fn tell(settings: &Path, folders: &Folders, words: &[String], json: bool) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut reply = match ask(folders, &words) {
        Ok(reply) => reply,
        Err(error) => return unanswered(settings, folders, &words, json, &error),
    };
    if words == ["status"] {
        let driver = ask(folders, &["driver"]).unwrap_or_default();
        reply = render::with_driver_counters(&reply, &driver);
    }
    print(&if json { String::from_utf8_lossy(&reply).into_owned() } else { render::text(&reply) })
}

fn unanswered(
    settings: &Path,
    folders: &Folders,
    words: &[&str],
    json: bool,
    error: &io::Error,
) -> ExitCode {
    let checked: Result<_, config::Error> = start::check_settings(settings);
    if json && words == ["status"] {
        print(&render::not_running(env!("CARGO_PKG_VERSION"), checked.as_ref().err()));
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        eprintln!("cosip: {}: {error}", folders.control_socket().display());
    } else {
        eprintln!("cosip: no daemon answers at {}: {error}", folders.control_socket().display());
        checked.err().iter().for_each(|error| eprintln!("cosip: it would not start: {error}"));
    }
    ExitCode::FAILURE
}

/// Prints, where somebody reads.
pub fn print(text: &str) -> ExitCode {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    put_out(format!("{text}{end}").as_bytes());
    ExitCode::SUCCESS
}
