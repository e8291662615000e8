//! The table `inet cosip` of nftables, written without `nft`: it belongs to the socket that made
//! it, and the kernel removes it with that, however the process ends.
//!
//! What is taken: datagrams and connections that come in from the LAN's devices, to one of the
//! ports, at an address that is neither this router's nor a group's. They are handed to a
//! transparent socket of this router (tproxy), past connection tracking; or, where that cannot be,
//! they are redirected to a port of it. What leaves in another's name is not tracked either: a
//! flow that begins with it would have the phone's next datagram for its answer, past us.
//!
//! Flows that nobody answers on the overlay's port are limited here, too, for each address that
//! they come from: what is dropped before connection tracking has confirmed it costs neither an
//! entry there nor a turn of the daemon's. Where they come from too many addresses, all pass: the
//! kernel cannot tell a member's first datagram from theirs, and the overlay limits all strangers.
//!
//! Devices and ports are in sets, so that there are few rules however many there are, and one
//! transaction holds all.

use super::netlink::{ACK, APPEND, CREATE, Message, Netlink};
use crate::limits::{
    OVERLAY_SOURCE_BURST, OVERLAY_SOURCE_FORGOTTEN_MS, OVERLAY_SOURCE_PER_S, OVERLAY_SOURCES_MAX,
};
use crate::order::order;
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
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
/// `NFT_TABLE_F_OWNER`.
const OWNED: u32 = 2;
/// `NFPROTO_INET`.
const INET: u8 = 1;
const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const OUTPUT: u32 = 3;
/// Before connection tracking, and just before the firewall's own redirections.
const RAW: i32 = -300;
const BEFORE_DSTNAT: i32 = -101;
const BEFORE_FILTER: i32 = -5;
/// The first two registers of 16 bytes.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// The sets of the LAN's devices, and of the ports that are taken.
const DEVICES: &str = "lan";
const PORTS: &str = "ports";
/// How nft names what is in sets: names of devices, ports.
const DEVICE_NAMES: u32 = 41;
const SERVICES: u32 = 13;

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
    /// The ports that they are redirected to, the first and the last.
    pub(super) at: [u16; 2],
}

/// Puts the table up, in place of the one that there was.
pub(super) fn put_up(
    netlink: &Netlink,
    devices: &[String],
    taken: &[Taken],
    tproxy: bool,
    overlay_port: Option<u16>,
) -> io::Result<()> {
    netlink.ask(batch(devices, taken, tproxy, overlay_port)).map(drop)
}

fn batch(
    devices: &[String],
    taken: &[Taken],
    tproxy: bool,
    overlay_port: Option<u16>,
) -> Vec<Message> {
    let new_table = || message(NEW_TABLE, CREATE, INET).text(1, TABLE).number(2, OWNED);
    let delete = message(DELETE_TABLE, 0, INET).text(1, TABLE);
    let mut batch = vec![mark_of_batch(BATCH_BEGIN), new_table(), delete, new_table()];
    batch.push(chain("prerouting", "filter", PREROUTING, RAW));
    batch.push(chain("output", "filter", OUTPUT, RAW));
    let names = devices.iter().map(|device| {
        let mut name = [0; libc::IFNAMSIZ];
        for (place, byte) in name.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
            *place = byte;
        }
        name
    });
    batch.extend(set(DEVICES, DEVICE_NAMES, names));
    let mut ports: Vec<u16> = taken.iter().map(|taken| taken.port).collect();
    order(&mut ports, |port| *port);
    ports.dedup();
    batch.extend(set(PORTS, SERVICES, ports.into_iter().map(u16::to_be_bytes)));
    let mut kinds: Vec<(u8, IpAddr)> = taken.iter().map(|it| (it.protocol, it.to)).collect();
    order(&mut kinds, |kind| *kind);
    kinds.dedup();
    for (protocol, to) in kinds {
        batch.push(rule("prerouting", |rule| {
            let rule = mark(matches(rule, protocol, to, Direction::In));
            if tproxy { to_socket(rule, to) } else { rule }
        }));
        // Answers on a connection that is redirected have to be translated back.
        if tproxy || i32::from(protocol) == libc::IPPROTO_UDP {
            batch.push(rule("output", |rule| {
                let rule = matches(rule, protocol, to, Direction::Out);
                expression(rule, "notrack", |it| it)
            }));
        }
    }
    if !tproxy {
        // It sees the first packet of a flow alone; the firewall wants the mark on each.
        batch.push(chain("dstnat", "nat", PREROUTING, BEFORE_DSTNAT));
        batch.extend(taken.iter().map(|taken| rule("dstnat", |rule| redirect(rule, taken))));
    }
    if let Some(port) = overlay_port {
        batch.push(chain("input", "filter", INPUT, BEFORE_FILTER));
        for sources in [Sources::IPV4, Sources::IPV6] {
            batch.push(sources.set());
            batch.push(rule("input", |rule| sources.limit(rule, port)));
        }
    }
    // What fails is told of anyway.
    batch.last_mut().into_iter().for_each(Message::acknowledge);
    batch.push(mark_of_batch(BATCH_END));
    batch
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
    message(NEW_CHAIN, CREATE, INET)
        .text(1, TABLE)
        .text(3, name)
        .nest(4, |it| it.number(1, hook).put(2, &priority.to_be_bytes()))
        .text(7, kind)
}

