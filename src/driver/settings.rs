//! What the operator writes: settings, and secrets in files of their own.

use super::files::{read_bounded, replace, unread};
use crate::limits::CONFIG_BYTES_MAX;
use crate::net::Failure;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The text of a settings file.
///
/// # Errors
/// What the system says, with the file's name; also where it is larger than
/// [`CONFIG_BYTES_MAX`] or not UTF-8.
pub fn read_settings(path: &Path) -> io::Result<String> {
    let bytes = read_bounded(path, CONFIG_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: not UTF-8", path.display()))
    })
}

/// The text of a secret file; the log warns where others may read it too.
///
/// # Errors
/// As [`read_settings`].
pub fn read_secret(path: &Path) -> io::Result<String> {
    let text = read_settings(path)?;
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

/// Replaces a file that holds secrets.
///
/// # Errors
/// What the system says, with the file's name.
pub(super) fn replace_secret(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text.as_bytes(), true)
}
