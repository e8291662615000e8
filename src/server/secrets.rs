//! The network's secret, and how another one takes over while everything runs.
//!
//! A new secret is handed out with certificates and sent from a moment of its own
//! ([`crate::identity::rolling`]): after [`ROLL_DAYS_MIN`] days at the earliest. A router renews
//! its certificates every 7 days, and one that was switched off has to when they end, after 14. The
//! books say which secrets there were and from when each is sent, so that all servers of a network
//! agree; `network.key` follows them, and is what routers' images get. Where it begins with a
//! secret that the books do not know, its owner has written that there, and it counts.
//!
//! In the books they are sealed under a key that follows from `place.key`, which every server of a
//! network has and no database.

use super::books::{Deed, Kept};
use super::error::{FolderFault, Refusal, ServerError};
use super::folder::{Folder, PLACES, SECRET};
use super::office::{Office, SECRETS_MAX};
use super::text::{from_hex, hex, moment as written};
use super::{DAY_S, Moment};
use crate::identity::NetworkKeys;
use crate::identity::network::NetworkSecrets;
use crate::identity::rolling::{NewSecret, Rolled, Shown, State, heard_until_s};
use crate::rng::Rng;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use core::fmt;
use zeroize::Zeroizing;

/// Days until a new secret is sent, at least and where nothing else is said.
pub const ROLL_DAYS_MIN: u32 = 15;
/// And at most.
pub const ROLL_DAYS_MAX: u32 = 365;

const CONTEXT: &str = "cosip 2026 server secrets in the books v1";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Why a new secret cannot take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollFault {
    /// It would do so too soon, or in too long a time.
    Days,
    /// Another one does, until then, where that is known.
    UnderWay(Option<u64>),
}

impl fmt::Display for RollFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days => write!(
                f,
                "--days: a number from {ROLL_DAYS_MIN} to {ROLL_DAYS_MAX}; routers are brought a \
                 new secret when they renew, every 7 days, and one that does not have it when it \
                 is sent hears nobody any more"
            ),
            Self::UnderWay(until_s) => {
                f.write_str("the network has two secrets, and certificates list no third; ")?;
                match until_s {
                    Some(until_s) => {
                        write!(f, "the older one is dropped at {} UTC", written(*until_s))
                    }
                    None => f.write_str("drop the older one from network.key, here and on routers"),
                }
            }
        }
    }
}

impl Office {
    /// Makes a secret that is sent from so many days on.
    ///
    /// # Errors
    /// [`RollFault`], and what else can fail.
    pub fn new_secret(
        &mut self,
        moment: Moment<'_>,
        days: u32,
        rng: &mut Rng,
    ) -> Result<Shown, ServerError> {
        if !(ROLL_DAYS_MIN..=ROLL_DAYS_MAX).contains(&days) {
            return Err(Refusal::Roll(RollFault::Days).into());
        }
        let Self { folder, config, books, keys, .. } = self;
        let (key, name) = (sealing_key(folder)?, config.network_name());
        let sends_s = moment.stamp().saturating_add(days * DAY_S as u32);
        let mut file = keys.secrets();
        books.alone(|books| {
            let kept = books.secrets()?;
            let mut rolled = opened(folder, &key, &kept, &file, name)?;
            file = rolled.at(moment.now_s, &file);
            if file.len() >= SECRETS_MAX {
                let known = file.iter().filter_map(|it| rolled.sends_s(it)).max();
                let until_s = known.map(heard_until_s);
                return Err(Refusal::Roll(RollFault::UnderWay(until_s)).into());
            }
            let known: Vec<[u8; 32]> = rolled.iter().map(|it| it.secret).collect();
            let new = unlike(rng, &file, name);
            rolled.take(&file, NewSecret { secret: new, sends_s });
            for added in rolled.iter().filter(|it| !known.contains(&it.secret)) {
                let made_s = if added.secret == new { moment.now_s } else { 0 };
                books.add_secret(&sealed(&key, (added, made_s), name, rng.bytes()))?;
            }
            let (id, at) = (key_id(&new, name), written(sends_s.into()));
            let detail = format!("key id {id:02x}, sent from {at} UTC");
            books.note(moment, &Deed { what: "secret", detail: &detail, ..Deed::default() })
        })?;
        self.keep_secrets(moment)?;
        let shown = self.shown_secrets(moment).into_iter().find(|it| it.state == State::Coming);
        shown.ok_or_else(|| Refusal::Roll(RollFault::UnderWay(None)).into())
    }

    /// Takes what the books say of secrets.
    pub(super) fn read_secrets(&mut self) -> Result<(), ServerError> {
        let kept = self.books.secrets()?;
        if kept.is_empty() {
            return Ok(());
        }
        let (key, name) = (sealing_key(&self.folder)?, self.config.network_name());
        self.rolled = opened(&self.folder, &key, &kept, &self.keys.secrets(), name)?;
        Ok(())
    }

