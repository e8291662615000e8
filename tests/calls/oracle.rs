//! What holds in every test, whatever happens in it.

use crate::net::Packet;
use crate::provider::registrar;
use crate::sip::Msg;
use crate::town::{Town, server};
use serde_json::Value;

/// Long enough for everything that a call may leave behind: 64*T1 of a lost INVITE, then again
/// for the BYE of an answer that came at its end.
const REST_MS: u64 = 70_000;

impl Town {
    /// Lets the town come to rest and judges all that happened.
    pub(crate) fn finish(self) {
        self.finish_as("");
    }

    /// As [`Self::finish`], with a name for what was played.
    pub(crate) fn finish_as(mut self, what: &str) {
        self.world.fates.clear();
        self.world.rule = None;
        self.world.autos.entry(server()).or_insert_with(|| Box::new(registrar));
        self.world.run_ms(REST_MS);
        for router in 0..self.routers.len() {
            let place = self.routers[router].place;
            if self.world.deaf.contains(&place) {
                continue;
            }
            self.at_rest(router, what);
        }
        self.judge_log();
    }

    /// Judges every packet that was sent.
    pub(crate) fn judge_log(&self) {
        for packet in &self.world.log {
            self.judge(packet);
        }
    }

    /// Nothing is left behind.
    fn at_rest(&mut self, router: usize, why: &str) {
        let status: Value = self.status(router);
        for what in ["calls", "exchanges", "media", "lookups"] {
            let held = &status["in_use"][what];
            assert_eq!(held, 0, "{why}: router {router} still holds {what}: {}", status["calls"]);
        }
        // One may be a probe on its way, or the last retransmission of one.
        let transactions = status["in_use"]["transactions"].as_u64().unwrap();
        assert!(
            transactions <= 2,
            "{why}: router {router} still holds {transactions} transactions"
        );
    }

    fn judge(&self, packet: &Packet) {
        let Packet { from, to, data, .. } = packet;
        assert!(!self.strangers.contains(to), "{from} speaks to a stranger, {to}");
        let has = |what: &[u8]| data.windows(what.len()).any(|window| window == what);
        assert!(!has(b"cosip.invalid"), "a name of the overlay on the wire: {packet:?}");
        let Some(router) = self.routers.iter().find(|r| r.owns(*from)) else { return };
        let Some(message) = Msg::parse(packet) else { return };
        let text = &message.text;
        let length: usize = message.one("Content-Length").parse().unwrap();
        assert_eq!(length, message.body().len(), "{text}");
        if from.ip() == router.lan {
            let retry = message.status() == 503 && message.has("Retry-After");
            assert!(!retry, "a phone is told to stay away:\n{text}");
            return;
        }
        if !message.is_request() {
            return;
        }
        assert_eq!(message.all("Via").len(), 1, "a second hop is seen:\n{text}");
        let own = message.all("Record-Route");
        assert!(own.is_empty(), "a proxy is seen:\n{text}");
        for (name, value) in message.headers() {
            let untouched = ["from", "to", "call-id", "cseq", "authorization"];
            let untouched = untouched.contains(&name.to_ascii_lowercase().as_str());
            assert!(untouched || !value.contains("192.168."), "{name} shows the home:\n{text}");
        }
        let media = message.body().lines().any(|l| l.starts_with("c=") && l.contains("192.168."));
        assert!(!media || self.media_off, "sound is wanted at home:\n{text}");
    }
}
