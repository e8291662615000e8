//! The adapter: CoSIP itself. This file is the pump; what it pumps has files of its own.
//!
//! [`Adapter`] is the daemon's [`Core`](crate::net::Core). It owns the SIP transactions, the
//! overlay node, the channel and the media relay, and hands each input to the one that it is for.
//! Messages are parsed to a borrowed view and acted on at once; what is to be sent waits in the
//! outbox of the layer that made it, and SIP for another adapter goes through the channel on its
//! way out.

mod alg;
mod bootstrap;
mod call;
mod callers;
mod connections;
mod contacts;
mod credentials;
mod crossing;
#[cfg(feature = "server")]
pub mod desk;
mod earshot;
mod emergency;
mod enrolment;
mod exchange;
mod forward;
mod hangup;
mod inbound;
mod intercept;
mod keepalive;
mod ladder;
mod mapping;
mod meeting;
mod message;
mod names;
mod network;
mod notices;
mod outside;
mod own_request;
mod owners;
mod parts;
mod persist;
mod phones;
mod port;
mod probes;
mod providers;
mod pump;
mod register;
pub mod registrar;
mod reply;
mod rewrite;
mod secrets;
pub mod server;
mod shortage;
mod sockets;
pub mod spelling;
mod status;
mod targets;
mod transfer;
mod vouching;
mod watched;
mod ways;
mod wishes;
mod work;

use crate::channel::Channel;
use crate::config::Config;
use crate::identity::{Identity, NetworkKeys};
use crate::limits::{self, CHANNEL_SESSIONS_MAX};
use crate::list::List;
use crate::map::Map;
use crate::media::Media;
use crate::net::{Event, Network, NodeId, Ticket};
use crate::observe::trace::Trace;
use crate::overlay::{LookupId, Overlay};
use crate::portmap::Portmap;
use crate::rng::Rng;
use crate::sip::digest::Authenticator;
use crate::sip::locate::Locator;
use crate::sip::proxy::LoopDetector;
use crate::sip::transaction::{Flow, Transactions};
use crate::table::{Index, Table};
use crate::time::Instant;
use crate::timer::Timers;
use call::Call;
use exchange::Exchange;
use outside::Outside;
pub(crate) use owners::ClientOwner;
use providers::Providers;
use registrar::Registrar;
use sockets::Sockets;
use std::collections::VecDeque;
use std::net::SocketAddr;
use wishes::Wish;

/// Who asked the overlay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker {
    /// A call that is being set up.
    Call(call::CallId),
    /// A text that is on its way.
    Message(exchange::ExchangeId),
    /// A REFER of another adapter.
    Transfer,
    /// A callee that is kept found.
    Contact,
    /// A question for certificates.
    Enrolment,
    /// `cosip lookup`.
    Command(Ticket),
}

