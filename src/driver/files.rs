//! Files: read as far as a limit, and replaced as a whole.
//!
//! Temporary file, fsync, rename: a power cut leaves the old or the new one (volatile files are not
//! synced: they need not outlive it). Everything is readable by its owner alone, who is the owner
//! of the folder.

use crate::net::Failure;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;

/// Why a core does not get a file. That there is none is the core's to judge.
pub(super) fn unread(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::Absent;
    }
    log::warn!("{error}");
    Failure::System
}

/// A whole file.
///
/// # Errors
/// What the system says, with the file's name; also where it is larger than `max`.
pub(super) fn read_bounded(path: &Path, max: usize) -> io::Result<Vec<u8>> {
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

/// Replaces a file, or makes it; a `durable` one outlives a power cut from then on.
///
/// # Errors
/// What the system says, with the file's name.
pub(crate) fn replace(path: &Path, data: &[u8], durable: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    write_new(&temporary, data, durable)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| match folder_of(path) {
            // The rename itself lasts only once the folder is on the disk.
            Some(folder) if durable => fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        })
        .map_err(|error| {
            let _ = fs::remove_file(&temporary);
            named(path, &error)
        })
}

/// Where a file is: a name alone is in the current folder.
fn folder_of(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
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
    if let (true, Some(folder)) = (nix::unistd::geteuid().is_root(), folder_of(path)) {
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(data)?;
    if durable { file.sync_all() } else { Ok(()) }
}

/// A standard stream as a file. The standard library's own have a buffer and a lock each, which are
/// two kilobytes of flash.
pub(super) fn standard(stream: BorrowedFd<'_>) -> io::Result<fs::File> {
    stream.try_clone_to_owned().map(fs::File::from)
}

/// Writes to standard output. Without a reader there is nobody to tell either.
pub(super) fn put_out(text: &[u8]) {
    let _ = standard(rustix::stdio::stdout()).and_then(|mut output| output.write_all(text));
}

/// An error of a file, with its name.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
