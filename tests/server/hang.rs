//! A database that hangs, and what the desk does meanwhile.

use super::postgres_rig::Server;
use super::{PASSPHRASE, Scratch, at, key, wait};
use cosip::adapter::desk::Asker;
use cosip::net::NodeId;
use cosip::rng::Rng;
use cosip::server::desk::{Answer, Desk, Wish};
use cosip::server::folder::Folder;
use cosip::server::office::Office;
use cosip::server::setup::{self, Plan};
use cosip::time::Instant;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant as Clock};

const NOW: Instant = Instant::from_micros(1_000_000);
/// Less than the database hangs for here, and more than it is waited for.
const LIMIT: Duration = Duration::from_secs(15);
const HANGS: Duration = Duration::from_secs(40);

/// One ask: what goes wrong, and how long it took.
fn ask(desk: &mut Desk, office: &mut Office, number: u32) -> (Option<String>, Duration) {
    let address = "192.0.2.1".parse().unwrap();
    let asker = Asker { peer: NodeId([1; 16]), key: key(1), address };
    let (start, aors) = (Clock::now(), ["alice@example.net".to_owned()]);
    let done = desk.ask(NOW, at(0), office, (&asker, number, &aors));
    (done.err().map(|error| error.to_string()), start.elapsed())
}

fn is_told_to_wait(desk: &mut Desk) -> bool {
    matches!(desk.poll_wish(NOW), Some(Wish::Answer { answer: Answer::Wait(30..=60), .. }))
}

/// Ends with `hung`, or after a while, so that a test which waits for ever fails.
fn hang<T>(hung: impl Send, meanwhile: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || {
            let _ = is_done.recv_timeout(HANGS);
            drop(hung);
        });
        let result = meanwhile();
        drop(done);
        result
    })
}

#[test]
fn a_postgresql_that_hangs_is_not_waited_for() {
    let Some(server) = Server::start("a_postgresql_that_hangs_is_not_waited_for") else { return };
    let scratch = Scratch::new("hang");
    let plan = Plan {
        settings: &scratch.path("routers.config"),
        secret: None,
        offline: None,
        database: Some(server.address()),
        days: 90,
        passphrase: PASSPHRASE,
    };
    let folder = Folder::new(scratch.path("net"));
    setup::init(&folder, &plan, at(0), &mut Rng::new([1; 32])).unwrap();
    let mut desk = Desk::new(NOW, key(9), 50, &mut Rng::new([2; 32]));
    let mut office = scratch.office();

    // Another session has a lock, and keeps it.
    let (error, took) = hang(server.lock("certificates"), || ask(&mut desk, &mut office, 1));
    assert!(error.as_ref().is_some_and(|it| it.contains("lock timeout")), "{error:?}");
    assert!(took < LIMIT && is_told_to_wait(&mut desk), "{took:?}");
    // Nothing more is waited for until the books are opened again.
    let (error, took) = ask(&mut desk, &mut office, 2);
    assert!(error.as_ref().is_some_and(|it| it.contains("no answer in time")), "{error:?}");
    assert!(took < Duration::from_secs(1) && is_told_to_wait(&mut desk), "{took:?}");
    assert_eq!(desk.counters().failed, 2);
    office = scratch.office();
    assert_eq!(ask(&mut desk, &mut office, 3).0, None);

    // It says nothing any more: neither to who is connected nor to who wants to be.
    hang(server.freeze(), || {
        let (error, took) = ask(&mut desk, &mut office, 4);
        assert!(error.as_ref().is_some_and(|it| it.contains("no answer in time")), "{error:?}");
        assert!(took < LIMIT, "{took:?}");
        let start = Clock::now();
        let error = Office::open(folder.clone()).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|it| it.contains("no answer in time")), "{error:?}");
        assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    });
    assert_eq!(desk.counters().failed, 3);
    wait::until("PostgreSQL", HANGS, || Office::open(folder.clone()).is_ok());
}
