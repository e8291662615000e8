//! The driver on real sockets of the loopback interface, around a core that does as it is told.
#![allow(clippy::disallowed_methods, reason = "the test is the far end, on a thread of its own")]

mod names;
mod rig;

use cosip::driver::{Driver, Options, ask};
use cosip::net::{Event, Failure, Network, Request, SocketKind, Ticket};
use rig::{LIMIT, Puppet, Rig, Scratch, Seen, bind};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::channel;

#[test]
fn datagrams_of_every_kind_of_socket_come_back_with_their_type_of_service() {
    let kinds = [SocketKind::Media, SocketKind::Overlay].map(bind);
    let mut rig = Rig::start(Options::default(), &kinds);
    let addresses = [rig.puppet, rig.bound(2), rig.bound(3)];
    nix::sys::socket::setsockopt(&rig.socket, nix::sys::socket::sockopt::Ipv4Tos, &0xb8).unwrap();
    for address in addresses {
        rig.puppet = address;
        assert_eq!(rig.echo(b"hello"), b"hello");
        rig.wait_for(&Seen::Datagram(b"hello".to_vec(), 0xb8, address.ip()));
    }
    rig.puppet = addresses[0];
}

#[test]
fn a_closed_port_is_reported_with_its_address_and_others_still_get_through() {
    let rig = Rig::start(Options::default(), &[]);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rig.tell(&format!("!send {closed}"));
    rig.wait_for(&Seen::SendFailed(closed, Failure::Refused));
    assert_eq!(rig.echo(b"still here"), b"still here");
    // A socket of the loopback interface has no way to the outside.
    let outside = SocketAddr::from(([192, 0, 2, 1], 9));
    rig.tell(&format!("!send {outside}"));
    rig.wait_for(&Seen::SendFailed(outside, Failure::Unreachable));
}

#[test]
fn two_programs_of_one_machine_hear_the_announcements_of_the_router_in_front() {
    let group = SocketAddr::from(([224, 0, 0, 1], 5350));
    let hear = Request::Bind { kind: SocketKind::Portmap, local: group };
    let first = Rig::start(Options::default(), core::slice::from_ref(&hear));
    let second = Rig::start(Options::default(), &[hear]);
    assert_eq!((first.bound(2), second.bound(2)), (group, group));
}

#[test]
fn ipv6_is_served_alike() {
    let local: SocketAddr = "[::1]:0".parse().unwrap();
    let Ok(socket) = UdpSocket::bind(local) else { return };
    let second = Request::Bind { kind: SocketKind::Overlay, local };
    let mut rig = Rig::start(Options::default(), &[second]);
    let second = rig.bound(2);
    let first = std::mem::replace(&mut rig.puppet, second);
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let own = std::mem::replace(&mut rig.socket, socket);
    nix::sys::socket::setsockopt(&rig.socket, nix::sys::socket::sockopt::Ipv6TClass, &0x68)
        .unwrap();
    assert_eq!(rig.echo(b"six"), b"six");
    rig.wait_for(&Seen::Datagram(b"six".to_vec(), 0x68, local.ip()));
    let closed = UdpSocket::bind(local).unwrap().local_addr().unwrap();
    rig.tell(&format!("!send {closed}"));
    rig.wait_for(&Seen::SendFailed(closed, Failure::Refused));
    (rig.puppet, rig.socket) = (first, own);
}

#[test]
fn a_timeout_comes_and_comes_once() {
    let rig = Rig::start(Options::default(), &[]);
    rig.tell("!timeout");
    rig.wait_for(&Seen::Timeout);
    assert_eq!(rig.echo(b"x"), b"x");
    rig.wait(|seen| match seen {
        Seen::Timeout => panic!("twice"),
        Seen::Datagram(data, ..) => (data == b"x").then_some(()),
        _ => None,
    });
}

#[test]
fn a_connection_echoes_what_is_larger_than_any_buffer_and_closes_when_all_has_left() {
    let listener =
        Request::Bind { kind: SocketKind::SipListener, local: ([127, 0, 0, 1], 0).into() };
    let rig = Rig::start(Options::default(), &[listener]);
    let mut stream = TcpStream::connect(rig.bound(2)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    rig.wait_for(&Seen::Opened(stream.local_addr().unwrap()));
    let sent: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
    stream.write_all(&sent).unwrap();
    let mut echoed = vec![0; sent.len()];
    stream.read_exact(&mut echoed).unwrap();
    assert!(echoed == sent);
    stream.write_all(b"bye").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"farewell");
}

