//! The program `uci`, which alone writes the settings: it locks the file and knows what others
//! have changed and not yet committed.

use super::program;
use super::settings::read_settings;
use crate::config::account::Credentials;
use std::ffi::OsStr;
use std::path::Path;

/// Has `credentials` written into the settings file and committed. Nothing is reloaded.
pub(super) fn set_account(settings: &Path, credentials: &Credentials) -> Result<(), String> {
    credentials.check()?;
    let (Some(folder), Some(package)) =
        (settings.parent(), settings.file_name().and_then(OsStr::to_str))
    else {
        return Err(format!("{} is no settings file", settings.display()));
    };
    let commands =
        |text: &str| credentials.commands(package, text).map_err(|error| error.to_string());
    let (text, _) = uci(folder, &["export", package], "")?;
    let Some(batch) = commands(&text)? else { return Ok(()) };
    let (_, said) = uci(folder, &["batch"], &batch)?;
    // A batch succeeds whatever becomes of its commands: the file tells.
    let text = read_settings(settings).map_err(|error| error.to_string())?;
    match commands(&text)? {
        None => Ok(()),
        Some(_) => Err(format!("uci did not write the account: {said}")),
    }
}

/// Runs `uci` on the settings in `folder`, with `input`. What it printed, and its complaints.
fn uci(folder: &Path, words: &[&str], input: &str) -> Result<(String, String), String> {
    let folder = [OsStr::new("uci"), OsStr::new("-c"), folder.as_os_str()];
    let program: Vec<&OsStr> = folder.into_iter().chain(words.iter().map(OsStr::new)).collect();
    let done = program::run(&program, input.as_bytes()).map_err(|error| {
        format!("the program uci, which writes the settings, cannot be used: {error}")
    })?;
    if let Some(failure) = done.failure() {
        return Err(format!("uci {}: {failure}", words.join(" ")));
    }
    let text = String::from_utf8(done.output).map_err(|_| "uci: the settings are not UTF-8")?;
    Ok((text, done.complaints))
}
