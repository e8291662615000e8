//! A router in front, scripted: PCP, NAT-PMP and UPnP with the faults that such have.

use super::super::upnp;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 178, 1);
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
pub(super) const HTTP: u16 = 5000;

/// A mapping that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) internal: u16,
    pub(super) until: Instant,
    nonce: [u8; 12],
}

/// See the module's text.
pub(super) struct Gateway {
    pub(super) pcp: bool,
    pub(super) nat_pmp: bool,
    /// The version of its WANIPConnection.
    pub(super) upnp: Option<u8>,
    pub(super) outside: Ipv4Addr,
    pub(super) booted: Instant,
    /// Its clock goes backwards, by so much with each answer.
    pub(super) sinks: Option<u32>,
    pub(super) lifetime_s_max: u32,
    /// Refuses every mapping, with this code of the protocol at hand.
    pub(super) refuses: Option<u16>,
    pub(super) only_permanent: bool,
    /// External ports that others have.
    pub(super) taken: Vec<u16>,
    pub(super) held: BTreeMap<u16, Held>,
    /// How often each external port was granted.
    pub(super) grants: u32,
}

impl Gateway {
    pub(super) fn new() -> Self {
        Self {
            pcp: false,
            nat_pmp: false,
            upnp: None,
            outside: OUTSIDE,
            booted: Instant::ZERO,
            sinks: None,
            lifetime_s_max: u32::MAX,
            refuses: None,
            only_permanent: false,
            taken: Vec::new(),
            held: BTreeMap::new(),
            grants: 0,
        }
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.booted = now;
        self.held.clear();
    }

    fn epoch(&mut self, now: Instant) -> [u8; 4] {
        if let Some(epoch) = &mut self.sinks {
            *epoch -= 10;
            return epoch.to_be_bytes();
        }
        (now.since(self.booted).as_secs() as u32).to_be_bytes()
    }

    /// Opens a port, another one where that is taken.
    fn open(&mut self, now: Instant, internal: u16, wanted: u16, s: u32, nonce: [u8; 12]) -> u16 {
        let same = self.held.iter().find(|(_, held)| held.internal == internal);
        let external = same.map_or_else(
            || (wanted..).find(|port| !self.is_taken(*port)).unwrap(),
            |(external, _)| *external,
        );
        let until = now + Duration::from_secs(s.into());
        self.held.insert(external, Held { internal, until, nonce });
        self.grants += 1;
        external
    }

    fn is_taken(&self, port: u16) -> bool {
        self.taken.contains(&port) || self.held.contains_key(&port)
    }

