//! Whether media that flow already may go straight to another phone: do both mean the same by
//! their payload types, or has one of them to be asked anew?
//!
//! An anchor between two phones may speak other codecs to each, number payload types anew, and
//! hold keys of its own. Compared is only what a phone may send now: the formats that its far end
//! was said to take and that it takes itself.

use super::lines;
use crate::text;

/// How a description of another far end fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// What the phone sends now is understood there.
    Same,
    /// The phone has to be offered it.
    Other,
    /// It cannot be offered: it has fewer media lines, or other kinds of them (RFC 3264 s8).
    Never,
}

/// One media section.
struct Section<'a> {
    kind: &'a str,
    refused: bool,
    protocol: &'a str,
    formats: Vec<&'a str>,
    attributes: Vec<&'a str>,
}

/// How `there`, what the other phone takes, fits a phone that said `said` and was `told` what its
/// far end takes.
pub fn fit(said: &[u8], told: &[u8], there: &[u8]) -> Fit {
    let (said, told, there) = (sections(said), sections(told), sections(there));
    let other_kind = told.iter().zip(&there).any(|(a, b)| a.kind != b.kind);
    if there.len() < told.len() || other_kind || there.iter().all(|section| section.refused) {
        return Fit::Never;
    }
    if there.len() > told.len() || said.len() != told.len() {
        return Fit::Other;
    }
    let mut lines = said.iter().zip(&told).zip(&there);
    match lines.all(|((said, told), there)| told.is_understood(said, there)) {
        true => Fit::Same,
        false => Fit::Other,
    }
}

fn sections(text: &[u8]) -> Vec<Section<'_>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    // What stands before the first of them holds for all (RFC 8866 s5.13).
    let mut common = Vec::new();
    for line in lines(text) {
        let Ok(line) = core::str::from_utf8(line) else { continue };
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split_ascii_whitespace();
            let mut word = || words.next().unwrap_or_default();
            let (kind, port, protocol) = (word(), word(), word());
            let refused = port.split('/').next() == Some("0");
            let formats = words.collect();
            let attributes = common.clone();
            found.push(Section { kind, refused, protocol, formats, attributes });
        } else if let Some(value) = line.strip_prefix("a=") {
            let attributes = found.last_mut().map_or(&mut common, |it| &mut it.attributes);
            attributes.push(value.trim_end());
        }
    }
    found
}

/// Payload types below have one meaning for ever (RFC 3551 s6).
const FIRST_FREE_TYPE: u8 = 35;

impl<'a> Section<'a> {
    /// Whether what a phone sends that `said` this and was told `self` is understood `there`.
    fn is_understood(&self, said: &Self, there: &Self) -> bool {
        if self.refused || there.refused {
            return self.refused == there.refused;
        }
        let sent = || self.formats.iter().filter(|format| said.takes(self.codec(format)));
        let understood = |format: &&str| {
            let known = there.formats.contains(format);
            known
                && there.codec(format).eq_ignore_ascii_case(self.codec(format))
                && there.attribute("fmtp:", format) == self.attribute("fmtp:", format)
        };
        self.protocol == there.protocol
            && !self.is_dtls()
            && self.keys().eq(there.keys())
            && sent().next().is_some()
            && sent().all(understood)
    }

    /// Whether its keys are agreed on with one far end only, in a handshake (RFC 5763).
    fn is_dtls(&self) -> bool {
        text::has(&self.protocol.to_ascii_uppercase(), "TLS")
    }

    fn takes(&self, codec: &str) -> bool {
        self.formats.iter().any(|format| self.codec(format).eq_ignore_ascii_case(codec))
    }

