//! State files, keys, and the folders that they lie in.
//!
//! A file is replaced as a whole: temporary file, fsync, rename; so a power cut leaves the old or
//! the new one (volatile files are not synced: they need not outlive it). Reads are bounded.
//! Everything is readable by its owner alone, who is the owner of the folder.

use crate::limits::{CONFIG_BYTES_MAX, STATE_FILE_BYTES_MAX};
use crate::net::{Failure, File};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIR: u32 = 0o700;

/// Where a daemon keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// State over reboots: flash.
    pub state: PathBuf,
    /// Volatile state and the control socket.
    pub run: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self { state: "/etc/cosip".into(), run: "/var/run/cosip".into() }
    }
}

impl Folders {
    /// Creates the folders that are missing.
    ///
    /// # Errors
    /// What the system says, with the folder's name.
    pub fn create(&self) -> io::Result<()> {
        for folder in [&self.state, &self.run] {
            DirBuilder::new()
                .recursive(true)
                .mode(OWNER_ONLY_DIR)
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

    /// Replaces one of a core's files.
    pub(super) fn save(&self, file: File, data: &[u8]) -> Result<(), Failure> {
        replace(&self.path(file), data, file != File::Volatile).map_err(|error| {
            log::warn!("{error}");
            Failure::System
        })
    }
}

/// The text of a settings file.
///
/// # Errors
/// What the system says, with the file's name; also where it is larger than
/// [`CONFIG_BYTES_MAX`] or not UTF-8.
pub fn read_settings(path: &Path) -> io::Result<String> {
    read_text(path)
}

/// The text of a secret file; the log warns where others may read it too.
///
/// # Errors
/// As [`read_settings`].
pub fn read_secret(path: &Path) -> io::Result<String> {
    let text = read_text(path)?;
    let mode = fs::metadata(path)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        log::warn!("{}: mode {mode:o} lets others read a secret; 600 is enough", path.display());
    }
    Ok(text)
}

/// The text of a secret file, or, where there is none yet, what `make` writes into it.
///
/// # Errors
/// As [`read_settings`], and those of `make`.
pub fn read_or_create_secret(
    path: &Path,
    make: impl FnOnce() -> io::Result<String>,
) -> io::Result<String> {
    match read_secret(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make()?;
            replace(path, text.as_bytes(), true)?;
            Ok(text)
        }
        other => other,
    }
}

/// A secret file, read for a core.
pub(super) fn load_secret(path: &Path) -> Result<Vec<u8>, Failure> {
    read_secret(path).map(String::into_bytes).map_err(|error| unread(&error))
}

/// Why a core does not get a file. That there is none is the core's to judge.
fn unread(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::Absent;
    }
    log::warn!("{error}");
    Failure::System
}

/// Replaces a file that holds secrets.
///
/// # Errors
/// What the system says, with the file's name.
pub(super) fn replace_secret(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text.as_bytes(), true)
}

fn unix_seconds() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}

fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bounded(path, CONFIG_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: not UTF-8", path.display()))
    })
}

fn read_bounded(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(|error| named(path, &error))?;
    let mut data = Vec::new();
    let limit = max as u64 + 1;
    file.take(limit).read_to_end(&mut data).map_err(|error| named(path, &error))?;
    if data.len() > max {
        let text = format!("{}: larger than {max} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(data)
}

fn replace(path: &Path, data: &[u8], durable: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    write_new(&temporary, data, durable)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| match path.parent() {
            // The rename itself lasts only once the folder is on the disk.
            Some(folder) if durable => fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        })
        .map_err(|error| {
            let _ = fs::remove_file(&temporary);
            named(path, &error)
        })
}

fn write_new(path: &Path, data: &[u8], durable: bool) -> io::Result<()> {
    // What a crash left behind may have another mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    // What root writes into the daemon's folder is the daemon's. By descriptor: a name in that
    // folder may be a link by now.
    if let (true, Some(folder)) = (nix::unistd::geteuid().is_root(), path.parent()) {
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(data)?;
    if durable { file.sync_all() } else { Ok(()) }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
