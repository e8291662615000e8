//! The files of one network at its provider's.
//!
//! | file | what it is |
//! |---|---|
//! | `provider.config` | the settings of all routers; the operator's to change |
//! | `server.config` | what this server has beside them; the operator's to change |
//! | `network.key` | the network's secrets, as routers have them |
//! | `place.key` | the secret by which keys are placed in the overlay |
//! | `anchor.pub` | the public half of the anchor's key |
//! | `anchor.key` | the secret half under a passphrase, unless it was taken away |
//! | `issuing.key` | the issuing key, and behind it the anchor's delegation |
//! | `database` | the address of the database |
//!
//! `run` adds `adapter.key` and `adapter.crt`, its own key and certificate, and what any adapter
//! keeps over its restarts.
//!
//! All are for their owner alone, like the folder.

use super::error::{FolderFault, ServerError};
use super::text::{array_from_hex, hex};
use crate::config::{self, Config};
use crate::driver::files::replace;
use crate::driver::{read_secret, read_settings};
use crate::identity::authority::Authority;
use crate::identity::chain::Delegation;
use crate::identity::{Identity, NetworkKeys, PublicKey};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub(super) const SETTINGS: &str = "provider.config";
pub(super) const OWN_SETTINGS: &str = "server.config";
pub(super) const CERTIFICATE: &str = "adapter.crt";
pub(super) const SECRET: &str = "network.key";
pub(super) const PLACES: &str = "place.key";
pub(super) const ANCHOR_PUBLIC: &str = "anchor.pub";
pub(super) const ANCHOR: &str = "anchor.key";
pub(super) const ISSUING: &str = "issuing.key";
pub(super) const DATABASE: &str = "database";

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a file in it is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An error of a file in it.
    pub(super) fn fault(&self, name: &str, fault: FolderFault) -> ServerError {
        ServerError::Folder(self.file(name), fault)
    }

    /// Whether it is there; refuses one with something in it.
    pub(super) fn check_empty(&self) -> Result<bool, ServerError> {
        match fs::read_dir(&self.0) {
            Ok(mut entries) => match entries.next() {
                None => Ok(true),
                Some(_) => Err(ServerError::Folder(self.0.clone(), FolderFault::NotEmpty)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(named(&self.0, &error)),
        }
    }

    /// Makes the folder, where it is not there.
    pub(super) fn ensure(&self) -> Result<(), ServerError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| named(&self.0, &error))
    }

    /// Writes a file, as a whole.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), ServerError> {
        Ok(replace(&self.file(name), text.as_bytes(), true)?)
    }

    /// Reads one that is not to be read by others.
    pub(super) fn read(&self, name: &str) -> Result<Zeroizing<String>, ServerError> {
        match read_secret(&self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.fault(name, FolderFault::NotMade))
            }
            text => Ok(Zeroizing::new(text?)),
        }
    }

    /// The text of the routers' settings, and what it says.
    ///
    /// # Errors
    /// Where it cannot be read, is wrong or names no network.
    pub fn settings(&self) -> Result<(String, Config), ServerError> {
        read_provider(&self.file(SETTINGS))
    }

    /// The keys of a network called `name`.
    pub(super) fn network_keys(&self, name: &str) -> Result<NetworkKeys, ServerError> {
        let text = self.read(SECRET)?;
        NetworkKeys::parse(&text, name).map_err(|error| self.fault(SECRET, error.into()))
    }

    /// The anchor's public key.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn anchor(&self) -> Result<PublicKey, ServerError> {
        let text = self.read(ANCHOR_PUBLIC)?;
        let wanted = FolderFault::Content("a public key, 64 hex digits");
        array_from_hex(text.trim()).ok_or_else(|| self.fault(ANCHOR_PUBLIC, wanted))
    }

    /// The secret by which keys are placed.
    pub(super) fn places(&self) -> Result<[u8; 32], ServerError> {
        let text = self.read(PLACES)?;
        let wanted = FolderFault::Content("a secret, 64 hex digits");
        array_from_hex(text.trim()).ok_or_else(|| self.fault(PLACES, wanted))
    }

    /// The issuing key and its delegation.
    pub(super) fn issuing(&self) -> Result<(Identity, Delegation), ServerError> {
        let text = self.read(ISSUING)?;
        let read = || {
            let (key, delegation) = text.trim_end().split_once('\n')?;
            Some((Identity::parse(key).ok()?, array_from_hex(delegation)?))
        };
        let wanted = FolderFault::Content("an issuing key and its delegation");
        read().ok_or_else(|| self.fault(ISSUING, wanted))
    }

    /// Exchanges both at once: one without the other is of no use.
    pub(super) fn set_issuing(
        &self,
        key: &Identity,
        delegation: &Delegation,
    ) -> Result<(), ServerError> {
        let mut text = Zeroizing::new(key.to_text());
        text.push_str(&hex(delegation));
        text.push('\n');
        self.write(ISSUING, &text)
    }

    /// Who signs day by day.
    pub(super) fn authority(&self, network: &[u8; 16]) -> Result<Authority, ServerError> {
        let (key, delegation) = self.issuing()?;
        Ok(Authority::issuing(key, network, delegation))
    }
}

/// The text of a file of routers' settings, and what it says: a network at least.
pub(super) fn read_provider(path: &Path) -> Result<(String, Config), ServerError> {
    let text = read_settings(path)?;
    let (config, _) = config::parse(&text, &path.display().to_string())?;
    if config.network_name().is_empty() {
        return Err(ServerError::Folder(path.to_owned(), FolderFault::Nameless));
    }
    Ok((text, config))
}

/// An error of the system, with the file's name.
fn named(path: &Path, error: &io::Error) -> ServerError {
    ServerError::System(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
