//! Whose word counts, and whether a certificate does now.
//!
//! A router starts in 1970, and a clock can be wrong: it is never earlier than the time floor, the
//! newest moment that somebody trusted has signed or that the program was built at. Until the clock
//! is set, a certificate that begins later than the floor counts, and raises it. A list of
//! revocations does so where an anchor itself has signed it: an issuing key that was stolen would
//! date one at the end of its delegation, and whoever takes that takes no certificate any more.

use super::certificate::Certificate;
use super::chain::{Link, TrustAnchors, Validity};
use super::revocation::{RevocationHead, Revocations};
use core::fmt;

/// A clock may be so late: certificates begin this long before they are issued, and a list of
/// revocations may be issued so much later than it seems to be.
pub const CLOCK_LATE_S: u32 = 3_600;

/// In so many seconds one list is made, before their numbers run ahead of the clock.
pub const LIST_S: u32 = 60;
/// And they run ahead by so many at most, where an issuing key signs.
const LISTS_AHEAD_MAX: u32 = 1_000;
/// So far ahead is a number that no issuing key gets past a clock within the next hour: by then the
/// anchor's list is everywhere, and whoever holds that takes none from a key that stands on it.
pub const ANCHOR_AHEAD: u32 = LISTS_AHEAD_MAX + 2 * CLOCK_LATE_S / LIST_S;

/// The highest number that a list of this moment may have, by the anchor itself or an issuing key.
pub fn list_number_max(issued_s: u32, is_direct: bool) -> u32 {
    issued_s / LIST_S + if is_direct { 2 * ANCHOR_AHEAD } else { LISTS_AHEAD_MAX }
}

/// Why a certificate, or a list of revocations, whose signatures hold does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Untrusted {
    /// None of our anchors vouches for it.
    Stranger,
    /// Its time, or its delegation's, is over.
    Expired,
    /// Its time has not come.
    Early,
    /// It was revoked, or its delegation was.
    Revoked,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "certificate: of none of our trust anchors",
            Self::Expired => "certificate: expired",
            Self::Early => "certificate: not valid yet",
            Self::Revoked => "certificate: revoked",
        })
    }
}

impl core::error::Error for Untrusted {}

/// The time, as far as it is known, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What the clock says, where it is set.
    pub unix_s: Option<u64>,
    /// It is not earlier than this.
    pub floor_s: u64,
}

impl Clock {
    /// What time it is at the earliest.
    pub fn now_s(self) -> u64 {
        self.unix_s.map_or(self.floor_s, |unix_s| unix_s.max(self.floor_s))
    }

    fn check(self, validity: Validity) -> Result<(), Untrusted> {
        let now_s = self.now_s();
        if now_s > u64::from(validity.until_s) {
            return Err(Untrusted::Expired);
        }
        if now_s < u64::from(validity.from_s) && self.unix_s.is_some() {
            return Err(Untrusted::Early);
        }
        Ok(())
    }

    fn check_issued(self, head: &RevocationHead) -> Result<(), Untrusted> {
        let latest_s = self.now_s() + u64::from(CLOCK_LATE_S);
        let knows = self.unix_s.is_some() || !head.is_direct();
        let early = knows && u64::from(head.issued_s()) > latest_s;
        if early { Err(Untrusted::Early) } else { Ok(()) }
    }

    /// Somebody trusted has signed something at this moment: it is not earlier now.
    pub fn raise(&mut self, signed_s: u32) {
        self.floor_s = self.floor_s.max(u64::from(signed_s));
    }
}

/// What tells an anchor that vouches for something from others.
pub fn realm(links: &[Link<'_>]) -> u64 {
    let first = links.first().and_then(|link| link.signer.first_chunk());
    first.map_or(0, |it| u64::from_be_bytes(*it))
}

/// Trust anchors, and what they have revoked.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The public keys of those whose word counts; none where no certificates are asked for.
    pub anchors: TrustAnchors,
    /// What counts no longer.
    pub revocations: Revocations,
}