    /// Answers a datagram: from which port, what.
    pub(super) fn datagram(&mut self, now: Instant, to: SocketAddr, data: &[u8]) -> Vec<Vec<u8>> {
        self.held.retain(|_, held| held.until > now);
        match (to.port(), data.first()) {
            (5351, Some(2)) if self.pcp => vec![self.answer_pcp(now, data)],
            (5351, Some(2)) if self.nat_pmp => {
                vec![[&[0, data[1] | 0x80, 0, 1][..], &self.epoch(now)].concat()]
            }
            (5351, Some(0)) if self.nat_pmp => vec![self.answer_nat_pmp(now, data)],
            (1900, _) if self.upnp.is_some() => {
                assert!(data.starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                let text = format!(
                    "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
                     ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                     USN: uuid:1::x\r\nEXT:\r\nLocation: http://{ADDRESS}:{HTTP}/root.xml\r\n\r\n"
                );
                vec![text.into_bytes()]
            }
            _ => Vec::new(),
        }
    }

    fn answer_pcp(&mut self, now: Instant, data: &[u8]) -> Vec<u8> {
        let mut out = data.to_vec();
        out[1] |= 0x80;
        out[8..12].copy_from_slice(&self.epoch(now));
        out[12..24].fill(0);
        if data[1] == 0 {
            return out;
        }
        let at = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
        let wanted_s = u32::from_be_bytes(data[4..8].try_into().unwrap());
        let (internal, external) = (at(40), at(42));
        let nonce = data[24..36].try_into().unwrap();
        if let Some(code) = self.refuses.filter(|_| wanted_s > 0) {
            out[3] = code as u8;
            return out;
        }
        let lifetime_s = wanted_s.min(self.lifetime_s_max);
        let external = if wanted_s == 0 {
            let own = |held: &Held| held.internal == internal && held.nonce == nonce;
            self.held.retain(|_, held| !own(held));
            external
        } else {
            self.open(now, internal, external, lifetime_s, nonce)
        };
        out[4..8].copy_from_slice(&lifetime_s.to_be_bytes());
        out[42..44].copy_from_slice(&external.to_be_bytes());
        out[44..60].copy_from_slice(&self.outside.to_ipv6_mapped().octets());
        out
    }

    fn answer_nat_pmp(&mut self, now: Instant, data: &[u8]) -> Vec<u8> {
        let mut out = vec![0, data[1] | 0x80, 0, 0];
        out.extend(self.epoch(now));
        if data[1] == 0 {
            out.extend(self.outside.octets());
            return out;
        }
        let at = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
        let wanted_s = u32::from_be_bytes(data[8..12].try_into().unwrap());
        if let Some(code) = self.refuses.filter(|_| wanted_s > 0) {
            out[2..4].copy_from_slice(&code.to_be_bytes());
        }
        let lifetime_s = wanted_s.min(self.lifetime_s_max);
        let internal = at(4);
        let external = if wanted_s == 0 {
            self.held.retain(|_, held| held.internal != internal);
            0
        } else if self.refuses.is_none() {
            self.open(now, internal, at(6), lifetime_s, [0; 12])
        } else {
            0
        };
        out.extend(internal.to_be_bytes());
        out.extend(external.to_be_bytes());
        out.extend(lifetime_s.to_be_bytes());
        out
    }

    /// Answers an HTTP request.
    pub(super) fn http(&mut self, now: Instant, request: &str) -> String {
        self.held.retain(|_, held| held.until > now);
        if let Some(path) = request.strip_prefix("GET ") {
            assert!(path.starts_with("/root.xml HTTP/1.1\r\n"), "{path}");
            return ok(&description(self.upnp.unwrap()));
        }
        let action = request.split_once("SOAPAction: \"").unwrap().1;
        let (_, action) = action.split_once('#').unwrap();
        let (action, _) = action.split_once('"').unwrap();
        let argument = |name: &str| {
            let (_, rest) = request.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let port = |name: &str| argument(name).and_then(|text| text.parse::<u16>().ok());
        let external = port("NewExternalPort").unwrap_or_default();
        let arguments = match action {
            "GetExternalIPAddress" => {
                format!("<NewExternalIPAddress>{}</NewExternalIPAddress>", self.outside)
            }
            "GetSpecificPortMappingEntry" if self.held.contains_key(&external) => String::new(),
            "DeletePortMapping" if self.held.remove(&external).is_some() => String::new(),
            "GetSpecificPortMappingEntry" | "DeletePortMapping" => return fault(714),
            "AddAnyPortMapping" if self.upnp == Some(1) => return fault(401),
            _ => {
                let internal = port("NewInternalPort").unwrap();
                assert_eq!(argument("NewInternalClient").as_deref(), Some("192.168.178.20"));
                let lease_s: u32 = argument("NewLeaseDuration").unwrap().parse().unwrap();
                if let Some(code) = self.refuses {
                    return fault(code);
                }
                if self.only_permanent && lease_s > 0 {
                    return fault(725);
                }
                let others = |held: &Held| held.internal != internal;
                let conflict =
                    self.taken.contains(&external) || self.held.get(&external).is_some_and(others);
                if action == "AddPortMapping" && conflict {
                    return fault(718);
                }
                let s = if lease_s == 0 { 1 << 30 } else { lease_s.min(self.lifetime_s_max) };
                let external = self.open(now, internal, external, s, [0; 12]);
                format!("<NewReservedPort>{external}</NewReservedPort>")
            }
        };
        ok(&format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"x\"><s:Body><u:{action}Response>\
             {arguments}</u:{action}Response></s:Body></s:Envelope>"
        ))
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn fault(code: u16) -> String {
    let body = format!(
        "<s:Envelope xmlns:s=\"x\"><s:Body><s:Fault><faultcode>s:Client</faultcode><detail>\
         <UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault></s:Body>\
         </s:Envelope>"
    );
    let length = body.len();
    format!("HTTP/1.1 500 Internal Server Error\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// As routers describe themselves.
pub(super) fn description(version: u8) -> String {
    let kind = format!("urn:schemas-upnp-org:service:WANIPConnection:{version}");
    format!(
        "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
         <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:{version}</deviceType>\
         <friendlyName>Router &amp; more <!-- <service> --></friendlyName><serviceList><service>\
         <serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>\
         <controlURL>/ctl/L3F</controlURL></service></serviceList><deviceList><device>\
         <serviceList><service><serviceType>{kind}</serviceType><SCPDURL>/WANIPCn.xml</SCPDURL>\
         <controlURL>/ctl/IPConn</controlURL></service></serviceList></device></deviceList>\
         </device></root>"
    )
}

/// The address that its answers come from.
pub(super) fn source(sent_to: SocketAddr) -> SocketAddr {
    let port = if sent_to == upnp::MULTICAST { upnp::PORT } else { sent_to.port() };
    SocketAddr::new(IpAddr::V4(ADDRESS), port)
}
