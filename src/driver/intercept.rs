//! Takes what phones send to SIP servers, so that no phone has to know of the router.
//!
//! First choice is tproxy: transparent sockets on the loopback addresses, one for each port, to
//! which the table of [`super::nft`] and the policy of [`super::policy`] bring what is meant for
//! others. Where the kernel lacks it, or a socket cannot be had, destinations are redirected to a
//! port of the kernel's choice, and its connection tracking tells what they were. Either way what
//! is said to phones leaves from the transparent socket, in the name of whom they meant: it hangs
//! on nothing that the kernel forgets.
//!
//! Here is what shall stand, and how it is mended. What stands and is still wanted is kept:
//! another network or port ends no connection. Everything here that needs CAP_NET_ADMIN runs
//! inside [`with_net_admin`].

mod ends;
pub(super) mod sockets;
mod survey;

use super::conntrack::{self, TCP, UDP};
use super::netlink::Netlink;
use super::nft;
use super::policy;
use super::privileges::{has_net_admin, with_net_admin};
use super::requests::Io;
use crate::limits::INTERCEPTION_RETRY;
use crate::net::{Capture, Capturing, Interception, Rules};
use crate::time::Instant;
use ends::End;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::io;
use survey::{Anew, Survey, begin_anew};

/// What is taken now.
#[derive(Default)]
pub(super) struct Interceptor {
    /// The socket that the table belongs to; none: nothing is taken.
    table: Option<Netlink>,
    wanted: Wanted,
    method: Option<Capture>,
    problem: Option<String>,
    ends: Vec<End>,
    survey: Survey,
    /// What a daemon may have left that was killed is gone.
    swept: bool,
    /// What has failed is not tried again before this: the kernel looks for modules each time.
    retry_at: Option<Instant>,
}

/// What shall be taken, and how things are that matter for it.
#[derive(Clone, Default, PartialEq, Eq)]
struct Wanted {
    ports: Vec<u16>,
    overlay_port: Option<u16>,
    devices: Vec<String>,
    families: [bool; 2],
    /// The firewall sees packets that are still in a bridge: then the kernel forgets which
    /// transparent socket they were handed to. OpenWrt has that off.
    bridges_filtered: bool,
}

impl Interceptor {
    /// How things stand.
    fn told(&self) -> Interception {
        let stands = || self.ends.iter().filter(|_| self.method.is_some());
        let capturing = |end: &End, socket| Capturing { socket, port: end.port, ipv4: end.ipv4 };
        let sockets = stands().flat_map(|end| end.hearers.iter().map(|id| capturing(end, *id)));
        Interception {
            method: self.method,
            sockets: sockets.collect(),
            listeners: stands().map(|end| end.listener).collect(),
            problem: self.problem.clone(),
            beside: self.survey.seen(),
        }
    }
}

impl Io {
    /// Does what rules ask for, or mends it; tells how things stand.
    pub(super) fn apply(&mut self, rules: Option<Rules>) -> Interception {
        let Some(Rules { ports, overlay_port }) = rules else {
            self.take_down();
            return Interception::default();
        };
        let (devices, families) = (self.networks.lan_devices(), self.networks.lan_families());
        let bridges_filtered = filters_bridges(families);
        let wanted = Wanted { ports, overlay_port, devices, families, bridges_filtered };
        let state = &mut self.interceptor;
        let same = state.wanted == wanted;
        let stands =
            state.table.as_ref().is_some_and(|table| with_net_admin(|| nft::stands(table)));
        let now = self.reactor.now();
        if same && stands {
            self.keep_policy();
        } else if !same || state.retry_at.is_none_or(|at| now >= at) {
            state.retry_at = Some(now + INTERCEPTION_RETRY);
            let before = core::mem::replace(&mut state.wanted, wanted);
            self.put_up(&before.ports);
        }
        self.survey();
        self.interceptor.told()
    }

    fn keep_policy(&mut self) {
        if self.interceptor.method == Some(Capture::Tproxy)
            && let Err(error) = with_net_admin(|| set_policy(self.interceptor.wanted.families))
        {
            log::warn!("interception: the policy of routes: {error}");
        }
    }

    /// Puts up what is wanted; `before` are the ports that were.
    fn put_up(&mut self, before: &[u16]) {
        let outcome = match self.interceptor.wanted.devices.is_empty() {
            true => Err("the LAN side has no device of its own: name it by option lan".to_owned()),
            false => self.put_up_somehow(),
        };
        let known = self.interceptor.problem.take();
        match outcome {
            Ok(method) => {
                let state = &mut self.interceptor;
                (state.method, state.retry_at) = (Some(method), None);
                let (devices, method) = (state.wanted.devices.join(", "), method.as_str());
                log::info!("phones on {devices} are intercepted by {method}");
                let anew = self.interceptor.anew(before);
                self.begin_survey(anew);
            }
            Err(problem) => {
                self.close_ends(|_| false);
                if known.as_ref() != Some(&problem) {
                    log::error!("nothing is intercepted: {problem}");
                }
                self.interceptor.problem = Some(problem);
                if self.interceptor.method.take().is_some() {
                    let anew = self.interceptor.anew(before);
                    self.begin_survey(anew);
                }
            }
        }
    }

