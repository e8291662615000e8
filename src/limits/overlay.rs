//! Limits of overlay, channel and identity.

use super::SIP_MESSAGE_BYTES_MAX;
use core::time::Duration;

/// The largest datagram of the overlay: below every MTU that a DSL line has.
pub const OVERLAY_DATAGRAM_BYTES_MAX: usize = 1200;

/// Members that a node has proven and keeps; of more the one not heard for longest becomes a hint,
/// but for neighbours, contacts of the tree, holders of own records and rendezvous peers.
pub const OVERLAY_MEMBERS_MAX: usize = 512;

/// Bytes of hints that wait to be spread; beyond, the newest are kept, and not passed on.
pub const OVERLAY_GOSSIP_BYTES_MAX: usize = 60 * 1024;

/// Bytes that a node sends to spread hints, each second in the long run and at once, headers
/// counted; the rest waits.
pub const OVERLAY_GOSSIP_BYTES_PER_S: usize = 150;
/// See [`OVERLAY_GOSSIP_BYTES_PER_S`].
pub const OVERLAY_GOSSIP_BURST_BYTES: usize = 45_000;

/// The largest datagram of the channel: so that a relayed one is no larger than others.
pub const CHANNEL_DATAGRAM_BYTES_MAX: usize = 1128;

/// Nodes whose wish to be listed is being looked into, or was refused a moment ago; the oldest
/// refusal makes room, else the wish waits.
pub const DIALS_MAX: usize = 64;

/// Dial-backs that a member does at the same time for others; beyond, it has no opinion.
pub const ERRANDS_MAX: usize = 32;

/// Unreachable nodes whose flows a member keeps; beyond, it refuses and they ask another.
pub const CLIENTS_MAX: usize = 64;

/// Pairs of a caller and an unreachable node that a member introduced to each other lately, so
/// many of one caller's address, and so many of one unreachable node; beyond, it refuses.
pub const INTRODUCTIONS_MAX: usize = 32;
/// See [`INTRODUCTIONS_MAX`].
pub const INTRODUCTIONS_PER_ADDRESS_MAX: usize = 8;
/// See [`INTRODUCTIONS_MAX`]: who is called by many leaves room for the others.
pub const INTRODUCTIONS_PER_CLIENT_MAX: usize = 16;

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

/// Requests that an overlay node has under way; beyond, nothing is asked.
pub const OVERLAY_REQUESTS_MAX: usize = 512;

/// Records of look-ups that wait for their verification; beyond, they are dropped.
pub const OVERLAY_FOUND_MAX: usize = 64;

/// Records of puts and touches that wait for it; beyond, they are dropped, and their owners try
/// again.
pub const OVERLAY_STORE_MAX: usize = 64;

/// Verified signatures remembered; the next one replaces the oldest.
pub const OVERLAY_VERIFIED_MAX: usize = 1024;

/// Silent members kept for a day.
pub const OVERLAY_SUSPECTS_MAX: usize = 256;

/// Blinded AORs kept: computing one costs thousands of hashes. The oldest makes room.
pub const AOR_KEYS_MAX: usize = 128;

/// Datagrams that a proven member may send in a row, and each second.
pub const OVERLAY_PEER_BURST: u16 = 400;
/// See [`OVERLAY_PEER_BURST`].
pub const OVERLAY_PEER_PER_S: u32 = 100;

/// The same for a client, whose flow is kept.
pub const OVERLAY_CLIENT_BURST: u32 = 200;
/// See [`OVERLAY_CLIENT_BURST`].
pub const OVERLAY_CLIENT_PER_S: u32 = 40;

/// The same for all strangers together.
pub const OVERLAY_STRANGER_BURST: u32 = 600;
/// See [`OVERLAY_STRANGER_BURST`].
pub const OVERLAY_STRANGER_PER_S: u32 = 300;

/// Datagrams of flows that nobody answers, from one IPv4 address or one IPv6 /56, that the kernel
/// lets through in a row, and each second, where the adapter has rules of its own.
pub const OVERLAY_SOURCE_BURST: u32 = 200;
/// See [`OVERLAY_SOURCE_BURST`].
pub const OVERLAY_SOURCE_PER_S: u64 = 50;

/// Sources that the kernel counts for that, of each family; what comes from others passes.
pub const OVERLAY_SOURCES_MAX: u32 = 1024;

/// The kernel forgets such a source after this many milliseconds without any.
pub const OVERLAY_SOURCE_FORGOTTEN_MS: u64 = 60_000;

