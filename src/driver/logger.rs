//! Log lines to standard output and standard error, never blocking and never failing.
//!
//! A thin layer over `simple_logger`, which decides what is logged: that crate prints with
//! `println!`, which panics when the reader is gone and waits when it is slow. Here a line goes
//! out where it fits at once, and is counted as lost where it does not. Warnings and errors go to
//! standard error, the rest to standard output; who reads them adds the time.

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simple_logger::SimpleLogger;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// The longest line: what a pipe that is reported writable takes without waiting (PIPE_BUF).
const LINE_BYTES_MAX: usize = 4096;

static LOST: AtomicU32 = AtomicU32::new(0);

struct Logger {
    filter: SimpleLogger,
}

/// Starts logging. A second call changes the level alone.
pub fn init(level: LevelFilter) {
    // The filter passes everything: the level that applies is log's own, which can change.
    let filter = SimpleLogger::new().with_level(LevelFilter::Trace);
    // Fails where a logger is set already, which then stays.
    let _ = log::set_boxed_logger(Box::new(Logger { filter }));
    set_level(level);
}

/// Changes what is logged from now on.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// How many lines were lost because nobody read them in time.
pub fn lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = [0; LINE_BYTES_MAX];
        let room = line.len() - 1;
        let mut rest = line.get_mut(..room).unwrap_or_default();
        // Too long a line fails with the buffer full, which is where it is cut.
        let _ = write!(rest, "{:<5} {}", record.level(), record.args());
        let used = room - rest.len();
        // What is quoted from the network must not look like lines of its own.
        line.iter_mut().take(used).filter(|byte| byte.is_ascii_control()).for_each(|b| *b = b' ');
        if let Some(end) = line.get_mut(used) {
            *end = b'\n';
        }
        let line = line.get(..=used).unwrap_or_default();
        let written = if record.level() <= Level::Warn {
            write_at_once(rustix::stdio::stderr(), line)
        } else {
            write_at_once(rustix::stdio::stdout(), line)
        };
        if !written {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

fn write_at_once(fd: BorrowedFd<'_>, line: &[u8]) -> bool {
    let mut ready = [PollFd::new(fd, PollFlags::POLLOUT)];
    match poll(&mut ready, PollTimeout::ZERO) {
        Ok(1) => nix::unistd::write(fd, line).is_ok_and(|len| len == line.len()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::write_at_once;
    use std::os::fd::AsFd;

    #[test]
    fn a_full_pipe_and_a_closed_one_take_nothing_and_hold_up_nobody() {
        let (reader, writer) = std::io::pipe().unwrap();
        let line = [b'x'; super::LINE_BYTES_MAX];
        let taken = (0..1000).take_while(|_| write_at_once(writer.as_fd(), &line)).count();
        assert!((1..1000).contains(&taken));
        drop(reader);
        assert!(!write_at_once(writer.as_fd(), &line));
    }
}
