//! Where the callee is: the look-up in the overlay, and the notice that follows it (CALLS §3.1,
//! §3.2).

use super::claim::{Claim, withholds};
use super::{Call, CallId, Callee, Role, Search};
use crate::adapter::names::peer_flow;
use crate::adapter::providers::ProviderId;
use crate::adapter::{Adapter, Asker};
use crate::channel::{CallKey, Notice, Payload};
use crate::config::Mode;
use crate::limits::{NOTICE_REPEAT, NOTICES_SENT_MAX};
use crate::net::NodeId;
use crate::overlay::Found;
use crate::sip::Message;
use crate::time::Instant;

impl Adapter {
    /// Whether the callee of this INVITE is looked up.
    pub(crate) fn may_be_looked_up(&self, call: &Call, message: &Message<'_>) -> bool {
        self.is_looked_up(call.provider, (&call.caller, &call.callee), message.request_uri())
    }

    /// CALLS §3.1: what is not looked up. Caller and callee are spelled, `uri` is as dialled.
    pub(crate) fn is_looked_up(
        &self,
        provider: Option<ProviderId>,
        (caller, callee): (&str, &str),
        uri: &str,
    ) -> bool {
        let overlay_on = self.config.adapter.mode != Mode::Server && self.overlay.is_some();
        let Some(provider) = self.providers.get(provider).map(|provider| &provider.options) else {
            return false;
        };
        let user = crate::adapter::names::uri_user(uri);
        let server_only = self.config.adapter.mode != Mode::Overlay
            && provider.server_only.iter().any(|prefix| user.starts_with(prefix.as_str()));
        let own_domain = callee.rsplit_once('@').is_some_and(|(_, host)| host == provider.domain);
        overlay_on
            && provider.overlay
            && !self.is_emergency(uri)
            && !server_only
            && own_domain
            && !caller.is_empty()
            && callee != caller
    }

    /// Looks the callee of a call up, unless adapters that are kept for it spare the look-up.
    pub(crate) fn look_up_callee(&mut self, now: Instant, id: CallId) {
        self.stop_search(id);
        let Some(call) = self.calls.get(id) else { return };
        let spares = self.contact_spares_look_up(now, &call.callee);
        match self.calls.get_mut(id).filter(|_| spares) {
            Some(call) => call.search = Search::Kept,
            None => self.search_callee(now, id),
        }
    }

    /// Tells the adapters that are kept for the callee of the call; the next step is left to
    /// [`Self::advance`].
    pub(crate) fn tell_kept(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        for found in &self.recall_contact(&call.callee.clone()) {
            self.add_callee(now, id, found);
        }
    }

    /// Looks the callee of a call up in the overlay.
    pub(super) fn search_callee(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(overlay) = &mut self.overlay else { return };
        let lookup = overlay.lookup(now, &call.callee);
        call.search = Search::Looking(lookup);
        self.note_asker(lookup, Asker::Call(id));
        self.trace_note(now, id, "look-up");
    }

    /// The overlay names an adapter that has the callee: CALLS §3.2, the notice.
    pub(crate) fn callee_found(&mut self, now: Instant, id: CallId, found: &Found) {
        let Some(callee) = self.calls.get(id).map(|call| call.callee.clone()) else { return };
        self.keep_contact(now, &callee, found);
        self.add_callee(now, id, found);
        if self.calls.get(id).is_some_and(Call::is_out) {
            self.open_overlay_legs(now, id);
        }
        self.advance(now, id);
    }

