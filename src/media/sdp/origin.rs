//! Who describes a session, and which version of it that is: the `o=` line (RFC 8866 s5.2).
//!
//! A description that changes keeps its session's id and counts its version up by one (RFC 3264
//! s8). Where one phone is told descriptions of several far ends in one dialog, their versions
//! know nothing of each other, and are written anew.

use super::lines;

/// What stays of an `o=` line while a session lasts, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User name and session id, as the line begins.
    pub session: String,
    /// The version; 0 where it is no number.
    pub version: u64,
}

impl Origin {
    /// The origin of a description.
    pub fn of(text: &[u8]) -> Option<Self> {
        let (session, version, _) = parts(lines(text).find(|line| line.starts_with(b"o="))?)?;
        Some(Self { session: session.to_owned(), version: version.parse().unwrap_or(0) })
    }

    /// The same description under this origin; its address stays.
    pub fn write(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 16);
        for whole in text.split_inclusive(|byte| *byte == b'\n') {
            match parts(whole).filter(|_| whole.starts_with(b"o=")) {
                Some((_, _, rest)) => {
                    let line = format!("{} {} {rest}", self.session, self.version);
                    out.extend_from_slice(line.as_bytes());
                }
                None => out.extend_from_slice(whole),
            }
        }
        out
    }
}

/// An `o=` line up to its session id, its version, and what follows. User names with spaces exist.
fn parts(line: &[u8]) -> Option<(&str, &str, &str)> {
    let line = core::str::from_utf8(line).ok()?;
    let mut ends = line.rmatch_indices(' ').map(|(at, _)| at);
    let (rest, version) = (ends.nth(2)?, ends.next()?);
    line.get(..version)?.contains(' ').then_some(())?;
    Some((line.get(..version)?, line.get(version + 1..rest)?, line.get(rest + 1..)?))
}

/// Whether two descriptions say the same, whatever their versions.
pub fn says_the_same(a: &[u8], b: &[u8]) -> bool {
    let said = |text| lines(text).filter(|line| !line.starts_with(b"o="));
    said(a).eq(said(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_written_under_another_origin() {
        let text = b"v=0\r\no=my name 7 8 IN IP4 192.0.2.1\r\ns=o=1\r\n";
        assert_eq!(Origin::of(text), Some(Origin { session: "o=my name 7".into(), version: 8 }));
        let other = Origin { session: "o=- 1".into(), version: 2 };
        let written = other.write(text);
        assert_eq!(written, b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=o=1\r\n");
        assert!(says_the_same(text, &written));
        assert!(!says_the_same(text, b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n"));
    }

    #[test]
    fn what_is_no_origin_stays() {
        for text in
            [&b"v=0\r\n"[..], b"o=\r\n", b"o=- 1 2\r\n", b"o=1 2 IN IP4 x\r\n", b"o=\xff 1 2 3 4 5"]
        {
            assert_eq!(Origin::of(text), None, "{text:?}");
            assert_eq!(Origin { session: "o=- 1".into(), version: 2 }.write(text), text);
        }
    }
}
