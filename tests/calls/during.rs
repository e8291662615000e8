//! What phones do during a call, on every way that a call can take, over UDP and TCP.

use crate::net::Fate;
use crate::sip::{Dialog, Msg, answer, sdp, write};
use crate::town::{Phone, Town, server, two_and_proxy};

/// The way that a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Server,
    Overlay,
    Home,
}

const WAYS: [Way; 3] = [Way::Server, Way::Overlay, Way::Home];

/// Two phones, and a town in which calls take one way.
struct Talk {
    way: Way,
    town: Town,
    alice: Phone,
    bob: Phone,
}

impl Talk {
    fn new(way: Way) -> Self {
        Self::over(way, (false, false))
    }

    /// `tcp`: which of the phones use it.
    fn over(way: Way, tcp: (bool, bool)) -> Self {
        let (mut town, ..) = two_and_proxy();
        let home = if way == Way::Home { 0 } else { 1 };
        let alice = town.registered_over(tcp.0, 0, 5, "anna");
        let bob = town.registered_over(tcp.1, home, 6, "ben");
        if way != Way::Server {
            town.server_is(Fate::Refuse);
        }
        Self { way, town, alice, bob }
    }

    /// Alice's INVITE as Bob gets it.
    fn invite(&mut self, call_id: &str, extra: &[(&str, &str)], body: &str) -> Msg {
        let invite = self.alice.request(("INVITE", &self.bob.aor()), call_id, 1, extra, body);
        self.town.say(&self.alice, invite);
        let invite = self.town.world.expect(self.bob.at, "INVITE", 1_000);
        assert_eq!(invite.uri(), self.bob.contact(), "{:?}", self.way);
        invite
    }

    /// A call that stands.
    fn talk(&mut self) -> (Dialog, Dialog) {
        let body = sdp(self.alice.media());
        let invite = self.invite("c1", &[], &body);
        let callee = self.town.accept(&invite, "b", &self.bob.contact());
        let caller = self.town.confirm(&self.alice, 300);
        self.town.world.expect(self.bob.at, "ACK", 300);
        (caller, callee)
    }

    /// The other phone of a dialog.
    fn other(&self, dialog: &Dialog) -> Phone {
        if dialog.at == self.alice.at { self.bob.clone() } else { self.alice.clone() }
    }

    /// Sends a request in a dialog and returns it as it arrives.
    fn send(
        &mut self,
        dialog: &mut Dialog,
        method: &str,
        extra: &[(&str, &str)],
        body: &str,
    ) -> Msg {
        let request = dialog.request(method, extra, body);
        self.town.world.send(dialog.at, dialog.hop, request);
        let other = self.other(dialog);
        let heard = self.town.world.expect(other.at, method, 300);
        assert_eq!(heard.uri(), other.contact(), "{:?}", self.way);
        heard
    }

    /// An offer in a re-INVITE and its answer, each as it arrives; with ACK.
    fn reoffer(&mut self, dialog: &mut Dialog, offer: &str, reply: &str) -> (Msg, Msg) {
        let heard = self.send(dialog, "INVITE", &[], offer);
        let contact = format!("<{}>", self.other(dialog).contact());
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], reply);
        self.town.world.send(heard.at, heard.from, yes);
        let yes = self.town.world.expect(dialog.at, "200 INVITE", 300);
        self.town.world.send(dialog.at, dialog.hop, dialog.ack(yes.cseq()));
        self.town.world.expect(heard.at, "ACK", 300);
        (heard, yes)
    }

    fn end(mut self, mut dialog: Dialog) {
        let other = self.other(&dialog);
        self.town.bye(&mut dialog, other.at);
        self.town.finish_as(&format!("{:?}", self.way));
    }
}

/// A description with these media lines, each at its port.
fn described(phone: &Phone, lines: &[&str]) -> String {
    let ip = phone.at.ip();
    let head = format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n");
    lines.iter().fold(head, |text, line| text + line + "\r\n")
}

