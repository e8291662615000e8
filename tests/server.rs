//! The provider's program: what it issues, revokes, keeps and refuses.
#![cfg(feature = "server")]

#[path = "server/hang.rs"]
mod hang;
#[path = "rig/needs.rs"]
mod needs;
#[path = "server/postgres.rs"]
mod postgres_rig;
#[path = "server/run.rs"]
mod run;
#[path = "server/secrets.rs"]
mod secrets;
#[path = "rig/wait.rs"]
mod wait;

use cosip::identity::certificate::text as file;
use cosip::identity::record::Key;
use cosip::identity::revocation::{Pieces, RevocationHead, Revocations};
use cosip::identity::statement::{Said, Statement};
use cosip::identity::trust::{CLOCK_LATE_S, list_number_max};
use cosip::identity::{Certificate, Identity, NetworkKeys, PublicKey};
use cosip::rng::Rng;
use cosip::server::books::{Due, Second, Selector};
use cosip::server::error::{AnchorFault, FolderFault, Refusal};
use cosip::server::folder::Folder;
use cosip::server::lists::List;
use cosip::server::metrics::Counts;
use cosip::server::office::{Issued, Office, Order};
use cosip::server::setup::{self, Plan};
use cosip::server::watch::{Contradiction, Verdict};
use cosip::server::{DAY_S, Moment, ServerError};
use postgres_rig::Server;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use zeroize::Zeroizing;

const PASSPHRASE: &str = "correct horse battery";
const SETTINGS: &str = "\
config adapter 'adapter'
	option enabled '1'
	list lan 'lan'
	list wan 'wan'

config provider 'example'
	option domain 'example.net'
	option server 'sip:sip.example.net'
	option country_code '49'
	option area_code '89'

config overlay 'overlay'
	option secret_file 'network.key'
	list bootstrap 'seed.example.net:5070'
";
/// Some moment of 2026.
const START_S: u64 = 1_796_000_000;

