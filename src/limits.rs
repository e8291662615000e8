//! Every capacity and time-out that is not an option, with its unit in its name.

/// The largest transmission of a core: a SIP message on a stream.
pub const TRANSMIT_BYTES_MAX: usize = 16 * 1024;

// --- SIP -----------------------------------------------------------------------------------

/// The largest SIP message taken or sent, on any transport. The largest of RFC 4475 has 3.5 kB.
pub const SIP_MESSAGE_BYTES_MAX: usize = 16 * 1024;

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

// --- Overlay, channel, identity ------------------------------------------------------------

/// The largest datagram of overlay and channel: below every MTU that a DSL line has.
pub const OVERLAY_DATAGRAM_BYTES_MAX: usize = 1200;

/// Secrets in a network's secret file: the old one, the new one, and room for mistakes.
pub const NETWORK_SECRETS_MAX: usize = 4;

/// Chained keyed hashes that blind an AOR: a constant of wire version 1.
pub const AOR_STRETCH_ROUNDS: u32 = 2000;

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

// --- Driver --------------------------------------------------------------------------------

const _: () = assert!(SIP_MESSAGE_BYTES_MAX <= TRANSMIT_BYTES_MAX);
const _: () = assert!(OVERLAY_DATAGRAM_BYTES_MAX <= TRANSMIT_BYTES_MAX);