/// The media lines of a description, without ports: those of the relay are anything.
fn lines(message: &Msg) -> Vec<String> {
    let media = message.body().lines().filter(|line| line.starts_with("m="));
    media
        .map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            words[1] = if words[1] == "0" { "0" } else { "*" };
            words.join(" ")
        })
        .collect()
}

#[test]
fn session_timers_pass_with_their_refusal_and_their_refreshes() {
    for way in WAYS {
        let mut talk = Talk::new(way);
        let timer =
            [("Supported", "timer"), ("Session-Expires", "100;refresher=uac"), ("Min-SE", "90")];
        let body = sdp(talk.alice.media());
        let short = talk.invite("c0", &timer, &body);
        for (name, value) in timer {
            assert_eq!(short.one(name), value, "{way:?}");
        }
        talk.town.reply(&short, 422, "b", &[("Min-SE", "1800")]);
        let refusal = talk.town.world.expect(talk.alice.at, "422", 300);
        assert_eq!(refusal.one("Min-SE"), "1800", "{way:?}");
        let ack = talk.alice.ack_of_refusal(&refusal, &talk.bob.aor());
        talk.town.say(&talk.alice, ack);
        let timer =
            [("Supported", "timer"), ("Session-Expires", "1800;refresher=uac"), ("Min-SE", "1800")];
        let invite = talk.invite("c1", &timer, &body);
        let contact = format!("<{}>", talk.bob.contact());
        let agreed = [("Contact", contact.as_str()), ("Require", "timer"), timer[1]];
        let yes = answer(&invite, 200, "b", &agreed, &sdp(talk.bob.media()));
        talk.town.world.send(invite.at, invite.from, yes);
        let success = talk.town.world.expect(talk.alice.at, "200 INVITE", 300);
        assert_eq!((success.one("Require"), success.one("Session-Expires")), ("timer", timer[1].1));
        let mut caller = Dialog::of_answer(&success, &talk.alice.contact());
        talk.town.say(&talk.alice, caller.ack(1));
        talk.town.world.expect(talk.bob.at, "ACK", 300);
        let refresh = talk.send(&mut caller, "UPDATE", &timer, "");
        assert_eq!(refresh.one("Session-Expires"), timer[1].1, "{way:?}");
        talk.town.reply(&refresh, 200, "", &agreed[1..]);
        let heard = talk.town.world.expect(talk.alice.at, "200 UPDATE", 300);
        assert_eq!(heard.one("Session-Expires"), timer[1].1, "{way:?}");
        talk.end(caller);
    }
}

#[test]
fn digits_by_info_and_as_payload_pass() {
    for way in WAYS {
        let mut talk = Talk::new(way);
        let dtmf = ["m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"];
        let both = described(&talk.alice, &[dtmf[0], dtmf[1], "a=fmtp:101 0-16"]);
        let invite = talk.invite("c1", &[("Recv-Info", "dtmf")], &both);
        assert_eq!(invite.one("Recv-Info"), "dtmf", "{way:?}");
        for line in ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16"] {
            assert!(invite.body().contains(line), "{way:?}: {}", invite.text);
        }
        assert_eq!(lines(&invite), ["m=audio * RTP/AVP 0 101"]);
        talk.town.accept(&invite, "b", &talk.bob.contact());
        let mut caller = talk.town.confirm(&talk.alice, 300);
        talk.town.world.expect(talk.bob.at, "ACK", 300);
        let digit = "Signal=5\r\nDuration=160\r\n";
        let named = [("Info-Package", "dtmf"), ("Content-Type", "application/dtmf-relay")];
        let info = talk.send(&mut caller, "INFO", &named, digit);
        assert_eq!(info.one("Content-Type"), "application/dtmf-relay");
        assert_eq!((info.one("Info-Package"), info.body()), ("dtmf", digit), "{way:?}");
        talk.town.reply(&info, 200, "", &[]);
        talk.town.world.expect(talk.alice.at, "200 INFO", 300);
        talk.end(caller);
    }
}

