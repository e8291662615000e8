//! A name server, which the world's programs ask: dnsmasq.

use crate::host::{self, Host};
use crate::needs;
use crate::process::Process;
use crate::provider::DOMAIN;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Its address.
pub(crate) const ADDRESS: &str = "203.0.113.53";

/// The provider's servers, the best first.
const SERVERS: [(&str, &str); 2] = [("first", "203.0.113.10"), ("second", "203.0.113.11")];

/// Serves the domain's SRV records on this host.
pub(crate) fn serve(host: &Host, folder: &Path) -> Process {
    let mut command = Command::new(needs::find("dnsmasq").unwrap());
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    command.args(["--user=root", "--pid-file", "--log-facility=-", "--log-queries"]);
    command.arg(format!("--listen-address={ADDRESS}")).arg("--bind-interfaces");
    command.arg(format!("--local=/{DOMAIN}/"));
    for (rank, (name, address)) in (1..).zip(SERVERS) {
        command.arg(format!("--srv-host=_sip._udp.{DOMAIN},{name}.{DOMAIN},5060,{rank}"));
        command.arg(format!("--host-record={name}.{DOMAIN},{address}"));
    }
    let log = folder.join("dnsmasq.log");
    let mut process = host.on(|| Process::start("dnsmasq", &mut command, &log));
    process.await_log("started", Duration::from_secs(5));
    let resolv_conf = "/run/resolv.conf";
    fs::write(resolv_conf, format!("nameserver {ADDRESS}\n")).unwrap();
    host::run("mount", &["--bind", resolv_conf, "/etc/resolv.conf"]);
    process
}