    /// What a format stands for: its name and clock rate, or itself.
    fn codec<'f>(&self, format: &'f str) -> &'f str
    where
        'a: 'f,
    {
        let is_static = format.parse::<u8>().is_ok_and(|number| number < FIRST_FREE_TYPE);
        let mapped = self.attribute("rtpmap:", format).filter(|_| !is_static);
        mapped.map_or(format, |name| name.strip_suffix("/1").unwrap_or(name))
    }

    /// What an attribute says of a format.
    fn attribute(&self, name: &str, format: &str) -> Option<&'a str> {
        let of = |value: &&'a str| {
            let (number, text) = value.strip_prefix(name)?.split_once(' ')?;
            (number == format).then_some(text.trim())
        };
        self.attributes.iter().find_map(of)
    }

    /// What its media are encrypted with (RFC 4568, RFC 8122).
    fn keys(&self) -> impl Iterator<Item = &&'a str> {
        let is_key = |value: &&&str| {
            ["crypto:", "fingerprint:", "key-mgmt:"].iter().any(|name| value.starts_with(name))
        };
        self.attributes.iter().filter(is_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(formats: &str, attributes: &[&str]) -> String {
        let mut text = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP {formats}\r\n");
        attributes.iter().for_each(|line| text += &format!("a={line}\r\n"));
        text
    }

    #[test]
    fn a_table_of_descriptions() {
        let pcmu = audio("0", &[]);
        let named = audio("0", &["rtpmap:0 PCMU/8000"]);
        let many = audio("0 8 101", &["rtpmap:101 telephone-event/8000", "fmtp:101 0-15"]);
        let digits = audio("8 101", &["rtpmap:101 telephone-event/8000", "fmtp:101 0-15"]);
        let moved = audio("8 97", &["rtpmap:97 telephone-event/8000", "fmtp:97 0-15"]);
        let opus = audio("97", &["rtpmap:97 opus/48000/2"]);
        let ilbc = audio("97", &["rtpmap:97 iLBC/8000/1", "fmtp:97 mode=30"]);
        let ilbc_20 = audio("97", &["rtpmap:97 ILBC/8000", "fmtp:97 mode=20"]);
        let crypto = |key: &str| {
            let secure = audio("0", &[&format!("crypto:1 AES_CM_128_HMAC_SHA1_80 {key}")]);
            secure.replace("RTP/AVP", "RTP/SAVP")
        };
        let dtls = crypto("a").replace("RTP/SAVP", "UDP/TLS/RTP/SAVPF");
        let session = |key: &str| {
            let line = format!("v=0\r\na=key-mgmt:mikey {key}\r\n");
            pcmu.replace("v=0\r\n", &line).replace("RTP/AVP", "RTP/SAVP")
        };
        let fax = "v=0\r\nm=image 4000 udptl t38\r\n".to_owned();
        let off = pcmu.replace("4000", "0");
        let two = format!("{pcmu}m=video 4002 RTP/AVP 31\r\n");
        let half = format!("{pcmu}m=video 0 RTP/AVP 31\r\n");
        let cases: [(&str, &str, &str, Fit); 21] = [
            (&pcmu, &pcmu, &pcmu, Fit::Same),
            (&pcmu, &named, &pcmu, Fit::Same),
            (&digits, &many, &digits, Fit::Same),
            (&many, &digits, &many, Fit::Same),
            (&digits, &digits, &moved, Fit::Other),
            (&digits, &moved, &moved, Fit::Same),
            (&digits, &moved, &digits, Fit::Other),
            (&opus, &opus, &ilbc, Fit::Other),
            (&ilbc, &ilbc, &ilbc_20, Fit::Other),
            (&many, &pcmu, &digits, Fit::Other),
            (&crypto("a"), &crypto("b"), &crypto("c"), Fit::Other),
            (&crypto("a"), &crypto("b"), &crypto("b"), Fit::Same),
            (&pcmu, &pcmu, &crypto("a"), Fit::Other),
            (&session("a"), &session("b"), &session("c"), Fit::Other),
            (&session("a"), &session("b"), &session("b"), Fit::Same),
            (&dtls, &dtls, &dtls, Fit::Other),
            (&pcmu, &pcmu, &two, Fit::Other),
            (&two, &two, &half, Fit::Other),
            (&two, &two, &pcmu, Fit::Never),
            (&pcmu, &pcmu, &fax, Fit::Never),
            (&pcmu, &pcmu, &off, Fit::Never),
        ];
        for (number, (said, told, there, wanted)) in cases.into_iter().enumerate() {
            let found = fit(said.as_bytes(), told.as_bytes(), there.as_bytes());
            assert_eq!(found, wanted, "case {number}");
        }
    }

    #[test]
    fn nonsense_never_fits() {
        for there in [&b""[..], b"m=", b"m=audio", b"\xff\xfe", b"a=rtpmap:0 x", b"m=audio 0\r\n"] {
            assert_eq!(
                fit(b"m=audio 1 RTP/AVP 0", b"m=audio 1 RTP/AVP 0", there),
                match there {
                    b"m=audio" => Fit::Other,
                    _ => Fit::Never,
                }
            );
        }
    }
}
