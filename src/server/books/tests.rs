//! Books: what a database keeps, refuses and is found with later.

use super::*;
use crate::server::error::DatabaseFault;
use rusqlite::Connection;
use std::fs;
use std::path::PathBuf;

const NOW: Moment<'_> = Moment { now_s: 1_796_000_000, by: "alice" };
const KEY: PublicKey = [7; 32];

/// A folder of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cosip-books-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn books(&self) -> Books {
        Books::open("sqlite:state.db", &self.0).unwrap()
    }

    fn raw(&self) -> Connection {
        Connection::open(self.0.join("state.db")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn add(books: &mut Books, serial: u64, until_s: u32) {
    books
        .add(&Entry {
            serial,
            adapter: &KEY,
            place: crate::net::NodeId([3; 16]),
            from_s: 0,
            until_s,
            aors: &["alice@example.net".into(), "bob@example.net".into()],
            bytes: &[1, 2],
        })
        .unwrap();
}

fn says(result: Result<(), ServerError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_is_written_is_there_when_they_are_opened_again() {
    let scratch = Scratch::new("again");
    let mut books = scratch.books();
    assert_eq!(books.network().unwrap(), None);
    books.found("example.net", &KEY).unwrap();
    add(&mut books, 12, 2_000_000_000);
    let deed = Deed { what: "issue", serial: Some(12), adapter: Some(&KEY), ..Deed::default() };
    books.note(NOW, &deed).unwrap();
    drop(books);
    let mut books = scratch.books();
    assert_eq!(books.network().unwrap(), Some(("example.net".into(), hex(&KEY))));
    let held = books.certificates(&Selector::Aor("bob@example.net".into()), Some(5)).unwrap();
    let (adapter, until_s) = (hex(&KEY), 2_000_000_000);
    let aors = vec!["alice@example.net".into(), "bob@example.net".into()];
    assert_eq!(held, [Held { serial: 12, adapter, until_s, is_revoked: false, aors }]);
    assert_eq!(books.place_of(&KEY).unwrap(), Some(hex(&[3; 16])));
    let rows = books.audit().unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.number(0), row.number(1), row.text(2)), (Some(1), Some(NOW.now_s), "alice"));
    assert_eq!((row.text(3), row.number(4), row.text(5)), ("issue", Some(12), &*hex(&KEY)));
}

#[test]
fn nothing_remains_of_what_fails_half_way() {
    let scratch = Scratch::new("half");
    let mut books = scratch.books();
    let failed = books.alone(|books| {
        add(books, 12, 9);
        books.note(NOW, &Deed::default())?;
        books.revoke(12, 9)?;
        books.revoke(12, 9)
    });
    assert!(says(failed).contains("UNIQUE"), "one number is revoked once");
    assert_eq!(books.certificates(&Selector::All, None).unwrap(), []);
    assert!(books.audit().unwrap().is_empty() && !books.is_revoked(12).unwrap());
    add(&mut books, 12, 9);
    assert_eq!(books.certificates(&Selector::All, None).unwrap().len(), 1);
}

#[test]
fn the_audit_is_only_ever_added_to() {
    let scratch = Scratch::new("audit");
    let mut books = scratch.books();
    for what in ["one", "two"] {
        books.note(NOW, &Deed { what, ..Deed::default() }).unwrap();
    }
    let row = "(number, at_s, who, what, aors, detail)";
    for statement in [
        "UPDATE audit SET who = 'bob'".to_owned(),
        "DELETE FROM audit".to_owned(),
        "DELETE FROM audit WHERE number = 2".to_owned(),
        format!("INSERT OR REPLACE INTO audit {row} VALUES (1, 0, 'bob', 'one', '', '')"),
        format!("INSERT INTO audit {row} VALUES (9, 0, 'bob', 'nine', '', '')"),
    ] {
        let error = scratch.raw().execute(&statement, ()).unwrap_err().to_string();
        assert!(error.contains("only ever added to"), "{statement}: {error}");
    }
    let kept: Vec<String> =
        books.audit().unwrap().iter().map(|row| row.text(3).to_owned()).collect();
    assert_eq!(kept, ["one", "two"]);
}

#[test]
fn numbers_rise_and_do_not_fall_behind_the_clock() {
    let scratch = Scratch::new("numbers");
    let mut books = scratch.books();
    let now_s = NOW.now_s;
    let first = books.next_serial(now_s).unwrap();
    assert_eq!(first, 16 * now_s);
    add(&mut books, first, 9);
    assert_eq!(books.next_serial(now_s).unwrap(), first + 1);
    books.add_delegation(first + 1, &KEY, (0, 9)).unwrap();
    assert_eq!(books.next_serial(now_s).unwrap(), first + 2, "delegations count, too");
    assert_eq!(books.next_serial(now_s - 100).unwrap(), first + 2, "a clock that was set back");
    assert_eq!(books.next_serial(now_s + 1).unwrap(), first + 16);
    let list = books.next_list(now_s).unwrap();
    books.add_list(list, now_s, &[7, 8]).unwrap();
    assert_eq!(books.next_list(now_s - 9).unwrap(), list + 1);
    assert!(books.next_list(now_s + 86_400).unwrap() > list + 20, "numbers for lists lost since");
}

#[test]
fn the_newest_list_alone_is_kept_whole() {
    let scratch = Scratch::new("lists");
    let mut books = scratch.books();
    assert_eq!(books.newest_list(0).unwrap(), None);
    // As an earlier version wrote it.
    scratch.raw().execute("INSERT INTO lists (number, issued_s) VALUES (3, 9)", ()).unwrap();
    assert_eq!(books.newest_list(0).unwrap(), None);
    for number in [4, 5] {
        books.add_list(number, NOW.now_s, &[number as u8, 0xff]).unwrap();
        assert_eq!(books.newest_list(number - 1).unwrap(), Some(vec![number as u8, 0xff]));
        assert_eq!(books.newest_list(number).unwrap(), None, "that is held already");
    }
    let kept = "SELECT COUNT(*) FROM lists WHERE bytes IS NOT NULL";
    assert_eq!(scratch.raw().query_row(kept, (), |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_schema_is_brought_up_to_date_once_and_never_back() {
    let scratch = Scratch::new("schema");
    scratch.books();
    let version = || {
        let query = "SELECT MAX(version) FROM schema_version";
        scratch.raw().query_row(query, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(version(), schema::MIGRATIONS.len() as i64);
    let later = [schema::MIGRATIONS.as_slice(), &["CREATE TABLE later (it BIGINT)"]].concat();
    let mut database = connect("sqlite:state.db", &scratch.0).unwrap();
    schema::migrate("state.db", database.as_mut(), &later).unwrap();
    schema::migrate("state.db", database.as_mut(), &later).unwrap();
    assert_eq!(version(), later.len() as i64);
    scratch.raw().execute("INSERT INTO later VALUES (1)", ()).unwrap();
    match Books::open("sqlite:state.db", &scratch.0) {
        Err(ServerError::Database(_, DatabaseFault::Newer { found, known })) => {
            let known_now = schema::MIGRATIONS.len() as i64;
            assert_eq!((found, known), (known_now + 1, known_now));
        }
        _ => panic!("a later version's books are left alone"),
    }
}

#[test]
fn an_address_says_which_database_and_shows_no_password() {
    let refused = |address: &str| match Books::open(address, Path::new(".")) {
        Err(ServerError::Database(at, DatabaseFault::Address)) => at,
        _ => panic!("{address}"),
    };
    assert_eq!(refused("mysql://me:secret@host/it"), "mysql://me@host/it");
    assert_eq!(refused("sqlite:"), "sqlite:");
    assert_eq!(refused("state.db"), "state.db");
    assert_eq!(shown("postgresql://me:s@cret@host/it"), "postgresql://me@host/it");
    assert_eq!(shown("postgresql:///it?host=/run"), "postgresql:///it?host=/run");
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let scratch = Scratch::new("mode");
    scratch.books();
    assert_eq!(fs::metadata(scratch.0.join("state.db")).unwrap().mode() & 0o777, 0o600);
}
