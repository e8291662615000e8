//! Capacities and time-outs that are no options, with their units in their names. The numbers of
//! the overlay's own protocol stand beside the code that they belong to.

mod driver;
mod enrolment;
mod overlay;
mod portmap;
mod register;
mod server;
mod transfer;
mod watch;

pub use driver::*;
pub use enrolment::*;
pub use overlay::*;
pub use portmap::*;
pub use register::*;
pub use server::*;
pub use transfer::*;
pub use watch::*;

use core::time::Duration;

/// The largest transmission of a core: a SIP message on a stream.
pub const TRANSMIT_BYTES_MAX: usize = 16 * 1024;

// --- SIP -----------------------------------------------------------------------------------

/// The largest SIP message taken or sent, on any transport. The largest of RFC 4475 has 3.5 kB.
pub const SIP_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// A longer request goes over TCP, where a connection stands (RFC 3261 s18.1.1).
pub const SIP_DATAGRAM_BYTES: usize = 1300;

/// The most header lines of one SIP message. The longest of RFC 4475 has 45.
pub const SIP_HEADERS_MAX: usize = 128;

/// The most parameters, and the most headers, of one URI: comparing two of them takes the
/// square of that.
pub const SIP_URI_PARTS_MAX: usize = 32;

/// T1 of RFC 3261 s17.1.1.1, the estimate of a round trip, in milliseconds.
pub const SIP_T1_MS: u64 = 500;

/// T2 of RFC 3261 s17.1.2.2, the longest interval of retransmission, in milliseconds.
pub const SIP_T2_MS: u64 = 4_000;

/// T4 of RFC 3261 s17.1.2.2, the longest life of a message in the network, in milliseconds.
pub const SIP_T4_MS: u64 = 5_000;

/// Messages that the transaction layer queues between two drainings.
pub const SIP_OUTBOX_MESSAGES_MAX: usize = 256;

/// Bytes that the transaction layer queues between two drainings.
pub const SIP_OUTBOX_BYTES_MAX: usize = 16 * SIP_MESSAGE_BYTES_MAX;

/// Type of service of SIP: CS5, the signalling class of RFC 4594 s4.2.
pub const SIP_TOS: u8 = 0xa0;

/// Addresses that the location of one server yields.
pub const LOCATE_TARGETS_MAX: usize = 8;

/// Locations of servers that run at the same time.
pub const LOCATE_SEARCHES_MAX: usize = 64;

/// DNS answers kept for the location of servers.
pub const LOCATE_ANSWERS_MAX: usize = 128;

/// Records kept of one DNS answer.
pub const LOCATE_RECORDS_MAX: usize = 16;

/// The shortest and the longest time that a DNS answer is kept, whatever its TTL, in seconds.
pub const LOCATE_TTL_S: (u32, u32) = (5, 3_600);

/// How long the absence of a name, or the silence of DNS, is believed, in seconds.
pub const LOCATE_RETRY_S: u32 = 30;

// --- Adapter -------------------------------------------------------------------------------

/// The longest address of record in its one spelling; longer ones are not served.
pub const AOR_BYTES_MAX: usize = 128;

/// INVITEs sent for one call: server, other adapters, phones.
pub const CALL_LEGS_MAX: usize = LEGS_MAX;

/// INVITEs received for one call: from the server and from other adapters.
pub const CALL_UPSTREAMS_MAX: usize = LEGS_MAX;

/// Call-IDs of one call beyond the first: of upstreams that came by a B2BUA, and those of ours.
pub const CALL_OTHER_IDS_MAX: usize = CALL_UPSTREAMS_MAX + 1;

/// The capacity of an index that finds `calls` calls by all of their Call-IDs, two for each entry.
pub const fn call_index_max(calls: usize) -> usize {
    calls * (1 + CALL_OTHER_IDS_MAX).div_ceil(2)
}

/// Addresses that one INVITE names as its caller: From, and what the provider asserts.
pub const CLAIMS_MAX: usize = 4;

/// How long before a notice, and after it, a leg by the server may come to belong to its call
/// (CALLS §3.8).
pub const NOTICE_WINDOW: Duration = Duration::from_secs(10);

/// How long a notice may be on its way: its session is opened first ([`CHANNEL_GIVE_UP`]).
pub const NOTICE_DELAY: Duration = Duration::from_secs(3);

/// For how long after its end a call's leg by the server may come: the caller's INVITE may be taken
/// up for 64·T1 (CALLS §3.7), and the server repeats its own as long again (RFC 3261 s17.1.1.2).
pub const LATE_LEG_LIMIT: Duration = Duration::from_secs(64);

/// A registration that a live server seems to have lost is asked for again after up to this.
pub const LOST_PLACE_SPREAD: Duration = Duration::from_secs(2);

/// One that is younger has not been lost.
pub const LOST_PLACE_AGE: Duration = Duration::from_secs(60);

/// Calls that are remembered after their end, for legs that come late.
pub const ENDED_CALLS_MAX: usize = 256;

/// For how long they are remembered: longer than a server hangs with INVITEs in its socket.
pub const ENDED_CALLS_LIFE: Duration = Duration::from_secs(600);

