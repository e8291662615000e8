//! Lists of revocations: how they grow, travel and end, and what is refused.

use super::*;
use crate::identity::authority::Authority;
use crate::identity::chain::Validity;
use crate::identity::key::Identity;
use crate::rng::Rng;

const NETWORK: [u8; 16] = [7; 16];
/// Some day of 2026.
const TODAY: u16 = 20_600;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32]).unwrap()
}

fn anchor() -> Authority {
    Authority::anchor(identity(1), &NETWORK)
}

fn issuing() -> Authority {
    let validity = Validity { from_s: 0, until_s: u32::MAX };
    let delegation = anchor().delegate(3, &identity(2).public(), validity);
    Authority::issuing(identity(2), &NETWORK, delegation)
}

fn revoked(serial: u64, ends_day: u16, number: u32) -> Revoked {
    Revoked { serial, ends_day, number }
}

fn head(authority: &Authority, number: u32, day: u16, entries: &[Revoked]) -> RevocationHead {
    authority.revoke(number, u32::from(day) * DAY_S + 5, entries)
}

/// What `from` sends whoever holds the list `since`, in pieces of `room` bytes.
fn travel(from: &Revocations, since: u32, room: usize) -> Pieces {
    let mut pieces = Pieces::new(from.head().unwrap().clone());
    loop {
        let mut buffer = heapless::Vec::<u8, 1200>::new();
        buffer.resize_default(1200 - room).unwrap();
        let more = from.encode(since, pieces.after(), buffer.as_mut_view());
        pieces.take(&buffer[1200 - room..]).unwrap();
        assert_eq!(more, pieces.after().filter(|_| more.is_some()));
        if more.is_none() {
            return pieces;
        }
    }
}

fn first(authority: &Authority, entries: &[Revoked]) -> Revocations {
    let head = head(authority, 1, TODAY, entries);
    Revocations::default().updated(&head, entries, 30_000).unwrap()
}

#[test]
fn a_list_says_who_is_revoked_and_is_vouched_for() {
    let entries = [revoked(3, TODAY + 5, 1), revoked(900, TODAY + 14, 1)];
    let list = first(&issuing(), &entries);
    assert!(list.has(3) && list.has(900) && !list.has(4) && list.len() == 2);
    let head = list.head().unwrap();
    assert!(head.verify(&[identity(1).public()], &NETWORK) && head.is_timely());
    assert!(!head.verify(&[identity(1).public()], &[8; 16]), "another network");
    assert!(!head.verify(&[identity(2).public()], &NETWORK), "an issuing key is no anchor");
    assert_eq!(RevocationHead::parse(head.as_bytes()).as_ref(), Ok(head));
    assert_eq!(head.as_bytes().len(), REVOCATION_HEAD_BYTES_MAX);
    for at in 0..head.as_bytes().len() {
        let mut bytes = head.as_bytes().to_vec();
        bytes[at] ^= 1;
        let forged = RevocationHead::parse(&bytes);
        assert!(!forged.is_ok_and(|it| it.verify(&[identity(1).public()], &NETWORK)), "{at}");
        assert!(RevocationHead::parse(&bytes[..at]).is_err());
    }
}

#[test]
fn whoever_holds_an_older_list_needs_only_what_was_added() {
    let mut rng = Rng::new([3; 32]);
    for round in 0..50 {
        let (mut provider, mut router) = (Revocations::default(), Revocations::default());
        for number in 1..12 {
            let day = TODAY + 2 * number as u16;
            let held = provider.entries.iter().filter(|entry| entry.ends_day >= day);
            let mut entries: Vec<Revoked> = held.copied().collect();
            for _ in 0..rng.below(40) {
                let serial = u64::from(rng.below(100_000));
                if !entries.iter().any(|entry| entry.serial == serial) {
                    entries.push(revoked(serial, day + rng.below(15) as u16, number));
                }
            }
            entries.sort_unstable();
            let head = head(&issuing(), number, day, &entries);
            provider = provider.updated(&head, &entries, 30_000).unwrap();
            if rng.below(3) == 0 {
                let pieces = travel(&provider, router.number(), 20 + rng.below(200) as usize);
                assert!(pieces.entries().iter().all(|entry| entry.number > router.number()));
                router = router.updated(pieces.head(), pieces.entries(), 30_000).unwrap();
                assert_eq!(router, provider, "round {round}, list {number}");
            }
        }
    }
}

#[test]
fn what_has_ended_goes_without_a_word() {
    let list = first(&anchor(), &[revoked(3, TODAY, 1), revoked(9, TODAY + 2, 1)]);
    let head = head(&anchor(), 2, TODAY + 1, &[revoked(9, TODAY + 2, 1)]);
    let list = list.updated(&head, &[], 100).unwrap();
    assert!(!list.has(3) && list.has(9));
}

#[test]
fn older_lists_and_other_entries_are_refused() {
    let entries = [revoked(3, TODAY + 5, 1)];
    let list = first(&anchor(), &entries);
    let again = head(&anchor(), 1, TODAY, &entries);
    assert_eq!(list.updated(&again, &entries, 100), Err(RevocationError::Old));
    let more = [entries[0], revoked(4, TODAY + 5, 2)];
    let head = head(&anchor(), 2, TODAY, &more);
    assert_eq!(list.updated(&head, &[], 100), Err(RevocationError::Entries));
    let other = [revoked(5, TODAY + 5, 2)];
    assert_eq!(list.updated(&head, &other, 100), Err(RevocationError::Entries));
    assert!(list.updated(&head, &more, 100).is_ok(), "what is known already does no harm");
}

