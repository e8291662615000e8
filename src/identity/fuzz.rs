//! What fuzzers drive: hostile bytes into all that reads certificates, lists of revocations,
//! challenges and files of identities.

use super::certificate::text;
use super::enrolment::Challenge;
use super::revocation::{Pieces, RevocationHead, Revocations};
use super::{Certificate, Identity, NetworkKeys};

/// Feeds `data` to every parser. Panics where what was read is written otherwise, or where a
/// signature holds that nobody made.
pub fn fuzz(data: &[u8]) {
    let Ok(stranger) = Identity::from_seed([9; 32]) else { return };
    let anchors = [stranger.public()];
    if let Ok(certificate) = Certificate::parse(data) {
        assert_eq!(certificate.as_bytes(), data, "a certificate is its bytes");
        assert!(!certificate.verify(&anchors, &[1; 16]), "nobody has signed that");
    }
    if let Ok(head) = RevocationHead::parse(data) {
        assert_eq!(head.as_bytes(), data, "a head is its bytes");
        assert!(!head.verify(&anchors, &[1; 16]), "nobody has signed that");
        // What follows a head are entries.
        let mut pieces = Pieces::new(head);
        let _ = pieces.take(data);
        let _ = Revocations::default().updated(&pieces.head().clone(), pieces.entries(), 1000);
    }
    let Ok(words) = core::str::from_utf8(data) else { return };
    if let Some(challenge) = Challenge::parse(words) {
        let written = challenge.to_text();
        assert!(written.eq_ignore_ascii_case(words.trim()), "a challenge is its digits");
        assert_eq!(Challenge::parse(&written), Some(challenge));
    }
    if let Ok(certificates) = text::parse(words) {
        let again = text::parse(&text::write(&certificates));
        assert!(again.is_ok_and(|again| again == certificates), "a file is read as it was written");
    }
    let _ = NetworkKeys::parse(words, "fuzz");
    let _ = Identity::parse(words);
}