crate::observe::counters! {
    /// What happened at the adapter since its start.
    pub struct Counters {
        /// SIP messages that could not be understood.
        sip_malformed,
        /// SIP requests on the WAN side from nobody who may send them.
        wan_unauthorized,
        /// Requests of other adapters that are not taken: see `accept`, and REFER.
        peer_requests_refused,
        /// Calls, texts and notices of other adapters refused: their certificates do not list who
        /// calls.
        callers_refused,
        /// Addresses of callers left out of notices: no certificate lists them.
        aliases_refused,
        /// Addresses of callers blinded, to compare them with certificates.
        callers_blinded,
        /// Calls, texts and notices left to be sent again: too many wait for their callers to be
        /// known, or their adapter is asked anew who it is.
        callers_postponed,
        /// Questions of CoSIP servers about others, answered.
        watch_answers,
        /// The same, not answered: not from a CoSIP server, or too soon after the one before.
        watch_refused,
        /// INVITEs of other adapters left to be sent again: a hole for speech may still open.
        invites_postponed,
        /// INVITEs of other adapters refused because speech has no way between the two NATs.
        invites_out_of_earshot,
        /// Notices pushed out by later ones before their call came.
        notices_dropped,
        /// Callees kept found that made room for others.
        contacts_forgotten,
        /// Legs of one call beyond their limit.
        legs_refused_full,
        /// Requests that came back as they had left.
        loops,
        /// Calls refused because `max_calls` are running.
        calls_refused_full,
        /// Requests refused because too many are being passed on.
        exchanges_refused_full,
        /// Requests refused because too many transactions live.
        transactions_full,
        /// Registrations refused because `max_phones` are registered.
        phones_refused_full,
        /// Contacts left out because one REGISTER names more than are kept of it.
        contacts_dropped,
        /// Addresses of the LAN or the WAN that are not served: there are too many.
        addresses_dropped,
        /// Addresses of `bootstrap` entries that are not used: there are too many.
        bootstrap_dropped,
        /// Dialogs of forked calls beyond the limit.
        dialogs_dropped,
        /// Addresses of callers left out because an INVITE names more than are compared.
        claims_dropped,
        /// Calls that were over, forgotten while a leg of theirs might still have come.
        ended_calls_forgotten,
        /// Bodies whose SDP could not be rewritten.
        sdp_refused,
        /// Calls that were set up by the server.
        calls_by_server,
        /// Calls that were set up over the overlay.
        calls_by_overlay,
        /// Emergency calls that were set up by a route beside the server.
        calls_by_emergency_route,
        /// Calls of phones here that failed.
        calls_failed,
        /// Of these, emergency calls that no way has taken.
        emergency_calls_failed,
        /// Texts of phones here that the overlay has delivered.
        messages_by_overlay,
        /// Texts that a phone here had by the other path already.
        message_copies_dropped,
        /// Texts forgotten before their time, whose copies pass.
        messages_forgotten,
        /// Registrations answered from here because the server did not.
        registrations_shielded,
        /// Registrations that a live server seemed to have lost, and that are asked for again.
        registrations_doubted,
        /// Registrations that the adapter made by itself, with an account's credentials.
        registrations_renewed,
        /// Registrations of its own that the provider does not take.
        accounts_refused,
        /// Registrations answered from the last 200.
        registrations_refreshed,
        /// TCP connections refused because there are too many, or closed for what they sent.
        connections_refused,
        /// TCP connections closed because nothing came on them, and nobody had registered there.
        connections_idle,
        /// Datagrams of the channel for a way through another adapter that is not there.
        detours_missing,
        /// Datagrams of overlay and channel for an address that no socket of ours reaches.
        overlay_unsent,
        /// SIP messages that did not fit into the channel's or a socket's queue.
        transmissions_dropped,
        /// Datagrams and connections that were intercepted and are for nobody else.
        intercepted_strays,
        /// Servers that phones chose and that are not asked for others: there are too many.
        chosen_servers_dropped,
        /// Hosts that talk to SIP servers over TLS and are not told of: there are too many.
        tls_hosts_dropped,
        /// REFERs of other adapters refused because too many are under way.
        transfers_refused_full,
        /// Legs and adapters of a call for which it had no room.
        call_parts_dropped,
        /// ACKs of phones whose number is that of no INVITE.
        acks_of_nothing,
        /// Running calls whose media have taken the direct path.
        media_moved,
        /// Descriptions of other adapters that moved no media: of no linked call, malformed, of
        /// media that flow or that the phone does not take.
        media_moves_refused,
        /// Sessions refreshed, or whose refresh was answered, in the place of a silent server.
        sessions_refreshed,
        /// Calls ended because their media had stopped.
        calls_media_dead,
    }
}

/// The adapter core. See [`crate::net::Core`] for how it is driven.
pub struct Adapter {
    config: Config,
    id: NodeId,
    vouched: vouching::Vouched,
    rng: Rng,
    network: Network,
    unix_s: Option<u64>,
    clock_at: Instant,
    outside: Outside,
    /// The large parts stand elsewhere: processors of routers reach what is within 32 kB of an
    /// address by less code.
    portmap: Box<Portmap>,
    /// The input being handled says that our own link is down.
    own_link_failed: bool,
    wan_sip_port: u16,
    wan_port_tries: u8,
    sockets: Sockets,
    transactions: Transactions,
    authenticator: Authenticator,
    loops: LoopDetector,
    registrar: Registrar,
    renewals: register::Renewals,
    providers: Providers,
    locator: Locator,
    gateways: emergency::Gateways,
    /// When keep-alives towards servers of phones of no configured provider are due.
    foreign_keepalive_at: Option<Instant>,
    calls: Table<Call>,
    call_index: Index,
    call_timers: Timers,
    /// Running calls: of callers here, of callees here.
    running: [usize; 2],
    ended_calls: call::ended::EndedCalls,
    transfers: transfer::Transfers,
    exchanges: Table<Exchange>,
    exchange_timers: Timers,
    media: Media,
    overlay: Option<Box<Overlay>>,
    channel: Option<Box<Channel>>,
    /// Where the channel puts the payloads that it received.
    channel_buffer: Vec<u8>,
    bootstrap: Vec<Vec<SocketAddr>>,
    askers: Map<LookupId, Asker>,
    answers: Map<Ticket, status::Answering>,
    notices: List<notices::NoticeHeard, { limits::NOTICES_MAX }>,
    callers: callers::Callers,
    contacts: contacts::Contacts,
    enrolment: enrolment::Enrolment,
    messages_seen: message::seen::Seen,
    /// SIP to ourselves: calls within one router (CALLS §3.1).
    loopback: VecDeque<Vec<u8>>,
    wishes: Map<Ticket, Wish>,
    next_ticket: u32,
    events: VecDeque<Event>,
    trace: Trace,
    counters: Counters,
    shortages: shortage::Shortages,
    waiting: work::Waiting,
    persist: persist::Persist,
    restoring: persist::Restoring,
    started: Instant,
    maintenance_at: Instant,
    stopping: Option<Instant>,
    reloaded: network::Reloaded,
}

