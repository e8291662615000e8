//! The pump: inputs in, transmissions and events out, deadlines kept.

use super::inbound::Source;
use super::names::{Local, Path};
use super::{Adapter, Asker, ClientOwner, Wish};
use crate::channel::{ChannelEvent, NoticeAnswer, Payload};
use crate::limits::{LOOPBACK_MAX, MAINTENANCE_INTERVAL};
use crate::net::{
    ConnId, Core, Event, Input, NodeId, Rejected, SocketId, SocketKind, StreamEvent, Transmit, Via,
};
use crate::overlay::OverlayEvent;
use crate::sip::transaction::{Flow, TransactionEvent};
use crate::time::{Instant, earlier};
use std::net::SocketAddr;

impl Core for Adapter {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let result = match input {
            Input::Datagram { socket, from, to, tos, data } => {
                self.handle_datagram(now, (socket, from, to), tos, data)
            }
            Input::Stream(conn, event) => self.handle_stream(now, conn, event),
            Input::SendFailed { via, to, error } => {
                self.handle_send_failed(now, via, to, error);
                Ok(())
            }
            Input::Timeout => {
                self.handle_timeout(now);
                Ok(())
            }
            Input::Network(network) => {
                self.handle_network(now, network);
                Ok(())
            }
            Input::Clock(unix_s) => {
                self.handle_clock(now, unix_s);
                Ok(())
            }
            Input::Config(config) => {
                self.handle_config(now, config);
                Ok(())
            }
            Input::ConfigError(error) => {
                self.reloaded.error = Some(error.clone());
                Ok(())
            }
            Input::Command(ticket, words) => {
                self.handle_command(now, ticket, words);
                Ok(())
            }
            Input::Answer(ticket, answer) => {
                self.handle_answer(now, ticket, answer);
                Ok(())
            }
            Input::Stop => {
                self.handle_stop(now);
                Ok(())
            }
        };
        self.settle(now);
        self.own_link_failed = false;
        result
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let first = self.media.poll_transmit(buf).or_else(|| self.portmap.poll_transmit(buf));
        if first.is_some() {
            return first;
        }
        while let Some(transmit) = self.transactions.poll_transmit(buf) {
            match transmit.via {
                Via::Peer(node) if node == self.id => {
                    if self.loopback.len() < LOOPBACK_MAX {
                        self.loopback.push_back(buf[..transmit.len].to_vec());
                    } else {
                        self.counters.transmissions_dropped += 1;
                    }
                }
                Via::Peer(node) => {
                    let sip = Payload::Sip(&buf[..transmit.len]);
                    let sent = self.channel.as_mut().map(|c| c.send(now, node, &sip));
                    if !matches!(sent, Some(Ok(()))) {
                        self.counters.transmissions_dropped += 1;
                    }
                }
                via => match self.via_now(via, transmit.to) {
                    Some(via) => return Some(Transmit { via, ..transmit }),
                    None => self.counters.transmissions_dropped += 1,
                },
            }
        }
        self.poll_overlay_transmit(now, buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let media = self.media.poll_request().map(|(ticket, it)| (Wish::Media(ticket), it));
        let portmap =
            || self.portmap.poll_request().map(|(ticket, it)| (Wish::Portmap(ticket), it));
        let (wish, request) = media.or_else(portmap)?;
        Some(Event::Request(self.ticket(wish), request))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.loopback.is_empty() {
            return Some(Instant::ZERO);
        }
        let mut at = Some(self.maintenance_at);
        at = earlier(at, self.transactions.poll_timeout());
        at = earlier(at, self.call_timers.next());
        at = earlier(at, self.exchange_timers.next());
        at = earlier(at, self.media.poll_timeout());
        at = earlier(at, self.portmap.poll_timeout());
        at = earlier(at, self.registrar.poll_timeout());
        at = earlier(at, self.overlay.as_ref().and_then(|o| o.poll_timeout()));
        at = earlier(at, self.channel.as_ref().and_then(|c| c.poll_timeout()));
        at = earlier(at, self.work_at());
        at = earlier(at, self.persist.due());
        at = earlier(at, self.stop_at());
        at = earlier(at, self.gateways.poll_timeout());
        at = earlier(at, self.enrolment.poll_timeout());
        at = earlier(at, self.next_keepalive());
        for (_, provider) in self.providers.iter() {
            at = earlier(at, provider.poll_timeout());
        }
        at
    }
}

impl Adapter {
    fn handle_datagram(
        &mut self,
        now: Instant,
        (socket, from, to): (SocketId, SocketAddr, SocketAddr),
        tos: u8,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let Some(known) = self.sockets.get(socket) else {
            if self.portmap.owns_socket(socket) {
                return self.portmap.handle_datagram(now, socket, from, data);
            }
            if self.sockets.intercepting.has_socket(socket) {
                return self.handle_intercepted(now, (from, to), data);
            }
            return self.media.handle_datagram(now, socket, from, tos, data);
        };
        if known.kind == SocketKind::Overlay {
            return self.handle_overlay_datagram(now, from, data);
        }
        self.handle_sip_datagram(now, Flow { via: Via::Udp(socket), to: from }, data)
    }

