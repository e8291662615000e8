//! Secrets of the network that a CoSIP server brings, each with the moment from which it is sent.
//!
//! A new secret comes with a certificate, weeks before it is sent, so that everybody hears it by
//! then; the one before is heard for two weeks more ([`NETWORK_SECRET_HEARD`]). Nobody tells anyone
//! to change over: all go by the same moments. The secret file stays what its owner has made it;
//! what was brought stands beside it ([`Rolled`]), and says of the file's secrets, too, which are
//! over.

use super::key::parse_hex;
use super::network::{NetworkKeys, NetworkSecrets};
use crate::limits::{NETWORK_SECRET_HEARD, NETWORK_SECRETS_MAX};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A secret, and when it takes over.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSecret {
    /// The secret.
    pub secret: [u8; 32],
    /// From when it is sent, in seconds of Unix time.
    pub sends_s: u32,
}

impl fmt::Debug for NewSecret {
    /// The moment alone: no secret reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSecret({})", self.sends_s)
    }
}

/// Until when, in seconds of Unix time, the secret before one is heard that is sent from `sends_s`.
pub fn heard_until_s(sends_s: u64) -> u64 {
    sends_s + NETWORK_SECRET_HEARD.as_secs()
}

/// What is done with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is sent, and heard.
    Sent,
    /// It is heard, and will be sent.
    Coming,
    /// It is heard still.
    Heard,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Coming => "coming",
            Self::Heard => "heard",
        }
    }
}

/// A secret as people may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// By which datagrams and logs name it.
    pub key_id: u8,
    /// What is done with it now.
    pub state: State,
    /// From when it is sent, where it takes another one's place; in seconds of Unix time.
    pub from_s: Option<u64>,
    /// Until when it is heard, where another one takes its place.
    pub until_s: Option<u64>,
}

/// The secrets that were brought, oldest first, and in front of them the file's that the first of
/// them has replaced: it is remembered for as long as the file has it, for without that it would
/// seem to be its owner's new word.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rolled(heapless::Vec<NewSecret, NETWORK_SECRETS_MAX>);

impl Rolled {
    /// The last of those that a CoSIP server keeps, oldest first.
    #[cfg(feature = "server")]
    pub fn of(all: &[NewSecret]) -> Self {
        let first = all.len().saturating_sub(NETWORK_SECRETS_MAX);
        Self(all.iter().skip(first).copied().collect())
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &NewSecret> {
        self.0.iter()
    }

    /// Reads what [`Self::to_text`] has written; none where it was something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rolled = Self::default();
        for line in text.lines() {
            let (secret, sends_s) = line.split_once(' ')?;
            let secret = parse_hex(secret).filter(|secret| *secret != [0; 32])?;
            rolled.0.push(NewSecret { secret, sends_s: sends_s.parse().ok()? }).ok()?;
        }
        Some(rolled).filter(|it| it.0.is_sorted_by_key(|it| it.sends_s))
    }