/// Silence of the server after which a text goes over the overlay too (CALLS §3.9).
pub const MESSAGE_PATIENCE: Duration = Duration::from_secs(4);

/// For how long a text that came by one path makes the same text by the other path a copy
/// (CALLS §3.9).
pub const MESSAGE_COPY_LIFE: Duration = Duration::from_secs(60);

/// Texts that are remembered for that; of more the oldest is forgotten.
pub const MESSAGES_SEEN_MAX: usize = 256;

/// Dialogs of one call: forks of the server included.
pub const CALL_DIALOGS_MAX: usize = 8;

/// Calls to emergency numbers beyond `max_calls`.
pub const CALLS_EMERGENCY: usize = 4;

/// Live SIP transactions of emergency calls on each side, beyond all others: of one call as many
/// as [`transactions_live_max`] has for one.
pub const TRANSACTIONS_EMERGENCY: usize = 8 * CALLS_EMERGENCY;

/// Requests inside dialogs of emergency calls, beyond all others that are being passed on.
pub const EXCHANGES_EMERGENCY: usize = 2 * CALLS_EMERGENCY;

/// Port pairs of each address that only emergency calls take, where the range is wide enough: no
/// more than a fourth of it.
pub const MEDIA_PAIRS_EMERGENCY: usize = CALLS_EMERGENCY * LEGS_MAX;

/// Emergency routes: legs of one call beside the server's.
pub const EMERGENCY_ROUTES_MAX: usize = CALL_LEGS_MAX - 1;

/// How long the last way of an emergency call may say 100 alone: the time that a gateway takes
/// to reach an exchange.
pub const EMERGENCY_TRYING: Duration = Duration::from_secs(10);

/// After a challenge: how long the phone's next INVITE is waited for (CALLS §3.5); also how long
/// a held leg waits for its CANCEL (§3.8).
pub const CALL_RETRY_WAIT: Duration = Duration::from_secs(4);

/// INVITEs that another adapter may have in one call here: its leg, and one that is tried again.
pub const PEER_LEGS_MAX: usize = 2;

/// The 180 to a held leg is repeated this often (CALLS §3.8; RFC 3261 s13.3.1.1).
pub const HELD_RINGING_REPEAT: Duration = Duration::from_secs(60);

/// Silence after a provisional response that ends a leg (RFC 3261 s16.6: more than 3 minutes).
pub const SIP_TIMER_C: Duration = Duration::from_secs(185);

/// A phone that answers an INVITE with nothing for this long is unreachable (CALLS §2.6).
pub const PHONE_SILENCE: Duration = Duration::from_secs(2);

/// A server's 2xx that may be a mailbox's waits for a phone that rings for at most this: whoever
/// gave it gives up after [`ACK_LIMIT`].
pub const DOUBT_LIMIT: Duration = Duration::from_secs(30);

/// A 2xx on the server leg that is not acknowledged for this long goes to the overlay leg also
/// (CALLS §3.8).
pub const ACK_PATIENCE: Duration = Duration::from_secs(1);

/// How often, a second apart, the caller's adapter is asked which leg carries an answered call.
pub const CARRIER_ASKED_MAX: u8 = 16;

/// A CANCEL that the server does not confirm for this long crosses the channel (CALLS §3.8).
pub const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// A 2xx that is not acknowledged for this long will not be (RFC 3261 s13.3.1.4: 64·T1).
pub const ACK_LIMIT: Duration = Duration::from_secs(32);

/// A request inside a dialog that is not answered for this long is answered from here, or takes
/// the direct path (CALLS §4.1).
pub const BYE_PATIENCE: Duration = Duration::from_secs(2);

/// Silence of a far end after which its media go the direct way, where the server has failed too
/// (CALLS §4.1).
pub const MEDIA_SILENCE: Duration = Duration::from_secs(2);

/// The same at the called one's adapter: longer by more than the other one needs to ask first.
pub const MEDIA_SILENCE_CALLED: Duration = Duration::from_millis(3500);

/// How often that is looked for, and asked of the other adapter.
pub const MEDIA_MOVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often in a row the other adapter is asked; then the call is left to the rule of dead media.
pub const MEDIA_MOVES_MAX: u8 = 10;

/// The largest description with which media are moved.
pub const MEDIA_MOVE_BYTES_MAX: usize = 4 * 1024;

/// How long a phone may take to answer a request of the adapter's own: as long as one without a
/// provisional response, 64*T1.
pub const INQUIRY_LIMIT: Duration = Duration::from_secs(32);

/// The shortest interval between two refreshes of a session, in seconds (RFC 4028 s4).
pub const SESSION_INTERVAL_MIN_S: u32 = 90;

/// The longest that a phone may demand.
pub const SESSION_INTERVAL_MAX_S: u32 = 24 * 3_600;

/// How often a phone that refuses a refresh of its session is asked again.
pub const SESSION_TRIES_MAX: u8 = 3;

/// Addresses of one phone: its AOR and the aliases.
pub const ALIASES_MAX: usize = 8;

/// Addresses served on each side: of the LAN, and of the WAN.
pub const ADDRESSES_A_SIDE_MAX: usize = 4;

