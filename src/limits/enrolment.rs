//! Capacities and time-outs of adapters that ask for certificates.

use core::time::Duration;

/// An adapter looks so often whether certificates are missing, at moments of its own: what has
/// many of them ask, as the end of an outage, has them ask spread over this time.
pub const ENROL_LOOK_INTERVAL: Duration = Duration::from_secs(300);

/// A phone is new, or the overlay was joined: an adapter looks between half of this and all of it
/// later. What a phone publishes is blinded by then.
pub const ENROL_LOOK_SOON: Duration = Duration::from_secs(20);

/// A certificate is renewed in the last such part of the first half of its life, at a moment of
/// each adapter's own: of 14 days in the seventh day.
pub const ENROL_SPREAD_PART: u64 = 14;

/// A question that is not answered is repeated after this, then after twice that …
pub const ENROL_REPEAT: Duration = Duration::from_secs(5);

/// A CoSIP server that has answered none of so many is left for another one: after 155 s.
pub const ENROL_TRIES_MAX: u32 = 5;

/// The shortest that a CoSIP server may make an adapter wait.
pub const ENROL_WAIT_MIN: Duration = Duration::from_secs(5);

/// The longest; as long as what was refused, or is of no use, is left alone at most.
pub const ENROL_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What was refused, or is of no use, is left alone for so long at least.
pub const ENROL_REFUSED_MIN: Duration = Duration::from_secs(600);

/// Where no CoSIP server answers, none is looked for during about this, then twice that …
pub const ENROL_PAUSE: Duration = ENROL_LOOK_INTERVAL;

/// How often that doubles: to 80 min.
pub const ENROL_DOUBLINGS_MAX: u32 = 4;

/// CoSIP servers that one look-up may find.
pub const ENROL_SERVERS_MAX: usize = 8;

/// Challenges that are remembered, so that none is answered twice.
pub const ENROL_NONCES_MAX: usize = 32;

/// Addresses of phones here for which others have asked, as shown; the oldest makes room.
pub const ENROL_FOREIGN_MAX: usize = 8;

/// That somebody else asks for an address is logged once in this time.
pub const ENROL_FOREIGN_LOG: Duration = Duration::from_secs(24 * 3600);

/// CoSIP servers are told of somebody else's challenge for an address once in this time.
pub const ENROL_REPORT_PAUSE: Duration = Duration::from_secs(30);