    /// A line for each: the secret in hexadecimal digits, and from when it is sent.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for NewSecret { secret, sends_s } in &self.0 {
            let digits = secret.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            text.extend(digits.filter_map(|it| char::from_digit(it.into(), 16)));
            text.push_str(&format!(" {sends_s}\n"));
        }
        text
    }

    /// From when a secret is sent that was brought.
    pub fn sends_s(&self, secret: &[u8; 32]) -> Option<u64> {
        self.0.iter().find(|it| it.secret == *secret).map(|it| it.sends_s.into())
    }

    /// A CoSIP server has brought a secret, and the file holds these. False where nothing changes:
    /// it is known, or older than one that is.
    pub fn take(&mut self, file: &NetworkSecrets, new: NewSecret) -> bool {
        let last_s = self.0.last().map_or(0, |last| last.sends_s);
        let known = self.0.iter().any(|it| it.secret == new.secret);
        if known || new.sends_s < last_s || new.secret == [0; 32] {
            return false;
        }
        let first = file.first().filter(|it| **it != new.secret && self.sends_s(it).is_none());
        if let Some(first) = first {
            self.push(file, NewSecret { secret: *first, sends_s: last_s });
        }
        self.push(file, new);
        true
    }

    fn push(&mut self, file: &NetworkSecrets, new: NewSecret) {
        if self.0.is_full() {
            let spare = self.0.iter().position(|it| !file.contains(&it.secret));
            self.0.remove(spare.unwrap_or(0));
        }
        let _has_room = self.0.push(new);
    }

    /// What is sent and heard at this moment, with a file that holds these. Where the file begins
    /// with a secret that nobody has brought, its owner has the word: that one is sent.
    pub fn at(&self, now_s: u64, file: &NetworkSecrets) -> NetworkSecrets {
        let mut secrets = NetworkSecrets::new();
        let mut add = |secret: &[u8; 32]| {
            let _has_room = secrets.contains(secret) || secrets.push(*secret).is_ok();
        };
        let is_first = |it: &NewSecret| file.first() == Some(&it.secret);
        let due = |it: &NewSecret| u64::from(it.sends_s) <= now_s || is_first(it);
        let sends = self.0.iter().any(is_first).then(|| self.0.iter().rposition(due)).flatten();
        let Some(sends) = sends else {
            file.iter().for_each(&mut add);
            self.0.iter().filter(|it| !due(it)).for_each(|it| add(&it.secret));
            return secrets;
        };
        let (before, from) = self.0.split_at(sends);
        from.iter().for_each(|it| add(&it.secret));
        let since_s = from.first().map_or(0, |it| u64::from(it.sends_s));
        if since_s == 0 || now_s < heard_until_s(since_s) {
            before.last().into_iter().for_each(|it| add(&it.secret));
            let known = |secret: &&[u8; 32]| self.sends_s(secret).is_some();
            file.iter().filter(|secret| !known(secret)).for_each(add);
        }
        secrets
    }

    /// The secrets of which `keys` were made at this moment, one after the other.
    pub fn shown(&self, now_s: u64, keys: &NetworkKeys) -> impl Iterator<Item = Shown> {
        let secrets = keys.secrets();
        let from_s = move |at: usize| {
            let from_s = self.sends_s(secrets.get(at)?)?;
            Some(from_s).filter(|from_s| *from_s > 0)
        };
        keys.key_ids().enumerate().map(move |(at, key_id)| {
            let is_coming = |at| from_s(at).is_some_and(|from_s| from_s > now_s);
            let (state, next) = match at {
                0 => (State::Sent, Some(1).filter(|next| is_coming(*next))),
                _ if is_coming(at) => (State::Coming, None),
                _ => (State::Heard, Some(0)),
            };
            let until_s = next.and_then(&from_s).map(heard_until_s);
            Shown { key_id, state, from_s: from_s(at), until_s }
        })
    }
}

impl fmt::Debug for Rolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The body of the fuzz target: a state file, and what a server brings in addition to it.
pub fn fuzz(data: &[u8]) {
    let text = core::str::from_utf8(data).unwrap_or_default();
    let Some(mut rolled) = Rolled::parse(text) else { return };
    assert_eq!(Rolled::parse(&rolled.to_text()).as_ref(), Some(&rolled), "it is read as written");
    let first = data.first().copied().unwrap_or(0);
    let file = NetworkSecrets::from_iter([[first | 1; 32], [2; 32]]);
    for sends_s in [0, 100, u32::MAX] {
        rolled.take(&file, NewSecret { secret: [first; 32], sends_s });
        assert!(rolled.0.is_sorted_by_key(|it| it.sends_s), "oldest first");
        for now_s in [0, 99, 100, u64::from(u32::MAX), u64::MAX / 2] {
            let secrets = rolled.at(now_s, &file);
            assert!(NetworkKeys::of(&secrets, "fuzz").is_some(), "one is always sent");
            let twice = (1..secrets.len()).any(|at| secrets[..at].contains(&secrets[at]));
            assert!(!twice, "each is there once");
        }
    }
}

#[cfg(test)]
mod tests;