    fn put_up_somehow(&mut self) -> Result<Capture, String> {
        // Connections that are redirected would not outlive another way.
        if self.interceptor.method == Some(Capture::Redirect)
            && self.put_up_by(Capture::Redirect).is_ok()
        {
            return Ok(Capture::Redirect);
        }
        self.put_up_by(Capture::Tproxy).or_else(|why| {
            log::debug!("interception: tproxy: {why}");
            with_net_admin(policy::remove);
            // Without it nobody would know where a redirected datagram was going.
            with_net_admin(conntrack::can_be_asked).map_err(|error| {
                let tproxy = "kmod-nft-tproxy, or kmod-nf-conntrack-netlink";
                format!("tproxy: {why}; connection tracking: {error}; install {tproxy}")
            })?;
            self.put_up_by(Capture::Redirect).map_err(|error| advice(&error, has_net_admin()))
        })
    }

    fn put_up_by(&mut self, method: Capture) -> io::Result<Capture> {
        let wanted = self.interceptor.wanted.clone();
        if method == Capture::Tproxy && wanted.bridges_filtered {
            return Err(io::Error::other(
                "the firewall sees the packets of bridges (br_netfilter)",
            ));
        }
        let [v4, v6] = wanted.families;
        let here = |ipv4: bool| if ipv4 { v4 } else { v6 };
        self.close_ends(|end| {
            here(end.ipv4) && end.method == method && wanted.ports.contains(&end.port)
        });
        for (port, ipv4) in wanted.ports.into_iter().flat_map(|port| [(port, true), (port, false)])
        {
            let stands = |end: &End| (end.port, end.ipv4) == (port, ipv4);
            if here(ipv4) && !self.interceptor.ends.iter().any(stands) {
                self.open_end(method, port, ipv4)?;
            }
        }
        let state = &mut self.interceptor;
        let tproxy = method == Capture::Tproxy;
        with_net_admin(|| {
            if tproxy {
                set_policy(state.wanted.families)?;
            }
            let table = match state.table.take() {
                Some(table) => table,
                None => Netlink::open(SockProtocol::NetlinkNetFilter)?,
            };
            let taken: Vec<_> = state.ends.iter().flat_map(End::taken).collect();
            let wanted = &state.wanted;
            let put_up = |port| nft::put_up(&table, &wanted.devices, &taken, tproxy, port);
            put_up(wanted.overlay_port).or_else(|error| {
                // Limits are the adapter's own, too; what phones send is taken by nobody else.
                log::debug!("interception: no limit for strangers on the overlay's port: {error}");
                put_up(None)
            })?;
            state.table = Some(table);
            Ok(method)
        })
    }

    /// Takes nothing from now on; what was taken goes its own way, unseen by us. The table of an
    /// earlier daemon that was killed went with it; its policy of routes goes now.
    pub(super) fn take_down(&mut self) {
        self.close_ends(|_| false);
        let state = &mut self.interceptor;
        let method = state.method.take();
        if method.is_some() {
            begin_anew(state.anew(&[]));
        }
        if method == Some(Capture::Tproxy) || !state.swept {
            with_net_admin(policy::remove);
        }
        *state = Interceptor { swept: true, ..Interceptor::default() };
    }
}

impl Interceptor {
    /// The flows that begin anew: those to `ports` and to what is wanted, where they do not come
    /// to us already.
    fn anew(&self, ports: &[u16]) -> Anew {
        let ports = [ports, &self.wanted.ports].concat();
        let ends = self.ends.iter().filter(|end| end.method == Capture::Redirect);
        let ours = ends.flat_map(|end| [(UDP, end.at[0]), (TCP, end.at[1])]);
        let ours = ours.map(|(protocol, [first, last])| (protocol, first..=last)).collect();
        Anew { ports, ours }
    }
}

/// Whether the firewall sees packets that are still in a bridge.
fn filters_bridges(families: [bool; 2]) -> bool {
    let on = |name: &str| {
        let setting = std::fs::read(format!("/proc/sys/net/bridge/bridge-nf-call-{name}"));
        setting.is_ok_and(|value| value.starts_with(b"1"))
    };
    ["iptables", "ip6tables"].iter().zip(families).any(|(name, here)| here && on(name))
}

fn set_policy([ipv4, ipv6]: [bool; 2]) -> io::Result<()> {
    [(true, ipv4), (false, ipv6)]
        .into_iter()
        .filter(|(_, here)| *here)
        .try_for_each(|(family, _)| policy::set(family))
}

/// What is wrong, where, and what to do. Who `may` change the firewall may not change a table that
/// another process owns.
fn advice(error: &io::Error, may: bool) -> String {
    let what = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) if !may => "run cosip as root, or with CAP_NET_ADMIN",
        Some(Errno::EPERM | Errno::EBUSY) => "another process owns the table inet cosip: stop it",
        Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT) => {
            "install kmod-nft-tproxy or kmod-nft-nat, and kmod-nft-fib"
        }
        _ => "see the log, or set option intercept 0",
    };
    format!("nftables, table inet cosip: {error}; {what}")
}

#[cfg(test)]
mod tests;
