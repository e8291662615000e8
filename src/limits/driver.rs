//! Capacities and time-outs of what touches the system.

use core::time::Duration;

/// Receive and send buffer of a SIP or overlay socket: a burst of registrations after a power
/// cut.
pub const SIGNALLING_SOCKET_BUFFER_BYTES: usize = 512 * 1024;

/// An interception that has failed is tried again after this, or with other settings or networks.
pub const INTERCEPTION_RETRY: Duration = Duration::from_secs(60);

/// Servers that one port of a phone may speak to at a time where datagrams are redirected: each has
/// a socket of its own for them.
pub const REDIRECTED_SERVERS_MAX: usize = 4;

/// How often ports for them are looked for that follow each other.
pub const REDIRECT_TRIES_MAX: usize = 16;

/// How often connection tracking is searched for what passes beside the interception.
pub const INTERCEPTION_SURVEY: Duration = Duration::from_secs(60);

/// Pieces of connection tracking that are read at a time, some 4 kB each, and how long after each
/// other.
pub const FLOW_PIECES_A_TURN: usize = 4;
/// See [`FLOW_PIECES_A_TURN`].
pub const FLOW_PIECES_REST: Duration = Duration::from_millis(2);

/// Hosts told of that talk to SIP servers over TLS.
pub const OVER_TLS_MAX: usize = 32;

/// Returned datagrams read at a time.
pub const SEND_ERRORS_A_TURN_MAX: usize = 64;

/// Steps of tasks in one turn of the run loop.
pub const TASK_STEPS_A_TURN_MAX: usize = 64;

/// Bytes that wait on one TCP connection; more closes it.
pub const STREAM_QUEUE_BYTES_MAX: usize = 64 * 1024;

/// Descriptors that a relayed call takes: speech and its control, on both sides, of two media
/// lines.
pub const CALL_DESCRIPTORS: u64 = 8;

/// Descriptors beside those of calls and TCP connections: sockets, listeners, calls of emergencies,
/// files.
pub const OTHER_DESCRIPTORS: u64 = 256;

/// TCP connections at a time for any settings. How many a core takes is its own affair.
pub const STREAMS_MAX: usize = streams_max(4096);

/// TCP connections at a time: each phone may have one to us and one to its server, and there are
/// visitors.
pub const fn streams_max(max_phones: usize) -> usize {
    2 * max_phones + STREAMS_VISITORS_MAX
}

/// TCP connections of the LAN beside one for each of `max_phones`: phones that come back before
/// their old connection is given up, and those who are nobody's phone.
pub const STREAMS_VISITORS_MAX: usize = 64;

/// TCP connections from one host at a time, and not more than half of what is accepted.
pub const STREAMS_A_HOST_MAX: usize = 256;

/// How long an accepted connection on which nobody has registered or calls may stay quiet.
pub const STREAM_STRANGER_IDLE: Duration = Duration::from_secs(60);

/// How long a TCP connection may take to come up.
pub const STREAM_CONNECT: Duration = Duration::from_secs(4);

/// How long an accepted connection may stay without a byte.
pub const STREAM_FIRST_BYTE: Duration = Duration::from_secs(30);

/// How long a connection may stay without a byte from its far end: the usual longest
/// registration, and a bit.
pub const STREAM_IDLE: Duration = Duration::from_secs(3700);

/// How long a connection that is being closed may take to send what is queued.
pub const STREAM_LINGER: Duration = Duration::from_secs(5);

/// Bytes of a request for metrics.
pub const SCRAPE_BYTES_MAX: usize = 4096;

/// Sessions on the control socket at a time.
pub const CONTROL_SESSIONS_MAX: usize = 16;

/// The longest command on the control socket or the line source.
pub const CONTROL_COMMAND_BYTES_MAX: usize = 4096;

/// Words of one command.
pub const CONTROL_WORDS_MAX: usize = 16;

/// How long a command may take to be sent and answered.
pub const CONTROL_SESSION: Duration = Duration::from_secs(60);

/// DNS questions in flight.
pub const DNS_QUESTIONS_MAX: usize = 32;

/// How long one name server has to answer once.
pub const DNS_TRY: Duration = Duration::from_secs(1);

/// How often each name server is asked.
pub const DNS_TRIES: usize = 2;

/// How long the addresses of the one family wait for those of the other.
pub const DNS_OTHER_FAMILY: Duration = Duration::from_millis(300);

/// Bytes of an answer over TCP; a longer one is not read.
pub const DNS_TCP_BYTES_MAX: usize = 16 * 1024;

/// Name servers used, as in the C library.
pub const DNS_SERVERS_MAX: usize = 3;

/// Records kept of one answer.
pub const DNS_RECORDS_MAX: usize = 32;

/// The longest time that DNS records are kept, in seconds.
pub const DNS_TTL_S_MAX: u32 = 86_400;

/// The largest state file that is read.
pub const STATE_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a clean stop may take.
pub const STOP_LIMIT: Duration = Duration::from_secs(4);

/// How often addresses are looked at where the system does not tell changes.
pub const NETWORK_RESCAN: Duration = Duration::from_secs(2);

/// How long addresses are left alone after they were looked at, whatever the system tells.
pub const NETWORK_REST: Duration = Duration::from_secs(1);

/// How often the wall clock is compared with the monotonic one, at most.
pub const CLOCK_CHECK: Duration = Duration::from_secs(5);

/// The longest wait of the run loop: a clock that was set is noticed after this long.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