#[test]
fn video_and_fax_come_and_go() {
    for way in WAYS {
        let mut talk = Talk::new(way);
        let (mut caller, mut callee) = talk.talk();
        let audio = "m=audio 4000 RTP/AVP 0";
        let video = ["m=video 4010 RTP/AVP 96", "a=rtpmap:96 H264/90000"];
        let (alice, bob) = (talk.alice.clone(), talk.bob.clone());
        let both = |phone: &Phone| described(phone, &[audio, video[0], video[1]]);
        let (offer, reply) = talk.reoffer(&mut caller, &both(&alice), &both(&bob));
        for message in [&offer, &reply] {
            assert_eq!(lines(message), ["m=audio * RTP/AVP 0", "m=video * RTP/AVP 96"]);
            assert!(message.body().contains("a=rtpmap:96 H264/90000"), "{way:?}");
        }
        let without = |phone: &Phone| described(phone, &[audio, "m=video 0 RTP/AVP 96"]);
        let (offer, _) = talk.reoffer(&mut callee, &without(&bob), &without(&alice));
        assert_eq!(lines(&offer), ["m=audio * RTP/AVP 0", "m=video 0 RTP/AVP 96"], "{way:?}");
        let fax = "m=image 4020 udptl t38";
        let t38 =
            |phone: &Phone| described(phone, &["m=audio 0 RTP/AVP 0", "m=video 0 RTP/AVP 96", fax]);
        let heard = talk.send(&mut callee, "INVITE", &[], &t38(&bob));
        talk.town.reply(&heard, 488, "", &[]);
        let refusal = talk.town.world.expect(bob.at, "488", 300);
        assert_eq!(refusal.tag("To"), "talice".replace("alice", "anna"), "{way:?}");
        let (offer, reply) = talk.reoffer(&mut callee, &t38(&bob), &t38(&alice));
        for (message, phone) in [(&offer, &alice), (&reply, &bob)] {
            assert_eq!(lines(message)[2], "m=image * udptl t38", "{way:?}");
            assert!(message.body().contains(&format!("c=IN IP4 {}", phone.proxy.ip())));
        }
        talk.end(callee);
    }
}

#[test]
fn an_offer_that_somebody_thinks_over_is_answered_though_the_server_dies() {
    for dies in [false, true] {
        let mut talk = Talk::new(Way::Server);
        let (mut caller, _) = talk.talk();
        talk.town.world.run_ms(100_000);
        let offer = sdp(talk.alice.media());
        let heard = talk.send(&mut caller, "INVITE", &[], &offer);
        talk.town.reply(&heard, 100, "", &[]);
        let bob = talk.bob.at;
        if dies {
            talk.town.server_is(Fate::Drop);
        }
        talk.town.world.nothing(bob, "INVITE", 20_000);
        let contact = format!("<{}>", talk.bob.contact());
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], &sdp(talk.bob.media()));
        talk.town.world.send(heard.at, heard.from, yes);
        let yes = talk.town.world.expect(caller.at, "200 INVITE", 300);
        talk.town.world.send(caller.at, caller.hop, caller.ack(yes.cseq()));
        talk.town.world.expect(bob, "ACK", 300);
        talk.end(caller);
    }
}

#[test]
fn a_request_that_its_phone_answers_late_is_answered_once() {
    for way in WAYS {
        let mut talk = Talk::new(way);
        let (mut caller, _) = talk.talk();
        let heard = talk.send(&mut caller, "INFO", &[], "");
        talk.town.world.run_ms(3_000);
        talk.town.reply(&heard, 200, "", &[]);
        talk.town.world.expect(caller.at, "200 INFO", 300);
        talk.town.world.nothing(caller.at, "482", 1_000);
        talk.town.world.clear(heard.at);
        talk.end(caller);
    }
}