impl Adapter {
    /// An adapter that has no socket yet: its first inputs are the network and the clock.
    /// Without `keys` there is no overlay, whatever the mode.
    pub fn new(
        config: &Config,
        identity: &Identity,
        keys: Option<&NetworkKeys>,
        start_count: u32,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let tables = 2 * usize::from(config.adapter.max_calls) + limits::CALLS_EMERGENCY;
        Self {
            overlay: parts::overlay(config, identity, keys, start_count, &mut rng, now),
            id: identity.id(),
            vouched: vouching::Vouched::new(identity),
            network: Network::default(),
            unix_s: None,
            clock_at: now,
            outside: Outside::new(config.adapter.public_address),
            portmap: Box::new(Portmap::new(&mut rng)),
            own_link_failed: false,
            wan_sip_port: config.adapter.wan_sip_port,
            wan_port_tries: 0,
            sockets: Sockets::new(usize::from(config.adapter.max_phones)),
            transactions: parts::transactions(config, &mut rng),
            authenticator: parts::authenticator(&mut rng),
            loops: LoopDetector::new(rng.bytes()),
            registrar: Registrar::new(usize::from(config.adapter.max_phones), &mut rng),
            renewals: register::Renewals::new(&mut rng),
            providers: Providers::new(config, &mut rng, now),
            locator: Locator::new(&mut rng),
            gateways: emergency::Gateways::new(&config.emergency.route, now),
            foreign_keepalive_at: None,
            calls: Table::with_capacity(tables),
            call_index: Index::with_capacity(limits::call_index_max(tables), &mut rng),
            call_timers: Timers::with_capacity(tables),
            running: [0; 2],
            ended_calls: call::ended::EndedCalls::default(),
            transfers: transfer::Transfers::default(),
            exchanges: Table::with_capacity(parts::exchanges(config)),
            exchange_timers: Timers::with_capacity(parts::exchanges(config)),
            media: Media::new(&config.media, tables, &mut rng),
            channel: parts::channel(identity, keys, CHANNEL_SESSIONS_MAX, &mut rng),
            channel_buffer: vec![0; limits::SIP_MESSAGE_BYTES_MAX],
            bootstrap: vec![Vec::new(); config.overlay.bootstrap.len()],
            askers: Map::new(),
            answers: Map::new(),
            notices: List::new(),
            callers: callers::Callers::default(),
            contacts: contacts::Contacts::default(),
            enrolment: enrolment::Enrolment::new(now, keys, &mut rng),
            messages_seen: message::seen::Seen::default(),
            loopback: VecDeque::new(),
            wishes: Map::new(),
            next_ticket: 0,
            events: VecDeque::new(),
            trace: Trace::default(),
            counters: Counters::default(),
            shortages: shortage::Shortages::default(),
            waiting: work::Waiting::new(now),
            persist: persist::Persist::new(now),
            restoring: persist::Restoring::default(),
            started: now,
            maintenance_at: now,
            stopping: None,
            reloaded: network::Reloaded::default(),
            config: config.clone(),
            rng,
        }
    }

    /// Our place in the overlay.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Sends what no transaction stands for.
    fn send(&mut self, flow: Flow, bytes: &[u8]) {
        if !self.transactions.send_stateless(flow, bytes) {
            self.counters.transmissions_dropped += 1;
        }
    }
}
