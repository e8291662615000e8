//! The table `inet cosip` of nftables, written without `nft`: it belongs to the socket that made
//! it, and the kernel removes it with that, however the process ends.
//!
//! What is taken: datagrams and connections that come in from the LAN's devices, to one of the
//! ports, at an address that is neither this router's nor a group's. They are handed to a
//! transparent socket of this router (tproxy), past connection tracking; or, where that cannot be,
//! they are redirected to a port of it.

use super::netlink::{ACK, APPEND, CREATE, Message, Netlink};
use nix::libc;
use std::io;
use std::net::IpAddr;

pub(super) const TABLE: &str = "cosip";
/// What a packet that is taken is marked with, and found by in the policy of routes and in the
/// firewall, which lets it in: a bit that neither OpenWrt's firewall nor its usual packages use.
pub(super) const MARK: u32 = 0x1000_0000;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
/// `NFT_TABLE_F_OWNER`.
const OWNED: u32 = 2;
/// `NFPROTO_INET`.
const INET: u8 = 1;
const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
/// Before connection tracking, and just before the firewall's own redirections.
const RAW: i32 = -300;
const BEFORE_DSTNAT: i32 = -101;
/// The first two registers of 16 bytes.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// Which packets are taken, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The port that they are for.
    pub(super) port: u16,
    /// `IPPROTO_UDP` or `IPPROTO_TCP`.
    pub(super) protocol: u8,
    /// The transparent socket's address, whose family is theirs; for a redirection its family
    /// counts alone.
    pub(super) to: IpAddr,
    /// The port that they come to.
    pub(super) at: u16,
}

/// Puts the table up, in place of the one that there was.
pub(super) fn put_up(
    netlink: &Netlink,
    devices: &[String],
    taken: &[Taken],
    tproxy: bool,
) -> io::Result<()> {
    let new_table = || message(NEW_TABLE, CREATE | ACK, INET).text(1, TABLE).number(2, OWNED);
    let delete = message(DELETE_TABLE, ACK, INET).text(1, TABLE);
    let mut batch = vec![mark_of_batch(BATCH_BEGIN), new_table(), delete, new_table()];
    if tproxy {
        batch.push(chain("prerouting", "filter", PREROUTING, RAW));
        batch.push(chain("output", "filter", OUTPUT, RAW));
    } else {
        batch.push(chain("prerouting", "nat", PREROUTING, BEFORE_DSTNAT));
    }
    for device in devices {
        for taken in taken {
            batch.push(rule("prerouting", |rule| {
                let rule = matches(rule, device, taken, Direction::In);
                if tproxy { to_socket(rule, taken) } else { redirect(rule, taken.at) }
            }));
            if tproxy {
                batch.push(rule("output", |rule| {
                    expression(matches(rule, device, taken, Direction::Out), "notrack", |it| it)
                }));
            }
        }
    }
    batch.push(mark_of_batch(BATCH_END));
    netlink.ask(batch).map(drop)
}

/// Whether the table is still there.
pub(super) fn stands(netlink: &Netlink) -> bool {
    netlink.ask(vec![message(GET_TABLE, ACK, INET).text(1, TABLE)]).is_ok()
}

fn message(kind: u16, flags: u16, family: u8) -> Message {
    Message::new(kind, flags, &[family, 0, 0, 0])
}

fn mark_of_batch(kind: u16) -> Message {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Message::new(kind, 0, &[0, 0, high, low])
}

fn chain(name: &str, kind: &str, hook: u32, priority: i32) -> Message {
    message(NEW_CHAIN, CREATE | ACK, INET)
        .text(1, TABLE)
        .text(3, name)
        .nest(4, |it| it.number(1, hook).put(2, &priority.to_be_bytes()))
        .text(7, kind)
}

fn rule(chain: &str, expressions: impl FnOnce(Message) -> Message) -> Message {
    message(NEW_RULE, CREATE | APPEND | ACK, INET)
        .text(1, TABLE)
        .text(2, chain)
        .nest(4, expressions)
}