#[test]
fn a_call_on_hold_lives_and_one_whose_sound_is_gone_ends_on_both_sides() {
    for way in WAYS {
        for hold in ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0"] {
            let mut talk = Talk::new(way);
            let (mut caller, _) = talk.talk();
            let (alice, bob) = (talk.alice.clone(), talk.bob.clone());
            let answer = hold.replace("sendonly", "recvonly");
            let audio = "m=audio 4000 RTP/AVP 0";
            let offer = described(&alice, &[audio, hold]);
            let (heard, yes) =
                talk.reoffer(&mut caller, &offer, &described(&bob, &[audio, &answer]));
            assert!(heard.body().contains(hold), "{way:?}: {}", heard.text);
            assert!(yes.body().contains(&answer), "{way:?}: {}", yes.text);
            if way == Way::Server {
                talk.town.world.run_ms(100_000);
            }
            talk.town.world.nothing(bob.at, "BYE", 1_000_000);
            let (offer, reply) = (described(&alice, &[audio]), described(&bob, &[audio]));
            talk.reoffer(&mut caller, &offer, &reply);
            for phone in [&alice, &bob] {
                let bye = talk.town.world.expect(phone.at, "BYE", 310_000);
                assert_eq!(bye.uri(), phone.contact(), "{way:?}");
                talk.town.reply(&bye, 200, "", &[]);
            }
            talk.town.finish_as(&format!("{way:?} {hold}"));
        }
    }
}

#[test]
fn a_description_inside_a_multipart_body_is_rewritten_and_nothing_else() {
    for way in WAYS {
        let mut talk = Talk::new(way);
        let other = "Content-Type: application/pidf+xml\r\nContent-ID: <x@y>\r\n\r\n\
                     <a>m=audio 4000 c=IN IP4 192.168.1.15</a>\r\n";
        let description = sdp(talk.alice.media());
        let body = format!(
            "--b1\r\n{other}--b1\r\nContent-Type: application/sdp\r\n\r\n\
             {description}\r\n--b1--\r\n"
        );
        let kind = "multipart/mixed;boundary=b1";
        let named = [("Content-Type", kind), ("MIME-Version", "1.0")];
        let heard = talk.invite("c1", &named, &body);
        assert_eq!((heard.one("Content-Type"), heard.one("MIME-Version")), (kind, "1.0"));
        assert!(heard.body().contains(other), "{way:?}: {}", heard.text);
        let wanted = format!("o=- 1 1 IN IP4 {}\r\n", talk.bob.proxy.ip());
        assert!(heard.body().contains(&wanted), "{way:?}: {}", heard.text);
        let callee = talk.town.accept(&heard, "b", &talk.bob.contact());
        talk.town.confirm(&talk.alice, 300);
        talk.town.world.expect(talk.bob.at, "ACK", 300);
        talk.end(callee);
    }
}

#[test]
fn messages_larger_than_a_datagram_pass_whole() {
    for way in WAYS {
        for tcp in [(false, false), (true, true)] {
            let mut talk = Talk::over(way, tcp);
            let mut body = sdp(talk.alice.media());
            for number in 0..150 {
                body += &format!("a=fmtp:{number} {}\r\n", "x".repeat(60));
            }
            let invite = talk.invite("c1", &[], &body);
            let last = |message: &Msg| message.body().trim_end().ends_with(&"x".repeat(60));
            assert!(last(&invite) && invite.body().len() > 9_000, "{way:?}");
            let contact = format!("<{}>", talk.bob.contact());
            let yes = answer(&invite, 200, "b", &[("Contact", &contact)], &body);
            talk.town.world.send(invite.at, invite.from, yes);
            let success = talk.town.world.expect(talk.alice.at, "200 INVITE", 300);
            assert!(last(&success), "{way:?}");
            let caller = Dialog::of_answer(&success, &talk.alice.contact());
            talk.town.world.send(caller.at, caller.hop, caller.ack(1));
            talk.town.world.expect(talk.bob.at, "ACK", 300);
            talk.end(caller);
        }
    }
}

