//! What one transaction holds.

use super::*;

fn taken(ports: u16) -> Vec<Taken> {
    let ends = ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let protocols = [libc::IPPROTO_UDP, libc::IPPROTO_TCP];
    (5060..5060 + ports)
        .flat_map(|port| ends.map(|to| (port, to)))
        .flat_map(|(port, to)| {
            protocols.map(|protocol| Taken { port, protocol: protocol as u8, to, at: [port; 2] })
        })
        .collect()
}

/// The kernel takes no more than the send buffer of a socket at once: 163,840 bytes on the
/// smallest routers.
#[test]
fn many_networks_and_ports_make_few_rules() {
    let devices: Vec<String> = (0..200).map(|number| format!("br-lan.{number}")).collect();
    for tproxy in [true, false] {
        let few = batch(&devices[..1], &taken(1), tproxy, Some(5070));
        let many = batch(&devices, &taken(8), tproxy, Some(5070));
        assert!(!tproxy || many.len() == few.len());
        let bytes: usize = many.iter().map(|message| message.body().len() + 16).sum();
        assert!(bytes < 32_768, "{bytes}");
    }
}
