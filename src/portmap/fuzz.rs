//! What fuzzers run: hostile bytes to each decoder, and to a core that waits for such an answer.

use super::http::{Reader, Url};
use super::{Place, Portmap, PortmapTicket, natpmp, pcp, upnp, xml};
use crate::limits::{PORTMAP_HTTP_BYTES_MAX, PORTMAP_SERVICES_MAX};
use crate::net::{Answer, ConnId, Request, SocketId, StreamEvent};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

const GATEWAY: [u8; 4] = [192, 0, 2, 1];
const PORTS: [u16; 2] = [5062, 5070];

/// A core and the hands of its driver.
struct Bench {
    core: Portmap,
    now: Instant,
    connection: Option<ConnId>,
}

impl Bench {
    fn new() -> Self {
        let mut core = Portmap::new(&mut Rng::new([4; 32]));
        let now = Instant::from_micros(1);
        let local = IpAddr::from([192, 0, 2, 9]);
        core.set_place(now, Some(Place { local, gateway: GATEWAY.into() }));
        core.want(now, PORTS.into_iter());
        let mut bench = Self { core, now, connection: None };
        bench.drain();
        bench
    }

    /// Grants what is asked for, and checks that the core rests then.
    fn drain(&mut self) {
        let mut buf = [0; crate::limits::TRANSMIT_BYTES_MAX];
        for id in 1..100 {
            while self.core.poll_transmit(&mut buf).is_some() {}
            let Some((ticket, request)) = self.core.poll_request() else { return };
            self.grant(ticket, &request, id);
        }
        panic!("a core asks for no end of things");
    }

    fn grant(&mut self, ticket: PortmapTicket, request: &Request, id: u32) {
        let local = SocketAddr::from(([192, 0, 2, 9], 40_000));
        let answer = match request {
            Request::Bind { .. } => Answer::Bound(SocketId(id), local),
            Request::Connect { to, .. } => {
                assert_eq!(to.ip(), IpAddr::from(GATEWAY), "only the gateway is talked to");
                self.connection = Some(ConnId(id));
                Answer::Connected(ConnId(id), local)
            }
            _ => Answer::Done,
        };
        self.core.handle_answer(self.now, ticket, Ok(answer));
    }

    fn hear(&mut self, port: u16, data: &[u8]) {
        let from = SocketAddr::from((GATEWAY, port));
        let Some(socket) = self.core.sockets[0] else { return };
        let _ = self.core.handle_datagram(self.now, socket, from, data);
        self.drain();
    }

    /// Lets time pass, as the core wants it.
    fn wait(&mut self, at_most: Duration) {
        let end = self.now + at_most;
        for _ in 0..10_000 {
            let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        panic!("a core rests once everything due is done");
    }
}

/// PCP: a decoded answer keeps its rules; a core that asked by PCP goes on.
///
/// # Panics
/// Where that does not hold.
pub fn fuzz_pcp(data: &[u8]) {
    let decoded = pcp::parse(data);
    assert!(decoded.is_none() || data.len() >= 24 && data.len() <= 1100);
    let mut bench = Bench::new();
    bench.hear(pcp::SERVER_PORT, data);
    bench.hear(pcp::SERVER_PORT, &[&[2, 0x80, 0, 0, 0, 0, 0, 0][..], &[0; 16]].concat());
    bench.hear(pcp::SERVER_PORT, data);
    // As the answer to what is waited for, which nobody guesses.
    let mut tied = data.to_vec();
    let nonce = bench.core.mappings.get(PORTS[0]).map(|mapping| mapping.nonce);
    if let (Some(place), Some(nonce)) = (tied.get_mut(24..36), nonce) {
        place.copy_from_slice(&nonce);
    }
    bench.hear(pcp::SERVER_PORT, &tied);
    bench.wait(Duration::from_secs(60));
    bench.hear(pcp::SERVER_PORT, &tied);
    bench.wait(Duration::from_secs(8_000));
}

/// NAT-PMP: likewise.
///
/// # Panics
/// Where that does not hold.
pub fn fuzz_nat_pmp(data: &[u8]) {
    let decoded = natpmp::parse(data);
    assert!(decoded.is_none() || data.len() >= 8);
    let mut bench = Bench::new();
    // A gateway that speaks version 0 alone.
    bench.hear(pcp::SERVER_PORT, &[0, 0x80, 0, 1, 0, 0, 0, 9]);
    bench.hear(pcp::SERVER_PORT, data);
    bench.hear(pcp::SERVER_PORT, &[0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 9]);
    bench.hear(pcp::SERVER_PORT, data);
    bench.hear(pcp::SERVER_PORT, data);
    bench.wait(Duration::from_secs(8_000));
}

/// UPnP: searches, HTTP, descriptions and SOAP; and a core that describes a device.
///
/// # Panics
/// Where that does not hold.
pub fn fuzz_upnp(data: &[u8]) {
    let _ = upnp::location(data);
    let mut reader = Reader::default();
    let (front, back) = data.split_at(data.len() / 2);
    let whole = reader.read(front, false).and_then(|whole| match whole {
        None => reader.read(back, true),
        whole => Ok(whole),
    });
    if let Ok(Some((_, body))) = whole {
        assert!(body.len() <= PORTMAP_HTTP_BYTES_MAX);
    }
    let text = String::from_utf8_lossy(data);
    assert!(xml::Reader::new(&text).count() <= 2 * text.len() + 1, "reading ends");
    let _ = xml::text_of(&text, "errorCode");
    let _ = (upnp::outcome(200, &text), upnp::outcome(500, &text));
    let Some(from) = Url::parse("http://192.0.2.1:5000/root.xml") else { return };
    let services = upnp::services(&text, &from).unwrap_or_default();
    assert!(services.len() <= PORTMAP_SERVICES_MAX);
    assert!(services.iter().all(|service| service.control.host.ip() == from.host.ip()));

    let mut bench = Bench::new();
    bench.wait(Duration::from_secs(14));
    bench.hear(upnp::PORT, data);
    bench.hear(
        upnp::PORT,
        b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
          LOCATION: http://192.0.2.1:5000/root.xml\r\n\r\n",
    );
    for _ in 0..4 {
        if let Some(connection) = bench.connection.take() {
            for event in [StreamEvent::Data(data), StreamEvent::Closed] {
                let _ = bench.core.handle_stream(bench.now, connection, event);
            }
            bench.drain();
        }
    }
    bench.wait(Duration::from_secs(60));
}
