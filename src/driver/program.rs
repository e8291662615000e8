//! Other programs, run to their end: those of the system that the plugin needs.
//!
//! What a program reads and writes lies in files of memory alone, so that neither side ever waits
//! for the other. The standard library's way can do much more, and is as much larger.

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawnp};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::{WaitStatus, waitpid};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

/// What is left of a program.
pub(super) struct Ended {
    /// Its exit status, or `None` where a signal ended it.
    status: Option<i32>,
    /// What it printed.
    pub(super) output: Vec<u8>,
    /// What it complained of.
    pub(super) complaints: String,
}

impl Ended {
    /// Why it did not do what it was asked, by its own word.
    pub(super) fn failure(&self) -> Option<String> {
        let complaints = &self.complaints;
        match self.status {
            Some(0) => None,
            Some(status) => Some(format!("{complaints} (exit status {status})")),
            None => Some(format!("{complaints} (ended by a signal)")),
        }
    }
}

/// Runs the program and its arguments, with `input`, in this process's environment.
pub(super) fn run(words: &[&OsStr], input: &[u8]) -> io::Result<Ended> {
    let (mut from, mut output, mut complaints) = (memory()?, memory()?, memory()?);
    from.write_all(input)?;
    from.rewind()?;
    let mut files = PosixSpawnFileActions::init()?;
    for (at, file) in [&from, &output, &complaints].into_iter().enumerate() {
        files.add_dup2(file.as_raw_fd(), at as i32)?;
    }
    let words: Vec<CString> =
        words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
    let program = words.first().ok_or(io::ErrorKind::InvalidInput)?;
    let variables: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect();
    let child = posix_spawnp(program, &files, &PosixSpawnAttr::init()?, &words, &variables)?;
    let status = match waitpid(child, None)? {
        WaitStatus::Exited(_, status) => Some(status),
        _ => None,
    };
    let (output, complaints) = (whole(&mut output)?, whole(&mut complaints)?);
    Ok(Ended { status, output, complaints: String::from_utf8_lossy(&complaints).trim().into() })
}

/// A file that has no name and ends with whoever has it open.
fn memory() -> io::Result<File> {
    Ok(memfd_create(c"", MFdFlags::MFD_CLOEXEC)?.into())
}

fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8]) -> Ended {
        run(&["sh", "-c", script].map(OsStr::new), input).expect("a shell")
    }

    #[test]
    fn a_program_reads_what_it_is_given_and_what_it_writes_comes_back() {
        let input = vec![b'x'; 300_000];
        let ended = sh("cat; echo bad >&2; exit 3", &input);
        assert!(ended.output == input, "{} bytes", ended.output.len());
        assert_eq!(ended.failure().as_deref(), Some("bad (exit status 3)"));
        assert_eq!(sh("exit 0", b"").failure(), None);
    }

    #[test]
    fn a_program_that_a_signal_ends_did_not_do_what_it_was_asked() {
        let ended = sh("echo oh >&2; kill -9 $$", b"");
        assert_eq!(ended.failure().as_deref(), Some("oh (ended by a signal)"));
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let missing = run(&[OsStr::new("/no/such/program")], b"");
        assert_eq!(missing.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }
}