/// Secrets in a network's secret file: the old one, the new one, and room for mistakes.
pub const NETWORK_SECRETS_MAX: usize = 4;

/// Once a new secret is sent, the one before is heard for so long.
pub const NETWORK_SECRET_HEARD: Duration = Duration::from_secs(14 * 86_400);

/// A new secret is sent so long at most after the certificate was issued that it came with: one
/// that were never sent would keep all others out.
pub const NETWORK_SECRET_AHEAD: Duration = Duration::from_secs(366 * 86_400);

/// Trust anchors: those of a few providers, each with the next one beside it while one is replaced.
pub const TRUST_ANCHORS_MAX: usize = 8;

/// Certificates of one adapter: each covers a few AORs.
pub const CERTIFICATES_MAX: usize = 4;

/// Chained keyed hashes that blind an AOR: a constant of wire version 1.
pub const AOR_STRETCH_ROUNDS: u32 = 2000;

/// Signatures under certificates of peers that are remembered as verified; the next one replaces
/// the oldest.
pub const CHANNEL_VOUCHED_MAX: usize = 64;

/// Sessions kept with other adapters; the least recently used makes room.
pub const CHANNEL_SESSIONS_MAX: usize = 64;

/// The same of a CoSIP server, to which thousands of adapters come, each for some seconds. More
/// would cost more to look through than to agree on anew.
pub const DESK_SESSIONS_MAX: usize = 1024;

/// What one public-key operation takes of a CoSIP server's processor: 20 to 60 µs on a machine of
/// 2024, and not more than this on others that are x86-64. A handshake with certificates is charged
/// as eight of them, and a fifth of the time is for others: 250 a second, and 2,500 at once. After
/// an outage 10,000 routers come within five minutes, most of them twice: 67 a second.
pub const DESK_WORK_PIECE: Duration = Duration::from_micros(100);

/// What adapters have asked of a CoSIP server, between two inputs.
pub const DESK_EVENTS_MAX: usize = 256;

/// Callees that are kept found, as long as others have half of the sessions; the least recently
/// called makes room.
pub const CONTACTS_MAX: usize = CHANNEL_SESSIONS_MAX / 2;

/// The adapter of such a callee is asked whether it is there after half to all of this since it was
/// heard: 160 B with their headers, 0.18 B/s.
pub const CONTACT_PAUSE: Duration = Duration::from_secs(20 * 60);

/// How often that pause doubles while nobody is there.
pub const CONTACT_DOUBLINGS_MAX: u32 = 5;

/// What is kept of a callee spares no look-up once it is older: as long as a record lives.
pub const CONTACT_AGE: Duration = Duration::from_secs(3 * 3600);

/// Handshakes under way that we opened, and as many again that others opened. As many of both wait
/// for a public-key operation, and as many that others opened to be begun.
pub const CHANNEL_HANDSHAKES_MAX: usize = 8;

/// Handshakes under way that others opened from one IP address.
pub const CHANNEL_HANDSHAKES_PER_ADDRESS_MAX: usize = 4;

/// Handshakes under way that others opened with a CoSIP server: as many for a session as a router
/// has. Each lasts a round trip and what a router computes, 60 ms: eight at a time make 50 a
/// second.
pub const DESK_HANDSHAKES_MAX: usize =
    CHANNEL_HANDSHAKES_MAX * DESK_SESSIONS_MAX / CHANNEL_SESSIONS_MAX;

/// What a public-key operation is charged as: so long it takes on the slowest router.
pub const WORK_PIECE: Duration = Duration::from_millis(10);

/// How much of the processor's time public-key work for others may take in the long run.
pub const WORK_FOR_OTHERS_PERCENT: u32 = 20;

/// How much of it at once; half of that is for handshakes alone.
pub const WORK_FOR_OTHERS_BURST: Duration = Duration::from_secs(2);

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

/// When this program was built, in seconds of Unix time: it is not earlier. Without
/// `SOURCE_DATE_EPOCH` in the environment of the compiler, when this line was written.
pub const BUILT_UNIX_S: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(seconds) => number(seconds.as_bytes()),
    None => 1_795_910_400,
};

const fn number(mut digits: &[u8]) -> u64 {
    let mut number = 0;
    while let [digit @ b'0'..=b'9', rest @ ..] = digits {
        (number, digits) = (number * 10 + (*digit - b'0') as u64, rest);
    }
    number
}
