//! What the provider's commands refuse: what, where, and what to do.

use super::secrets::RollFault;
use super::text::{hex, moment};
use super::vault::PASSPHRASE_BYTES_MIN;
use crate::config;
use crate::identity::PublicKey;
use crate::identity::chain::Validity;
use crate::identity::network::SecretError;
use core::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command was not carried out. Then nothing has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The arguments make no command.
    Arguments(lexopt::Error),
    /// The system gives no file, or does not take it; or no randomness.
    System(io::Error),
    /// The settings of the routers are wrong.
    Settings(config::Error),
    /// A file or folder that is not as it has to be.
    Folder(PathBuf, FolderFault),
    /// The anchor's file cannot be used.
    Anchor(PathBuf, AnchorFault),
    /// The passphrase cannot be used, or not be asked for.
    Passphrase(PassphraseFault),
    /// The database does not do what it is asked: which, and why.
    Database(String, DatabaseFault),
    /// What was ordered is against the rules.
    Refused(Refusal),
}

/// What is wrong with a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FolderFault {
    /// `init` makes everything anew.
    NotEmpty,
    /// What `init` makes is not there.
    NotMade,
    /// It should hold this.
    Content(&'static str),
    /// It would be overwritten.
    Exists,
    /// The file of the network's secret is wrong.
    Secret(SecretError),
    /// The settings name no network.
    Nameless,
    /// `run` has no settings of its own.
    NoServer,
    /// They do not say where it listens.
    NoAddress,
    /// They name no account to send challenges from.
    NoAccount,
    /// They name another network than at `init`.
    Renamed {
        /// What they say.
        now: String,
        /// What was said.
        was: String,
    },
    /// More secrets than a certificate can list AORs under.
    ManySecrets,
    /// What its keys sign does not verify.
    Mixed,
}

/// What is wrong with the file of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorFault {
    /// It is not there.
    Absent,
    /// It does not hold what such a file holds.
    Shape,
    /// It does not open: another passphrase, or other bytes than were written.
    Sealed,
    /// It holds the anchor of others.
    Other,
    /// Opening it takes more memory than there is.
    Memory,
}

/// What is wrong with a passphrase.
#[derive(Debug)]
#[non_exhaustive]
pub enum PassphraseFault {
    /// Too easily guessed.
    Short,
    /// Two entries that are not the same.
    Mistyped,
    /// Nobody is there to ask.
    NoTerminal(io::Error),
}

/// What is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseFault {
    /// What it says itself.
    Says(String),
    /// It says nothing, or its connection was given up.
    Silent,
    /// An address that means none.
    Address,
    /// A later version wrote it.
    Newer {
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It keeps nobody's books: it was lost, and made anew.
    Empty,
    /// It keeps this network's books already, or another one's.
    Taken(String),
}

/// Which rule is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A key that no adapter can have.
    Key(String),
    /// A validity that is not offered; the most.
    Days(u32),
    /// No address of a provider that the settings name.
    Aor(String),
    /// No AOR, or more than a certificate has room for; the most.
    Aors(usize),
    /// Another adapter has it.
    Held {
        /// The AOR.
        aor: String,
        /// Who.
        adapter: String,
        /// Under which number.
        serial: u64,
    },
    /// As many adapters have it as callers find; how many.
    Crowded(String, usize),
    /// The key was revoked.
    Blocked {
        /// The key.
        adapter: PublicKey,
        /// When.
        at_s: u64,
    },
    /// The issuing key may sign then, and not now.
    Undelegated {
        /// What the anchor has delegated.
        validity: Validity,
        /// When it is.
        now_s: u64,
    },
    /// The issuing key's delegation of this number was revoked.
    Dismissed(u64),
    /// Nothing that is valid is of that description.
    Nothing(String),
    /// It takes the anchor's word.
    Many {
        /// Revoked since the list that it is too much for.
        added: usize,
        /// What the issuing key may add.
        most: usize,
    },
    /// Routers take no list of this number from this key before this moment.
    Ahead(u64, u64),
    /// The list is larger than a list may be; how many are on it.
    Long(usize),
    /// A new secret of the network cannot take over.
    Roll(RollFault),
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<lexopt::Error> for ServerError {
    fn from(error: lexopt::Error) -> Self {
        Self::Arguments(error)
    }
}

impl From<&str> for ServerError {
    fn from(what: &str) -> Self {
        Self::Arguments(what.into())
    }
}

impl From<config::Error> for ServerError {
    fn from(error: config::Error) -> Self {
        Self::Settings(error)
    }
}

impl From<SecretError> for FolderFault {
    fn from(error: SecretError) -> Self {
        Self::Secret(error)
    }
}

