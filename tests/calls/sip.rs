//! SIP as the tests write and read it: text, apart from the adapter's own parser.

use crate::net::Packet;
use std::net::SocketAddr;

/// A message that reached a scripted end.
#[derive(Clone, Debug)]
pub(crate) struct Msg {
    pub(crate) from: SocketAddr,
    pub(crate) at: SocketAddr,
    pub(crate) tcp: bool,
    pub(crate) text: String,
}

impl Msg {
    /// None where the packet is no SIP message.
    pub(crate) fn parse(packet: &Packet) -> Option<Self> {
        let text = String::from_utf8(packet.data.clone()).ok()?;
        let is_sip = text.split("\r\n").next()?.contains("SIP/2.0");
        let Packet { from, to, tcp, .. } = *packet;
        is_sip.then_some(Self { from, at: to, tcp, text })
    }

    pub(crate) fn line(&self) -> &str {
        self.text.split("\r\n").next().unwrap_or_default()
    }

    pub(crate) fn status(&self) -> u16 {
        let rest = self.line().strip_prefix("SIP/2.0 ").unwrap_or("0");
        rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn is_request(&self) -> bool {
        self.status() == 0
    }

    /// The method: of a response from CSeq.
    pub(crate) fn method(&self) -> &str {
        match self.is_request() {
            true => self.line().split(' ').next().unwrap_or_default(),
            false => self.one("CSeq").split(' ').nth(1).unwrap_or_default(),
        }
    }

    pub(crate) fn uri(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// Whether it is what `what` says: a method, a status, or a status and a method.
    pub(crate) fn is(&self, what: &str) -> bool {
        let mut words = what.split(' ');
        let first = words.next().unwrap_or_default();
        match first.parse::<u16>() {
            Ok(code) => code == self.status() && words.next().is_none_or(|m| m == self.method()),
            Err(_) => self.is_request() && self.method() == first,
        }
    }

    /// Header lines in order.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.split("\r\n").skip(1).filter_map(|line| line.split_once(": ")).collect()
    }

    /// The values of all headers of a name, one for each line.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = |header: &(&str, &str)| header.0.eq_ignore_ascii_case(name);
        self.headers().into_iter().filter(named).map(|(_, value)| value).collect()
    }

    /// The value of the only header of this name.
    pub(crate) fn one(&self, name: &str) -> &str {
        match self.all(name).as_slice() {
            [value] => value,
            other => panic!("{} {name} in:\n{}", other.len(), self.text),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub(crate) fn tag(&self, name: &str) -> &str {
        let value = self.all(name).first().copied().unwrap_or_default();
        value.split_once(";tag=").map_or("", |(_, tag)| tag.split(';').next().unwrap_or(tag))
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.one("CSeq").split(' ').next().unwrap().parse().unwrap()
    }

    /// Where its description wants media.
    pub(crate) fn wants(&self) -> SocketAddr {
        let after = |start: &str| {
            let mut lines = self.body().lines().filter_map(|line| line.strip_prefix(start));
            lines.next().unwrap_or_else(|| panic!("no {start} in:\n{}", self.text)).to_owned()
        };
        let port = after("m=audio ").split(' ').next().unwrap().parse().unwrap();
        (after("c=IN IP4 ").parse::<std::net::IpAddr>().unwrap(), port).into()
    }

    /// The URI in the only Contact.
    pub(crate) fn contact(&self) -> &str {
        uri_of(self.one("Contact"))
    }
}

/// The URI of a name-addr.
pub(crate) fn uri_of(value: &str) -> &str {
    let inside = value.split_once('<').map_or(value, |(_, rest)| rest);
    inside.split('>').next().unwrap_or(inside)
}

/// Writes a message: a first line, headers, a body, which is SDP unless a header says otherwise.
pub(crate) fn write(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let described = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
    if !body.is_empty() && !described {
        text += "Content-Type: application/sdp\r\n";
    }
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

/// Answers a request: Via, From, To, Call-ID and CSeq are its own, `tag` goes into a To without
/// one, Record-Route comes back in 18x and 2xx.
pub(crate) fn answer(
    request: &Msg,
    code: u16,
    tag: &str,
    extra: &[(&str, &str)],
    body: &str,
) -> Vec<u8> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in request.headers() {
        let lower = name.to_ascii_lowercase();
        let routed = lower == "record-route" && (101..300).contains(&code);
        let own = ["via", "from", "call-id", "cseq"].contains(&lower.as_str());
        let bare = code == 100 || value.contains(";tag=") || tag.is_empty();
        if own || routed || (lower == "to" && bare) {
            headers.push((name.into(), value.into()));
        } else if lower == "to" {
            headers.push((name.into(), format!("{value};tag={tag}")));
        }
    }
    let mut all: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend_from_slice(extra);
    write(&format!("SIP/2.0 {code} Reason"), &all, body)
}

/// A description of one audio stream.
pub(crate) fn sdp(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

/// One side of a dialog, to write requests in it.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    /// Where it is, and where it sends what has no route.
    pub(crate) at: SocketAddr,
    pub(crate) hop: SocketAddr,
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) contact: String,
    pub(crate) cseq: u32,
}

impl Dialog {
    /// Of the caller, from the answer to its INVITE.
    pub(crate) fn of_answer(answer: &Msg, contact: &str) -> Self {
        let mut routes = routes(answer);
        routes.reverse();
        Self {
            at: answer.at,
            hop: answer.from,
            call_id: answer.one("Call-ID").into(),
            local: answer.one("From").into(),
            remote: answer.one("To").into(),
            target: answer.contact().into(),
            routes,
            contact: contact.into(),
            cseq: answer.cseq(),
        }
    }

    /// Of the callee, from the INVITE.
    pub(crate) fn of_invite(invite: &Msg, tag: &str, contact: &str) -> Self {
        Self {
            at: invite.at,
            hop: invite.from,
            call_id: invite.one("Call-ID").into(),
            local: format!("{};tag={tag}", invite.one("To")),
            remote: invite.one("From").into(),
            target: invite.contact().into(),
            routes: routes(invite),
            contact: contact.into(),
            cseq: 100,
        }
    }

    pub(crate) fn ack(&self, cseq: u32) -> Vec<u8> {
        self.write("ACK", cseq, &[], "")
    }

    pub(crate) fn request(&mut self, method: &str, extra: &[(&str, &str)], body: &str) -> Vec<u8> {
        self.cseq += 1;
        self.write(method, self.cseq, extra, body)
    }

    fn write(&self, method: &str, cseq: u32, extra: &[(&str, &str)], body: &str) -> Vec<u8> {
        let branch = format!("z9hG4bK{}{method}{cseq}", self.call_id);
        let via = format!("SIP/2.0/UDP {};branch={branch}", self.at);
        let cseq = format!("{cseq} {method}");
        let contact = format!("<{}>", self.contact);
        let mut headers = vec![("Via", via.as_str()), ("Max-Forwards", "70")];
        headers.extend(self.routes.iter().map(|route| ("Route", route.as_str())));
        headers.extend([
            ("From", self.local.as_str()),
            ("To", &self.remote),
            ("Call-ID", &self.call_id),
            ("CSeq", &cseq),
            ("Contact", &contact),
        ]);
        headers.extend_from_slice(extra);
        write(&format!("{method} {} SIP/2.0", self.target), &headers, body)
    }
}

fn routes(message: &Msg) -> Vec<String> {
    let lines = message.all("Record-Route");
    lines.iter().flat_map(|line| line.split(',')).map(|route| route.trim().to_owned()).collect()
}
