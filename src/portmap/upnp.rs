//! The texts of UPnP-IGD: the search, a device's description, actions of its WAN connection.
//!
//! UPnP Device Architecture 1.1 (SSDP s1.3, description s2, SOAP s3); WANIPConnection:1 and :2,
//! WANPPPConnection:1.

use super::http::{self, Url};
use super::xml::{self, Piece};
use crate::limits::PORTMAP_SERVICES_MAX;
use crate::text;
use crate::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where searches go: everybody on the link.
pub(super) const MULTICAST: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), PORT));

/// The port of SSDP.
pub(super) const PORT: u16 = 1900;

/// A search is repeated after this, and after twice that.
pub(super) const FIRST_INTERVAL: Duration = Duration::from_millis(1_500);

/// The version of IGD is that of its root device; a device answers for lower ones too.
const SEARCHED: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";

/// Best first: the second version of WANIPConnection finds a free port by itself.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// Writes a search; MX is the seconds over which answers to a multicast are spread.
pub(super) fn search(to: SocketAddr) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {to}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
         ST: {SEARCHED}\r\n\r\n"
    )
}

/// Where the answer to a search says that the device's description is.
pub(super) fn location(data: &[u8]) -> Option<Url> {
    let text = core::str::from_utf8(data).ok()?;
    if http::status(text) != Some(200) {
        return None;
    }
    let kind = http::header(text, "st")?;
    let gateway = ["InternetGatewayDevice", "WANIPConnection", "WANPPPConnection"];
    gateway.iter().any(|name| text::has(kind, name)).then_some(())?;
    Url::parse(http::header(text, "location")?)
}

/// A WAN connection of a device, and where it takes orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) kind: &'static str,
    pub(super) control: Url,
}

impl Service {
    /// Whether it finds a free port by itself: AddAnyPortMapping of WANIPConnection:2.
    pub(super) fn finds_port(&self) -> bool {
        self.kind == SERVICES[0]
    }
}

/// The WAN connections of a device, best first. Only those on the host that the description came
/// from count.
pub(super) fn services(
    description: &str,
    from: &Url,
) -> Result<heapless::Vec<Service, PORTMAP_SERVICES_MAX>, xml::Malformed> {
    let mut base = None;
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut kind, mut control, mut text) = (None, None, String::new());
    for piece in xml::Reader::new(description) {
        match piece? {
            Piece::Start(name) => {
                text.clear();
                if name == "service" {
                    (kind, control) = (None, None);
                }
            }
            Piece::Text(more) => text.push_str(&xml::plain(more)),
            Piece::End("URLBase") => base = Url::parse(text.trim()),
            Piece::End("serviceType") => kind = SERVICES.iter().position(|s| *s == text.trim()),
            Piece::End("controlURL") => control = Some(text.trim().to_owned()),
            Piece::End("service") => {
                if let (Some(kind), Some(control)) = (kind.take(), control.take()) {
                    found.push((kind, control));
                }
            }
            Piece::End(_) => {}
        }
    }
    let base = base.unwrap_or_else(|| from.clone());
    let mut known = heapless::Vec::new();
    for (rank, name) in SERVICES.into_iter().enumerate() {
        for (_, control) in found.iter().filter(|(kind, _)| *kind == rank) {
            let url = base.join(control).filter(|url| url.host.ip() == from.host.ip());
            let Some(control) = url else { continue };
            if known.push(Service { kind: name, control }).is_err() {
                return Ok(known);
            }
        }
    }
    Ok(known)
}

/// An order to a WAN connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ExternalAddress,
    /// Asks what is mapped to an external port.
    Entry {
        external_port: u16,
    },
    /// Lease 0 has no end. `any`: another external port will do.
    Add {
        any: bool,
        external_port: u16,
        internal: (Ipv4Addr, u16),
        lease_s: u32,
    },
    Delete {
        external_port: u16,
    },
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::ExternalAddress => "GetExternalIPAddress",
            Self::Entry { .. } => "GetSpecificPortMappingEntry",
            Self::Add { any: true, .. } => "AddAnyPortMapping",
            Self::Add { .. } => "AddPortMapping",
            Self::Delete { .. } => "DeletePortMapping",
        }
    }

    /// Writes the whole HTTP request.
    pub(super) fn write(self, service: &Service) -> String {
        let (name, kind) = (self.name(), service.kind);
        let udp = |port: u16| {
            format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
                 <NewProtocol>UDP</NewProtocol>"
            )
        };
        let arguments = match self {
            Self::ExternalAddress => String::new(),
            Self::Entry { external_port } | Self::Delete { external_port } => udp(external_port),
            Self::Add { external_port, internal: (client, port), lease_s, .. } => format!(
                "{}<NewInternalPort>{port}</NewInternalPort>\
                 <NewInternalClient>{client}</NewInternalClient><NewEnabled>1</NewEnabled>\
                 <NewPortMappingDescription>cosip</NewPortMappingDescription>\
                 <NewLeaseDuration>{lease_s}</NewLeaseDuration>",
                udp(external_port)
            ),
        };
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope \
             xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{name} xmlns:u=\"{kind}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
        );
        http::post(&service.control, format_args!("{kind}#{name}"), &body)
    }
}

/// What an answer to an [`Action`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done; the external address where that was asked, the port that was found.
    Done { address: Option<IpAddr>, port: Option<u16> },
    /// Refused with this code (UPnP Device Architecture 1.1 s3.2.2, WANIPConnection s2.4).
    Refused(u16),
}

/// No such entry, at GetSpecificPortMappingEntry and DeletePortMapping.
pub(super) const NO_SUCH_ENTRY: u16 = 714;
/// The external port is another's.
pub(super) const CONFLICT: u16 = 718;
/// Only leases without an end.
pub(super) const ONLY_PERMANENT: u16 = 725;

/// Reads an answer to an action. `None` where it is none.
pub(super) fn outcome(status: u16, body: &str) -> Option<Outcome> {
    if status != 200 {
        let code = xml::text_of(body, "errorCode").and_then(|code| code.parse().ok());
        return code.map(Outcome::Refused);
    }
    if !xml::Reader::new(body).any(|piece| piece == Ok(Piece::Start("Body"))) {
        return None;
    }
    let address = xml::text_of(body, "NewExternalIPAddress").and_then(|text| text.parse().ok());
    let port = xml::text_of(body, "NewReservedPort").and_then(|text| text.parse().ok());
    Some(Outcome::Done { address, port })
}
