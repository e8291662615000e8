//! What a scripted phone does step by step, and SIPp's XML for it.
//!
//! A script is one call. SIPp fails it where something comes that no step waits for.

use crate::provider::{DOMAIN, PASSWORD};
use std::fmt::Write as _;

/// A step of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// Registers, with the answer to the challenge, and waits for this status; with these
    /// parameters of the Contact, and further headers on lines of their own.
    Register(&'a str, &'a str),
    /// Calls the callee.
    Invite,
    /// Is challenged.
    Challenged,
    /// Calls again, with the answer to the challenge.
    Again,
    /// Calls, answers a challenge where one comes, and waits for this status.
    Dial(&'a str),
    /// Waits for a response with this status.
    Expect(&'a str),
    /// Takes a response with this status, or a request of this method, should one come before
    /// what the next steps expect.
    Allow(&'a str),
    /// Acknowledges the refusal that came.
    AckRefusal,
    /// Acknowledges the 2xx that came.
    AckAnswer,
    /// Gives up before the callee has answered.
    Cancel,
    /// Ends the call, as caller.
    HangUp,
    /// Waits for a request of this method.
    Await(&'a str),
    /// Answers the INVITE without SDP, with this status and reason.
    Reply(&'a str),
    /// Takes the call.
    Accept,
    /// Says 200 to the request that just came.
    Confirm,
    /// Ends the call, as callee.
    HangUpCallee,
    /// Lets milliseconds pass.
    Pause(u32),
}

use Step::*;

/// Takes a call that comes, once it has rung for these milliseconds, and waits for its end.
pub(crate) const fn answer(after_ms: u32) -> [Step<'static>; 7] {
    let ring = Reply("180 Ringing");
    [Await("INVITE"), ring, Pause(after_ms), Accept, Await("ACK"), Await("BYE"), Confirm]
}

/// Rings until the caller gives up.
pub(crate) const RING_UNTIL_CANCEL: [Step<'static>; 6] = [
    Await("INVITE"),
    Reply("180 Ringing"),
    Await("CANCEL"),
    Confirm,
    Reply("487 Request Terminated"),
    Await("ACK"),
];

/// Calls, and hangs up half a second after the answer.
pub(crate) const CALL: [Step<'static>; 5] =
    [Dial("200"), AckAnswer, Pause(500), HangUp, Expect("200")];

/// Calls, and waits until the callee hangs up.
pub(crate) const CALL_UNTIL_BYE: [Step<'static>; 4] =
    [Dial("200"), AckAnswer, Await("BYE"), Confirm];

/// Calls, and gives up when it rings.
pub(crate) const CANCEL_RINGING: [Step<'static>; 6] =
    [Dial("180"), Cancel, Expect("200"), Allow("180"), Expect("487"), AckRefusal];

const SDP: &str = "v=0
o=phone 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
";

const VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
";

/// Those who call each other: names of users of the domain, or numbers.
pub(crate) struct Parties<'a> {
    /// The phone's own user.
    pub(crate) user: &'a str,
    /// Whom it calls.
    pub(crate) callee: &'a str,
}

/// SIPp's scenario of `steps`.
pub(crate) fn scenario(parties: &Parties<'_>, steps: &[Step<'_>]) -> String {
    let mut writer =
        Writer { text: String::new(), cseq: 0, marks: 0, invite_is_last: false, parties };
    writer.text.push_str("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario>\n");
    for step in steps {
        writer.step(*step);
    }
    if writer.text.contains("assign_to") {
        // SIPp refuses variables that nothing uses.
        let remembered = REMEMBERED.join(",");
        let _ = writeln!(writer.text, "<Reference variables=\"{remembered}\" />");
    }
    writer.text.push_str("</scenario>\n");
    writer.text
}

struct Writer<'a> {
    text: String,
    /// That of the newest INVITE or REGISTER.
    cseq: u32,
    marks: u32,
    /// Whether no request has come since the INVITE.
    invite_is_last: bool,
    parties: &'a Parties<'a>,
}

impl Writer<'_> {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Register(parameters, status) => self.register(parameters, status),
            Invite => self.invite(""),
            Challenged => {
                self.optional("100");
                self.receive("response=\"407\" auth=\"true\"");
                self.ack_refusal();
            }
            Again => {
                let credentials = self.credentials();
                self.invite(&credentials);
            }
            Dial(status) => self.dial(status),
            Expect(status) => self.receive(&format!("response=\"{status}\" rrs=\"true\"")),
            Allow(status) if status.starts_with(|c: char| c.is_ascii_digit()) => {
                self.optional(status);
            }
            Allow(method) => self.receive(&format!("request=\"{method}\" optional=\"true\"")),
            AckRefusal => self.ack_refusal(),
            AckAnswer => {
                let to = format!("{}[peer_tag_param]", self.callee());
                self.in_dialog("ACK", "[last_cseq_number]", &(self.me() + TAG), &to);
            }
            Cancel => {
                let head = format!("CANCEL {} SIP/2.0\n[last_Via:]", self.callee_uri());
                let to = self.callee();
                self.request(&head, "Max-Forwards: 70\n", &to, "[last_cseq_number] CANCEL", "");
            }
            HangUp => {
                let to = format!("{}[peer_tag_param]", self.callee());
                self.in_dialog("BYE", "70", &(self.me() + TAG), &to);
            }
            Await(method) => self.receive_request(method),
            Reply(status) => {
                let again = status.starts_with(['3', '4', '5', '6']);
                self.reply(status, "", again);
            }
            Accept => self.reply("200 OK", SDP, true),
            Confirm => self.send(
                "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n\
                 [last_CSeq:]\nContent-Length: 0\n\n",
                false,
            ),
            HangUpCallee => self.in_dialog("BYE", "80", &format!("[$To]{TAG}"), "[$From]"),
            Pause(ms) => drop(writeln!(self.text, "<pause milliseconds=\"{ms}\" />")),
        }
    }

    fn me(&self) -> String {
        format!("<sip:{}@{DOMAIN}>", self.parties.user)
    }

    fn callee_uri(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.parties.callee)
    }

    fn callee(&self) -> String {
        format!("<{}>", self.callee_uri())
    }

    fn contact(&self) -> String {
        let user = self.parties.user;
        format!("Contact: <sip:{user}@[local_ip]:[local_port];transport=[transport]>")
    }

    fn credentials(&self) -> String {
        format!("[authentication username={} password={PASSWORD}]\n", self.parties.user)
    }

    fn dial(&mut self, status: &str) {
        let (challenged, answered) = (self.mark(), self.mark());
        self.invite("");
        self.allow_early(status);
        let retry = format!("\"407\" optional=\"true\" auth=\"true\" next=\"{challenged}\"");
        self.receive(&format!("response={retry}"));
        self.receive(&format!("response=\"{status}\" rrs=\"true\" next=\"{answered}\""));
        self.label(&challenged);
        self.ack_refusal();
        self.step(Again);
        self.allow_early(status);
        self.receive(&format!("response=\"{status}\" rrs=\"true\""));
        self.label(&answered);
    }

    fn allow_early(&mut self, but: &str) {
        for status in ["100", "180", "183"].iter().filter(|status| **status != but) {
            self.optional(status);
        }
    }

    fn invite(&mut self, more: &str) {
        self.cseq += 1;
        let head = format!("INVITE {} SIP/2.0", self.callee_uri());
        let more = format!("{VIA}{}\n{more}", self.contact());
        let to = self.callee();
        self.request(&head, &more, &to, &format!("{} INVITE", self.cseq), SDP);
    }

    fn ack_refusal(&mut self) {
        let text = format!(
            "ACK {} SIP/2.0\n[last_Via:]\nMax-Forwards: 70\nFrom: {}{TAG}\n[last_To:]\n\
             Call-ID: [call_id]\nCSeq: [last_cseq_number] ACK\nContent-Length: 0\n\n",
            self.callee_uri(),
            self.me()
        );
        self.send(&text, false);
    }

    fn register(&mut self, parameters: &str, status: &str) {
        let (challenged, end) = (self.mark(), self.mark());
        self.send_register(parameters, "");
        self.optional("100");
        let retry = format!("\"401\" optional=\"true\" auth=\"true\" next=\"{challenged}\"");
        self.receive(&format!("response={retry}"));
        self.receive(&format!("response=\"{status}\" next=\"{end}\""));
        self.label(&challenged);
        let credentials = self.credentials();
        self.send_register(parameters, &credentials);
        self.optional("100");
        self.receive(&format!("response=\"{status}\""));
        self.label(&end);
    }

    fn send_register(&mut self, parameters: &str, credentials: &str) {
        self.cseq += 1;
        let head = format!("REGISTER sip:{DOMAIN} SIP/2.0");
        let more = format!("{VIA}{}{parameters}\nExpires: 600\n{credentials}", self.contact());
        let (me, cseq) = (self.me(), format!("{} REGISTER", self.cseq));
        self.request(&head, &more, &me, &cseq, "");
    }

    /// A label that is nowhere else in the scenario.
    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("mark-{}", self.marks)
    }

    fn label(&mut self, label: &str) {
        let _ = writeln!(self.text, "<label id=\"{label}\" />");
    }

    /// A request outside a dialog.
    fn request(&mut self, head: &str, more: &str, to: &str, cseq: &str, body: &str) {
        let text = format!(
            "{head}\n{more}From: {}{TAG}\nTo: {to}\nCall-ID: [call_id]\nCSeq: {cseq}\n{}",
            self.me(),
            ending(body)
        );
        self.send(&text, true);
    }

    fn in_dialog(&mut self, method: &str, cseq: &str, from: &str, to: &str) {
        let text = format!(
            "{method} [next_url] SIP/2.0\n{VIA}[routes]\nFrom: {from}\nTo: {to}\n\
             Call-ID: [call_id]\nCSeq: {cseq} {method}\nContent-Length: 0\n\n"
        );
        self.send(&text, method != "ACK");
    }

    /// Answers the INVITE, also where another request has come since.
    fn reply(&mut self, status: &str, body: &str, again: bool) {
        // SIPp remembers one Via, which is all that a phone behind its router is sent.
        let via = if self.invite_is_last { "[last_Via:]" } else { "Via: [$Via]" };
        let text = format!(
            "SIP/2.0 {status}\n{via}\nFrom: [$From]\nTo: [$To]{TAG}\n[last_Call-ID:]\n\
             CSeq: [$CSeq]\n[last_Record-Route:]\n{}\n{}",
            self.contact(),
            ending(body)
        );
        self.send(&text, again);
    }

    fn receive_request(&mut self, method: &str) {
        self.invite_is_last = method == "INVITE";
        if !self.invite_is_last {
            return self.receive(&format!("request=\"{method}\""));
        }
        self.text.push_str("<recv request=\"INVITE\" rrs=\"true\"><action>\n");
        for header in REMEMBERED {
            let _ = writeln!(
                self.text,
                "<ereg regexp=\"[^ ].*\" search_in=\"hdr\" header=\"{header}:\" \
                 assign_to=\"{header}\" />"
            );
        }
        self.text.push_str("</action></recv>\n");
    }

    fn optional(&mut self, status: &str) {
        self.receive(&format!("response=\"{status}\" optional=\"true\""));
    }

    fn receive(&mut self, what: &str) {
        let _ = writeln!(self.text, "<recv {what} />");
    }

    /// Sends a message, again and again until the next expected one comes where `again`.
    fn send(&mut self, message: &str, again: bool) {
        let retransmit = if again { " retrans=\"500\"" } else { "" };
        let _ = writeln!(self.text, "<send{retransmit}><![CDATA[\n{message}]]></send>");
    }
}

/// Headers of the INVITE that its answers repeat.
const REMEMBERED: [&str; 4] = ["Via", "From", "To", "CSeq"];

/// Not the same in two calls, nor in two phones.
const TAG: &str = ";tag=[pid]-[call_number]";

/// The end of a message's head, and its body.
fn ending(body: &str) -> String {
    if body.is_empty() {
        return "Content-Length: 0\n\n".into();
    }
    format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{body}")
}