/// A folder of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cosip-srv-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let scratch = Self(path);
        scratch.write("routers.config", SETTINGS);
        scratch.write("passphrase", &format!("{PASSPHRASE}\n"));
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that others may not read.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A file of the network's folder.
    fn kept(&self, name: &str) -> PathBuf {
        self.0.join("net").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.kept(name)).unwrap()
    }

    /// Runs `cosip-server` on the network's folder.
    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosip-server"));
        command.args(words).arg("--dir").arg(self.path("net"));
        command
    }

    /// The same, with the anchor's passphrase.
    fn run_anchored(&self, words: &[&str]) -> Output {
        self.command(words).arg("--passphrase-file").arg(self.path("passphrase")).output().unwrap()
    }

    fn init(&self, words: &[&str]) -> Output {
        let settings = self.path("routers.config");
        let words = [&["init", "--settings", settings.to_str().unwrap()], words].concat();
        self.run_anchored(&words)
    }

    /// A network that is made at [`START_S`].
    fn made(&self) -> Office {
        self.made_in(None)
    }

    fn made_in(&self, database: Option<&str>) -> Office {
        let plan = Plan {
            settings: &self.path("routers.config"),
            secret: None,
            offline: None,
            database,
            days: 90,
            passphrase: PASSPHRASE,
        };
        let folder = Folder::new(self.path("net"));
        setup::init(&folder, &plan, at(0), &mut Rng::new([1; 32])).unwrap();
        self.office()
    }

    fn office(&self) -> Office {
        Office::open(Folder::new(self.path("net"))).unwrap()
    }

    fn anchor(&self) -> Identity {
        let folder = Folder::new(self.path("net"));
        setup::open_anchor(&folder, None, || Ok(Zeroizing::new(PASSPHRASE.into()))).unwrap()
    }

    /// What routers know: the anchor and the network.
    fn trust(&self) -> (PublicKey, NetworkKeys) {
        let anchor = bytes(self.read("anchor.pub").trim()).try_into().unwrap();
        (anchor, NetworkKeys::parse(&self.read("network.key"), "example.net").unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The one certificate that was printed, read as routers read their file.
fn printed(output: &Output) -> Certificate {
    let [certificate] = file::parse(good(output)).unwrap().try_into().unwrap();
    certificate
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn at(day: u64) -> Moment<'static> {
    Moment { now_s: START_S + day * DAY_S, by: "alice" }
}

fn key(number: u8) -> PublicKey {
    Identity::from_seed([number; 32]).unwrap().public()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command that has to succeed prints.
fn good(output: &Output) -> &str {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Why a command that has to fail did.
fn bad(output: &Output) -> &str {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let text = text(&output.stderr);
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text.trim_end()
}

fn issue(
    office: &mut Office,
    day: u64,
    adapter: u8,
    aors: &[&str],
    second: bool,
) -> Result<Issued, ServerError> {
    let aors: Vec<String> = aors.iter().map(|aor| format!("sip:{aor}@example.net")).collect();
    office.issue(at(day), &Order { adapter: key(adapter), aors: &aors, days: 14, second })
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ServerError>) -> Refusal {
    match result {
        Err(ServerError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn covers(certificate: &Certificate, keys: &NetworkKeys, aor: &str) -> bool {
    keys.aor_keys(aor).all(|key| certificate.covers(&Key::of(&key)))
}

#[test]
fn a_router_is_given_a_certificate_that_the_anchor_alone_vouches_for() {
    let scratch = Scratch::new("issue");
    assert!(good(&scratch.init(&[])).starts_with("network example.net\nanchor "));
    let key = hex(&key(9));
    let words = ["issue", "--key", &key, "--aor", "sip:alice@example.net", "--aor", "tel:0123456"];
    let output = scratch.run(&words);
    let certificate = printed(&output);
    let (anchor, keys) = scratch.trust();
    assert!(certificate.verify(&[anchor], keys.network()));
    assert!(covers(&certificate, &keys, "alice@example.net"));
    assert!(covers(&certificate, &keys, "+49123456@example.net"), "spelled as adapters do");
    assert_eq!(certificate.keys().count(), 2);
    assert_eq!(hex(&certificate.key()), key);
    let valid = certificate.validity();
    assert!((14 * 86_400..14 * 86_400 + 7_200).contains(&(valid.until_s - valid.from_s)));
    let remark = text(&output.stderr);
    assert!(remark.contains(&certificate.serial().to_string()), "{remark}");
    let list = scratch.run(&["list"]);
    let line = good(&list).lines().nth(1).unwrap();
    assert!(line.contains(" valid ") && line.ends_with("+49123456@example.net alice@example.net"));
}

#[test]
fn files_are_their_owners_alone_and_no_secret_is_printed() {
    let scratch = Scratch::new("modes");
    let output = scratch.init(&[]);
    let names = ["provider.config", "network.key", "place.key", "anchor.pub", "anchor.key"];
    for name in names.into_iter().chain(["issuing.key", "database", "state.db"]) {
        assert_eq!(fs::metadata(scratch.kept(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(scratch.path("net")).unwrap().mode() & 0o777, 0o700);
    let printed = [text(&output.stdout), text(&output.stderr)].concat();
    for name in ["network.key", "place.key", "issuing.key"] {
        assert!(!printed.contains(scratch.read(name).lines().next().unwrap()), "{name}");
    }
    assert_eq!(scratch.read("provider.config"), SETTINGS);
}

#[test]
fn an_aor_is_one_adapters_until_that_one_ends() {
    let scratch = Scratch::new("second");
    let mut office = scratch.made();
    let first = issue(&mut office, 0, 1, &["alice"], false).unwrap();
    let serial = first.certificate.serial();
    let held = refusal(issue(&mut office, 1, 2, &["bob", "alice"], false));
    let (aor, adapter) = ("alice@example.net".to_owned(), hex(&key(1)));
    assert_eq!(held, Refusal::Held { aor, adapter, serial });
    assert!(held.to_string().contains("--second"), "{held}");
    issue(&mut office, 1, 2, &["bob"], false).unwrap();
    issue(&mut office, 7, 1, &["alice"], false).unwrap();
    refusal(issue(&mut office, 20, 2, &["alice"], false));
    issue(&mut office, 22, 2, &["alice"], false).unwrap();
    // Revoked is as good as ended.
    refusal(issue(&mut office, 23, 3, &["alice"], false));
    office.revoke(at(23), &Selector::Aor("sip:alice@example.net".into()), "moved").unwrap();
    issue(&mut office, 23, 3, &["alice"], false).unwrap();
}

#[test]
fn a_second_adapter_is_the_operators_word_and_stands_in_the_audit() {
    let scratch = Scratch::new("beside");
    let mut office = scratch.made();
    issue(&mut office, 0, 1, &["alice"], false).unwrap();
    for adapter in 2..=8 {
        issue(&mut office, 0, adapter, &["alice"], true).unwrap();
    }
    let crowded = refusal(issue(&mut office, 0, 9, &["alice"], true));
    assert_eq!(crowded, Refusal::Crowded("alice@example.net".into(), 8));
    let rows = office.books().audit().unwrap();
    let deeds: Vec<_> = rows.iter().map(|row| (row.text(3), row.text(2))).collect();
    let second = ("issue second", "alice");
    let begin = [("init", "alice"), ("delegate", "alice"), ("issue", "alice")];
    assert_eq!(deeds, [&begin[..], &[second; 7]].concat());
    assert!(rows[3].text(7).contains(&hex(&key(1))), "beside whom");
    assert_eq!((rows[3].text(5), rows[3].text(6)), (&*hex(&key(2)), "alice@example.net"));
}

#[test]
fn orders_against_the_rules_are_refused() {
    let scratch = Scratch::new("orders");
    let mut office = scratch.made();
    let five = ["a", "b", "c", "d", "e"];
    assert_eq!(refusal(issue(&mut office, 0, 1, &five, false)), Refusal::Aors(4));
    assert_eq!(refusal(issue(&mut office, 0, 1, &[], false)), Refusal::Aors(4));
    issue(&mut office, 0, 1, &["a", "b", "c", "d", "a"], false).unwrap();
    for text in ["sip:alice@example.org", "alice", "sip:example.net", ""] {
        let order = Order { adapter: key(1), aors: &[text.to_owned()], days: 14, second: false };
        let refused = refusal(office.issue(at(0), &order));
        assert_eq!(refused, Refusal::Aor(text.to_owned()));
    }
    for days in [0, 15] {
        let order = Order { adapter: key(1), aors: &[], days, second: false };
        assert_eq!(refusal(office.issue(at(0), &order)), Refusal::Days(14));
    }
    let zeros = "0".repeat(64);
    for wrong in ["12", "xyz", &zeros, &hex(&key(1))[1..]] {
        let output = scratch.run(&["issue", "--key", wrong, "--aor", "sip:alice@example.net"]);
        assert!(bad(&output).contains("no adapter has this key"), "{wrong}");
    }
    let output = scratch.run(&["issue", "--aor", "sip:alice@example.net"]);
    assert!(bad(&output).contains("--key HEX is missing"));
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(office.books().certificates(&Selector::All, None).unwrap().len(), 1);
}

#[test]
fn while_a_secret_is_exchanged_each_aor_is_certified_under_both() {
    let scratch = Scratch::new("secrets");
    scratch.made();
    let line = |digit: &str| format!("{}\n", digit.repeat(64));
    let secrets = [scratch.read("network.key"), line("7"), line("8")];
    fs::write(scratch.kept("network.key"), secrets[..2].concat()).unwrap();
    let issued = issue(&mut scratch.office(), 0, 1, &["a", "b", "c", "d"], false).unwrap();
    let (anchor, keys) = scratch.trust();
    assert_eq!(issued.certificate.keys().count(), 8);
    assert!(
        ["a", "d"]
            .iter()
            .all(|user| { covers(&issued.certificate, &keys, &format!("{user}@example.net")) })
    );
    assert!(issued.certificate.verify(&[anchor], keys.network()));
    fs::write(scratch.kept("network.key"), secrets.concat()).unwrap();
    match issue(&mut scratch.office(), 0, 1, &["a"], false) {
        Err(ServerError::Folder(path, FolderFault::ManySecrets)) => {
            assert!(path.ends_with("network.key"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_keeps_its_place_also_under_another_place_secret() {
    let scratch = Scratch::new("place");
    let mut office = scratch.made();
    let place = |issued: Issued| issued.certificate.place();
    let first = place(issue(&mut office, 0, 1, &["alice"], false).unwrap());
    assert_eq!(place(issue(&mut office, 7, 1, &["alice", "bob"], false).unwrap()), first);
    let expected = cosip::identity::authority::Authority::place(
        &bytes(scratch.read("place.key").trim()).try_into().unwrap(),
        &key(2),
    );
    assert_eq!(place(issue(&mut office, 7, 2, &["carol"], false).unwrap()), expected);
    fs::write(scratch.kept("place.key"), "5".repeat(64)).unwrap();
    assert_eq!(place(issue(&mut office, 8, 1, &["alice"], false).unwrap()), first);
    assert_ne!(place(issue(&mut office, 8, 3, &["dave"], false).unwrap()), expected);
}

/// The list as routers get it.
fn parse(list: &List) -> (RevocationHead, Pieces) {
    let length = 3 + usize::from(u16::from_be_bytes([list.bytes[1], list.bytes[2]]));
    let (head, entries) = list.bytes.split_at(length);
    let head = RevocationHead::parse(head).unwrap();
    let mut pieces = Pieces::new(head.clone());
    pieces.take(entries).unwrap();
    (head, pieces)
}

fn serials(list: &List) -> Vec<u64> {
    parse(list).1.entries().iter().map(|entry| entry.serial).collect()
}

#[test]
fn what_is_revoked_stands_on_the_list_until_it_has_ended() {
    let scratch = Scratch::new("revoked");
    let mut office = scratch.made();
    let serial = |issued: Result<Issued, ServerError>| issued.unwrap().certificate.serial();
    let alice = serial(issue(&mut office, 0, 1, &["alice"], false));
    let bob = [0, 7].map(|day| serial(issue(&mut office, day, 2, &["bob"], false)));
    let nothing = refusal(office.revoke(at(7), &Selector::Serial(7), ""));
    assert_eq!(nothing, Refusal::Nothing("7".into()));
    let empty = office.list(at(7), None).unwrap();
    assert_eq!((empty.entries, serials(&empty)), (0, vec![]));
    assert_eq!(office.revoke(at(8), &Selector::Serial(alice), "lost").unwrap(), [alice]);
    refusal(office.revoke(at(8), &Selector::Serial(alice), "again"));
    let first = office.list(at(8), None).unwrap();
    assert_eq!(serials(&first), [alice]);
    assert_eq!(office.revoke(at(9), &Selector::Adapter(key(2)), "").unwrap(), bob);
    let second = office.list(at(9), None).unwrap();
    assert_eq!(serials(&second), [alice, bob[0], bob[1]]);
    let (head, pieces) = parse(&second);
    let (anchor, keys) = scratch.trust();
    assert!(head.verify(&[anchor], keys.network()) && head.is_timely());
    assert_eq!(head.number(), second.number);
    let numbers: Vec<u32> = pieces.entries().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [first.number, second.number, second.number], "the list it came with");
    assert!(empty.number < first.number && first.number < second.number);
    // Two ended on day 14, and that day is theirs still.
    assert_eq!(office.list(at(14), None).unwrap().entries, 3);
    assert_eq!(serials(&office.list(at(15), None).unwrap()), [bob[1]]);
    assert_eq!(office.list(at(22), None).unwrap().entries, 0);
    let rows = office.books().audit().unwrap();
    let revoked = rows.iter().filter(|row| row.text(3) == "revoke");
    let revoked: Vec<_> = revoked.map(|row| (row.number(4).unwrap(), row.text(7))).collect();
    assert_eq!(revoked, [(alice, "lost"), (bob[0], ""), (bob[1], "")]);
}

#[test]
fn a_list_is_made_where_it_says_something_new_and_by_one_machine_of_several() {
    let scratch = Scratch::new("renewed");
    let mut office = scratch.made();
    let mut other = scratch.office();
    assert!(office.renew_list(at(0), 0).unwrap().is_none(), "nothing is revoked");
    issue(&mut office, 0, 1, &["alice"], false).unwrap();
    office.revoke(at(1), &Selector::Adapter(key(1)), "").unwrap();
    let list = office.renew_list(at(1), 0).unwrap().unwrap();
    assert_eq!(list.entries, 1);
    for office in [&mut office, &mut other] {
        assert!(office.renew_list(at(1), 0).unwrap().is_none());
        let books = office.books();
        assert_eq!(books.newest_list(0).unwrap().as_ref(), Some(&list.bytes));
        assert_eq!(books.newest_list(list.number.into()).unwrap(), None);
    }
    assert!(office.renew_list(at(14), 0).unwrap().is_none(), "it ends on that day");
    let shorter = other.renew_list(at(15), 0).unwrap().unwrap();
    assert_eq!((shorter.entries, shorter.number > list.number), (0, true));
    for day in [15, 16] {
        assert!(office.renew_list(at(day), 0).unwrap().is_none(), "{day}");
    }
    // Routers that have a newer one, as after a backup, still take the next.
    issue(&mut office, 16, 2, &["bob"], false).unwrap();
    office.revoke(at(16), &Selector::Adapter(key(2)), "").unwrap();
    let held = (at(16).now_s / 60) as u32 + 900;
    assert_eq!(office.renew_list(at(16), held).unwrap().unwrap().number, held + 1);
    // So far ahead that they take it from the anchor alone, whichever machine has seen it.
    issue(&mut office, 16, 3, &["carol"], false).unwrap();
    office.revoke(at(16), &Selector::Adapter(key(3)), "").unwrap();
    let held = (at(16).now_s / 60) as u32 + 1_000;
    let ahead = Refusal::Ahead((held + 1).into(), (at(16).now_s / 60 + 1) * 60);
    assert_eq!(refusal(office.renew_list(at(16), held)), ahead);
    assert_eq!(refusal(other.list(at(16), None)), ahead);
    let mut later = at(16);
    later.now_s += 60;
    assert_eq!(other.list(later, None).unwrap().number, held + 1);
}

#[test]
fn a_key_that_was_revoked_is_certified_no_more() {
    let scratch = Scratch::new("blocked");
    let mut office = scratch.made();
    issue(&mut office, 0, 1, &["alice"], false).unwrap();
    let serial = issue(&mut office, 0, 2, &["bob"], false).unwrap().certificate.serial();
    office.revoke(at(0), &Selector::Serial(serial), "another number").unwrap();
    issue(&mut office, 0, 2, &["carol"], false).unwrap();
    office.revoke(at(1), &Selector::Adapter(key(1)), "stolen").unwrap();
    let (adapter, at_s) = (key(1), at(1).now_s);
    let blocked = refusal(issue(&mut office, 40, 1, &["alice"], false));
    assert_eq!(blocked, Refusal::Blocked { adapter, at_s });
    // Before it was ever certified, too.
    assert_eq!(office.revoke(at(1), &Selector::Adapter(key(3)), "").unwrap(), [0; 0]);
    refusal(issue(&mut office, 1, 3, &["dave"], false));
}

#[test]
fn whoever_holds_an_older_list_takes_what_the_issuing_key_signs() {
    let scratch = Scratch::new("many");
    let mut office = scratch.made();
    let mut rng = Rng::new([4; 32]);
    let mut routers = vec![Revocations::default()];
    let (mut refused, mut taken, mut next) = (0, 0, 0_u32);
    for step in 0..90_u64 {
        // Some days have two lists.
        let day = step * 2 / 3;
        for _ in 0..rng.below(8) {
            next += 1;
            let name = format!("u{next}");
            let adapter = Identity::from_seed(rng.bytes()).unwrap().public();
            let aors = [format!("sip:{name}@example.net")];
            let order = Order { adapter, aors: &aors, days: 14, second: false };
            let serial = office.issue(at(day), &order).unwrap().certificate.serial();
            // Mostly few, at times most of them.
            if rng.below(10) < if day % 20 > 14 { 9 } else { 4 } {
                office.revoke(at(day), &Selector::Serial(serial), "").unwrap();
            }
        }
        let list = match office.list(at(day), None) {
            Ok(list) => list,
            Err(ServerError::Refused(Refusal::Many { .. })) => {
                refused += 1;
                if day % 2 == 0 {
                    continue;
                }
                office.list(at(day), Some(scratch.anchor())).unwrap()
            }
            Err(other) => panic!("{other}"),
        };
        taken += 1;
        let (head, pieces) = parse(&list);
        // As few members as a router may estimate.
        let updated: Vec<_> =
            routers.iter().map(|old| old.updated(&head, pieces.entries(), 0).unwrap()).collect();
        assert!(updated.iter().all(|it| it.len() == list.entries));
        // Some take it, one does not and keeps what it has.
        routers = updated.into_iter().chain([routers[0].clone()]).take(12).collect();
        let first = rng.below(routers.len() as u32) as usize;
        routers.rotate_left(first);
    }
    assert!(taken > 30 && refused > 1, "{taken} lists, {refused} refused");
}

#[test]
fn more_revocations_than_a_day_allows_take_the_anchor() {
    let scratch = Scratch::new("anchored");
    let mut office = scratch.made();
    for adapter in 1..=5 {
        issue(&mut office, 0, adapter, &[&format!("u{adapter}")], false).unwrap();
    }
    office.list(at(0), None).unwrap();
    for adapter in 1..=5 {
        office.revoke(at(0), &Selector::Adapter(key(adapter)), "").unwrap();
    }
    let many = refusal(office.list(at(0), None));
    assert_eq!(many, Refusal::Many { added: 5, most: 4 });
    assert!(many.to_string().contains("--anchor"));
    assert_eq!(refusal(office.renew_list(at(0), 0)), many);
    let list = office.list(at(0), Some(scratch.anchor())).unwrap();
    assert!(office.renew_list(at(0), 0).unwrap().is_none(), "that is the one which spreads");
    assert_eq!(office.books().newest_list(0).unwrap().as_ref(), Some(&list.bytes));
    let (head, _) = parse(&list);
    let (anchor, keys) = scratch.trust();
    assert!(head.verify(&[anchor], keys.network()) && head.delegation_serial().is_none());
    // On the next day whoever was switched off takes them from the issuing key, too.
    refusal(office.list(at(0), None));
    assert_eq!(office.list(at(1), None).unwrap().entries, 5);
    // However many lists a day has.
    for adapter in 6..=10 {
        issue(&mut office, 2, adapter, &[&format!("u{adapter}")], false).unwrap();
        office.revoke(at(2), &Selector::Adapter(key(adapter)), "").unwrap();
        let list = office.list(at(2), None);
        assert_eq!(list.is_ok(), adapter < 10, "{adapter}");
    }
}

#[test]
fn a_list_is_never_longer_than_routers_take() {
    let scratch = Scratch::new("long");
    let mut office = scratch.made();
    let mut revoke = |mut numbers: std::ops::Range<u64>| {
        let books = office.books();
        let ends_s = at(10).now_s;
        books
            .alone(|books| numbers.try_for_each(|number| books.revoke(200 * number + 1, ends_s)))?;
        office.list(at(0), Some(scratch.anchor()))
    };
    let list = revoke(0..8_000).unwrap();
    assert!(list.bytes.len() > 31_000 && list.bytes.len() <= 32 * 1024 + 400);
    assert_eq!(serials(&list).len(), 8_000);
    assert_eq!(refusal(revoke(8_000..9_000)), Refusal::Long(9_000));
}

#[test]
fn the_anchor_delegates_for_a_while_and_renews_it() {
    let scratch = Scratch::new("delegate");
    let mut office = scratch.made();
    let cut = issue(&mut office, 80, 1, &["alice"], false).unwrap();
    assert!(cut.is_cut, "the delegation lasts for ten days more");
    assert_eq!(u64::from(cut.certificate.validity().until_s), at(90).now_s);
    let over = refusal(issue(&mut office, 91, 1, &["alice"], false));
    assert!(matches!(over, Refusal::Undelegated { .. }), "{over}");
    let text = over.to_string();
    assert!(text.contains("to 2027-02-28 00:53:20") && text.contains("delegate"), "{text}");
    refusal(office.list(at(91), None));
    refusal(setup::delegate(&mut office, scratch.anchor(), 251, None, at(91)));
    let until_s = setup::delegate(&mut office, scratch.anchor(), 100, None, at(91)).unwrap();
    assert_eq!(u64::from(until_s), at(191).now_s);
    let issued = issue(&mut office, 91, 1, &["alice"], false).unwrap();
    assert!(!issued.is_cut);
    let (anchor, keys) = scratch.trust();
    assert!(issued.certificate.verify(&[anchor], keys.network()));
}

#[test]
fn a_stolen_issuing_key_is_revoked_and_replaced() {
    let scratch = Scratch::new("stolen");
    let mut office = scratch.made();
    let issued = issue(&mut office, 0, 1, &["alice"], false).unwrap();
    let delegation = issued.certificate.delegation_serial().unwrap();
    let which = Selector::Serial(delegation);
    assert_eq!(office.revoke(at(1), &which, "stolen").unwrap(), [delegation]);
    let dismissed = refusal(issue(&mut office, 1, 2, &["bob"], false));
    assert_eq!(dismissed, Refusal::Dismissed(delegation));
    refusal(office.list(at(1), None));
    let list = office.list(at(1), Some(scratch.anchor())).unwrap();
    assert_eq!(serials(&list), [delegation]);
    // Ahead of all that whoever has the key can number now, and within the next hour.
    let stolen = |now_s: u64| list_number_max(now_s as u32 + CLOCK_LATE_S, false);
    assert!(list.number > stolen(at(1).now_s + 3_500));
    let again = office.list(at(1), Some(scratch.anchor())).unwrap();
    assert_eq!(again.number, list.number + 1);
    let before = scratch.read("issuing.key");
    let mut rng = Rng::new([9; 32]);
    setup::delegate(&mut office, scratch.anchor(), 90, Some(&mut rng), at(1)).unwrap();
    assert_ne!(scratch.read("issuing.key").lines().next(), before.lines().next());
    let issued = issue(&mut office, 1, 2, &["bob"], false).unwrap();
    assert_ne!(issued.certificate.delegation_serial(), Some(delegation));
    let (anchor, keys) = scratch.trust();
    assert!(issued.certificate.verify(&[anchor], keys.network()));
    // The new key's lists come behind it, once routers take so high a number from such a key.
    let early = refusal(office.list(at(1), None));
    let Refusal::Ahead(number, from_s) = early else { panic!("{early}") };
    assert_eq!(number, u64::from(again.number) + 1);
    assert_eq!(from_s / 60 - at(1).now_s / 60, 122);
    let taken = office.list(Moment { now_s: from_s, ..at(1) }, None).unwrap();
    assert_eq!((u64::from(taken.number), serials(&taken)), (number, vec![delegation]));
    // Until it would have ended.
    assert_eq!(serials(&office.list(at(90), None).unwrap()), [delegation]);
}

#[test]
fn an_anchor_that_was_taken_away_is_missed_only_where_it_is_needed() {
    let scratch = Scratch::new("offline");
    let stick = scratch.path("stick.key");
    let named = stick.to_str().unwrap();
    let output = scratch.init(&["--offline", named]);
    good(&output);
    assert!(text(&output.stderr).contains(named));
    assert_eq!(fs::metadata(&stick).unwrap().mode() & 0o777, 0o600);
    assert!(!scratch.kept("anchor.key").exists());
    let key = hex(&key(1));
    good(&scratch.run(&["issue", "--key", &key, "--aor", "sip:alice@example.net"]));
    let missed = scratch.run_anchored(&["delegate"]);
    assert!(bad(&missed).contains("the anchor's key is not here"), "{}", bad(&missed));
    good(&scratch.run_anchored(&["delegate", "--anchor", named]));
    scratch.write("passphrase", "correct horse batterx\n");
    let wrong = scratch.run_anchored(&["delegate", "--anchor", named]);
    assert!(bad(&wrong).contains("another passphrase"), "{}", bad(&wrong));
    assert_eq!(good(&scratch.run(&["audit"])).matches("\tdelegate\t").count(), 2);
    // Another network's is none.
    let other = Scratch::new("offline-other");
    good(&other.init(&[]));
    scratch.write("passphrase", PASSPHRASE);
    let foreign = other.kept("anchor.key");
    let output = scratch.run_anchored(&["delegate", "--anchor", foreign.to_str().unwrap()]);
    assert!(bad(&output).contains("the anchor of another network"), "{}", bad(&output));
}

#[test]
fn names_without_a_folder_are_files_of_the_current_one() {
    let scratch = Scratch::new("relative");
    let run = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosip-server"));
        command.args(words.split(' ')).current_dir(&scratch.0).output().unwrap()
    };
    let anchor = "--passphrase-file passphrase --dir net";
    good(&run(&format!("init --settings routers.config --offline stick.key {anchor}")));
    good(&run(&format!("delegate --anchor stick.key {anchor}")));
    good(&run("revocations --dir net"));
    good(&run("revocations --out list --dir net"));
    good(&run("export --out image --dir net"));
    for name in ["stick.key", "list", "image/network.key"] {
        assert!(scratch.path(name).exists(), "{name}");
    }
}

#[test]
fn an_init_that_fails_leaves_nothing_behind_and_overwrites_nothing() {
    let scratch = Scratch::new("init");
    let left = || {
        let mut names: Vec<_> = fs::read_dir(&scratch.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let before = left();
    scratch.write("passphrase", "eleven byte");
    assert!(bad(&scratch.init(&[])).contains("fewer than 12 bytes"));
    scratch.write("passphrase", PASSPHRASE);
    let address = "postgresql://nobody@127.0.0.1:1/none";
    assert!(bad(&scratch.init(&["--database", address])).contains("127.0.0.1:1/none"));
    assert!(bad(&scratch.init(&["--database", "mysql:it"])).contains("sqlite:FILE"));
    assert!(bad(&scratch.init(&["--days", "0"])).contains("1 to 250"));
    let secret = scratch.path("passphrase");
    let output = scratch.init(&["--secret", secret.to_str().unwrap()]);
    assert!(bad(&output).contains("line 1: not 64 hexadecimal digits"));
    scratch.write("routers.config", "config adapter 'adapter'\n\toption sip_port '70000'\n");
    assert!(bad(&scratch.init(&[])).contains("routers.config:2"));
    scratch.write("routers.config", "config adapter 'adapter'\n");
    assert!(bad(&scratch.init(&[])).contains("names no network"));
    assert_eq!(left(), before);
    scratch.write("routers.config", SETTINGS);
    assert!(bad(&scratch.run(&["list"])).contains("cosip-server init"));
    good(&scratch.init(&[]));
    let kept = scratch.read("anchor.key");
    assert!(bad(&scratch.init(&[])).contains("not empty"));
    let taken = scratch.write("taken.key", "mine");
    let second = Scratch::new("init-second");
    let output = second.init(&["--offline", taken.to_str().unwrap()]);
    assert!(bad(&output).contains("taken.key: exists"), "{}", bad(&output));
    assert!(fs::read_to_string(&taken).unwrap() == "mine" && !second.path("net").exists());
    assert_eq!(scratch.read("anchor.key"), kept);
}

#[test]
fn files_of_different_networks_are_told_apart() {
    let (scratch, other) = (Scratch::new("mixed"), Scratch::new("mixed-other"));
    let mut office = scratch.made();
    good(&other.init(&[]));
    let name = "config overlay 'overlay'\n\toption name 'example.org'\n";
    fs::write(scratch.kept("provider.config"), format!("{SETTINGS}{name}")).unwrap();
    match Office::open(Folder::new(scratch.path("net"))) {
        Err(ServerError::Folder(_, FolderFault::Renamed { now, was })) => {
            assert_eq!((now.as_str(), was.as_str()), ("example.org", "example.net"));
        }
        _ => panic!("the name is in everything signed"),
    }
    fs::write(scratch.kept("provider.config"), SETTINGS).unwrap();
    fs::copy(other.kept("issuing.key"), scratch.kept("issuing.key")).unwrap();
    match issue(&mut office, 1, 1, &["alice"], false) {
        Err(ServerError::Folder(path, FolderFault::Mixed)) => {
            assert!(path.ends_with("issuing.key"))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(office.books().certificates(&Selector::All, None).unwrap(), [], "none was issued");
    fs::write(scratch.kept("issuing.key"), "nothing").unwrap();
    assert!(bad(&scratch.run(&["revocations", "--out", "/dev/null"])).contains("backup"));
    fs::copy(other.kept("state.db"), scratch.kept("state.db")).unwrap();
    assert!(bad(&scratch.run(&["list"])).contains("keeps the books of the network example.net"));
    match setup::open_anchor(
        &Folder::new(scratch.path("net")),
        Some(&other.kept("anchor.key")),
        || Ok(Zeroizing::new(PASSPHRASE.into())),
    ) {
        Err(ServerError::Anchor(_, AnchorFault::Other)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_is_made_of_what_is_exported() {
    let scratch = Scratch::new("export");
    good(&scratch.init(&[]));
    let out = scratch.path("out");
    let output = scratch.run(&["export", "--out", out.to_str().unwrap()]);
    let settings = good(&output).trim().to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let image = scratch.path("image");
    let made = Command::new(root.join("scripts/image-overlay.sh"))
        .env("PROVIDER", &settings)
        .env("COSIP", env!("CARGO_BIN_EXE_cosip"))
        .env("OUT", &image)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let files = image.join("files/etc");
    let inside = fs::read_to_string(files.join("config/cosip")).unwrap();
    let anchor = scratch.read("anchor.pub");
    assert!(inside.contains(&format!("list trust_anchor '{}'", anchor.trim())));
    assert!(inside.starts_with(SETTINGS));
    let secret = fs::read_to_string(files.join("cosip/network.key")).unwrap();
    assert_eq!(secret, scratch.read("network.key"));
    let entries = fs::read_dir(files.join("cosip")).unwrap().count();
    assert_eq!(entries, 1, "the secret alone, no key of the provider's");
    // Again, now that the operator keeps what was exported.
    fs::copy(&settings, scratch.kept("provider.config")).unwrap();
    good(&scratch.run(&["export", "--out", out.to_str().unwrap()]));
    assert_eq!(fs::read_to_string(&settings).unwrap(), inside);
    let own = scratch.path("net");
    assert!(bad(&scratch.run(&["export", "--out", own.to_str().unwrap()])).contains("exists"));
}

/// A command on a terminal: waits for each question, and answers it.
fn converse(command: &str, answers: &[(&str, &str)]) -> (bool, String) {
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut typed, mut shown) = (child.stdin.take().unwrap(), String::new());
    let mut screen = child.stdout.take().unwrap();
    for (question, answer) in answers {
        while !shown.ends_with(question) {
            let mut byte = [0];
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "{shown}");
            shown.push(char::from(byte[0]));
        }
        writeln!(typed, "{answer}").unwrap();
    }
    screen.read_to_string(&mut shown).unwrap();
    (child.wait().unwrap().success(), shown)
}

#[test]
fn a_passphrase_is_asked_for_on_the_terminal_and_not_shown() {
    if !needs::are_met("a_passphrase_is_asked_for_on_the_terminal_and_not_shown", &["script"]) {
        return;
    }
    let scratch = Scratch::new("terminal");
    let (program, net) = (env!("CARGO_BIN_EXE_cosip-server"), scratch.path("net"));
    let settings = scratch.path("routers.config");
    let (net, settings) = (net.display(), settings.display());
    let init = format!("{program} init --settings {settings} --dir {net}");
    let (question, again) = ("passphrase of the anchor: ", "once more: ");
    let (is_done, shown) = converse(&init, &[(question, PASSPHRASE), (again, "another")]);
    assert!(!is_done && shown.contains("the two passphrases differ"), "{shown}");
    let (is_done, shown) = converse(&init, &[(question, "\u{3}")]);
    assert!(!is_done && shown.contains("--passphrase-file"), "{shown}");
    assert!(!scratch.path("net").exists());
    let (is_done, shown) = converse(&init, &[(question, PASSPHRASE), (again, PASSPHRASE)]);
    assert!(is_done && shown.contains("network example.net"), "{shown}");
    assert!(!shown.contains(PASSPHRASE), "{shown}");
    let delegate = format!("{program} delegate --dir {net}");
    let (is_done, shown) = converse(&delegate, &[(question, PASSPHRASE)]);
    assert!(is_done && shown.contains("delegated until"), "{shown}");
    // Without a terminal nothing is waited for.
    let mut alone = Command::new("setsid");
    let output = alone.args([program, "delegate", "--dir"]).arg(scratch.path("net")).output();
    assert!(bad(&output.unwrap()).contains("no terminal to ask"));
}

/// Commands given at the same moment: one adapter gets the AOR, no number is given twice.
fn contend(scratch: &Scratch) {
    let issue = |adapter: u8, aor: String| {
        let mut command = scratch.command(&["issue", "--key", &hex(&key(adapter)), "--aor", &aor]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let same: Vec<_> =
        (1..=6).map(|adapter| issue(adapter, "sip:alice@example.net".into())).collect();
    let others: Vec<_> =
        (1..=6).map(|adapter| issue(adapter, format!("sip:u{adapter}@example.net"))).collect();
    let same: Vec<Output> = same.into_iter().map(|it| it.wait_with_output().unwrap()).collect();
    let (winners, losers): (Vec<_>, Vec<_>) = same.iter().partition(|it| it.status.success());
    assert_eq!(winners.len(), 1);
    assert!(losers.iter().all(|it| bad(it).starts_with("cosip-server: alice@example.net: ")));
    let mut serials: Vec<u64> = others
        .into_iter()
        .map(|it| it.wait_with_output().unwrap())
        .chain(winners.into_iter().cloned())
        .map(|it| printed(&it).serial())
        .collect();
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 7);
    assert_eq!(good(&scratch.run(&["audit"])).matches("\tissue\t").count(), 7);
}

#[test]
fn commands_given_at_once_do_not_cross() {
    let scratch = Scratch::new("contend");
    good(&scratch.init(&[]));
    contend(&scratch);
}

#[test]
fn several_machines_share_a_postgresql() {
    let Some(server) = Server::start("several_machines_share_a_postgresql") else { return };
    let (scratch, second) = (Scratch::new("postgres"), Scratch::new("postgres-second"));
    good(&scratch.init(&["--database", server.address()]));
    assert!(!scratch.kept("state.db").exists());
    contend(&scratch);
    // Another machine has a copy of the folder.
    fs::create_dir(second.path("net")).unwrap();
    for entry in fs::read_dir(scratch.path("net")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), second.path("net").join(entry.file_name())).unwrap();
    }
    let alice = ["revoke", "--aor", "sip:alice@example.net", "--reason", "moved"];
    let serial = good(&second.run(&alice)).trim().to_owned();
    assert!(!good(&scratch.run(&["list"])).contains("alice"));
    assert!(good(&scratch.run(&["list", "--all"])).contains("revoked"));
    good(&second.run(&["secret", "--new"]));
    assert!(good(&scratch.run(&["secret"])).contains(" coming "));
    let [own, others] =
        [&scratch, &second].map(|it| fs::read_to_string(it.kept("network.key")).unwrap());
    assert_eq!((own.lines().count(), &own), (2, &others));
    let path = scratch.path("list");
    good(&scratch.run(&["revocations", "--out", path.to_str().unwrap()]));
    let list = List { number: 0, entries: 0, bytes: fs::read(path).unwrap() };
    assert_eq!(serials(&list), [serial.parse::<u64>().unwrap()]);
    let mut office = Office::open(Folder::new(second.path("net"))).unwrap();
    assert_eq!(office.books().newest_list(0).unwrap(), Some(list.bytes), "both spread the same");
    drop(office);
    for statement in ["UPDATE audit SET who = 'bob'", "DELETE FROM audit", "TRUNCATE audit"] {
        let error = server.execute(statement).unwrap_err();
        assert!(error.contains("only ever added to"), "{statement}: {error}");
    }
    // A network of its own needs a database of its own.
    let third = Scratch::new("postgres-third");
    let output = third.init(&["--database", server.address()]);
    assert!(bad(&output).contains("each network has a database of its own"), "{}", bad(&output));
    assert!(!third.path("net").exists());
    drop(server);
    let gone = scratch.run(&["list"]);
    assert!(bad(&gone).contains("postgresql://cosip@"), "{}", bad(&gone));
}

/// Second challenges, as two servers of the same books see them.
fn take_turns(office: &mut Office) {
    let books = office.books();
    let [one, other, adapter] = [1, 2, 3].map(key);
    let due = Due { aor: "alice@example.net".into(), adapter, tries: 0, ends_s: START_S + 900 };
    books.set_second(&due, START_S + 60, &one).unwrap();
    let mut list = |server, after| books.seconds_due(server, START_S + after, 16).unwrap();
    assert_eq!((list(&one, 59), list(&other, 60)), (vec![], vec![]));
    assert_eq!(list(&one, 60), std::slice::from_ref(&due));
    let later = Due { tries: 1, ..due.clone() };
    books.set_second(&later, START_S + 100, &one).unwrap();
    books.move_seconds(&adapter, &other).unwrap();
    assert_eq!(books.seconds_due(&one, START_S + 100, 16).unwrap(), []);
    assert_eq!(books.seconds_due(&other, START_S + 100, 16).unwrap(), [later]);
    let mut second = |after| books.second(&due.aor, &adapter, START_S + after).unwrap();
    assert_eq!(second(900), Some(Second { ends_s: START_S + 900, is_proven: false }));
    assert_eq!(second(901), None);
    books.prove_second(&due.aor, &adapter, (START_S + 200, START_S + 2_000)).unwrap();
    assert_eq!(books.seconds_due(&other, START_S + 300, 16).unwrap(), []);
    let proven = Second { ends_s: START_S + 2_000, is_proven: true };
    assert_eq!(books.second(&due.aor, &adapter, START_S + 901).unwrap(), Some(proven));
    assert_eq!(books.sweep_seconds(START_S + 2_000).unwrap(), 1);
    assert_eq!(books.sweep_seconds(START_S + 2_001).unwrap(), 0);
    let counts = books.counts(START_S).unwrap();
    let empty = Counts::default();
    assert_eq!(counts, empty);
}

#[test]
fn second_challenges_are_one_servers_at_a_time() {
    let scratch = Scratch::new("seconds");
    take_turns(&mut scratch.made());
    let Some(server) = Server::start("second_challenges_are_one_servers_at_a_time") else { return };
    let shared = Scratch::new("seconds-shared");
    good(&shared.init(&["--database", server.address()]));
    take_turns(&mut shared.office());
}

/// One adapter denies what it has promised another.
fn judge(office: &mut Office) {
    let [holder, owner] = [(1, "alice"), (2, "bob")]
        .map(|(number, aor)| issue(office, 0, number, &[aor], false).unwrap().certificate);
    // What is signed is not asked here: whoever hears it has verified that.
    let network = [7; 16];
    let said = Said {
        place: holder.place(),
        holder: holder.key(),
        key: owner.keys().next().unwrap(),
        owner: owner.place(),
        seq: 1,
        start: 1,
        boot: 1,
        said_s: 1,
        until_s: 100,
    };
    let identity = Identity::from_seed([1; 32]).unwrap();
    let sign = |said: &Said| Statement::sign(&identity, &network, said);
    let denial = sign(&Said { seq: 0, said_s: 2, until_s: 2, ..said });
    let contradiction = Contradiction { receipt: sign(&said), denial };
    let revoked = Verdict::Revoked(vec![holder.serial()]);
    assert_eq!(office.judge(at(0), &contradiction).unwrap(), revoked);
    assert_eq!(office.judge(at(0), &contradiction).unwrap(), Verdict::Doubtful, "no longer");
}

#[test]
fn who_contradicts_itself_is_revoked_in_either_database() {
    let scratch = Scratch::new("judge");
    judge(&mut scratch.made());
    let Some(server) = Server::start("who_contradicts_itself_is_revoked") else { return };
    let shared = Scratch::new("judge-shared");
    judge(&mut shared.made_in(Some(server.address())));
}

#[test]
fn help_goes_to_standard_output_and_misuse_does_not() {
    let scratch = Scratch::new("help");
    let run = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_cosip-server")).args(words).output().unwrap()
    };
    assert!(good(&run(&["--help"])).starts_with("usage: cosip-server init"));
    assert_eq!(good(&run(&["-V"])), concat!("cosip-server ", env!("CARGO_PKG_VERSION"), "\n"));
    for words in [&[][..], &["frobnicate"], &["issue", "--frobnicate"], &["revoke"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(bad(&output).ends_with("--help lists the commands"), "{words:?}");
    }
    let output = scratch.run(&["revoke", "7", "--aor", "sip:alice@example.net"]);
    assert!(bad(&output).contains("only one"));
}
