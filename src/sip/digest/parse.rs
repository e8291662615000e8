//! Header values of digest authentication, as views.
//!
//! Read widely, for phones and servers quote what should be bare and the other way round: any
//! parameter may stand in quotes or without, names and tokens in any case. A parameter that comes
//! twice is refused, since one reader would believe the first and another the second.

use super::Algorithm;
use core::fmt;

/// Why a header value of digest authentication is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestError {
    /// Another scheme than Digest.
    Scheme,
    /// Not a list of parameters, or one of them came twice.
    Syntax,
    /// A parameter that must be there is not, or its value makes no sense.
    Missing(&'static str),
    /// An algorithm or a quality of protection that is not served.
    Unsupported,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("authentication scheme is not Digest"),
            Self::Syntax => f.write_str("malformed authentication parameters"),
            Self::Missing(name) => write!(f, "authentication parameter {name} is missing or wrong"),
            Self::Unsupported => f.write_str("digest algorithm or qop is not supported"),
        }
    }
}

impl core::error::Error for DigestError {}

/// A challenge: the value of a WWW-Authenticate or Proxy-Authenticate header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Whose password is asked for; escapes kept.
    pub realm: &'a str,
    /// What the answer is computed over.
    pub nonce: &'a str,
    /// To be returned as it is.
    pub opaque: Option<&'a str>,
    /// Absent on the wire: MD5.
    pub algorithm: Algorithm,
    /// Whether `qop=auth` is offered. Without it the answer is that of RFC 2069.
    pub auth: bool,
    /// The last answer was right, but to an old nonce: answer again without asking anyone.
    pub stale: bool,
}

impl<'a> Challenge<'a> {
    /// Reads a header value.
    ///
    /// # Errors
    /// [`DigestError`].
    pub fn parse(value: &'a str) -> Result<Self, DigestError> {
        let mut found = [None; 6];
        let names = ["realm", "nonce", "opaque", "algorithm", "qop", "stale"];
        read(value, &names, &mut found)?;
        let [realm, nonce, opaque, algorithm, qop, stale] = found;
        let offers_auth = |list: &str| list.split(',').any(|q| q.trim() == "auth");
        if qop.is_some_and(|list| !offers_auth(&list.to_ascii_lowercase())) {
            return Err(DigestError::Unsupported);
        }
        Ok(Self {
            realm: realm.ok_or(DigestError::Missing("realm"))?,
            nonce: nonce.ok_or(DigestError::Missing("nonce"))?,
            opaque,
            algorithm: algorithm_of(algorithm)?,
            auth: qop.is_some(),
            stale: stale.is_some_and(|flag| flag.eq_ignore_ascii_case("true")),
        })
    }
}

/// Credentials: the value of an Authorization or Proxy-Authorization header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The user name, escapes kept: compare with [`Self::is_user`].
    pub user: &'a str,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The nonce of the challenge.
    pub nonce: &'a str,
    /// The URI that the digest covers: the Request-URI as the phone knew it.
    pub uri: &'a str,
    /// The digest: hexadecimal digits.
    pub response: &'a str,
    /// Absent on the wire: MD5.
    pub algorithm: Algorithm,
    /// With `qop=auth`: the nonce count as written, and the client's nonce.
    pub quality: Option<(&'a str, &'a str)>,
}

impl<'a> Credentials<'a> {
    /// Reads a header value.
    ///
    /// # Errors
    /// [`DigestError`].
    pub fn parse(value: &'a str) -> Result<Self, DigestError> {
        let names =
            ["username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"];
        let mut found = [None; 9];
        read(value, &names, &mut found)?;
        let [user, realm, nonce, uri, response, algorithm, qop, count, cnonce] = found;
        let quality = match qop {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count = count.filter(|count| is_count(count));
                let count = count.ok_or(DigestError::Missing("nc"))?;
                Some((count, cnonce.ok_or(DigestError::Missing("cnonce"))?))
            }
            Some(_) => return Err(DigestError::Unsupported),
        };
        Ok(Self {
            user: user.ok_or(DigestError::Missing("username"))?,
            realm: realm.ok_or(DigestError::Missing("realm"))?,
            nonce: nonce.ok_or(DigestError::Missing("nonce"))?,
            uri: uri.ok_or(DigestError::Missing("uri"))?,
            response: response.ok_or(DigestError::Missing("response"))?,
            algorithm: algorithm_of(algorithm)?,
            quality,
        })
    }

    /// Whether they are of this user.
    pub fn is_user(&self, user: &str) -> bool {
        unescape(self.user).eq(user.bytes())
    }

    /// How often the client says that it has used the nonce, this time included.
    pub(super) fn count(&self) -> Option<u32> {
        self.quality.and_then(|(count, _)| u32::from_str_radix(count, 16).ok())
    }
}

/// The nonce that an Authentication-Info header asks the next request to use (RFC 7616 s3.5).
pub(super) fn next_nonce(value: &str) -> Option<String> {
    let mut found = [None];
    read_parameters(value, &["nextnonce"], &mut found).ok()?;
    let [nonce] = found;
    nonce.filter(|nonce| !nonce.is_empty()).map(str::to_owned)
}

fn algorithm_of(name: Option<&str>) -> Result<Algorithm, DigestError> {
    name.map_or(Some(Algorithm::Md5), Algorithm::parse).ok_or(DigestError::Unsupported)
}

fn is_count(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A quoted string without its backslashes.
pub(super) fn unescape(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mut bytes = text.bytes();
    core::iter::from_fn(move || match bytes.next()? {
        b'\\' => bytes.next(),
        byte => Some(byte),
    })
}

/// Reads `Digest name=value, name="value", …` and keeps the values of `names`.
fn read<'a>(
    value: &'a str,
    names: &[&str],
    found: &mut [Option<&'a str>],
) -> Result<(), DigestError> {
    const SCHEME: &str = "Digest";
    let value = value.trim();
    let (scheme, rest) = value.split_at_checked(SCHEME.len()).ok_or(DigestError::Scheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || !rest.starts_with(is_space) {
        return Err(DigestError::Scheme);
    }
    read_parameters(rest, names, found)
}

fn read_parameters<'a>(
    mut rest: &'a str,
    names: &[&str],
    found: &mut [Option<&'a str>],
) -> Result<(), DigestError> {
    loop {
        // Empty elements of a list are allowed (RFC 7230 s7).
        rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
        if rest.is_empty() {
            return Ok(());
        }
        let (name, after) = rest.split_once('=').ok_or(DigestError::Syntax)?;
        let (value, after) = value_of(after.trim_start_matches(is_space))?;
        rest = after.trim_start_matches(is_space);
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err(DigestError::Syntax);
        }
        let name = name.trim_end_matches(is_space);
        if name.is_empty() || name.contains([' ', '\t', ',', '"']) {
            return Err(DigestError::Syntax);
        }
        let wanted = names.iter().position(|wanted| name.eq_ignore_ascii_case(wanted));
        if let Some(slot) = wanted.and_then(|at| found.get_mut(at))
            && slot.replace(value).is_some()
        {
            return Err(DigestError::Syntax);
        }
    }
}

/// Splits a value, in quotes or bare, from what follows it.
fn value_of(text: &str) -> Result<(&str, &str), DigestError> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(|c| is_space(c) || c == ',').unwrap_or(text.len());
        return text.split_at_checked(end).ok_or(DigestError::Syntax);
    };
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let value = inner.get(..at).ok_or(DigestError::Syntax)?;
                return Ok((value, inner.get(at + 1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err(DigestError::Syntax)
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}