impl Trust {
    /// Whether only the certified count.
    pub fn is_required(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// Whether a certificate counts now, where its signatures hold ([`Certificate::links`]).
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn check(&self, clock: Clock, certificate: &Certificate) -> Result<(), Untrusted> {
        if certificate.links(&self.anchors).is_empty() {
            return Err(Untrusted::Stranger);
        }
        clock.check(certificate.validity())?;
        if self.has_revoked(certificate) { Err(Untrusted::Revoked) } else { Ok(()) }
    }

    /// Whether a certificate was revoked, or its delegation was.
    pub fn has_revoked(&self, certificate: &Certificate) -> bool {
        let serials = [Some(certificate.serial()), certificate.delegation_serial()];
        let lists = self.lists(&certificate.links(&self.anchors));
        lists && serials.into_iter().flatten().any(|serial| self.revocations.has(serial))
    }

    /// Whether the list is of the anchor that vouches for this: of several, each counts serials of
    /// its own.
    fn lists(&self, links: &[Link<'_>]) -> bool {
        self.list_realm() == realm(links)
    }

    /// See [`realm`]; 0 where there is no list.
    pub fn list_realm(&self) -> u64 {
        self.revocations.head().map_or(0, |head| realm(&head.links(&self.anchors)))
    }

    /// Whether the head of a list of revocations counts now, where its signatures hold: one from
    /// the future would drop what has not ended yet, and let an issuing key revoke for all days
    /// until then at once. Numbers follow the clock ([`LIST_S`]): one far ahead of it would be the
    /// last that anybody takes.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn check_head(&self, clock: Clock, head: &RevocationHead) -> Result<(), Untrusted> {
        if head.links(&self.anchors).is_empty() {
            return Err(Untrusted::Stranger);
        }
        if !head.is_timely() {
            return Err(Untrusted::Expired);
        }
        clock.check_issued(head)?;
        if head.number() > list_number_max(head.issued_s(), head.is_direct()) {
            return Err(Untrusted::Early);
        }
        let dismissed = head.delegation_serial().is_some_and(|it| self.revocations.has(it));
        if dismissed && self.lists(&head.links(&self.anchors)) {
            return Err(Untrusted::Revoked);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::authority::{Authority, Subject};
    use crate::identity::key::Identity;
    use crate::identity::revocation::Revoked;

    const NETWORK: [u8; 16] = [7; 16];
    const DAY_S: u32 = 86_400;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32]).unwrap()
    }

    fn anchor() -> Authority {
        Authority::anchor(identity(1), &NETWORK)
    }

    fn issuing() -> Authority {
        let validity = Validity { from_s: 90 * DAY_S, until_s: 200 * DAY_S };
        let delegation = anchor().delegate(3, &identity(2).public(), validity);
        Authority::issuing(identity(2), &NETWORK, delegation)
    }

    fn certificate() -> Certificate {
        let key = identity(9).public();
        issuing().certify(&Subject {
            serial: 7,
            key,
            place: Authority::place(&[5; 32], &key),
            validity: Validity { from_s: 100 * DAY_S, until_s: 114 * DAY_S },
            keys: &[],
        })
    }

    fn trust(revoked: Option<u64>) -> Trust {
        let entries = revoked.map(|serial| Revoked { serial, ends_day: 200, number: 1 });
        let entries: Vec<Revoked> = entries.into_iter().collect();
        let head = anchor().revoke(1, 100 * DAY_S, &entries);
        let revocations = Revocations::default().updated(&head, &entries, 10).unwrap();
        Trust { anchors: [identity(1).public()].into_iter().collect(), revocations }
    }

    fn set(day: u64) -> Clock {
        Clock { unix_s: Some(day * u64::from(DAY_S)), floor_s: 0 }
    }

    #[test]
    fn a_certificate_counts_in_its_time_unless_it_or_its_delegation_is_revoked() {
        let certificate = certificate();
        assert_eq!(trust(None).check(set(107), &certificate), Ok(()));
        assert_eq!(trust(Some(8)).check(set(107), &certificate), Ok(()));
        assert_eq!(trust(Some(7)).check(set(107), &certificate), Err(Untrusted::Revoked));
        assert_eq!(trust(Some(3)).check(set(107), &certificate), Err(Untrusted::Revoked));
        assert_eq!(trust(None).check(set(99), &certificate), Err(Untrusted::Early));
        assert_eq!(trust(None).check(set(115), &certificate), Err(Untrusted::Expired));
        let other = Trust { anchors: [identity(8).public()].into_iter().collect(), ..trust(None) };
        assert_eq!(other.check(set(107), &certificate), Err(Untrusted::Stranger));
        assert_eq!(Trust::default().check(set(107), &certificate), Err(Untrusted::Stranger));
    }

    #[test]
    fn a_router_in_1970_goes_by_the_newest_moment_that_was_signed() {
        let (trust, certificate) = (trust(None), certificate());
        let mut clock = Clock { unix_s: None, floor_s: 90 * u64::from(DAY_S) };
        assert_eq!(trust.check(clock, &certificate), Ok(()), "it is not earlier than that");
        clock.raise(certificate.validity().from_s);
        assert_eq!(trust.check(clock, &certificate), Ok(()));
        clock.raise(115 * DAY_S);
        assert_eq!(trust.check(clock, &certificate), Err(Untrusted::Expired));
        // A clock that was set back is no earlier either.
        assert_eq!(
            trust.check(Clock { unix_s: Some(5), ..clock }, &certificate),
            Err(Untrusted::Expired)
        );
        clock.raise(1);
        assert_eq!(clock.floor_s, 115 * u64::from(DAY_S));
    }