fn expression(rule: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    rule.nest(1, |it| it.text(1, name).nest(2, data))
}

/// Goes on only where the first register holds these bytes, or (`not`) others.
fn compare(rule: Message, not: bool, value: &[u8]) -> Message {
    expression(rule, "cmp", |it| {
        it.number(1, FIRST).number(2, not.into()).nest(3, |it| it.put(1, value))
    })
}

fn load(rule: Message, register: u32, value: &[u8]) -> Message {
    expression(rule, "immediate", |it| it.number(1, register).nest(2, |it| it.put(1, value)))
}

/// Keys of `meta`: mark, names of devices, family, protocol.
const META_MARK: u32 = 3;
const META_IN: u32 = 6;
const META_OUT: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;

fn meta(rule: Message, key: u32) -> Message {
    expression(rule, "meta", |it| it.number(1, FIRST).number(2, key))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// The packets of `taken` that come in from the device, or the answers that leave by it.
fn matches(rule: Message, device: &str, taken: &Taken, way: Direction) -> Message {
    let incoming = way == Direction::In;
    let mut name = [0; libc::IFNAMSIZ];
    for (place, byte) in name.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
        *place = byte;
    }
    let rule = meta(rule, if incoming { META_IN } else { META_OUT });
    let rule = compare(rule, false, &name);
    let family = if taken.to.is_ipv4() { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 };
    let rule = compare(meta(rule, META_FAMILY), false, &[family as u8]);
    let rule = compare(meta(rule, META_PROTOCOL), false, &[taken.protocol]);
    // The port that they are for stands at 2 of the transport's head, the one that they are from
    // at 0.
    let rule = expression(rule, "payload", |it| {
        it.number(1, FIRST).number(2, 2).number(3, if incoming { 2 } else { 0 }).number(4, 2)
    });
    let rule = compare(rule, false, &taken.port.to_be_bytes());
    // The kind of the address (RTN_LOCAL and others): what is for one other host, or is answered in
    // the name of one.
    let rule = expression(rule, "fib", |it| {
        it.number(1, FIRST).number(2, 3).number(3, if incoming { 2 } else { 1 })
    });
    // Also where there is no route to it: an outage of the WAN is when phones need us.
    let none_of: &[u8] = match way {
        Direction::In => {
            &[libc::RTN_LOCAL, libc::RTN_BROADCAST, libc::RTN_ANYCAST, libc::RTN_MULTICAST]
        }
        Direction::Out => &[libc::RTN_LOCAL],
    };
    none_of.iter().fold(rule, |rule, kind| compare(rule, true, &u32::from(*kind).to_ne_bytes()))
}

fn to_socket(rule: Message, taken: &Taken) -> Message {
    let (family, rule) = match taken.to {
        IpAddr::V4(ip) => (libc::NFPROTO_IPV4, load(rule, FIRST, &ip.octets())),
        IpAddr::V6(ip) => (libc::NFPROTO_IPV6, load(rule, FIRST, &ip.octets())),
    };
    let rule = load(rule, SECOND, &taken.at.to_be_bytes());
    let rule = expression(rule, "tproxy", |it| {
        it.number(1, family as u32).number(2, FIRST).number(3, SECOND)
    });
    let rule = expression(mark(rule), "notrack", |it| it);
    expression(rule, "immediate", |it| {
        it.number(1, 0).nest(2, |it| it.nest(2, |it| it.number(1, libc::NF_ACCEPT as u32)))
    })
}

fn mark(rule: Message) -> Message {
    let rule = load(rule, FIRST, &MARK.to_ne_bytes());
    expression(rule, "meta", |it| it.number(2, META_MARK).number(3, FIRST))
}

fn redirect(rule: Message, port: u16) -> Message {
    let rule = load(mark(rule), FIRST, &port.to_be_bytes());
    expression(rule, "redir", |it| it.number(1, FIRST))
}