impl From<Refusal> for ServerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl std::error::Error for ServerError {}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => write!(f, "{error}; --help lists the commands"),
            Self::System(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::Folder(path, fault) => write!(f, "{}: {fault}", path.display()),
            Self::Anchor(path, fault) => write!(f, "{}: {fault}", path.display()),
            Self::Passphrase(fault) => fault.fmt(f),
            Self::Database(at, fault) => write!(f, "{at}: {fault}"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for FolderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty => f.write_str(
                "not empty; init makes keys that nothing brings back, so it takes an empty folder \
                 or makes one",
            ),
            Self::NotMade => f.write_str(
                "missing; name the folder with --dir, or make one with cosip-server init",
            ),
            Self::Content(wanted) => {
                write!(f, "does not hold {wanted}; bring it back from a backup")
            }
            Self::Exists => f.write_str("exists; name another file"),
            Self::Secret(error) => error.fmt(f),
            Self::Nameless => f.write_str(
                "names no network; add option name to its section overlay, or a provider",
            ),
            Self::NoServer => f.write_str(
                "missing; it says where this server listens and from which SIP account it sends \
                 challenges: see docs/isp.md",
            ),
            Self::NoAddress => f.write_str(
                "does not say where this server listens; add list wan with an address of this \
                 machine to its section adapter",
            ),
            Self::NoAccount => f.write_str(
                "names no SIP account to send challenges from; add a section account with aor, \
                 user and password",
            ),
            Self::Renamed { now, was } => write!(
                f,
                "the network is called {now:?} here and was {was:?} at init, and its name is in \
                 everything signed; write the old one back, or init another folder"
            ),
            Self::ManySecrets => {
                f.write_str("more than two secrets; drop those that are no longer used")
            }
            Self::Mixed => f.write_str(
                "what its keys sign does not verify against its anchor.pub; bring the whole \
                 folder back from one backup",
            ),
        }
    }
}

impl fmt::Display for AnchorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => {
                "the anchor's key is not here; where it was taken away, bring it and name it with \
                 --anchor FILE"
            }
            Self::Shape => "not the file of an anchor's key; bring it back from a backup",
            Self::Sealed => "does not open: another passphrase, or the file was changed",
            Self::Other => "the anchor of another network; name this one's with --anchor FILE",
            Self::Memory => "opening it takes 64 MB of memory or what it says; free some",
        })
    }
}

impl fmt::Display for PassphraseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(
                f,
                "the passphrase has fewer than {PASSPHRASE_BYTES_MIN} bytes; take some words"
            ),
            Self::Mistyped => f.write_str("the two passphrases differ; once more"),
            Self::NoTerminal(error) => write!(
                f,
                "no terminal to ask for the passphrase on ({error}); write it into a file of mode \
                 600 and name that with --passphrase-file FILE"
            ),
        }
    }
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Says(text) => f.write_str(text),
            Self::Silent => f.write_str("gives no answer in time; look what keeps it busy"),
            Self::Address => {
                f.write_str("no database; write sqlite:FILE or postgresql://USER@HOST/DATABASE")
            }
            Self::Newer { found, known } => write!(
                f,
                "schema {found}, and this program knows {known}; run the version that wrote it"
            ),
            Self::Empty => f.write_str(
                "keeps no books; bring the database back from a backup: see docs/security.md",
            ),
            Self::Taken(network) => write!(
                f,
                "keeps the books of the network {network}; each network has a database of its own"
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(text) => write!(
                f,
                "--key {text:?}: no adapter has this key; it is the public half, 64 hex digits"
            ),
            Self::Days(most) => write!(f, "--days: a number from 1 to {most}"),
            Self::Aor(text) => write!(
                f,
                "--aor {text:?}: of no provider in provider.config; write sip:USER@DOMAIN of one"
            ),
            Self::Aors(most) => write!(
                f,
                "--aor: 1 to {most} in one certificate; issue others in a second certificate for \
                 the same key"
            ),
            Self::Held { aor, adapter, serial } => write!(
                f,
                "{aor}: certificate {serial} of the adapter {adapter} has it; revoke that one, \
                 or, where both are the customer's, say --second"
            ),
            Self::Crowded(aor, most) => {
                write!(f, "{aor}: {most} adapters have it, and callers find no more; revoke one")
            }
            Self::Blocked { adapter, at_s } => write!(
                f,
                "{}: this key was revoked on {} UTC; have the router make another: remove its \
                 adapter.key and restart cosip",
                hex(adapter),
                moment(*at_s)
            ),
            Self::Undelegated { validity, now_s } => write!(
                f,
                "the anchor's delegation lasts from {} to {}, and it is {} UTC; renew it with \
                 cosip-server delegate",
                moment(validity.from_s.into()),
                moment(validity.until_s.into()),
                moment(*now_s)
            ),
            Self::Dismissed(serial) => write!(
                f,
                "the delegation {serial} of the issuing key was revoked; make another key: \
                 cosip-server delegate --new-key"
            ),
            Self::Nothing(what) => {
                write!(f, "{what}: no valid certificate; list --all shows those that ended")
            }
            Self::Many { added, most } => write!(
                f,
                "{added} revocations, and routers take {most} from an issuing key; have the \
                 anchor sign the list: cosip-server revocations --anchor FILE"
            ),
            Self::Ahead(number, from_s) => write!(
                f,
                "list {number}: routers take it from {} UTC on, or have the anchor sign it: \
                 cosip-server revocations --anchor FILE",
                moment(*from_s)
            ),
            Self::Long(entries) => write!(
                f,
                "{entries} revocations, more than a list has room for; revoke the delegation \
                 instead and issue anew: see docs/security.md"
            ),
            Self::Roll(fault) => fault.fmt(f),
        }
    }
}