/// A set of keys of a `kind`, and what is in it.
fn set<const N: usize>(name: &str, kind: u32, keys: impl Iterator<Item = [u8; N]>) -> [Message; 2] {
    let set = message(NEW_SET, CREATE, INET).text(1, TABLE).text(2, name).number(3, 0);
    // nft shows names by the order of their bytes, which is this machine's (1), and ports by that
    // of the network (2).
    let [a, b, c, d] = if kind == DEVICE_NAMES { 1_u32 } else { 2 }.to_ne_bytes();
    // It is found by its name; a number is asked for.
    let set = set.number(4, kind).number(5, N as u32).number(10, 1);
    let elements = message(NEW_ELEMENTS, CREATE, INET).text(1, TABLE).text(2, name);
    let add = |list: Message, key: [u8; N]| list.nest(1, |it| it.nest(1, |it| it.put(1, &key)));
    [set.put(13, &[0, 4, a, b, c, d]), elements.nest(3, |list| keys.fold(list, add))]
}

fn rule(chain: &str, expressions: impl FnOnce(Message) -> Message) -> Message {
    message(NEW_RULE, CREATE | APPEND, INET).text(1, TABLE).text(2, chain).nest(4, expressions)
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

/// Goes on only where a set has what the first register holds.
fn look_up(rule: Message, set: &str) -> Message {
    expression(rule, "lookup", |it| it.text(1, set).number(2, FIRST))
}

fn load(rule: Message, register: u32, value: &[u8]) -> Message {
    expression(rule, "immediate", |it| it.number(1, register).nest(2, |it| it.put(1, value)))
}

/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
const STATE_NEW: u32 = 1 << 3;
/// Keys of `meta`: mark, names of devices, family, protocol.
const META_MARK: u32 = 3;
const META_IN: u32 = 6;
const META_OUT: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;

fn meta(rule: Message, key: u32) -> Message {
    expression(rule, "meta", |it| it.number(1, FIRST).number(2, key))
}

/// The addresses of a family from which flows come that nobody has answered.
struct Sources {
    set: &'static str,
    family: libc::c_int,
    /// How nft names such addresses, where a head has the sender's, and its length.
    kind: u32,
    at: u32,
    len: u32,
    /// What counts as one source: who has one address of IPv6 has a /64 at least, often a /56.
    mask: &'static [u8],
}

impl Sources {
    const IPV4: Self = Self {
        set: "sources4",
        family: libc::NFPROTO_IPV4,
        kind: 7,
        at: 12,
        len: 4,
        mask: &[0xff; 4],
    };
    const IPV6: Self = Self {
        set: "sources6",
        family: libc::NFPROTO_IPV6,
        kind: 8,
        at: 8,
        len: 16,
        mask: &(!0_u128 << 72).to_be_bytes(),
    };

    /// A set that rules add to (`NFT_SET_EVAL`), and that forgets (`NFT_SET_TIMEOUT`).
    fn set(&self) -> Message {
        const FLAGS: u32 = 0x20 | 0x10;
        let set = message(NEW_SET, CREATE, INET).text(1, TABLE).text(2, self.set).number(3, FLAGS);
        let set = set.number(4, self.kind).number(5, self.len).number(10, 1);
        let set = set.nest(9, |it| it.number(1, OVERLAY_SOURCES_MAX));
        set.put(11, &OVERLAY_SOURCE_FORGOTTEN_MS.to_be_bytes())
    }

    /// What comes to this port without an answer counts against its source; what is more is
    /// dropped, and what comes from one source too many is let through.
    fn limit(&self, rule: Message, overlay_port: u16) -> Message {
        let rule = compare(meta(rule, META_FAMILY), false, &[self.family as u8]);
        let rule = compare(meta(rule, META_PROTOCOL), false, &[libc::IPPROTO_UDP as u8]);
        let rule = compare(port(rule, Direction::In), false, &overlay_port.to_be_bytes());
        // The state that connection tracking knows the flow by, as bits.
        let rule = expression(rule, "ct", |it| it.number(1, FIRST).number(2, 0));
        let rule = compare(masked(rule, &STATE_NEW.to_ne_bytes()), true, &[0; 4]);
        let rule = expression(rule, "payload", |it| {
            // Of the head of IP (1).
            it.number(1, FIRST).number(2, 1).number(3, self.at).number(4, self.len)
        });
        let rule = masked(rule, self.mask);
        let rule = expression(rule, "dynset", |it| {
            // Adds the source, or keeps it for longer (1).
            let it = it.text(1, self.set).number(3, 1).number(4, FIRST);
            it.nest(7, |it| it.text(1, "limit").nest(2, over_rate))
        });
        verdict(expression(rule, "counter", |it| it), libc::NF_DROP)
    }
}

fn over_rate(limit: Message) -> Message {
    let limit = limit.put(1, &OVERLAY_SOURCE_PER_S.to_be_bytes()).put(2, &1_u64.to_be_bytes());
    // Of packets (0), and what is over it (1).
    limit.number(3, OVERLAY_SOURCE_BURST).number(4, 0).number(5, 1)
}

/// Leaves in the first register what a mask has.
fn masked(rule: Message, mask: &[u8]) -> Message {
    expression(rule, "bitwise", |it| {
        let it = it.number(1, FIRST).number(2, FIRST).number(3, mask.len() as u32);
        it.nest(4, |it| it.put(1, mask)).nest(5, |it| it.put(1, &[0; 16][..mask.len()]))
    })
}

fn verdict(rule: Message, verdict: libc::c_int) -> Message {
    expression(rule, "immediate", |it| {
        it.number(1, 0).nest(2, |it| it.nest(2, |it| it.number(1, verdict as u32)))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// Packets of a protocol, and of the family of `to`.
fn of_kind(rule: Message, protocol: u8, to: IpAddr) -> Message {
    let family = if to.is_ipv4() { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 };
    let rule = compare(meta(rule, META_FAMILY), false, &[family as u8]);
    compare(meta(rule, META_PROTOCOL), false, &[protocol])
}

/// Loads the port that packets are for, which stands at 2 of the transport's head, or the one that
/// they are from, at 0.
fn port(rule: Message, way: Direction) -> Message {
    let at = if way == Direction::In { 2 } else { 0 };
    expression(rule, "payload", |it| it.number(1, FIRST).number(2, 2).number(3, at).number(4, 2))
}

/// The packets of a kind that come in from the LAN, or the answers that leave to it.
fn matches(rule: Message, protocol: u8, to: IpAddr, way: Direction) -> Message {
    let incoming = way == Direction::In;
    let rule = meta(rule, if incoming { META_IN } else { META_OUT });
    let rule = of_kind(look_up(rule, DEVICES), protocol, to);
    let rule = look_up(port(rule, way), PORTS);
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

fn mark(rule: Message) -> Message {
    let rule = load(rule, FIRST, &MARK.to_ne_bytes());
    expression(rule, "meta", |it| it.number(2, META_MARK).number(3, FIRST))
}

fn to_socket(rule: Message, to: IpAddr) -> Message {
    let (family, rule) = match to {
        IpAddr::V4(ip) => (libc::NFPROTO_IPV4, load(rule, FIRST, &ip.octets())),
        IpAddr::V6(ip) => (libc::NFPROTO_IPV6, load(rule, FIRST, &ip.octets())),
    };
    let rule = expression(rule, "tproxy", |it| it.number(1, family as u32).number(2, FIRST));
    verdict(expression(rule, "notrack", |it| it), libc::NF_ACCEPT)
}

/// What was marked goes to one of several ports: a flow to each server from one port of a phone
/// takes another.
fn redirect(rule: Message, taken: &Taken) -> Message {
    let rule = compare(meta(rule, META_MARK), false, &MARK.to_ne_bytes());
    let rule = port(of_kind(rule, taken.protocol, taken.to), Direction::In);
    let rule = compare(rule, false, &taken.port.to_be_bytes());
    let [first, last] = taken.at.map(u16::to_be_bytes);
    let rule = load(load(rule, FIRST, &first), SECOND, &last);
    expression(rule, "redir", |it| it.number(1, FIRST).number(2, SECOND))
}

#[cfg(test)]
mod tests;
