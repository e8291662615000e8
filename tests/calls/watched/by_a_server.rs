//! A whole CoSIP server with its books, whose watch finds the router that lies.

use crate::node::Node;
use crate::provider::registrar;
use crate::town::{DOMAIN, EPOCH_S, Phone, Town, at};
use crate::vouched::holds;
use cosip::adapter::Adapter;
use cosip::config::{Accept, Account, Anchor, Config, HostPort};
use cosip::identity::certificate::text;
use cosip::identity::network::TAG_BYTES;
use cosip::identity::record::Record;
use cosip::identity::statement::{ANY_OWNER, STATED_BYTES, Said, Statement};
use cosip::identity::{Certificate, Identity, NetworkKeys};
use cosip::limits::BUILT_UNIX_S;
use cosip::net::{File, Input, Network};
use cosip::rng::Rng;
use cosip::server::Moment;
use cosip::server::books::Selector;
use cosip::server::desk::Desk;
use cosip::server::folder::Folder;
use cosip::server::office::{Office, Order};
use cosip::server::serve::Served;
use cosip::server::setup::{self, Plan};
use cosip::server::watch::{WATCH_INTERVAL_S, Watch};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

const HOST: &str = "198.51.100.7:5070";
const ROUTERS: u8 = 6;
const LIAR: usize = 3;
const SETTINGS: &str = "\
config provider 'example'
	option domain 'example.net'
config overlay 'overlay'
	option name 'town'
";
/// The kind byte of the answer to a get.
const VALUE: u8 = 6;

/// The folder of the provider's network, gone with the test.
struct Provider(PathBuf);