    #[test]
    fn a_delegation_that_is_over_or_revoked_signs_no_list() {
        let head = |day: u32| issuing().revoke(2, day * DAY_S, &[]);
        let direct = anchor().revoke(2, DAY_S, &[]);
        assert_eq!(trust(None).check_head(set(201), &head(150)), Ok(()));
        assert_eq!(trust(None).check_head(set(201), &head(201)), Err(Untrusted::Expired));
        assert_eq!(trust(Some(3)).check_head(set(201), &head(150)), Err(Untrusted::Revoked));
        assert_eq!(trust(Some(3)).check_head(set(201), &direct), Ok(()));
    }

    #[test]
    fn of_two_anchors_each_revokes_what_it_has_certified() {
        let other = Authority::anchor(identity(8), &NETWORK);
        let anchors: TrustAnchors =
            [identity(1).public(), identity(8).public()].into_iter().collect();
        let by = |signer: &Authority, serial| {
            let entries = [Revoked { serial, ends_day: 200, number: 1 }];
            let head = signer.revoke(1, 100 * DAY_S, &entries);
            let revocations = Revocations::default().updated(&head, &entries, 10).unwrap();
            Trust { anchors: anchors.clone(), revocations }
        };
        for serial in [7, 3] {
            let check = |signer: &Authority| by(signer, serial).check(set(107), &certificate());
            assert_eq!(check(&anchor()), Err(Untrusted::Revoked));
            assert_eq!(check(&other), Ok(()));
        }
        let head = issuing().revoke(2, 150 * DAY_S, &[]);
        assert_eq!(by(&anchor(), 3).check_head(set(150), &head), Err(Untrusted::Revoked));
        assert_eq!(by(&other, 3).check_head(set(150), &head), Ok(()));
    }

    #[test]
    fn a_list_from_the_future_counts_once_a_clock_that_may_be_late_has_come_near() {
        let both = |clock, issued_s| {
            [issuing(), anchor()]
                .map(|it| trust(None).check_head(clock, &it.revoke(2, issued_s, &[])))
        };
        let check = |clock, issued_s| {
            let [one, other] = both(clock, issued_s);
            assert_eq!(one, other);
            one
        };
        let now_s = 150 * DAY_S;
        assert_eq!(check(set(150), now_s), Ok(()));
        assert_eq!(check(set(150), now_s + CLOCK_LATE_S), Ok(()));
        assert_eq!(check(set(150), now_s + CLOCK_LATE_S + 1), Err(Untrusted::Early));
        // A clock that was set back is no earlier than the floor.
        let floor_s = u64::from(now_s);
        let back = Clock { unix_s: Some(5), floor_s };
        assert_eq!(check(back, now_s + CLOCK_LATE_S), Ok(()));
        assert_eq!(check(back, now_s + CLOCK_LATE_S + 1), Err(Untrusted::Early));
        // Who does not know the time takes the anchor's word for it.
        let unset = Clock { unix_s: None, floor_s };
        assert_eq!(both(unset, 199 * DAY_S), [Err(Untrusted::Early), Ok(())]);
        assert_eq!(check(unset, now_s + CLOCK_LATE_S), Ok(()));
    }

    #[test]
    fn a_number_that_is_far_ahead_of_the_clock_ends_no_other_list() {
        let check = |signer: Authority, number| {
            trust(None).check_head(set(150), &signer.revoke(number, 150 * DAY_S, &[]))
        };
        let minutes = 150 * DAY_S / 60;
        assert_eq!(check(issuing(), minutes + 1_000), Ok(()));
        assert_eq!(check(issuing(), minutes + 1_001), Err(Untrusted::Early));
        assert_eq!(check(issuing(), u32::MAX), Err(Untrusted::Early));
        // The anchor is ahead of all that an issuing key can date, for an hour, and twice so far.
        let future_s = 150 * DAY_S + CLOCK_LATE_S;
        assert!(ANCHOR_AHEAD + minutes >= list_number_max(future_s, false) + 60);
        assert_eq!(check(anchor(), minutes + 2 * ANCHOR_AHEAD), Ok(()));
        assert_eq!(check(anchor(), minutes + 2 * ANCHOR_AHEAD + 1), Err(Untrusted::Early));
    }
}
