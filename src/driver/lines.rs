//! Commands as lines of a descriptor, mostly standard input; replies go to standard output.
//!
//! One read for each time that the descriptor is reported readable, so it may stay blocking: it is
//! often shared with a shell. When the lines end and all are answered, the driver stops.

use super::poll::{Key, Poll};
use crate::limits::CONTROL_COMMAND_BYTES_MAX;
use std::fs::File;
use std::io::{self, Read};

/// Where lines come from.
pub(super) struct LineSource {
    file: File,
    partial: Vec<u8>,
    /// A regular file cannot be waited for, and need not be.
    always_ready: bool,
    ended: bool,
}

impl LineSource {
    /// Takes lines from `file`.
    pub(super) fn open(poll: &Poll, file: File) -> io::Result<Self> {
        let always_ready = match poll.add_level(&file, Key::Lines) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(nix::libc::EPERM) => true,
            Err(error) => return Err(error),
        };
        Ok(Self { file, partial: Vec::new(), always_ready, ended: false })
    }

    /// Whether lines can be read without the descriptor being reported.
    pub(super) fn always_ready(&self) -> bool {
        self.always_ready && !self.ended
    }

    /// Whether the last line was read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Reads once and gives the lines that are complete.
    pub(super) fn read(&mut self, poll: &Poll) -> Vec<String> {
        let mut buf = [0; CONTROL_COMMAND_BYTES_MAX];
        let len = match self.file.read(&mut buf) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Vec::new(),
            Err(_) => 0,
        };
        if len == 0 {
            self.ended = true;
            poll.delete(&self.file);
            // A last line may come without its line end.
            self.partial.push(b'\n');
        }
        self.partial.extend(buf.get(..len).unwrap_or_default());
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if !line.is_empty() {
                lines.push(line);
            }
        }
        if self.partial.len() > CONTROL_COMMAND_BYTES_MAX {
            self.partial.clear();
        }
        lines
    }
}
