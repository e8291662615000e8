//! Asks for the anchor's passphrase: on the terminal, unseen, or in a file.

use super::error::{PassphraseFault, ServerError};
use crate::driver::read_secret;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// What Ctrl-C types.
const INTERRUPTION: char = '\u{3}';

/// The passphrase in `file`, its line's end left out; without a file that which is typed, `twice`
/// where it is new.
pub(super) fn ask(file: Option<&Path>, twice: bool) -> Result<Zeroizing<String>, ServerError> {
    if let Some(file) = file {
        let text = Zeroizing::new(read_secret(file)?);
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let none = |error| ServerError::Passphrase(PassphraseFault::NoTerminal(error));
    let mut terminal = Terminal::open().map_err(none)?;
    let first = terminal.ask("passphrase of the anchor: ").map_err(none)?;
    if twice && terminal.ask("once more: ").map_err(none)? != first {
        return Err(ServerError::Passphrase(PassphraseFault::Mistyped));
    }
    Ok(first)
}

/// The terminal, which shows nothing of what is typed until it is dropped.
struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&file)?;
        let mut unseen = before.clone();
        // Nor does an interruption end the program meanwhile, and leave the terminal like that.
        unseen.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        unseen.local_flags.insert(LocalFlags::ECHONL | LocalFlags::ICANON);
        tcsetattr(&file, SetArg::TCSAFLUSH, &unseen)?;
        Ok(Self { file, before })
    }

    fn ask(&mut self, question: &str) -> io::Result<Zeroizing<String>> {
        self.file.write_all(question.as_bytes())?;
        let mut line = Zeroizing::new(String::new());
        if BufReader::new(&self.file).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.contains(INTERRUPTION) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nothing left to do about it.
        let _ = tcsetattr(&self.file, SetArg::TCSAFLUSH, &self.before);
    }
}