#[test]
fn a_stolen_issuing_key_cannot_silence_everybody() {
    let list = first(&anchor(), &[revoked(1, TODAY + 9, 1)]);
    let many = |count: u64| -> Vec<Revoked> {
        let more = (2..2 + count).map(|serial| revoked(serial, TODAY + 9, 2));
        core::iter::once(revoked(1, TODAY + 9, 1)).chain(more).collect()
    };
    let updated = |authority: &Authority, day: u16, count: u64| {
        let entries = many(count);
        let after = list.updated(&head(authority, 2, day, &entries), &entries, 3_000);
        after.map(|list| list.len())
    };
    assert_eq!(updated(&issuing(), TODAY, 30), Ok(31), "one in a hundred");
    assert_eq!(updated(&issuing(), TODAY, 31), Err(RevocationError::TooMany));
    assert_eq!(updated(&issuing(), TODAY + 2, 90), Ok(91), "each day");
    assert_eq!(updated(&issuing(), TODAY + 2, 91), Err(RevocationError::TooMany));
    assert_eq!(updated(&anchor(), TODAY, 1_000), Ok(1_001));
    // However many lists a day has: 60 on this day and the next, in lists of 10.
    let mut list = list.clone();
    let taken = (2..12).take_while(|number| {
        let day = TODAY + u16::from(*number > 2);
        let serials = 2..2 + 10 * u64::from(*number - 1);
        let entries: Vec<Revoked> = serials
            .map(|serial| revoked(serial, TODAY + 9, 2 + (serial as u32 - 2) / 10))
            .collect();
        let entries = [&many(0)[..], &entries].concat();
        let next = list.updated(&head(&issuing(), *number, day, &entries), &entries, 3_000);
        next.is_ok_and(|next| {
            list = next;
            true
        })
    });
    assert_eq!(taken.count(), 7);
    // Whoever knows no list takes no more than one that has grown for as long as certificates last.
    let entries = many(500);
    let head = head(&issuing(), 2, TODAY, &entries);
    let fresh = Revocations::default().updated(&head, &entries, 3_000);
    assert_eq!(fresh, Err(RevocationError::TooMany));
}

#[test]
fn the_anchor_alone_takes_back_what_was_revoked() {
    let held = [revoked(1, TODAY, 1), revoked(2, TODAY + 3, 1), revoked(3, TODAY + 3, 1)];
    let list = first(&anchor(), &held);
    let replaced = |authority: &Authority, day: u16, entries: &[Revoked]| {
        list.replaced(&head(authority, 2, day, entries), entries, 100).map(|list| list.len())
    };
    assert_eq!(replaced(&issuing(), TODAY, &held), Ok(3));
    assert_eq!(replaced(&issuing(), TODAY, &held[1..]), Err(RevocationError::TooMany));
    assert_eq!(replaced(&issuing(), TODAY + 1, &held[1..]), Ok(2), "the first has ended");
    assert_eq!(replaced(&issuing(), TODAY + 1, &held[2..]), Err(RevocationError::TooMany));
    let soon = [held[1], revoked(3, TODAY + 1, 1)];
    assert_eq!(replaced(&issuing(), TODAY + 1, &soon), Err(RevocationError::TooMany));
    assert_eq!(replaced(&anchor(), TODAY, &[]), Ok(0));
}

#[test]
fn pieces_in_no_order_are_refused() {
    let head = head(&anchor(), 5, TODAY, &[]);
    let piece = |items: &[(u64, u32, u8)]| -> Vec<u8> {
        let encode = |item| postcard::to_slice(item, &mut [0; 16]).unwrap().to_vec();
        items.iter().flat_map(encode).collect()
    };
    let taken = |items: &[(u64, u32, u8)]| Pieces::new(head.clone()).take(&piece(items));
    assert_eq!(taken(&[(7, 0, 1), (1, 4, 1)]), Ok(()));
    assert_eq!(taken(&[(7, 0, 1), (0, 0, 1)]), Err(RevocationError::Entries), "twice the same");
    assert_eq!(taken(&[(7, 6, 1)]), Err(RevocationError::Entries), "before the first list");
    assert_eq!(taken(&[(u64::MAX, 0, 1), (1, 0, 1)]), Err(RevocationError::Entries));
    assert_eq!(Pieces::new(head.clone()).take(&[0x80]), Err(RevocationError::Entries));
    let endless = piece(&vec![(1, 0, 1); ENTRIES_MAX + 1]);
    assert_eq!(Pieces::new(head).take(&endless), Err(RevocationError::Entries));
}

#[test]
fn a_list_of_all_that_may_be_revoked_fits() {
    // Thirty thousand routers, one in a hundred each day, for as long as certificates last.
    let per_day = 300;
    let mut entries: Vec<Revoked> = (0..14 * per_day)
        .map(|n| revoked(1_000_000 + 37 * n, TODAY + (n % 15) as u16, 1_000 + (n / per_day) as u32))
        .collect();
    entries.sort_unstable();
    let head = head(&anchor(), 1_014, TODAY, &entries);
    let list = Revocations::default().updated(&head, &entries, 30_000).unwrap();
    let (mut bytes, mut after) = (0, None);
    loop {
        let mut buffer = heapless::Vec::<u8, 1000>::new();
        after = list.encode(0, after, buffer.as_mut_view());
        bytes += buffer.len();
        if after.is_none() {
            break;
        }
    }
    assert!(bytes <= REVOCATION_LIST_BYTES_MAX, "{bytes}");
}
