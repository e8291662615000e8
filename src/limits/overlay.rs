//! Limits of overlay, channel and identity.

use super::SIP_MESSAGE_BYTES_MAX;
use core::time::Duration;

/// The largest datagram of the overlay: below every MTU that a DSL line has.
pub const OVERLAY_DATAGRAM_BYTES_MAX: usize = 1200;

/// The largest datagram of the channel: so that a relayed one is no larger than others.
pub const CHANNEL_DATAGRAM_BYTES_MAX: usize = 1128;

/// Nodes whose wish to be listed is being looked into, or was refused within a minute; the oldest
/// refusal makes room, else the wish waits.
pub const DIALS_MAX: usize = 64;

/// Dial-backs that a member does at the same time for others; beyond, it has no opinion.
pub const ERRANDS_MAX: usize = 32;

/// Unreachable nodes whose flows a member keeps; beyond, it refuses and they ask another.
pub const CLIENTS_MAX: usize = 64;

/// Pairs of a caller and an unreachable node that a member introduced to each other lately, so
/// many of one caller's address; beyond, it refuses.
pub const INTRODUCTIONS_MAX: usize = 32;
/// See [`INTRODUCTIONS_MAX`].
pub const INTRODUCTIONS_PER_ADDRESS_MAX: usize = 8;

/// Bytes that a member relays for one pair in the long run, and at once: signalling, no sound.
pub const RELAY_BYTES_PER_S: u32 = 8 * 1024;
/// See [`RELAY_BYTES_PER_S`].
pub const RELAY_BURST_BYTES: u32 = 64 * 1024;

/// Ways through rendezvous peers that a node remembers; the one not used for longest makes room.
pub const DETOURS_MAX: usize = 64;

/// Addresses towards which holes are being punched; beyond, the relay has to do.
pub const PUNCHES_MAX: usize = 16;

/// Datagrams that an overlay node has waiting between one input and the draining after it.
pub const OVERLAY_OUTBOX_MAX: usize = 256;

/// Bytes of those datagrams: ten look-ups that widen at the same moment.
pub const OVERLAY_OUTBOX_BYTES_MAX: usize = 128 * 1024;

/// Events that an overlay node has waiting.
pub const OVERLAY_EVENTS_MAX: usize = 256;

/// Secrets in a network's secret file: the old one, the new one, and room for mistakes.
pub const NETWORK_SECRETS_MAX: usize = 4;

/// Chained keyed hashes that blind an AOR: a constant of wire version 1.
pub const AOR_STRETCH_ROUNDS: u32 = 2000;

/// Sessions kept with other adapters; the least recently used makes room.
pub const CHANNEL_SESSIONS_MAX: usize = 64;

/// Handshakes under way that we opened, and as many again that others opened.
pub const CHANNEL_HANDSHAKES_MAX: usize = 8;

/// Handshakes under way that others opened from one IP address.
pub const CHANNEL_HANDSHAKES_PER_ADDRESS_MAX: usize = 4;

/// Handshakes that wait for a public-key operation.
pub const CHANNEL_WORK_MAX: usize = 8;

/// Places in that queue that handshakes opened by others leave for our own.
pub const CHANNEL_WORK_RESERVED: usize = 2;

/// Addresses tried for one peer: IPv6, IPv4, mapped, rendezvous.
pub const CHANNEL_ADDRESSES_MAX: usize = 4;

/// First interval between repeats of a handshake message; doubled up to the next constant.
pub const CHANNEL_REPEAT_INTERVAL: Duration = Duration::from_millis(200);

/// Largest interval between repeats of a handshake message.
pub const CHANNEL_REPEAT_INTERVAL_MAX: Duration = Duration::from_millis(400);

/// A handshake without progress for so long has failed.
pub const CHANNEL_GIVE_UP: Duration = Duration::from_secs(2);

/// Answered Hellos remembered, so that none is answered again while its cookie is good.
pub const CHANNEL_ANSWERED_MAX: usize = 64;

/// A cookie is good for one to two of these.
pub const CHANNEL_COOKIE_PERIOD: Duration = Duration::from_secs(30);

/// A peer not heard for so long is asked whether it still holds the session, as it is sent to.
pub const CHANNEL_FRESH: Duration = Duration::from_secs(30);

/// A sender that was silent for so long steps its ratchet.
pub const CHANNEL_RATCHET_IDLE: Duration = Duration::from_secs(60);

/// Steps of the ratchet that a receiver makes up for at once.
pub const CHANNEL_EPOCHS_AHEAD_MAX: u32 = 16;

/// A session whose place another took still receives for so long.
pub const CHANNEL_SUPERSEDED_LINGER: Duration = Duration::from_secs(10);

/// Payloads that wait for one session, and their bytes.
pub const CHANNEL_BACKLOG_MAX: usize = 8;
/// See [`CHANNEL_BACKLOG_MAX`].
pub const CHANNEL_BACKLOG_BYTES_MAX: usize = 2 * SIP_MESSAGE_BYTES_MAX;

/// Fragmented payloads being put together, of all peers and of one.
pub const CHANNEL_REASSEMBLIES_MAX: usize = 8;
/// See [`CHANNEL_REASSEMBLIES_MAX`].
pub const CHANNEL_REASSEMBLIES_PER_PEER_MAX: usize = 2;

/// A fragmented payload still incomplete after so long is given up.
pub const CHANNEL_REASSEMBLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Datagrams and their bytes that wait for the channel's owner to send them.
pub const CHANNEL_OUTBOX_MAX: usize = 128;
/// See [`CHANNEL_OUTBOX_MAX`].
pub const CHANNEL_OUTBOX_BYTES_MAX: usize = CHANNEL_OUTBOX_MAX * OVERLAY_DATAGRAM_BYTES_MAX;

/// Received payloads and their bytes that wait for the channel's owner to take them.
pub const CHANNEL_EVENTS_MAX: usize = 64;
/// See [`CHANNEL_EVENTS_MAX`].
pub const CHANNEL_EVENTS_BYTES_MAX: usize = 4 * SIP_MESSAGE_BYTES_MAX;

/// AORs of a caller that a notice names: as many as are compared.
pub const CALLER_ALIASES_MAX: usize = super::CLAIMS_MAX;
