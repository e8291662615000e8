//! Hostile bytes at every socket of an adapter: it lives, does not grow, counts, and serves on.

use crate::calls::{await_sound, call, end, two_phones};
use crate::host::Host;
use crate::router::{LAN, OVERLAY_PORT, Router, Settings, WAN_SIP_PORT};
use crate::town::{SECOND, Town};
use crate::transport::Transport;
use crate::wait;
use crate::world::inside;
use cosip::rng::Rng;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(10);
/// Random datagrams to a socket in a round.
const RANDOM: usize = 400;
/// Datagrams that fit into any socket's queue at once.
const BURST: usize = 40;
/// What memory may grow by in a round that is no adapter's first: some pages of its allocator.
const GROWTH_KB: u64 = 512;

/// Everything that an attacker may send, the same for the same seed.
struct Arsenal {
    rng: Rng,
    torture: Vec<Vec<u8>>,
}

impl Arsenal {
    fn new() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rfc4475");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "dat"))
            .collect();
        files.sort();
        let torture = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
        Self { rng: Rng::new([0x75; 32]), torture }
    }

    /// Random bytes, long enough to be no keep-alive.
    fn random(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 16 + self.rng.below(1200) as usize];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// Random bytes, more than fit into a message.
    fn endless(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; cosip::limits::SIP_MESSAGE_BYTES_MAX + 1024];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// A torture message with some bytes of it changed.
    fn mutated(&mut self) -> Vec<u8> {
        let at = self.rng.below(self.torture.len() as u32) as usize;
        let mut bytes = self.torture[at].clone();
        for _ in 0..=self.rng.below(8) {
            let place = self.rng.below(bytes.len() as u32) as usize;
            bytes[place] = self.rng.below(256) as u8;
        }
        bytes
    }

    fn many(&mut self, mut make: impl FnMut(&mut Self) -> Vec<u8>) -> Vec<Vec<u8>> {
        (0..RANDOM).map(|_| make(self)).collect()
    }
}

/// Sends datagrams, no faster than they are counted by `counters` in sum.
fn send_counted(router: &Router, socket: &UdpSocket, datagrams: &[Vec<u8>], counters: &[&str]) {
    let counted = || router.counters(counters);
    for burst in datagrams.chunks(BURST) {
        let before = counted();
        burst.iter().for_each(|datagram| drop(socket.send(datagram)));
        let what = format!("{counters:?} to count {} datagrams", burst.len());
        wait::until(&what, SOON, || counted() >= before + burst.len() as u64);
    }
}

/// Sends datagrams that need not be counted: each may be served, refused or passed on.
fn send_served(router: &Router, socket: &UdpSocket, datagrams: &[Vec<u8>]) {
    for burst in datagrams.chunks(BURST) {
        burst.iter().for_each(|datagram| drop(socket.send(datagram)));
        assert_eq!(router.status()["running"], true);
    }
}

fn connect(host: &Host, to: (&str, u16)) -> UdpSocket {
    host.on(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket
    })
}

/// Opens a connection for each message, sends it, and waits until the adapter has read it:
/// until it answers, closes, or has had a moment for neither.
fn send_on_tcp(host: &Host, messages: &[Vec<u8>]) {
    let address: SocketAddr = format!("{LAN}:5060").parse().unwrap();
    for message in messages {
        let mut stream =
            host.on(|| TcpStream::connect_timeout(&address, Duration::from_secs(2)).unwrap());
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let _ = stream.write_all(message);
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn annoy_control(router: &Router, arsenal: &mut Arsenal) {
    for _ in 0..20 {
        let mut stream = UnixStream::connect(router.control()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let _ = stream.write_all(&arsenal.random());
        let _ = stream.write_all(b"\n");
        let _ = stream.read(&mut [0; 256]);
    }
}

/// One round at all sockets of router 1.
fn attack(town: &Town, arsenal: &mut Arsenal) {
    let router = town.router(1);
    let home = town.socket(1, SECOND).host;
    let wan = "203.0.113.21";
    let random = arsenal.many(Arsenal::random);
    let mutated = arsenal.many(Arsenal::mutated);

    let phone = connect(&home, (LAN, 5060));
    send_counted(router, &phone, &random, &["sip_malformed"]);
    send_served(router, &phone, &arsenal.torture);
    send_served(router, &phone, &mutated);

    // More than a message may have, and no end of one.
    let endless: Vec<Vec<u8>> = (0..3).map(|_| arsenal.endless()).collect();
    let refused = router.counter("connections_refused");
    send_on_tcp(&home, &endless);
    wait::until("refused connections", SOON, || {
        router.counter("connections_refused") >= refused + endless.len() as u64
    });
    send_on_tcp(&home, &random[..BURST]);
    send_on_tcp(&home, &arsenal.torture);

    // Strangers get no answer, whatever they send.
    let stranger = connect(&town.router(3).host, (wan, WAN_SIP_PORT));
    let silent = ["sip_malformed", "wan_unauthorized", "sip_strays"];
    send_counted(router, &stranger, &random, &silent);
    send_counted(router, &stranger, &arsenal.torture, &silent);
    assert!(stranger.recv(&mut [0; 2000]).is_err(), "a stranger was answered");

    let server = connect(&town.provider.host, (wan, WAN_SIP_PORT));
    send_counted(router, &server, &random, &["sip_malformed"]);
    send_served(router, &server, &arsenal.torture);
    send_served(router, &server, &mutated);

    let peer = connect(&town.provider.host, (wan, OVERLAY_PORT));
    let dropped = [
        "driver.datagram_too_large",
        "overlay_unknown_version",
        "overlay_unauthentic",
        "overlay_malformed",
        "channel_malformed",
        "channel_unauthorized",
        "channel_unknown",
    ];
    send_counted(router, &peer, &random, &dropped);
    send_counted(router, &peer, &[vec![], vec![1], vec![1, 2], vec![1, 2, 3]], &dropped);
    assert!(peer.recv(&mut [0; 2000]).is_err(), "an unknown peer was answered");

    annoy_control(router, arsenal);
}

#[test]
fn hostile_bytes_at_every_socket_are_counted_and_change_nothing() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        let mut arsenal = Arsenal::new();
        // The first round touches the pages of tables and queues that were only reserved.
        attack(&town, &mut arsenal);
        attack(&town, &mut arsenal);
        let before = town.router_mut(1).process().memory_kb();
        attack(&town, &mut arsenal);
        let after = town.router_mut(1).process().memory_kb();
        assert!(after <= before + GROWTH_KB, "{before} kB grew to {after} kB");
        town.router(1).await_server("up", Duration::from_secs(40));

        call(&mut alice, &mut bob);
        let foreign = town.router(1).counter("rtp_foreign");
        for (host, address) in
            [(town.socket(1, SECOND).host, LAN), (town.router(3).host.clone(), "203.0.113.21")]
        {
            // Who comes first may speak for a neighbour that has sent no RTCP yet; nobody else.
            for port in (30_000..30_200).chain(30_000..30_200) {
                let socket = connect(&host, (address, port));
                let _ = socket.send(&arsenal.random());
            }
        }
        // Each side has RTP, where both were foreign, and RTCP, where at least the second was.
        wait::until("foreign packets to be counted", SOON, || {
            town.router(1).counter("rtp_foreign") >= foreign + 6
        });
        await_sound(&alice, &bob);
        end(&mut alice, &mut bob);
    });
}