/// SIP over TLS (RFC 3261 s19.1.2): it passes untouched.
pub const SIPS_PORT: u16 = 5061;

/// Ports of SIP servers that phones are intercepted at.
pub const INTERCEPT_PORTS_MAX: usize = 8;

/// INVITEs of one call to targets of the server: the phone's own, and the next where that fails.
pub const CALL_SERVER_LEGS_MAX: usize = 2;

/// Addresses to join the overlay through.
pub const BOOTSTRAP_ADDRESSES_MAX: usize = 16;

/// Route headers of a request of our own.
pub const ROUTES_MAX: usize = 16;

/// Messages of calls within this router that wait for their turn.
pub const LOOPBACK_MAX: usize = 64;

/// Notices whose calls may still come.
pub const NOTICES_MAX: usize = 64;

/// Of these, how many of one adapter, which loses its own oldest first. Where several fill the
/// table, the oldest of all gives way, whoever's it is.
pub const NOTICES_A_PEER_MAX: usize = 16;

/// A notice that is not answered is sent again after this, and each time this much later.
pub const NOTICE_REPEAT: Duration = Duration::from_millis(300);

/// How often a notice is sent at most.
pub const NOTICES_SENT_MAX: u8 = 4;

/// Addresses of callers kept blinded that certificates list; the oldest makes room.
pub const CALLERS_KNOWN_MAX: usize = 64;

/// Notices and requests that wait for their callers to be known, and how many of them of one
/// adapter; what comes beyond them is lost, and comes again.
pub const CALLERS_WAITING_MAX: usize = 16;
/// See [`CALLERS_WAITING_MAX`].
pub const CALLERS_A_PEER_MAX: usize = 4;
/// How long they wait: by then whoever sent them has sent them again.
pub const CALLER_PATIENCE: Duration = Duration::from_secs(2);

/// In how long what a caller is allowed comes back.
pub const ALLOWANCE_PERIOD: Duration = Duration::from_secs(3_600);
/// Callers and adapters whose calls and texts are counted; who has used least makes room.
pub const ALLOWANCES_MAX: usize = 256;
/// Callers that are shown as refused.
pub const TURNED_AWAY_MAX: usize = 16;

/// How long a notice belongs to its call.
pub const NOTICE_LIFE: Duration = Duration::from_secs(60);

/// Regular care of sockets and lists.
pub const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5);

/// How long a clean stop waits for withdrawals to be acknowledged.
pub const STOP_PATIENCE: Duration = Duration::from_millis(400);

/// Between two log lines about the same limit.
pub const SHORTAGE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The file of peers is written this often.
pub const PEERS_FILE_INTERVAL: Duration = Duration::from_secs(86_400);

/// Nonces whose use is remembered, and for how long one is good.
pub const DIGEST_NONCES_MAX: usize = 256;

/// See [`DIGEST_NONCES_MAX`].
pub const DIGEST_NONCE_LIFE: Duration = Duration::from_secs(300);

/// Ladders that are kept.
pub const TRACE_CALLS_MAX: usize = 32;

/// Entries of one ladder.
pub const TRACE_ENTRIES_MAX: usize = 48;

/// Live SIP transactions on each side: a call has up to four at once while it is set up, and
/// every phone may register and subscribe meanwhile.
pub const fn transactions_live_max(calls: usize, phones: usize) -> usize {
    8 * calls + 4 * phones + 64
}

/// Finished SIP transactions that are remembered.
pub const fn finished_max(calls: usize) -> usize {
    if 64 * calls < 16_384 { 64 * calls } else { 16_384 }
}

// --- Media ---------------------------------------------------------------------------------

/// The largest RTP or RTCP packet relayed: an Ethernet frame's payload.
pub const MEDIA_PACKET_BYTES_MAX: usize = 1600;

/// Legs of one call that have media: the server's, the overlay's, and one more of each at a move.
pub const LEGS_MAX: usize = 4;

/// Media lines of a description that are relayed; audio, video, slides and one to spare.
pub const MEDIA_LINES_MAX: usize = 4;

// --- Configuration -------------------------------------------------------------------------

/// The largest settings file taken: 4,096 accounts of 1 kB each.
pub const CONFIG_BYTES_MAX: usize = 4 << 20;

/// The longest word of a settings file.
pub const CONFIG_WORD_BYTES_MAX: usize = 1024;

/// Sections of a settings file: 4,096 accounts, and room for the rest.
pub const CONFIG_SECTIONS_MAX: usize = 4096 + 256;

/// Values in one section of a settings file, the members of lists counted one by one.
pub const CONFIG_VALUES_MAX: usize = 256;

/// Providers that one adapter serves.
pub const PROVIDERS_MAX: usize = 16;

const _: () = assert!(SIP_MESSAGE_BYTES_MAX <= TRANSMIT_BYTES_MAX);
const _: () = assert!(PORTMAP_STOP.as_millis() < STOP_LIMIT.as_millis());
const _: () = assert!(OVERLAY_DATAGRAM_BYTES_MAX <= TRANSMIT_BYTES_MAX);