    fn handle_stream(
        &mut self,
        now: Instant,
        conn: ConnId,
        event: StreamEvent<'_>,
    ) -> Result<(), Rejected> {
        match event {
            _ if self.portmap.owns_connection(conn) => self.portmap.handle_stream(now, conn, event),
            StreamEvent::Opened { on, local, remote } => {
                self.connection_opened(now, conn, on, local, remote)
            }
            StreamEvent::Data(data) => self.stream_data(now, conn, data),
            StreamEvent::Closed => {
                self.connection_lost(now, conn);
                Ok(())
            }
        }
    }

    /// Does what is due. Not made part of its only caller, as neither is [`Self::settle`]: the two
    /// hold most of the daemon, and 16-bit branches of MIPS reach through either, not through both.
    #[inline(never)]
    fn handle_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        self.media.handle_timeout(now);
        self.portmap.handle_timeout(now);
        if let Some(channel) = &mut self.channel {
            channel.handle_timeout(now);
        }
        if let Some(overlay) = &mut self.overlay {
            overlay.handle_timeout(now);
        }
        while let Some(slot) = self.call_timers.pop_due(now) {
            if let Some(id) = self.calls.id_at(slot) {
                self.call_due(now, id);
            }
        }
        while let Some(slot) = self.exchange_timers.pop_due(now) {
            if let Some(id) = self.exchanges.id_at(slot) {
                self.exchange_due(now, id);
            }
        }
        self.gateways_due(now);
        self.providers_due(now);
        self.keepalives_due(now);
        self.bindings_due(now);
        self.renewals_due(now);
        self.enrolment_due(now);
        if now >= self.maintenance_at {
            self.maintenance_at = now + MAINTENANCE_INTERVAL;
            self.maintain(now);
        }
        self.work(now);
        self.save_due(now);
        self.stop_due(now);
    }

    /// Takes the events of the inner cores until none is left.
    #[inline(never)]
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(event) = self.transactions.poll_event() {
                self.handle_transaction_event(now, event);
            } else if self.handle_channel_event(now) {
            } else if let Some(event) = self.overlay.as_mut().and_then(|o| o.poll_event()) {
                self.handle_overlay_event(now, event);
            } else if let Some(event) = self.media.poll_event() {
                self.handle_media_event(now, event);
            } else if let Some(bytes) = self.loopback.pop_front() {
                let flow = super::names::peer_flow(self.id);
                let local = Local::Overlay(self.id);
                let source = Source { path: Path::Peer(self.id), flow, local };
                let _ = self.handle_sip(now, source, &bytes);
            } else if self.media.take_ports_changed() {
                self.want_mappings(now);
            } else if self.portmap.take_changed() {
                self.mappings_changed(now);
            } else {
                return;
            }
        }
    }

    fn handle_transaction_event(&mut self, now: Instant, event: TransactionEvent) {
        match event {
            TransactionEvent::Failed { id, user, error, .. } => {
                let owner = ClientOwner::decode(user);
                self.server_failed(now, (owner, id), error);
                match owner {
                    ClientOwner::Leg(slot, at) => {
                        if let Some(call) = self.calls.id_at(slot) {
                            self.leg_failed(now, call, usize::from(at), id);
                        }
                    }
                    ClientOwner::Exchange(slot) => {
                        if let Some(exchange) = self.exchanges.id_at(slot) {
                            self.exchange_failed(now, exchange, id, error);
                        }
                    }
                    ClientOwner::Renewal(slot) => self.renewal_transport(now, slot, id, error),
                    ClientOwner::Inquiry(slot) => self.inquiry_failed(now, slot, id),
                    ClientOwner::Probe(_)
                    | ClientOwner::Locate(..)
                    | ClientOwner::Gateway(_)
                    | ClientOwner::Bootstrap(_)
                    | ClientOwner::Quiet => {}
                    #[cfg(feature = "server")]
                    ClientOwner::Challenge(number) => {
                        self.challenge_failed(now, number, error);
                    }
                }
            }
            TransactionEvent::ServerGone { id } => {
                let owner = self.calls.iter().find_map(|(call, state)| {
                    let up = state.upstreams.iter().position(|up| up.is_served_by(id))?;
                    Some((call, up))
                });
                if let Some((call, up)) = owner {
                    self.upstream_gone(now, call, up);
                }
            }
        }
    }

    /// Takes one event of the channel. False where there was none.
    fn handle_channel_event(&mut self, now: Instant) -> bool {
        let mut buf = core::mem::take(&mut self.channel_buffer);
        let any = self.take_channel_event(now, &mut buf);
        self.channel_buffer = buf;
        any
    }

    fn take_channel_event(&mut self, now: Instant, buf: &mut [u8]) -> bool {
        let Some(channel) = &mut self.channel else { return false };
        match channel.poll_event(buf) {
            Some(ChannelEvent::Down { peer, reason }) => {
                log::debug!("no channel to {peer}: {reason:?}");
                self.peer_lost(now, peer);
            }
            Some(ChannelEvent::Received { peer, payload }) => {
                self.handle_payload(now, peer, &payload);
            }
            Some(ChannelEvent::Asking { peer }) => self.meet_again(now, peer),
            Some(ChannelEvent::Up { peer }) => {
                self.tell_rendezvous(now, peer);
                self.leave_detour(now, peer);
            }
            None => return false,
        }
        true
    }

    pub(super) fn handle_payload(&mut self, now: Instant, peer: NodeId, payload: &Payload<'_>) {
        match payload {
            Payload::Sip(_) | Payload::Notice(_) | Payload::Watch(..) => {
                self.hear_caller(now, peer, payload);
            }
            Payload::NoticeAnswer { call, answer } => {
                self.notice_answered(now, peer, *call, *answer == NoticeAnswer::Here);
            }
            Payload::OpenLeg { call } => self.leg_wanted(now, peer, *call),
            Payload::CancelCall { call } => self.cancelled_across(now, peer, *call),
            Payload::Carrying { call, path, answer } => {
                self.carrier_named(now, peer, *call, (*path, *answer));
            }
            Payload::Media(moved) => self.media_told(now, peer, moved),
            #[cfg(feature = "server")]
            Payload::Enrol(ask) => self.certificate_wanted(peer, ask),
            #[cfg(feature = "server")]
            Payload::EnrolProof(proof) => self.challenge_proven(peer, proof),
            #[cfg(feature = "server")]
            Payload::EnrolReport(nonce) => self.challenge_reported(peer, nonce),
            #[cfg(feature = "server")]
            Payload::Watched(number, statements) => self.watch_answered(peer, *number, *statements),
            #[cfg(not(feature = "server"))]
            Payload::Enrol(_)
            | Payload::EnrolProof(_)
            | Payload::EnrolReport(_)
            | Payload::Watched(..) => {}
            Payload::EnrolAnswer(number, answer) => {
                self.enrolment_answered(now, peer, *number, answer);
            }
            Payload::Rendezvous(list) => {
                if let Some(overlay) = &mut self.overlay {
                    overlay.set_rendezvous(now, peer, list);
                }
            }
        }
    }

    fn handle_overlay_event(&mut self, now: Instant, event: OverlayEvent) {
        match event {
            OverlayEvent::Found(found) => match self.askers.get(&found.lookup).copied() {
                Some(Asker::Call(call)) => self.callee_found(now, call, &found),
                Some(Asker::Message(text)) => self.recipient_found(now, text, &found),
                Some(Asker::Transfer) => self.transfer_found(now, found.lookup),
                Some(Asker::Contact) => self.contact_found(now, &found),
                Some(Asker::Enrolment) => self.cosip_server_found(&found),
                Some(Asker::Command(ticket)) => {
                    if let Some(answer) = self.answers.get_mut(&ticket) {
                        answer.found.push((now, found));
                    }
                }
                None => {}
            },
            OverlayEvent::Done { lookup, .. } => match self.askers.remove(&lookup) {
                Some(Asker::Call(call)) => self.lookup_done(now, call),
                Some(Asker::Message(text)) => self.recipient_lookup_done(now, text),
                Some(Asker::Transfer) => self.transfer_lookup_done(now, lookup),
                Some(Asker::Command(ticket)) => self.answer_lookup(now, ticket),
                Some(Asker::Contact) => self.contacts.settle(lookup),
                Some(Asker::Enrolment) => self.cosip_servers_looked_up(now),
                None => {}
            },
            OverlayEvent::PublicAddress(address) => self.public_address_seen(now, address),
            OverlayEvent::Reached { peer, address } => self.peer_reached(now, peer, address),
            OverlayEvent::Rendezvous(list) => self.rendezvous_changed(now, &list),
            OverlayEvent::Joined => {
                log::info!("overlay joined");
                self.persist.peers_changed(now);
                self.contacts_again(now);
                self.look_soon_for_missing(now);
            }
            OverlayEvent::IdInUse(address) => {
                log::error!(
                    "another adapter at {address} uses this adapter's key: remove adapter.key \
                     from one of the two and restart it"
                );
            }
            OverlayEvent::ListTaken(own) => self.list_taken(now, own),
            OverlayEvent::ListRefused(number) => log::warn!(
                "list of revocations {number}: more, or less, than an issuing key may revoke; the \
                 one before stays"
            ),
            OverlayEvent::SpotGot { key, holder, statement } => {
                self.holder_spoke(now, (key, holder), statement);
            }
            OverlayEvent::SizeInDoubt { own, told } => {
                log::warn!("overlay: {own} members by density, {told} by what others tell");
            }
            OverlayEvent::Published { .. } => {}
        }
    }
}
