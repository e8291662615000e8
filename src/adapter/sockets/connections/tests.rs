//! How many connections there may be.

use super::*;
use crate::limits::STREAMS_VISITORS_MAX;
use crate::time::Instant;

fn from(id: u32, remote: &str) -> Connection {
    let local = "192.168.1.1:5060".parse().unwrap();
    Connection::accepted(Instant::ZERO, ConnId(id), Facing::Lan, local, remote.parse().unwrap())
}

fn to_server(id: u32) -> Connection {
    let ends = ("203.0.113.1:40000".parse().unwrap(), "198.51.100.1:5060".parse().unwrap());
    Connection::dialed(Instant::ZERO, ConnId(id), Facing::Wan, ends, None)
}

#[test]
fn a_64_is_one_host_and_gets_half_of_what_is_accepted() {
    let mut connections = Connections::new(8);
    let half = (8 + STREAMS_VISITORS_MAX as u32) / 2;
    for id in 0..half {
        assert!(connections.add(from(id, &format!("[2001:db8::{id:x}]:5060"))));
    }
    assert!(!connections.add(from(100, "[2001:db8::ffff]:5060")));
    for id in half..2 * half {
        assert!(connections.add(from(id, &format!("[2001:db8:0:{id:x}::1]:5060"))));
    }
    assert!(!connections.add(from(101, "192.168.1.9:5060")), "the share of the LAN is full");
    assert!(connections.remove(ConnId(0)).is_some());
    assert!(connections.add(from(101, "192.168.1.9:5060")));
}

#[test]
fn whatever_the_lan_holds_each_phone_has_room_for_one_to_its_server() {
    let mut connections = Connections::new(8);
    let accepted = 8 + STREAMS_VISITORS_MAX as u32;
    for id in 0..accepted {
        assert!(connections.add(from(id, &format!("192.168.{id}.2:5060"))));
    }
    for id in 0..8 {
        assert!(connections.add(to_server(1000 + id)));
    }
    assert!(!connections.add(to_server(2000)));
    assert!(connections.get(ConnId(1000)).is_some() && connections.get(ConnId(2000)).is_none());
}
