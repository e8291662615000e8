//! The daemon's folders, and a core's files in them: state over reboots, and volatile state.

use super::files::{named, read_bounded, replace, unread};
use crate::limits::STATE_FILE_BYTES_MAX;
use crate::net::{Failure, File};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

const OWNER_ONLY: u32 = 0o700;

/// Where a daemon keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// State over reboots: flash.
    pub state: PathBuf,
    /// Volatile state and the control socket.
    pub run: PathBuf,
    /// The file of the adapter's certificates, below the first where relative.
    pub certificate: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self::new("/etc/cosip", "/var/run/cosip")
    }
}

impl Folders {
    /// The folders of state and of volatile state, with the usual names of files.
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), run: run.into(), certificate: "adapter.crt".into() }
    }

    /// Creates the folders that are missing.
    ///
    /// # Errors
    /// What the system says, with the folder's name.
    pub fn create(&self) -> io::Result<()> {
        for folder in [&self.state, &self.run] {
            DirBuilder::new()
                .recursive(true)
                .mode(OWNER_ONLY)
                .create(folder)
                .map_err(|error| named(folder, &error))?;
        }
        Ok(())
    }

    /// The path of a file option: relative ones lie under the state folder.
    pub fn resolve(&self, option: &str) -> PathBuf {
        self.state.join(option)
    }

    /// The path of the control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// The file of name servers that whoever starts the daemon has handed over, where it has: a
    /// jail has no other.
    pub(super) fn resolv_conf(&self) -> Option<PathBuf> {
        let path = self.run.join("resolv.conf");
        path.exists().then_some(path)
    }

    fn path(&self, file: File) -> PathBuf {
        match file {
            File::Volatile => self.run.join("volatile"),
            File::Bindings => self.state.join("bindings"),
            File::Peers => self.state.join("peers"),
            File::Certificates => self.state.join(&self.certificate),
            File::Time => self.state.join("time"),
            File::Revocations => self.state.join("revocations"),
            File::Secrets => self.state.join("secrets"),
        }
    }

    /// Counts one more start of this adapter: the high part of its records' sequence numbers,
    /// so it is on flash before anything is published. An unreadable file counts from the clock,
    /// which no earlier count has reached.
    ///
    /// # Errors
    /// What the system says of writing the file.
    pub fn count_start(&self) -> io::Result<u32> {
        let path = self.state.join("starts");
        let before = match read_bounded(&path, STATE_FILE_BYTES_MAX) {
            Ok(data) => core::str::from_utf8(&data).ok().and_then(|text| text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
            Err(_) => None,
        };
        let count = before.unwrap_or_else(unix_seconds).saturating_add(1);
        replace(&path, format!("{count}\n").as_bytes(), true)?;
        Ok(count)
    }

    /// Reads one of a core's files.
    pub(super) fn load(&self, file: File) -> Result<Vec<u8>, Failure> {
        read_bounded(&self.path(file), STATE_FILE_BYTES_MAX).map_err(|error| unread(&error))
    }

    /// Replaces one of a core's files. What is to outlive a power cut holds the run loop up until
    /// it is on flash; a core asks for that while nobody speaks.
    pub(super) fn save(&self, file: File, data: &[u8]) -> Result<(), Failure> {
        replace(&self.path(file), data, file != File::Volatile).map_err(|error| {
            log::warn!("{error}");
            Failure::System
        })
    }
}

fn unix_seconds() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}