    /// Has `network.key`, and what is certified, follow the books and the time.
    ///
    /// # Errors
    /// What the database or the system says.
    pub fn keep_secrets(&mut self, moment: Moment<'_>) -> Result<(), ServerError> {
        self.read_secrets()?;
        let secrets = self.rolled.at(moment.now_s, &self.keys.secrets());
        if secrets == self.keys.secrets() {
            return Ok(());
        }
        let lines = secrets.iter().map(|secret| format!("{}\n", hex(secret)));
        let text = Zeroizing::new(lines.collect::<String>());
        self.folder.write(SECRET, &text)?;
        if let Some(keys) = NetworkKeys::of(&secrets, self.config.network_name()) {
            self.keys = keys;
        }
        Ok(())
    }

    /// The secret that takes over, or did so last: what routers are given.
    pub fn newest_secret(&self) -> Option<NewSecret> {
        let newest = self.rolled.iter().last().copied();
        newest.filter(|it| it.sends_s > 0 && self.keys.secrets().contains(&it.secret))
    }

    /// The secrets of now, as people may see them.
    pub fn shown_secrets(&self, moment: Moment<'_>) -> Vec<Shown> {
        self.rolled.shown(moment.now_s, &self.keys).collect()
    }

    /// Where a secret is coming: how many of the adapters with a certificate have been brought it,
    /// in words.
    ///
    /// # Errors
    /// What the database says.
    pub fn spread(&mut self, moment: Moment<'_>) -> Result<String, ServerError> {
        let mut kept = self.books.secrets()?;
        let Some(last) = kept.pop().filter(|it| u64::from(it.sends_s) > moment.now_s) else {
            return Ok(String::new());
        };
        let (all, have) = self.books.members_since(last.made_s, moment.now_s)?;
        Ok(format!("{have} of {all} adapters with a certificate have {:02x}\n", last.key_id))
    }
}

/// A secret whose key id is none of these.
fn unlike(rng: &mut Rng, others: &NetworkSecrets, name: &str) -> [u8; 32] {
    loop {
        let secret: [u8; 32] = rng.bytes();
        let id = key_id(&secret, name);
        if others.iter().all(|other| key_id(other, name) != id) {
            return secret;
        }
    }
}

fn key_id(secret: &[u8; 32], name: &str) -> u8 {
    NetworkKeys::new(secret, name).key_id()
}

fn sealing_key(folder: &Folder) -> Result<Zeroizing<[u8; 32]>, ServerError> {
    let places = Zeroizing::new(folder.places()?);
    Ok(Zeroizing::new(blake3::derive_key(CONTEXT, &*places)))
}

fn sealed(
    key: &[u8; 32],
    (new, made_s): (&NewSecret, u64),
    name: &str,
    nonce: [u8; NONCE_BYTES],
) -> Kept {
    let mut buffer = Zeroizing::new(new.secret);
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let head = new.sends_s.to_be_bytes();
    let nonce = Nonce::from(nonce);
    let tag = cipher.encrypt_inout_detached(&nonce, &head, buffer.as_mut_slice().into());
    let tag: [u8; TAG_BYTES] = tag.map(Into::into).unwrap_or_default();
    let sealed = format!("{}{}{}", hex(&nonce), hex(&*buffer), hex(&tag));
    Kept { key_id: key_id(&new.secret, name), made_s, sends_s: new.sends_s, sealed }
}

fn open(key: &[u8; 32], kept: &Kept) -> Option<[u8; 32]> {
    let bytes = from_hex(&kept.sealed)?;
    let (nonce, rest) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut secret: [u8; 32] = sealed.try_into().ok()?;
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let head = kept.sends_s.to_be_bytes();
    let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
    let opened = cipher.decrypt_inout_detached(&nonce, &head, secret.as_mut_slice().into(), &tag);
    opened.ok().map(|()| secret)
}

/// What the books have. Where `place.key` is another one than they were sealed under, those count
/// that are in `network.key`, and the newest has to.
fn opened(
    folder: &Folder,
    key: &[u8; 32],
    kept: &[Kept],
    file: &NetworkSecrets,
    name: &str,
) -> Result<Rolled, ServerError> {
    let in_file = |kept: &Kept| file.iter().copied().find(|it| key_id(it, name) == kept.key_id);
    let one = |kept: &Kept| {
        let secret = open(key, kept).or_else(|| in_file(kept))?;
        Some(NewSecret { secret, sends_s: kept.sends_s })
    };
    let all: Vec<Option<NewSecret>> = kept.iter().map(one).collect();
    if all.last().is_some_and(Option::is_none) {
        let wanted = "what the secrets in the database are sealed under";
        return Err(folder.fault(PLACES, FolderFault::Content(wanted)));
    }
    let all: Vec<NewSecret> = all.into_iter().flatten().collect();
    Ok(Rolled::of(&all))
}