    fn add_callee(&mut self, now: Instant, id: CallId, found: &Found) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Some(known) = call.callees.iter_mut().find(|c| c.node == found.owner) {
            // A newer record: the adapter may have moved.
            if core::mem::take(&mut known.absent) {
                known.opened = false;
                return self.open_channel(now, id, found);
            }
            return self.open_to(now, found);
        }
        let own = found.owner == self.id;
        let callee = Callee { acknowledged: own, ..Callee::new(found.owner) };
        if call.callees.push(callee).is_err() {
            return self.no_room_in_call("another adapter");
        }
        self.trace_note(now, id, if own { "found: at home" } else { "found" });
        if own {
            self.take_own_notice(now, id);
        } else {
            self.open_channel(now, id, found);
        }
    }

    /// Opens the channel to an adapter that has the callee, and tells it of the call.
    fn open_channel(&mut self, now: Instant, id: CallId, found: &Found) {
        self.open_to(now, found);
        self.send_notice(now, id, found.owner, 1);
    }

    /// Sends the call's notice, for the time `count`. The channel may lose it: it is repeated
    /// until the answer comes.
    fn send_notice(&mut self, now: Instant, id: CallId, node: NodeId, count: u8) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let again = now + NOTICE_REPEAT * u32::from(count);
        for callee in call.callees.iter_mut().filter(|callee| callee.node == node) {
            callee.notice = (count < NOTICES_SENT_MAX).then_some((again, count));
        }
        let withheld = Message::parse(call.invite()).is_ok_and(|m| withholds(&m));
        let Some(channel) = &mut self.channel else { return };
        let mut notice = Notice {
            call: call.key,
            callee: &call.callee,
            aliases: heapless::Vec::new(),
            withheld,
            session: call.claim.session,
            age_ms: now.since(call.started).as_millis() as u32,
        };
        for alias in call.aliases.iter().filter(|_| !withheld) {
            let dropped = notice.aliases.push(alias).is_err();
            self.counters.claims_dropped += u64::from(dropped);
        }
        let _ = channel.send(now, node, &Payload::Notice(notice));
    }

    /// The callee's phone is here too: its end of the call hears the notice at once.
    fn take_own_notice(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let withheld = Message::parse(call.invite()).is_ok_and(|m| withholds(&m));
        let aliases = call.aliases.iter().filter(|_| !withheld);
        let claim = Claim::told(aliases.map(String::as_str), call.claim.session);
        let (key, callee, began) = (call.key, call.callee.clone(), call.started);
        self.take_notice(now, (self.id, key), &callee, (&claim, began));
    }

    /// Repeats the notices that were not answered in time.
    pub(crate) fn notices_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let due: heapless::Vec<_, { crate::limits::CALL_LEGS_MAX }> = call
            .callees
            .iter_mut()
            .filter(|callee| callee.notice.is_some_and(|(at, _)| now >= at))
            .filter_map(|callee| {
                let (_, count) = callee.notice.take()?;
                let open = !callee.acknowledged && !callee.absent;
                open.then_some((callee.node, count + 1))
            })
            .collect();
        if !due.is_empty() && self.calls.get(id).is_some_and(|c| matches!(c.search, Search::Kept)) {
            // Kept, and silent: perhaps it is elsewhere by now.
            self.search_callee(now, id);
        }
        for (node, count) in due {
            self.send_notice(now, id, node, count);
        }
    }

    /// Nobody waits any more for what the call's look-up finds.
    pub(super) fn stop_search(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let search = core::mem::replace(&mut call.search, Search::Done);
        if let (Search::Looking(lookup), Some(overlay)) = (search, &mut self.overlay) {
            overlay.cancel_lookup(lookup);
            self.askers.remove(&lookup);
        }
    }

    /// The look-up has ended.
    pub(crate) fn lookup_done(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Search::Looking(lookup) = core::mem::replace(&mut call.search, Search::Done) {
            self.contacts.settle(lookup);
        }
        if call.callees.is_empty() {
            self.trace_note(now, id, "not in the overlay");
        }
        self.advance(now, id);
    }

    /// The callee's adapter answered the notice.
    pub(crate) fn notice_answered(&mut self, now: Instant, peer: NodeId, key: CallKey, here: bool) {
        let asked = |call: &Call| call.callees.iter().any(|c| c.node == peer);
        let Some(id) = self.find_keyed(Role::Caller, key, asked) else { return };
        let Some(call) = self.calls.get_mut(id) else { return };
        if !here {
            self.contacts.disown(&call.callee, peer);
        }
        for callee in call.callees.iter_mut().filter(|c| c.node == peer) {
            callee.acknowledged = here;
            callee.notice = None;
            callee.absent = !here;
        }
        self.trace_note(now, id, if here { "notice acknowledged" } else { "notice: not here" });
        // The phone there may have answered before its adapter knew of us.
        self.name_carrier(now, id);
        self.advance(now, id);
    }

    /// The channel to `peer` could not be opened, or is lost.
    pub(crate) fn peer_lost(&mut self, now: Instant, peer: NodeId) {
        self.transactions.transport_failed(now, peer_flow(peer));
        let waiting: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| call.callees.iter().any(|c| c.node == peer && !c.absent))
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            let Some(call) = self.calls.get_mut(id) else { continue };
            for callee in call.callees.iter_mut().filter(|c| c.node == peer) {
                callee.absent = true;
                callee.acknowledged = false;
            }
            self.advance(now, id);
        }
    }
}
