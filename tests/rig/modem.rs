//! A modem before a home: a router in front of the router, with miniupnpd to open ports.

use crate::host::Host;
use crate::needs;
use crate::process::Process;
use crate::town::{connect, ip, make_host};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Its address towards the home's router, which has .20.
pub(crate) const INNER: &str = "192.168.178.1";
/// Its address on the internet. Of none of the nets that documents use: there miniupnpd opens
/// nothing.
pub(crate) const OUTER: &str = "45.67.89.21";
const NET: &str = "45.67.89.0/24";
const SETTINGS: &str = "miniupnpd.conf";

/// How it can be asked to open ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Pcp,
    NatPmp,
    Upnp,
}

/// See the module's text.
pub(crate) struct Modem {
    host: Host,
    process: Option<Process>,
    folder: PathBuf,
}

impl Modem {
    /// Puts a modem between a home's router and the internet. It lets nobody in unasked.
    pub(crate) fn put_before(home: u8, folder: &Path, asked: Asked) -> Self {
        lay_cables(home);
        let host = Host::new("modem");
        host.on(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
        host.nft(
            "add table inet modem; add chain inet modem opened; add chain inet modem to; \
             add chain inet modem from; \
             add chain inet modem forward { type filter hook forward priority 0; policy drop; }; \
             add rule inet modem forward ct state established,related accept; \
             add rule inet modem forward iifname inner accept; \
             add rule inet modem forward jump opened; \
             add chain inet modem in { type nat hook prerouting priority -100; }; \
             add rule inet modem in jump to; \
             add chain inet modem out { type nat hook postrouting priority 100; }; \
             add rule inet modem out jump from; \
             add rule inet modem out oifname outer ip saddr 192.168.178.0/24 masquerade",
        );
        if asked == Asked::NatPmp {
            // miniupnpd speaks both or neither; PCP's version is 2.
            host.nft(
                "add chain inet modem input { type filter hook input priority 0; }; \
                 add rule inet modem input udp dport 5351 @th,64,8 2 drop",
            );
        }
        let yes = |on: bool| if on { "yes" } else { "no" };
        let text = format!(
            "ext_ifname=outer\nlistening_ip=inner\nhttp_port=5000\nsecure_mode=yes\n\
             enable_natpmp={}\nenable_upnp={}\nuuid=00000000-0000-0000-0000-000000000001\n\
             upnp_table_name=modem\nupnp_nat_table_name=modem\nupnp_forward_chain=opened\n\
             upnp_nat_chain=to\nupnp_nat_postrouting_chain=from\n\
             allow 1024-65535 192.168.178.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n",
            yes(asked != Asked::Upnp),
            yes(asked == Asked::Upnp),
        );
        fs::write(folder.join(SETTINGS), text).unwrap();
        let process = Some(start(&host, folder));
        Self { host, process, folder: folder.to_owned() }
    }

    /// The ports that it lets in to the home's router.
    pub(crate) fn opened(&self) -> Vec<u16> {
        let mut list = Command::new(needs::find("nft").unwrap());
        list.args(["list", "chain", "inet", "modem", "to"]);
        let output = self.host.on(|| list.output()).unwrap();
        let rules = String::from_utf8_lossy(&output.stdout).into_owned();
        let port = |rule: &str| rule.split_once("dport ")?.1.split(' ').next()?.parse().ok();
        rules.lines().filter_map(port).collect()
    }

    /// Its program dies, and what it had opened is forgotten: a power cut. It starts again.
    pub(crate) fn restart(&mut self) {
        let folder = self.folder.clone();
        self.process = None;
        self.host.nft("flush chain inet modem to; flush chain inet modem opened");
        self.process = Some(start(&self.host, &folder));
    }
}

fn start(host: &Host, folder: &Path) -> Process {
    let mut command = Command::new(needs::find("miniupnpd").unwrap());
    command.arg("-d").arg("-f").arg(folder.join(SETTINGS));
    command.arg("-P").arg("/run/miniupnpd.pid");
    let log = folder.join("miniupnpd.log");
    let mut process = host.on(|| Process::start("miniupnpd", &mut command, &log));
    process.await_log("istening", Duration::from_secs(20));
    process
}

fn lay_cables(home: u8) {
    let router = format!("router-{home}");
    make_host("modem");
    // The cable that led to the internet now leads to the modem.
    ip(&format!("link set to-{router} netns modem name inner"));
    for line in [
        format!("-n modem address add {INNER}/24 dev inner"),
        "-n modem link set inner up".into(),
        format!("-n {router} address del 203.0.113.{}/24 dev wan", 20 + home),
        format!("-n {router} address add 192.168.178.20/24 dev wan"),
        format!("-n {router} route add default via {INNER}"),
    ] {
        ip(&line);
    }
    connect("internet", None, ("modem", "outer"), &format!("{OUTER}/24"));
    ip("-n modem route add 203.0.113.0/24 dev outer");
    ip(&format!("-n provider route add {NET} dev eth0"));
    for other in (1..=3).filter(|other| *other != home) {
        ip(&format!("-n router-{other} route add {NET} dev wan"));
    }
}
