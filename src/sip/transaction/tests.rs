//! Each machine in virtual time: the figures 5 to 8 of RFC 3261, with RFC 4320 and RFC 6026.

mod client;
mod link;
mod server;

use super::*;
use crate::net::{ConnId, NodeId, SocketId};
use crate::sip::{Message, Name, Writer};

/// The wire as a test sees it: what has been sent, and when.
struct Bench {
    layer: Transactions,
    now: Instant,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn udp() -> Flow {
    Flow { via: Via::Udp(SocketId(1)), to: SocketAddr::from(([192, 0, 2, 1], 5060)) }
}

fn tcp() -> Flow {
    Flow { via: Via::Stream(ConnId(7)), ..udp() }
}

fn peer() -> Flow {
    Flow { via: Via::Peer(NodeId([3; 16])), ..udp() }
}

/// A request as a phone would write it.
fn request(method: &str, branch: &str) -> Vec<u8> {
    request_with(method, &format!("SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport"), "")
}

fn request_with(method: &str, via: &str, to_tag: &str) -> Vec<u8> {
    let mut buf = [0; 2000];
    let mut writer = Writer::new(&mut buf);
    writer.request(method, "sip:bob@example.net");
    writer.header(Name::Via, via);
    writer.header(Name::Via, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbelow");
    writer.header(Name::Route, "<sip:192.0.2.1;lr>");
    writer.header(Name::MaxForwards, 69);
    writer.header(Name::From, "<sip:alice@example.net>;tag=a");
    writer.header(Name::To, format_args!("<sip:bob@example.net>{to_tag}"));
    writer.header(Name::CallId, "call@example.net");
    writer.header(Name::CSeq, format_args!("7 {method}"));
    writer.header(Name::Contact, "<sip:alice@10.0.0.1>");
    let len = writer.finish(b"body").unwrap();
    buf[..len].to_vec()
}

/// The response that a server would make.
fn reply(request: &[u8], status: u16) -> Vec<u8> {
    let request = Message::parse(request).unwrap();
    let mut buf = [0; 2000];
    let mut writer = Writer::new(&mut buf);
    writer.status(status, "Whatever");
    for header in request.headers() {
        if matches!(header.name, Name::Via | Name::From | Name::CallId | Name::CSeq) {
            writer.copy(header);
        }
    }
    writer.header(Name::To, format_args!("{};tag=b", request.header(Name::To).unwrap()));
    let len = writer.finish(&[]).unwrap();
    buf[..len].to_vec()
}

fn start_line(data: &[u8]) -> String {
    String::from_utf8_lossy(data).lines().next().unwrap_or_default().into()
}

impl Bench {
    fn new() -> Self {
        Self::sized(8, 8)
    }

    fn sized(live: usize, finished: usize) -> Self {
        let layer = Transactions::new(live, finished, &mut Rng::new([1; 32]));
        Self { layer, now: Instant::from_micros(1_000_000) }
    }

    fn sent(&mut self) -> Vec<(Flow, Vec<u8>)> {
        let mut buf = vec![0; limits::SIP_MESSAGE_BYTES_MAX];
        let mut all = Vec::new();
        while let Some(Transmit { via, to, len, .. }) = self.layer.poll_transmit(&mut buf) {
            all.push((Flow { via, to }, buf[..len].to_vec()));
        }
        all
    }

    /// First lines of what has been sent.
    fn lines(&mut self) -> Vec<String> {
        self.sent().iter().map(|(_, data)| start_line(data)).collect()
    }

    fn wait(&mut self, interval: Duration) {
        self.now += interval;
        self.layer.handle_timeout(self.now);
    }

    /// Jumps from deadline to deadline until none is left; the milliseconds since the call at
    /// which something was sent.
    fn sending_times(&mut self, until: Duration) -> Vec<u64> {
        let start = self.now;
        let mut times = Vec::new();
        loop {
            times.extend(self.sent().iter().map(|_| self.now.since(start).as_millis() as u64));
            match self.layer.poll_timeout() {
                Some(at) if at.since(start) <= until => self.now = self.now.max(at),
                _ => break,
            }
            self.layer.handle_timeout(self.now);
        }
        times
    }

    fn receive(&mut self, data: &[u8], flow: Flow) -> Result<Incoming, Full> {
        self.layer.receive_request(self.now, &Message::parse(data).unwrap(), flow)
    }

    fn new_request(&mut self, data: &[u8], flow: Flow) -> ServerId {
        match self.receive(data, flow) {
            Ok(Incoming::New(id)) => id,
            other => panic!("not new: {other:?}"),
        }
    }

    fn send(&mut self, data: &[u8], flow: Flow) -> ClientId {
        self.layer.send_request(self.now, flow, data, 42).unwrap()
    }

    fn hear(&mut self, response: &[u8], flow: Flow) -> Option<(ClientId, u32)> {
        self.layer.receive_response(self.now, &Message::parse(response).unwrap(), flow)
    }

    fn answer(&mut self, id: ServerId, request: &[u8], status: u16) -> bool {
        self.layer.respond(self.now, id, &reply(request, status))
    }

    fn assert_empty(&self) {
        assert_eq!((self.layer.clients.len(), self.layer.servers.len()), (0, 0));
        assert_eq!(self.layer.live(), (0, 0));
        assert_eq!(self.layer.poll_timeout(), None);
    }
}
