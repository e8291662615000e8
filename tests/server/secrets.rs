//! The network's secret, and another one that takes its place.

use super::{DAY_S, START_S, Scratch, at, bad, covers, fs, good, issue, key, refusal, text};
use cosip::identity::NetworkKeys;
use cosip::identity::rolling::State;
use cosip::rng::Rng;
use cosip::server::error::{FolderFault, Refusal};
use cosip::server::folder::Folder;
use cosip::server::office::{Office, Order};
use cosip::server::secrets::RollFault;
use cosip::server::setup::{self, Plan};
use cosip::server::{Moment, ServerError};
use std::os::unix::fs::PermissionsExt as _;

fn rng(seed: u8) -> Rng {
    Rng::new([seed; 32])
}

fn lines(scratch: &Scratch) -> Vec<String> {
    scratch.read("network.key").lines().map(str::to_owned).collect()
}

/// What the secrets of now are, without their ids.
fn states(office: &Office, day: u64) -> Vec<State> {
    office.shown_secrets(at(day)).iter().map(|it| it.state).collect()
}

#[test]
fn a_new_secret_takes_over_by_itself_and_the_old_one_is_dropped() {
    let scratch = Scratch::new("roll");
    let mut office = scratch.made();
    assert_eq!((states(&office, 0), office.newest_secret()), (vec![State::Sent], None));
    let old = lines(&scratch);
    let early = Moment { now_s: START_S - 7_200, by: "alice" };
    let order =
        Order { adapter: key(7), aors: &["sip:z@example.net".into()], days: 14, second: false };
    office.issue(early, &order).unwrap();
    let shown = office.new_secret(at(0), 15, &mut rng(2)).unwrap();
    let sends_s = START_S + 15 * DAY_S;
    assert_eq!((shown.state, shown.from_s), (State::Coming, Some(sends_s)));
    let both = lines(&scratch);
    assert_eq!((both.len(), &both[..1]), (2, &old[..]), "the old one is sent still");
    let new = office.newest_secret().unwrap();
    assert_eq!((u64::from(new.sends_s), super::hex(&new.secret)), (sends_s, both[1].clone()));
    let metadata = fs::metadata(scratch.kept("network.key")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let audit = office.books().audit().unwrap();
    let last = audit.last().unwrap();
    assert_eq!((last.text(2), last.text(3)), ("alice", "secret"));
    assert!(last.text(7).contains(&format!("key id {:02x}, sent from", shown.key_id)));
    // What is certified meanwhile is so under both.
    let of_all = |office: &mut Office, day| office.spread(at(day)).unwrap();
    assert_eq!(of_all(&mut office, 1)[..6], *"0 of 1");
    let issued = issue(&mut office, 1, 1, &["a", "b", "c", "d"], false).unwrap();
    assert_eq!(of_all(&mut office, 1)[..6], *"1 of 2");
    assert_eq!(of_all(&mut office, 15), "");
    let (anchor, keys) = scratch.trust();
    assert!(issued.certificate.verify(&[anchor], keys.network()));
    assert_eq!(issued.certificate.keys().count(), 8);
    assert!(covers(&issued.certificate, &keys, "d@example.net"));
    // Who looks at the time finds another order, and at last one alone.
    office.keep_secrets(at(14)).unwrap();
    assert_eq!(lines(&scratch), both);
    for day in [15, 28] {
        office.keep_secrets(at(day)).unwrap();
        assert_eq!(lines(&scratch), [both[1].clone(), both[0].clone()]);
        assert_eq!(states(&office, day), [State::Sent, State::Heard]);
        let until = office.shown_secrets(at(day))[1].until_s;
        assert_eq!(until, Some(sends_s + 14 * DAY_S));
    }
    office.keep_secrets(at(29)).unwrap();
    assert_eq!(lines(&scratch), both[1..]);
    let issued = issue(&mut office, 29, 2, &["e"], false).unwrap();
    assert_eq!(issued.certificate.keys().count(), 1);
    // It stays so, and is told to whoever renews: their file may have both.
    let office = scratch.office();
    assert_eq!(office.newest_secret(), Some(new));
}

#[test]
fn a_roll_that_would_leave_routers_behind_or_a_third_secret_is_refused() {
    let scratch = Scratch::new("roll-refused");
    let mut office = scratch.made();
    for days in [0, 14, 366] {
        assert_eq!(
            refusal(office.new_secret(at(0), days, &mut rng(2))),
            Refusal::Roll(RollFault::Days)
        );
    }
    assert_eq!(lines(&scratch).len(), 1);
    office.new_secret(at(0), 20, &mut rng(2)).unwrap();
    let ends_s = START_S + 34 * DAY_S;
    for day in [0, 20, 33] {
        let refused = refusal(scratch.office().new_secret(at(day), 15, &mut rng(3)));
        assert_eq!(refused, Refusal::Roll(RollFault::UnderWay(Some(ends_s))), "{day}");
    }
    let before = lines(&scratch);
    scratch.office().new_secret(at(34), 15, &mut rng(3)).unwrap();
    let after = lines(&scratch);
    assert_eq!((after.len(), &after[0]), (2, &before[1]));
    assert!(!before.contains(&after[1]));
    // Two that an operator has written there.
    let other = Scratch::new("roll-by-hand");
    drop(other.made());
    other.write("net/network.key", &format!("{}\n{}\n", "7".repeat(64), "8".repeat(64)));
    let refused = refusal(other.office().new_secret(at(0), 15, &mut rng(2)));
    assert_eq!(refused, Refusal::Roll(RollFault::UnderWay(None)));
}

/// A second machine: a copy of the folder of the first, with the same database.
fn second(scratch: &Scratch) -> Folder {
    let folder = scratch.path("second");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(scratch.path("net")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    Folder::new(folder)
}

#[test]
fn machines_with_one_database_agree_about_secrets_and_it_holds_none_in_clear() {
    let scratch = Scratch::new("roll-shared");
    let database = format!("sqlite:{}", scratch.path("shared.db").display());
    let plan = Plan {
        settings: &scratch.path("routers.config"),
        secret: None,
        offline: None,
        database: Some(&database),
        days: 90,
        passphrase: super::PASSPHRASE,
    };
    setup::init(&Folder::new(scratch.path("net")), &plan, at(0), &mut rng(1)).unwrap();
    let folder = second(&scratch);
    let mut other = Office::open(folder.clone()).unwrap();
    let mut office = scratch.office();
    office.new_secret(at(0), 15, &mut rng(2)).unwrap();
    other.keep_secrets(at(0)).unwrap();
    assert_eq!(other.newest_secret(), office.newest_secret());
    let copied = || fs::read_to_string(folder.file("network.key")).unwrap();
    assert_eq!(copied(), scratch.read("network.key"));
    let secrets = lines(&scratch);
    // Either of them takes no second one, and one that slept through all of it is told at once.
    assert!(matches!(
        refusal(other.new_secret(at(1), 15, &mut rng(3))),
        Refusal::Roll(RollFault::UnderWay(_))
    ));
    other.keep_secrets(at(40)).unwrap();
    assert_eq!(copied(), format!("{}\n", secrets[1]));
    let held: Vec<u8> = fs::read(scratch.path("shared.db")).unwrap();
    for secret in &secrets {
        let bytes = super::bytes(secret);
        for needle in [secret.as_bytes(), &bytes] {
            assert!(!held.windows(needle.len()).any(|it| it == needle));
        }
    }
    // A time that somebody has changed there does not open.
    assert!(moved(&scratch).is_err(), "place.key does not fit");
}

/// Opens an office after somebody has written another moment into the database, and a file that
/// does not know the secret.
fn moved(scratch: &Scratch) -> Result<Office, ServerError> {
    let books = rusqlite::Connection::open(scratch.path("shared.db")).unwrap();
    books.execute("UPDATE secrets SET sends_s = 5 WHERE sends_s > 0", []).unwrap();
    let first = lines(scratch)[0].clone();
    fs::write(scratch.kept("network.key"), format!("{first}\n")).unwrap();
    Office::open(Folder::new(scratch.path("net")))
}

#[test]
fn without_the_old_place_key_the_secret_file_says_which_secret_it_is() {
    let scratch = Scratch::new("roll-places");
    scratch.made().new_secret(at(0), 15, &mut rng(2)).unwrap();
    let secrets = lines(&scratch);
    scratch.write("net/place.key", &format!("{}\n", "9".repeat(64)));
    let mut office = scratch.office();
    office.keep_secrets(at(15)).unwrap();
    assert_eq!(lines(&scratch), [secrets[1].clone(), secrets[0].clone()]);
    fs::write(scratch.kept("network.key"), format!("{}\n", secrets[0])).unwrap();
    match Office::open(Folder::new(scratch.path("net"))).map(drop) {
        Err(ServerError::Folder(path, FolderFault::Content(_))) => {
            assert!(path.ends_with("place.key"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_shows_ids_and_moments_and_never_a_secret() {
    let scratch = Scratch::new("roll-command");
    good(&scratch.init(&[]));
    let first = scratch.run(&["secret"]);
    let table = good(&first).to_owned();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.starts_with("key id state   from "), "{table}");
    assert!(bad(&scratch.run(&["secret", "--days", "15"])).contains("--new alone"));
    let soon = scratch.run(&["secret", "--new", "--days", "1"]);
    assert!(bad(&soon).contains("a number from 15 to 365; routers are brought"), "{}", bad(&soon));
    let made = scratch.run(&["secret", "--new"]);
    assert!(text(&made.stderr).contains("with their next certificates"));
    let table = good(&made);
    let coming = table.lines().nth(2).unwrap();
    assert_eq!(coming.split_whitespace().nth(1), Some("coming"), "{table}");
    let old = table.lines().nth(1).unwrap();
    assert_eq!(old.split_whitespace().nth(1), Some("sent"), "{table}");
    assert!(old.split_whitespace().count() == 5, "it ends: {table}");
    let again = scratch.run(&["secret", "--new"]);
    assert!(bad(&again).contains("the older one is dropped at 20"), "{}", bad(&again));
    // New images have both.
    let out = scratch.path("out");
    good(&scratch.run(&["export", "--out", out.to_str().unwrap()]));
    let exported = fs::read_to_string(out.join("network.key")).unwrap();
    assert_eq!(exported, scratch.read("network.key"));
    assert!(NetworkKeys::parse(&exported, "example.net").is_ok());
    let audit = scratch.run(&["audit"]);
    for output in [&first, &soon, &made, &again, &audit] {
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(exported.lines().all(|secret| !said.contains(secret)));
    }
    assert!(good(&audit).contains("\tsecret\t\t\t\tkey id "), "{}", good(&audit));
}
