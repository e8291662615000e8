//! What has the traffic of the ports that are intercepted: opened and closed here.

use super::Interceptor;
use crate::driver::conntrack::{TCP, UDP};
use crate::driver::nft::Taken;
use crate::driver::privileges::with_net_admin;
use crate::driver::requests::Io;
use crate::driver::streams;
use crate::limits::{REDIRECT_TRIES_MAX, REDIRECTED_SERVERS_MAX};
use crate::net::{Capture, SocketId};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What has the traffic of a port in one family.
pub(super) struct End {
    pub(super) method: Capture,
    pub(super) port: u16,
    pub(super) ipv4: bool,
    /// Speaks in the servers' names.
    pub(super) speaker: SocketId,
    /// Get datagrams: with tproxy the speaker does.
    pub(super) hearers: Vec<SocketId>,
    /// Gets connections.
    pub(super) listener: SocketId,
    /// The ports that datagrams and connections come to, the first and the last.
    pub(super) at: [[u16; 2]; 2],
}

impl End {
    /// What packets it has, and where they come to.
    pub(super) fn taken(&self) -> [Taken; 2] {
        let (port, to, [datagrams, streams]) = (self.port, loopback(self.ipv4), self.at);
        [(UDP, datagrams), (TCP, streams)].map(|(protocol, at)| Taken { port, protocol, to, at })
    }
}

impl Interceptor {
    /// The socket that speaks to phones in a server's name.
    pub(in crate::driver) fn speaker(&self, name: SocketAddr) -> Option<SocketId> {
        let meant = (name.port(), name.is_ipv4());
        self.ends.iter().find(|end| (end.port, end.ipv4) == meant).map(|end| end.speaker)
    }

    /// Whether connections are redirected to a listener.
    pub(super) fn redirects(&self, listener: SocketId) -> bool {
        self.method == Some(Capture::Redirect)
            && self.ends.iter().any(|end| end.listener == listener)
    }
}

impl Io {
    /// Opens what has the traffic of one port in one family.
    pub(super) fn open_end(&mut self, method: Capture, port: u16, ipv4: bool) -> io::Result<()> {
        let local = SocketAddr::new(loopback(ipv4), port);
        let (speaker, _) = self.bind_interceptor(Capture::Tproxy, local)?;
        let (hearers, listener, at) = (vec![speaker], speaker, [[port; 2]; 2]);
        let mut end = End { method, port, ipv4, speaker, hearers, listener, at };
        let hears = self.open_ears(&mut end, local);
        // Where it does not, it is closed with the others.
        self.interceptor.ends.push(end);
        hears
    }

    fn open_ears(&mut self, end: &mut End, speaker: SocketAddr) -> io::Result<()> {
        let (mut local, redirects) = (speaker, end.method == Capture::Redirect);
        if redirects {
            local = SocketAddr::new(anywhere(end.ipv4), 0);
            (end.hearers, end.at[0]) = self.open_hearers(local)?;
        }
        let listener = with_net_admin(|| streams::listen(local, !redirects));
        let (listener, at) = self.listen(listener)?;
        (end.listener, end.at[1]) = (listener, [at.port(); 2]);
        Ok(())
    }

    /// Opens sockets for redirected datagrams, their ports one after the other.
    fn open_hearers(&mut self, mut local: SocketAddr) -> io::Result<(Vec<SocketId>, [u16; 2])> {
        for _ in 0..REDIRECT_TRIES_MAX {
            local.set_port(0);
            let (id, first) = self.bind_interceptor(Capture::Redirect, local)?;
            let last = first.saturating_add(REDIRECTED_SERVERS_MAX as u16 - 1);
            let mut opened = vec![id];
            for port in first.saturating_add(1)..=last {
                local.set_port(port);
                let next = self.bind_interceptor(Capture::Redirect, local);
                opened.extend(next.map(|(id, _)| id));
            }
            if opened.len() == REDIRECTED_SERVERS_MAX {
                return Ok((opened, [first, last]));
            }
            for id in opened {
                self.close_socket(id);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn bind_interceptor(
        &mut self,
        method: Capture,
        local: SocketAddr,
    ) -> io::Result<(SocketId, u16)> {
        let poll = self.reactor.poll();
        let bound = with_net_admin(|| self.sockets.bind_interceptor(poll, method, local));
        bound.map(|(id, local)| (id, local.port()))
    }

    /// Closes what `keep` does not keep; with the last of it nothing is taken any more.
    pub(super) fn close_ends(&mut self, keep: impl Fn(&End) -> bool) {
        let ends = core::mem::take(&mut self.interceptor.ends);
        let (kept, gone): (Vec<End>, Vec<End>) = ends.into_iter().partition(keep);
        if kept.is_empty() {
            self.interceptor.table = None;
        }
        self.interceptor.ends = kept;
        for end in gone {
            for id in end.hearers.into_iter().chain([end.speaker, end.listener]) {
                self.close_socket(id);
            }
        }
    }
}

/// Where transparent sockets are bound to: there they hear nothing but what the table brings them.
fn loopback(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

fn anywhere(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
