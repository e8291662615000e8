//! Digest authentication: RFC 7616, and RFC 2617 as phones still speak it (RFC 8760 for SIP).
//!
//! MD5 and SHA-256, with `qop=auth` or without qop. [`Challenge`] and [`Credentials`] are views of
//! header values, [`answer`] is the client's side, with [`Session`] over several requests, and
//! [`Authenticator`] the server's. Not here: the
//! session variants, auth-int and hashed user names, which no phone was seen to need.

mod authenticator;
mod parse;
mod session;
#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, Offer, Verdict};
pub use parse::{Challenge, Credentials, DigestError};
pub use session::Session;

use core::fmt;
use md5::{Digest, Md5};
use sha2::Sha256;

/// A hash function of digest authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5: what every phone and every server knows.
    Md5,
    /// SHA-256 (RFC 8760).
    Sha256,
}

impl Algorithm {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(name))
    }

    /// The hash of `parts` with colons between them, in hexadecimal digits.
    fn hash(self, parts: &[&str]) -> Hex {
        fn run<D: Digest>(parts: &[&str]) -> Hex {
            let mut hasher = D::new();
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    hasher.update(b":");
                }
                hasher.update(part.as_bytes());
            }
            Hex::new(&hasher.finalize())
        }
        match self {
            Self::Md5 => run::<Md5>(parts),
            Self::Sha256 => run::<Sha256>(parts),
        }
    }
}

/// Hexadecimal digits of a hash.
#[derive(Clone, Copy)]
struct Hex {
    digits: [u8; 64],
    len: usize,
}

impl Hex {
    fn new(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = Self { digits: [b'0'; 64], len: (2 * bytes.len()).min(64) };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        hex
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.digits[..self.len]).unwrap_or_default()
    }

    /// Compares in a time that does not depend on where the difference is.
    fn is_equal(&self, other: &str) -> bool {
        let pairs = self.as_str().bytes().zip(other.bytes());
        let difference = pairs.fold(0, |sum, (a, b)| sum | (a ^ b.to_ascii_lowercase()));
        core::hint::black_box(difference) == 0 && other.len() == self.len
    }
}

/// What a user and a server share, in a realm. A password serves every algorithm, a hash only its
/// own.
#[derive(Clone, Copy, Default)]
pub struct Secret<'a> {
    /// The user name.
    pub user: &'a str,
    /// The realm that the hashes were made for, and that challenges of ours name.
    pub realm: &'a str,
    /// The password.
    pub password: Option<&'a str>,
    /// MD5 of `user:realm:password`, 32 hexadecimal digits in lower case.
    pub ha1: Option<&'a str>,
    /// SHA-256 of the same, 64 hexadecimal digits in lower case.
    pub ha1_sha256: Option<&'a str>,
}

impl Secret<'_> {
    /// Whether it can answer, and judge answers, by this algorithm.
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        self.password.is_some() || self.stored(algorithm).is_some()
    }

    /// Whether it can answer this challenge.
    pub fn can_answer(&self, challenge: &Challenge<'_>) -> bool {
        let stored = challenge.realm == self.realm && self.stored(challenge.algorithm).is_some();
        stored || self.password.is_some()
    }

    fn stored(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Md5 => self.ha1,
            Algorithm::Sha256 => self.ha1_sha256,
        }
    }

    /// H(A1) for a realm. A stored hash goes before the password: it was made for one realm only.
    fn ha1(&self, algorithm: Algorithm, realm: &str) -> Option<Hex> {
        if realm == self.realm
            && let Some(stored) = self.stored(algorithm)
        {
            let mut hex = Hex { digits: [b'0'; 64], len: stored.len() };
            hex.digits.get_mut(..stored.len())?.copy_from_slice(stored.as_bytes());
            return Some(hex);
        }
        self.password.map(|password| algorithm.hash(&[self.user, realm, password]))
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?} of {:?})", self.user, self.realm)
    }
}

/// The `response` of RFC 7616 s3.4.1. With `quality` (`qop=auth`): nonce count and client nonce.
fn response(
    algorithm: Algorithm,
    ha1: &Hex,
    nonce: &str,
    quality: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> Hex {
    let ha2 = algorithm.hash(&[method, uri]);
    match quality {
        Some((count, cnonce)) => {
            algorithm.hash(&[ha1.as_str(), nonce, count, cnonce, "auth", ha2.as_str()])
        }
        None => algorithm.hash(&[ha1.as_str(), nonce, ha2.as_str()]),
    }
}

/// The value of an Authorization or Proxy-Authorization header, to be written by `Display`.
pub struct Answer<'a> {
    challenge: Challenge<'a>,
    user: &'a str,
    uri: &'a str,
    cnonce: &'a str,
    count: u32,
    response: Hex,
}

/// Answers a challenge to a request of `method` for `uri`.
///
/// `cnonce` is random and without quotes; `count` is how often this nonce has been used,
/// this time included. None where `secret` does not serve the challenge's algorithm.
pub fn answer<'a>(
    challenge: &Challenge<'a>,
    secret: &Secret<'a>,
    method: &str,
    uri: &'a str,
    cnonce: &'a str,
    count: u32,
) -> Option<Answer<'a>> {
    let ha1 = secret.ha1(challenge.algorithm, challenge.realm)?;
    let number = format!("{count:08x}");
    let quality = challenge.auth.then_some((number.as_str(), cnonce));
    let response = response(challenge.algorithm, &ha1, challenge.nonce, quality, method, uri);
    Some(Answer { challenge: *challenge, user: secret.user, uri, cnonce, count, response })
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Challenge { realm, nonce, opaque, algorithm, auth, .. } = self.challenge;
        f.write_str("Digest username=\"")?;
        for letter in self.user.chars() {
            if matches!(letter, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        let (uri, response) = (self.uri, self.response.as_str());
        write!(f, "\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\"")?;
        write!(f, ", response=\"{response}\", algorithm={}", algorithm.as_str())?;
        if auth {
            write!(f, ", cnonce=\"{}\", qop=auth, nc={:08x}", self.cnonce, self.count)?;
        }
        if let Some(opaque) = opaque {
            write!(f, ", opaque=\"{opaque}\"")?;
        }
        Ok(())
    }
}
