//! The next hop of a device's default route, as the kernel lists routes in `/proc/net/route`.

use std::net::{IpAddr, Ipv4Addr};

const ROUTES: &str = "/proc/net/route";
/// The route is usable, and has a next hop (`RTF_UP`, `RTF_GATEWAY`).
const UP_WITH_GATEWAY: u32 = 0x3;

/// The next hop of the best default route over one of these devices.
pub(super) fn gateway(devices: &[&str]) -> Option<IpAddr> {
    find(&std::fs::read_to_string(ROUTES).unwrap_or_default(), devices).map(IpAddr::V4)
}

fn find(routes: &str, devices: &[&str]) -> Option<Ipv4Addr> {
    let defaults = routes.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (device, destination) = (words.next()?, words.next()?);
        // Addresses are in the machine's own order of bytes.
        let hop = u32::from_str_radix(words.next()?, 16).ok()?.to_ne_bytes();
        let flags = u32::from_str_radix(words.next()?, 16).ok()?;
        let metric: u32 = words.nth(2)?.parse().ok()?;
        let mask = words.next()?;
        let default = destination == "00000000" && mask == "00000000";
        let usable = flags & UP_WITH_GATEWAY == UP_WITH_GATEWAY && devices.contains(&device);
        (default && usable).then(|| (metric, Ipv4Addr::from(hop)))
    });
    defaults.min_by_key(|(metric, _)| *metric).map(|(_, hop)| hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_over_a_wan_device_counts() {
        let hex = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let zero = "00000000";
        let line = |device: &str, to: &str, hop: [u8; 4], flags: &str, metric: u32, mask: &str| {
            format!("{device}\t{to}\t{}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n", hex(hop))
        };
        let net = hex([192, 168, 178, 0]);
        let routes = [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
                .to_owned(),
            line("wan", zero, [192, 168, 178, 2], "0003", 20, zero),
            line("wan", zero, [192, 168, 178, 1], "0003", 10, zero),
            line("wan", zero, [192, 168, 178, 3], "0002", 0, zero),
            line("wan", &net, [0, 0, 0, 0], "0001", 0, &hex([255, 255, 255, 0])),
            line("lan", zero, [10, 0, 0, 1], "0003", 0, zero),
            line("ppp", zero, [0, 0, 0, 0], "0001", 0, zero),
            "wan\n".to_owned(),
        ]
        .concat();
        let hop = |devices: &[&str]| find(&routes, devices).map(|hop| hop.octets());
        assert_eq!(hop(&["wan"]), Some([192, 168, 178, 1]));
        assert_eq!(hop(&["lan", "wan"]), Some([10, 0, 0, 1]));
        assert_eq!((hop(&["ppp"]), hop(&[])), (None, None));
    }
}
