//! The bodies of the fuzz targets, over the committed seeds and what a few changes make of them.
//!
//! So a target cannot rot between two runs of the fuzzer, and what a run once found stays found:
//! its input is committed as a seed. Random changes follow from fixed seeds.

use cosip::rng::Rng;
use cosip::{channel, config, identity, media, overlay, portmap, sip};
use std::fs;
use std::path::Path;

/// Reads the seeds of one target, gives them to its body, each also `changed` times with changes,
/// and `random` inputs without any shape.
fn run(folder: &str, body: fn(&[u8]), changed: u32, random: u32) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut seeds: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{folder} has seeds");
    let mut rng = Rng::new([7; 32]);
    for path in seeds {
        let seed = fs::read(&path).unwrap();
        body(&seed);
        for _ in 0..changed {
            body(&change(&seed, &mut rng));
        }
    }
    for _ in 0..random {
        let len = rng.below(400) as usize;
        let bytes: Vec<u8> = (0..len).map(|_| rng.below(256) as u8).collect();
        body(&bytes);
    }
}

/// One to four bytes changed, removed, doubled or cut off at.
fn change(seed: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len() as u32) as usize;
        match rng.below(8) {
            0..4 => bytes[at] = rng.below(256) as u8,
            4 => drop(bytes.remove(at)),
            5 => bytes.insert(at, bytes[at]),
            6 => bytes[at] ^= 1 << rng.below(8),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn sip_messages() {
    run("tests/data/rfc4475", sip::fuzz::fuzz, 100, 1000);
}

#[test]
fn session_descriptions() {
    run("tests/data/sdp", media::fuzz::fuzz, 200, 500);
}

#[test]
fn settings() {
    run("openwrt/net/cosip/files", config::fuzz::fuzz, 1000, 1000);
}

#[test]
fn certificates_and_challenges() {
    run("fuzz/seeds/identity", identity::fuzz::fuzz, 400, 1000);
}

#[test]
fn overlay_datagrams() {
    run("fuzz/seeds/overlay_datagram", overlay::fuzz::fuzz, 50, 200);
}

#[test]
fn channel_scripts() {
    run("fuzz/seeds/channel_datagram", channel::fuzz::fuzz, 100, 200);
}

#[test]
fn new_secrets() {
    run("fuzz/seeds/new_secrets", identity::rolling::fuzz, 500, 500);
    run("fuzz/seeds/new_secrets", channel::fuzz::fuzz_payload, 500, 2000);
}

#[test]
fn answers_of_a_router_in_front() {
    run("fuzz/seeds/portmap_pcp", portmap::fuzz::fuzz_pcp, 200, 500);
    run("fuzz/seeds/portmap_natpmp", portmap::fuzz::fuzz_nat_pmp, 200, 500);
    run("fuzz/seeds/portmap_upnp", portmap::fuzz::fuzz_upnp, 100, 200);
}
