//! What a daemon does before its run loop: settings, keys, limits.

use super::folders::Folders;
use super::settings::{read_or_create_secret, read_secret, read_settings};
use crate::config::{self, Config, Warning};
use crate::identity::key::Identity;
use crate::identity::network::NetworkKeys;
use crate::limits::{CALL_DESCRIPTORS, OTHER_DESCRIPTORS, streams_max};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::path::Path;

/// Reads the settings.
///
/// # Errors
/// What is wrong with them; line 0 where the file itself cannot be read.
pub fn check_settings(path: &Path) -> Result<(Config, Vec<Warning>), config::Error> {
    let file = path.display().to_string();
    let text = read_settings(path).map_err(|error| config::Error {
        file: file.clone(),
        line: 0,
        value: error.to_string(),
        allowed: "a file that can be read".into(),
    })?;
    config::parse(&text, &file)
}

/// Reads the settings, and logs what they are warned of.
///
/// # Errors
/// As [`check_settings`].
pub fn load_settings(path: &Path) -> Result<Config, config::Error> {
    let (config, warnings) = check_settings(path)?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// This adapter's key pair; made at the first start.
///
/// # Errors
/// What the system says of the key file, and a file that holds no key.
pub fn identity(config: &Config, folders: &Folders) -> io::Result<Identity> {
    let path = folders.resolve(&config.identity.key);
    let text = read_or_create_secret(&path, || {
        let identity = Identity::from_seed(random_seed()?).map_err(io::Error::other)?;
        log::info!("{}: made the key of adapter {}", path.display(), identity.id());
        Ok(identity.to_text())
    })?;
    Identity::parse(&text).map_err(|error| invalid(&path, &error))
}

/// The secrets of the overlay's network.
///
/// # Errors
/// What the system says of the file, and a file that holds no secrets. Without them there is no
/// overlay.
pub fn network_keys(config: &Config, path: &Path) -> io::Result<NetworkKeys> {
    let text = read_secret(path)?;
    NetworkKeys::parse(&text, config.network_name()).map_err(|error| invalid(path, &error))
}

/// 32 bytes from the kernel.
///
/// # Errors
/// Where the kernel gives none.
pub fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}

/// Descriptors that a daemon with these settings may come to hold.
fn descriptors_wanted(config: &Config) -> u64 {
    let adapter = &config.adapter;
    u64::from(adapter.max_calls) * CALL_DESCRIPTORS
        + streams_max(usize::from(adapter.max_phones)) as u64
        + OTHER_DESCRIPTORS
}

/// Allows as many descriptors as these settings may take, or else as many as this process may
/// have; says where that is too few. Whoever starts daemons gives them few (procd 4096), which
/// root alone may exceed: so this comes before root is given up.
pub fn raise_descriptor_limit(config: &Config) -> Option<String> {
    let wanted = descriptors_wanted(config);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let set = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, limit).is_ok();
    if set(hard.max(wanted)) {
        return None;
    }
    set(hard);
    let lacking = format!("max_calls and max_phones take {wanted} descriptors of at most {hard}");
    (hard < wanted).then_some(lacking)
}

fn invalid(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
}
