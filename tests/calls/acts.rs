//! What phones and the provider do in many tests, each a few messages.

use crate::net::Fate;
use crate::provider::{backward, forward};
use crate::sip::{Dialog, Msg, answer, sdp};
use crate::town::{Phone, Town, server, two};
use std::collections::BTreeSet;
use std::net::SocketAddr;

impl Town {
    /// Sends a phone's INVITE.
    pub(crate) fn dial(&mut self, phone: &Phone, uri: &str, call_id: &str) {
        self.say(phone, phone.invite(uri, call_id));
    }

    /// Takes the 200 of an INVITE and acknowledges it.
    pub(crate) fn confirm(&mut self, phone: &Phone, ms: u64) -> Dialog {
        let success = self.world.expect(phone.at, "200 INVITE", ms);
        let dialog = Dialog::of_answer(&success, &phone.contact());
        self.say(phone, dialog.ack(success.cseq()));
        dialog
    }

    /// Takes the refusal of an INVITE and acknowledges it.
    pub(crate) fn refused(&mut self, phone: &Phone, code: &str, uri: &str, ms: u64) -> Msg {
        let refusal = self.world.expect(phone.at, &format!("{code} INVITE"), ms);
        self.say(phone, phone.ack_of_refusal(&refusal, uri));
        refusal
    }

    /// Sends the CANCEL of [`Self::dial`].
    pub(crate) fn cancel(&mut self, phone: &Phone, uri: &str, call_id: &str) {
        self.say(phone, phone.cancel(uri, call_id));
    }

    /// A caller hangs up before the answer, and is obeyed at once.
    pub(crate) fn gives_up(&mut self, phone: &Phone, uri: &str, call_id: &str) {
        self.cancel(phone, uri, call_id);
        self.world.expect(phone.at, "200 CANCEL", 20);
        self.refused(phone, "487", uri, 20);
    }

    /// The called end hears CANCEL and obeys.
    pub(crate) fn cancelled(&mut self, invite: &Msg, tag: &str, ms: u64) {
        let cancel = self.world.expect(invite.at, "CANCEL", ms);
        assert_eq!(cancel.one("Via"), invite.one("Via"));
        self.reply(&cancel, 200, tag, &[]);
        self.reply(invite, 487, tag, &[]);
        self.world.expect(invite.at, "ACK", 50);
    }

    /// Sends a request in a dialog; it reaches the other phone and is answered. What that heard.
    pub(crate) fn ask(&mut self, dialog: &mut Dialog, other: &Phone, method: &str, ms: u64) -> Msg {
        let described = |at: SocketAddr| match method {
            "INVITE" | "UPDATE" => sdp((at.ip(), 4000).into()),
            _ => String::new(),
        };
        let offer = described(dialog.at);
        let request = dialog.request(method, &[], &offer);
        self.world.send(dialog.at, dialog.hop, request);
        let heard = self.world.expect(other.at, method, ms);
        assert_eq!(heard.uri(), other.contact());
        let relayed = format!("c=IN IP4 {}", other.proxy.ip());
        assert!(offer.is_empty() || heard.body().contains(&relayed), "{}", heard.text);
        let contact = format!("<{}>", other.contact());
        let yes = answer(&heard, 200, "", &[("Contact", &contact)], &described(other.at));
        self.world.send(other.at, other.proxy, yes);
        let yes = self.world.expect(dialog.at, &format!("200 {method}"), ms);
        assert_eq!((yes.cseq(), yes.one("To")), (dialog.cseq, dialog.remote.as_str()));
        if method == "INVITE" {
            self.world.send(dialog.at, dialog.hop, dialog.ack(yes.cseq()));
            assert_eq!(self.world.expect(other.at, "ACK", ms).cseq(), heard.cseq());
        }
        heard
    }

    /// Ends a dialog from one side; `other` answers. What that heard.
    pub(crate) fn bye(&mut self, dialog: &mut Dialog, other: SocketAddr) -> Msg {
        let bye = dialog.request("BYE", &[], "");
        self.world.send(dialog.at, dialog.hop, bye);
        let heard = self.world.expect(other, "BYE", 300);
        self.reply(&heard, 200, "", &[]);
        self.world.expect(dialog.at, "200 BYE", 2_100);
        heard
    }

    /// How many packets that begin so were sent to an address.
    pub(crate) fn packets(&self, to: SocketAddr, start: &str) -> usize {
        let log = self.world.log.iter();
        log.filter(|packet| packet.to == to && packet.data.starts_with(start.as_bytes())).count()
    }

    /// How many INVITEs were sent to an address; what was repeated counts once.
    pub(crate) fn invites(&self, to: SocketAddr) -> usize {
        let log = self.world.log.iter();
        let invites = log.filter(|packet| packet.to == to && packet.data.starts_with(b"INVITE"));
        invites.map(|packet| &packet.data).collect::<BTreeSet<_>>().len()
    }

    /// The server passes a request on.
    pub(crate) fn pass_on(&mut self, request: &Msg, target: &str) {
        let (to, bytes) = forward(request, target);
        self.world.send(server(), to, bytes);
    }

    /// The server passes a response back.
    pub(crate) fn pass_back(&mut self, response: &Msg) {
        let (to, bytes) = backward(response).unwrap();
        self.world.send(server(), to, bytes);
    }
}

/// Somebody whom the provider's server speaks for, at a router's door.
pub(crate) fn gateway(door: SocketAddr) -> Phone {
    Phone {
        at: server(),
        user: "gw".into(),
        proxy: door,
        call_id: String::new(),
        cseq: 0,
        tcp: false,
        params: String::new(),
    }
}

/// Alice and Bob of [`two`], in a call that the overlay carries: the caller's and the callee's end
/// of the dialog.
pub(crate) fn by_overlay() -> (Town, Phone, Phone, Dialog, Dialog) {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    let callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    (town, alice, bob, caller, callee)
}

/// Both the server and Bob have Alice's INVITE.
pub(crate) fn raced(extra: &[(&str, &str)]) -> (Town, Phone, Phone, Msg, Msg) {
    let (mut town, alice, bob) = two();
    let body = sdp(alice.media());
    let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, extra, &body);
    town.say(&alice, invite);
    let at_server = town.world.expect(server(), "INVITE", 100);
    let at_bob = town.world.expect(bob.at, "INVITE", 1_000);
    (town, alice, bob, at_server, at_bob)
}