#[test]
fn a_far_end_that_does_not_read_loses_its_connection_and_one_that_leaves_is_reported() {
    let listener =
        Request::Bind { kind: SocketKind::SipListener, local: ([127, 0, 0, 1], 0).into() };
    let rig = Rig::start(Options::default(), &[listener]);
    let address = rig.bound(2);
    let mut deaf = TcpStream::connect(address).unwrap();
    // The kernel's own buffers take some floods before the queue has to.
    let mut closed = false;
    for _ in 0..200 {
        if closed || deaf.write_all(b"flood").is_err() {
            break;
        }
        closed = rig.wait(|seen| match seen {
            Seen::Data(_) => Some(false),
            Seen::Closed => Some(true),
            _ => None,
        });
    }
    if !closed {
        rig.wait_for(&Seen::Closed);
    }
    drop(TcpStream::connect(address).unwrap());
    rig.wait_for(&Seen::Closed);
}

#[test]
fn connecting_works_is_refused_and_is_told() {
    let rig = Rig::start(Options::default(), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    rig.tell(&format!("!connect {address}"));
    rig.wait_for(&Seen::Connected(Ticket(2)));
    let (mut stream, _) = listener.accept().unwrap();
    let mut buf = [0; 11];
    stream.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"first words");
    drop((stream, listener));
    rig.wait_for(&Seen::Closed);
    rig.tell(&format!("!connect {address}"));
    rig.wait_for(&Seen::Failed(Ticket(3), Failure::Refused));
}

#[test]
fn we_and_those_behind_other_routers_are_no_neighbours() {
    let rig = Rig::start(Options::default(), &[]);
    for (at, host) in ["127.0.0.1", "::1", "203.0.113.7"].into_iter().enumerate() {
        rig.tell(&format!("!neighbour {host}"));
        rig.wait_for(&Seen::Failed(Ticket(2 + at as u32), Failure::Absent));
    }
}

#[test]
fn files_and_the_control_socket_live_in_their_folders() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("files");
    let folders = scratch.folders();
    let options = Options { folders: Some(folders.clone()), ..Options::default() };
    let rig = Rig::start(options.clone(), &[]);
    rig.tell("!load");
    rig.wait_for(&Seen::Failed(Ticket(2), Failure::Absent));
    rig.tell("!save remember");
    rig.wait_for(&Seen::Done(Ticket(3)));
    rig.tell("!load");
    rig.wait_for(&Seen::Loaded(b"remember".to_vec()));
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folders.control_socket()), 0o600);
    assert_eq!(mode(folders.state.join("bindings")), 0o600);
    assert_eq!(mode(folders.state.clone()), 0o700);
    assert_eq!(ask(&folders, &["look up", "sip:a@b"]).unwrap(), b"look up/sip:a@b!");
    let counters: serde_json::Value =
        serde_json::from_slice(&ask(&folders, &["driver"]).unwrap()).unwrap();
    assert_eq!(counters["bind_failed"], 0);
    assert!(Driver::new(options).is_err(), "two daemons in one folder");
}

#[test]
fn literal_networks_and_the_clock_are_told_at_the_start() {
    let options = Options {
        lan: vec!["127.0.0.3".into()],
        wan: vec!["127.0.0.2".into(), "203.0.113.9".into()],
        ..Options::default()
    };
    let (sender, seen) = channel();
    let mut puppet = Puppet::new(sender, &[]);
    puppet.events.push_back(Event::Stopped);
    Driver::new(options).unwrap().run(&mut puppet).unwrap();
    let seen: Vec<Seen> = seen.try_iter().collect();
    let network = Network {
        lan: vec![[127, 0, 0, 3].into()],
        wan: vec![[127, 0, 0, 2].into()],
        wan_up: true,
        ..Network::default()
    };
    assert!(seen.contains(&Seen::Network(network)));
    assert!(seen.iter().any(|seen| matches!(seen, Seen::Clock(1_700_000_000..))));
}

#[test]
fn lines_are_commands_and_the_driver_stops_when_they_end() {
    let scratch = Scratch::new("lines");
    let file = scratch.file("lines", "put a b\n\nget a");
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"put a b\nget ").unwrap();
    drop(writer);
    let pipe = std::os::fd::OwnedFd::from(reader);
    for source in [std::fs::File::open(file).unwrap(), pipe.into()] {
        let (sender, seen) = channel();
        let mut puppet = Puppet::new(sender, &[]);
        let mut driver = Driver::new(Options::default()).unwrap();
        driver.add_line_source(source).unwrap();
        driver.run(&mut puppet).unwrap();
        assert_eq!(puppet.commands, 2);
        assert!(seen.try_iter().any(|seen| seen == Seen::Stop));
    }
}
