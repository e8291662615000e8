//! What a test needs of the machine, and how one that cannot run says so.
//!
//! A test against real programs asks first. Where something is missing it is left out, by name
//! and reason, in a file for `make test` to show; where `COSIP_TEST_ALL` is 1 it fails instead,
//! so that nothing goes missing where everything has to run.

use core::fmt;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;

/// A thing that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The right to make network namespaces and packet filter rules.
    Root,
    /// A program in the search path.
    Program(&'static str),
}

impl Need {
    fn is_met(self, path: &OsStr) -> bool {
        match self {
            Self::Root => nix::unistd::geteuid().is_root(),
            Self::Program(name) => {
                let system = ["/usr/sbin", "/sbin"].map(Into::into);
                std::env::split_paths(path).chain(system).any(|dir| dir.join(name).is_file())
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Program(name) => write!(f, "{name} (make setup)"),
        }
    }
}

/// Whether `test` can run. Where it cannot, says so in the folder that `COSIP_LEFT_OUT` names.
///
/// # Panics
/// Where it cannot and `COSIP_TEST_ALL` is 1.
pub fn are_met(test: &str, needs: &[Need]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(missing) = needs.iter().find(|need| !need.is_met(&path)) else { return true };
    let all = std::env::var_os("COSIP_TEST_ALL").is_some_and(|value| value == "1");
    assert!(!all, "{test} needs {missing}");
    if let Some(folder) = std::env::var_os("COSIP_LEFT_OUT") {
        note(Path::new(&folder), test, *missing);
    }
    false
}

fn note(folder: &Path, test: &str, missing: Need) {
    let path = folder.join(test.replace(|c: char| !c.is_alphanumeric(), "_"));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::File::create(path))
        .and_then(|mut file| writeln!(file, "  {test}: needs {missing}"));
    if let Err(error) = written {
        eprintln!("{test}: needs {missing} (and cannot write that down: {error})");
    }
}

#[cfg(test)]
mod tests;