impl Provider {
    fn new(name: &str, now_s: u64) -> Self {
        let path = std::env::temp_dir().join(format!("cosip-watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let write = |name: &str, text: &str| {
            let file = path.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            file
        };
        let plan = Plan {
            settings: &write("routers.config", SETTINGS),
            secret: Some(&write("secret", &format!("{}\n", "05".repeat(32)))),
            offline: None,
            database: None,
            days: 90,
            passphrase: "correct horse battery",
        };
        let moment = Moment { now_s, by: "alice" };
        setup::init(&Folder::new(path.join("net")), &plan, moment, &mut Rng::new([1; 32])).unwrap();
        Self(path)
    }

    fn folder(&self) -> Folder {
        Folder::new(self.0.join("net"))
    }

    fn office(&self) -> Office {
        Office::open(self.folder()).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Home {
    town: Town,
    provider: Provider,
    server: usize,
    _phones: Vec<Phone>,
}

fn now_s(town: &Town) -> u64 {
    town.epoch_s + town.world.now.millis() / 1000
}

/// The CoSIP server's own settings.
fn settings(anchor: Anchor, routers: &Config) -> Config {
    let mut config = Config::default();
    config.adapter.enabled = true;
    config.adapter.lan.clear();
    config.adapter.wan = vec![at(HOST).ip().to_string()];
    config.adapter.port_mapping = false;
    config.adapter.intercept = false;
    config.providers.clone_from(&routers.providers);
    config.accounts = vec![Account { aor: format!("sip:cosip@{DOMAIN}"), ..Account::default() }];
    config.overlay.name = "town".into();
    config.identity.trust_anchor = vec![anchor];
    config.identity.accept = Accept::Nobody;
    config
}

impl Home {
    fn new(name: &str) -> Self {
        let mut town = Town::empty(1);
        town.epoch_s = EPOCH_S.max(BUILT_UNIX_S);
        let provider = Provider::new(name, now_s(&town));
        let anchor = Anchor(provider.folder().anchor().unwrap());
        for number in 1..=ROUTERS {
            town.add_router(number, |config| {
                let (host, port) = (at(HOST).ip().to_string(), at(HOST).port());
                config.overlay.bootstrap = vec![HostPort { host, port }];
                config.overlay.name = "town".into();
                config.identity.trust_anchor = vec![anchor];
                config.identity.accept = Accept::Verified;
            });
        }
        let server = Self::add_server(&mut town, &provider, anchor);
        town.world.autos.insert(crate::town::server(), Box::new(registrar));
        for router in 0..usize::from(ROUTERS) {
            let certificate = issue(&town, &provider, router);
            holds(&mut town, router, &text::write(&[certificate]));
        }
        town.world.run_ms(30_000);
        let phone = |at: usize| town.registered(at, 1, &format!("u{at}"));
        let phones = (0..usize::from(ROUTERS)).map(phone).collect();
        Self { town, provider, server, _phones: phones }
    }

    fn add_server(town: &mut Town, provider: &Provider, anchor: Anchor) -> usize {
        let (now, mut rng) = (town.world.now, Rng::new([9; 32]));
        let identity = Identity::from_seed([99; 32]).unwrap();
        let config = settings(anchor, &town.routers[0].config);
        let (keys, key) = (town.keys.clone(), identity.public());
        let adapter = Adapter::new(&config, &identity, Some(&keys), 1, rng.bytes(), now);
        // As long as the program runs, as that of a server does.
        let adapter = Box::leak(Box::new(adapter));
        let desk = Desk::new(now, key, 50, &mut rng);
        let watch = Watch::new(now, key, keys.network(), WATCH_INTERVAL_S, &mut rng);
        let served = Served::new(adapter, key, provider.office(), (desk, watch), now);
        let place = town.world.add(Node::Served(Box::new(served)));
        town.world.input(place, Input::Clock(now_s(town)));
        // It has certified itself into its folder, which it reads once it has a network.
        let file = fs::read(provider.0.join("net/adapter.crt")).unwrap();
        town.world.files.push((place, File::Certificates, file));
        let wan: Vec<IpAddr> = vec![at(HOST).ip()];
        town.world
            .input(place, Input::Network(&Network { wan, wan_up: true, ..Network::default() }));
        place
    }

    /// From now on a router denies what it keeps.
    fn lies(&mut self, router: usize) {
        let certificate = self.certificate(router);
        let router = &self.town.routers[router];
        let identity = router.identity.clone().certified(&[certificate]);
        let keys = self.town.keys.clone();
        self.town.world.bend = Some(Box::new(move |it| denied(&it.data, &identity, &keys)));
    }

    /// What a router is certified with.
    fn certificate(&self, router: usize) -> Certificate {
        let place = self.town.routers[router].place;
        let mut files = self.town.world.files.iter();
        let (_, _, bytes) = files.find(|it| (it.0, it.1) == (place, File::Certificates)).unwrap();
        text::parse(std::str::from_utf8(bytes).unwrap()).unwrap().remove(0)
    }

    /// Which routers are revoked.
    fn revoked(&self) -> Vec<usize> {
        let all = self.provider.office().books().certificates(&Selector::All, None).unwrap();
        let revoked: Vec<&str> =
            all.iter().filter(|it| it.is_revoked).map(|it| it.adapter.as_str()).collect();
        let is =
            |at: &usize| revoked.contains(&hex(&self.town.routers[*at].identity.public()).as_str());
        let routers: Vec<usize> = (0..self.town.routers.len()).filter(is).collect();
        assert_eq!(routers.len(), revoked.len(), "nobody else");
        routers
    }

    /// A counter of the watch, as Prometheus reads it.
    fn watched(&mut self, name: &str) -> u64 {
        let page = self.town.world.ask(self.server, &["metrics"]);
        let sample = format!("cosip_watch_events_total{{name=\"{name}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn issue(town: &Town, provider: &Provider, router: usize) -> Certificate {
    let adapter = town.routers[router].identity.public();
    let aors = [format!("sip:u{router}@{DOMAIN}")];
    let order = Order { adapter, aors: &aors, days: 14, second: false };
    let moment = Moment { now_s: now_s(town), by: "alice" };
    provider.office().issue(moment, &order).unwrap().certificate
}

/// Takes a block with its length before it.
fn block(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// The answer to a get that gives a record, and says so signed, as one that says, signed as well,
/// that there is none; of the same length.
fn denied(data: &[u8], identity: &Identity, keys: &NetworkKeys) -> Option<Vec<u8>> {
    if data.get(2) != Some(&VALUE) || data.get(5..21) != Some(&identity.id().0) {
        return None;
    }
    let head = 5 + 16 + 8 + 8 + 2 + 4;
    let head = head + if *data.get(head)? == 4 { 7 } else { 19 };
    let (record, _) = block(data.get(head..)?)?;
    let key = Record::parse(record).ok()?.key();
    let end = 5 + usize::from(u16::from_be_bytes([data[3], data[4]]));
    let stated = data.get(end - STATED_BYTES..end)?.first_chunk()?;
    let honest = Statement::completed(identity.id(), (key, ANY_OWNER, 0), stated).said();
    if honest.holder != identity.public() {
        return None;
    }
    let lie = Said { seq: 0, owner: ANY_OWNER, until_s: honest.said_s, ..honest };
    let lie = Statement::sign(identity, keys.network(), &lie);
    let nothing = [0; 2 + 2 + 1 + 1];
    let mut told = [&data[..head], &nothing, &lie.stated()].concat();
    let len = (told.len() - 5) as u16;
    told[3..5].copy_from_slice(&len.to_be_bytes());
    let tag: [u8; TAG_BYTES] = keys.tag(&told);
    told.extend(tag);
    told.resize(data.len(), 0);
    Some(told)
}

/// The audit's row of a deed, its detail.
fn detail(office: &mut Office, what: &str) -> Vec<String> {
    let rows = office.books().audit().unwrap();
    rows.iter().filter(|row| row.text(3) == what).map(|row| row.text(7).to_owned()).collect()
}

#[test]
fn a_router_that_denies_what_it_keeps_is_revoked_within_minutes_and_no_other_is() {
    let mut home = Home::new("liar");
    home.town.world.run_ms(120_000);
    assert_eq!((home.revoked(), home.watched("contradictions")), (vec![], 0));
    let page = home.town.world.ask(home.server, &["watch"]);
    assert!(home.watched("statements") > 20, "the watch is at work: {page}");
    // Owners put their records anew each hour; what was promised until now is denied from now on.
    home.lies(LIAR);
    let found = (1..=40).find(|_| {
        home.town.world.run_ms(15_000);
        !home.revoked().is_empty()
    });
    assert!(found.is_some_and(|quarters| quarters <= 20), "within five minutes: {found:?}");
    assert_eq!((home.revoked(), home.watched("revoked")), (vec![LIAR], 1));
    let mut office = home.provider.office();
    let [row] = &detail(&mut office, "revoke")[..] else { panic!("one certificate") };
    let words: Vec<&str> = row.split(' ').collect();
    let read = |name: &str| {
        let at = words.iter().position(|word| *word == name).unwrap();
        let digits = words[at + 1];
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        Statement::parse(&bytes).unwrap()
    };
    let (receipt, denial) = (read("receipt"), read("denial"));
    let network = home.town.keys.network();
    assert!(receipt.verify(network) && denial.verify(network) && receipt.contradicts(&denial));
    let liar = home.town.routers[LIAR].identity.public();
    assert_eq!(receipt.said().holder, liar);
    assert_eq!(detail(&mut office, "block").len(), 1, "it is not certified again");
    // Who loses its power later, or leaves, is no liar.
    for router in [0, 1, 5] {
        home.town.world.run_ms(120_000);
        home.town.restart(router);
    }
    home.town.world.run_ms(600_000);
    assert_eq!(home.revoked(), [LIAR]);
    assert_eq!([home.watched("doubtful"), home.watched("faulty")], [0, 0]);
}