#[test]
fn phones_on_udp_and_tcp_call_each_other() {
    for way in WAYS {
        for tcp in [(true, false), (false, true), (true, true)] {
            let mut talk = Talk::over(way, tcp);
            let body = sdp(talk.alice.media());
            let invite = talk.invite("c1", &[], &body);
            assert_eq!(invite.tcp, tcp.1);
            let transport = if tcp.1 { "SIP/2.0/TCP" } else { "SIP/2.0/UDP" };
            assert!(invite.one("Via").starts_with(transport), "{way:?}: {}", invite.text);
            assert_eq!(invite.all("Record-Route")[0].contains("transport=tcp"), tcp.1);
            let mut callee = talk.town.accept(&invite, "b", &talk.bob.contact());
            let success = talk.town.world.expect(talk.alice.at, "200 INVITE", 300);
            assert_eq!(success.tcp, tcp.0);
            let last = *success.all("Record-Route").last().unwrap();
            assert_eq!(last.contains("transport=tcp"), tcp.0, "{way:?}: {last}");
            let mut caller = Dialog::of_answer(&success, &talk.alice.contact());
            talk.town.world.send(caller.at, caller.hop, caller.ack(1));
            assert_eq!(talk.town.world.expect(talk.bob.at, "ACK", 300).tcp, tcp.1);
            for dialog in [&mut caller, &mut callee] {
                let info = talk.send(dialog, "INFO", &[], "");
                talk.town.reply(&info, 200, "", &[]);
                talk.town.world.expect(dialog.at, "200 INFO", 300);
            }
            talk.end(callee);
        }
    }
}

#[test]
fn a_subscription_reaches_its_phone_with_our_record_route() {
    let (mut town, alice, _) = crate::town::two();
    let subscribe = alice.request(
        ("SUBSCRIBE", "sip:park@example.net"),
        "s1",
        1,
        &[("Event", "dialog"), ("Expires", "600")],
        "",
    );
    town.say(&alice, subscribe);
    let heard = town.world.expect(server(), "SUBSCRIBE", 100);
    assert_eq!(heard.contact(), "sip:alice@203.0.113.1:5062");
    let route = "<sip:198.51.100.1:5060;lr>";
    let contact = "<sip:watch@198.51.100.1:5060>";
    let extra = [("Record-Route", route), ("Contact", contact), ("Expires", "600")];
    town.reply(&heard, 200, "w", &extra);
    let yes = town.world.expect(alice.at, "200 SUBSCRIBE", 100);
    assert_eq!(yes.one("Contact"), contact, "the provider's Contact passes");
    assert_eq!(yes.all("Record-Route"), [route, "<sip:192.168.1.1:5060;lr>"]);
    let mut watcher = Dialog::of_answer(&yes, &alice.contact());
    let headers = [
        ("Via", "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKn1"),
        ("Max-Forwards", "70"),
        ("Record-Route", route),
        ("From", heard.one("To")),
        ("To", heard.one("From")),
        ("Call-ID", "s1"),
        ("CSeq", "1 NOTIFY"),
        ("Contact", contact),
        ("Event", "dialog"),
        ("Subscription-State", "active;expires=600"),
    ];
    let text = write("NOTIFY sip:alice@203.0.113.1:5062 SIP/2.0", &headers, "");
    let text = String::from_utf8(text).unwrap();
    let from = format!("{};tag=w", heard.one("To"));
    let text = text.replace(&format!("From: {}", heard.one("To")), &format!("From: {from}"));
    town.world.send(server(), town.routers[0].outside(), text);
    let notify = town.world.expect(alice.at, "NOTIFY", 100);
    assert_eq!(notify.uri(), alice.contact());
    assert_eq!(notify.all("Record-Route"), ["<sip:192.168.1.1:5060;lr>", route]);
    assert_eq!(notify.one("Contact"), contact);
    town.reply(&notify, 200, "", &[]);
    let yes = town.world.expect(server(), "200 NOTIFY", 100);
    assert!(yes.all("Record-Route").iter().all(|value| !value.contains("192.168.")));
    let again = watcher.request("SUBSCRIBE", &[("Event", "dialog"), ("Expires", "0")], "");
    town.say(&alice, again);
    let heard = town.world.expect(server(), "SUBSCRIBE", 100);
    assert_eq!((heard.uri(), heard.one("Route")), (crate::sip::uri_of(contact), route));
    town.reply(&heard, 200, "", &[]);
    town.world.expect(alice.at, "200 SUBSCRIBE", 100);
    town.finish();
}
