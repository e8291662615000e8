//! Capacities and time-outs of registrations, and of the servers that take them.

use core::time::Duration;

/// A REGISTER of a known phone that is not answered for this long is answered from here
/// (CALLS §2.4).
pub const REGISTER_PATIENCE: Duration = Duration::from_secs(2);

/// Two refusals of a provider at least this far apart, and at most
/// [`PHONE_REFUSED_FORGOTTEN`], make a phone forgotten (CALLS §2.4).
pub const PHONE_REFUSED_AGAIN: Duration = Duration::from_secs(60);

/// See [`PHONE_REFUSED_AGAIN`].
pub const PHONE_REFUSED_FORGOTTEN: Duration = Duration::from_secs(3600);

/// The largest answer to a REGISTER that is kept for refreshes; phones with a larger one are
/// answered with what every 200 has.
pub const REGISTER_ANSWER_BYTES_MAX: usize = 2048;

/// The largest REGISTER of a phone that the adapter repeats by itself.
pub const REGISTER_TEMPLATE_BYTES_MAX: usize = 2048;

/// Between two registrations that the adapter makes by itself at one occasion.
pub const RENEWAL_GAP: Duration = Duration::from_millis(20);

/// A server that answers a REGISTER with a failure is asked again for this phone about this
/// much later.
pub const SERVER_FAILED_PATIENCE: Duration = Duration::from_secs(60);

/// A registration of the adapter's own that failed is tried again after this, then twice that …
pub const RENEWAL_WAIT: Duration = Duration::from_secs(1);

/// How often that doubles.
pub const RENEWAL_FAILURES_MAX: u8 = 6;

/// Challenges to one registration of the adapter's own that are answered: the first, and a nonce
/// that has become stale.
pub const RENEWAL_CHALLENGES_MAX: u8 = 2;

/// The longest that a server which asks for patience (Retry-After) is left alone.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(900);

/// Requests to one server whose silence is watched; what is sent beyond has no vote.
pub const SERVER_REQUESTS_MAX: usize = 32;

/// Changes of a server's state that the status shows.
pub const SERVER_HISTORY_MAX: usize = 16;

/// Over this time a server that came back gets the REGISTERs of its phones (CALLS §5).
pub const RECOVERY_SPREAD: Duration = Duration::from_secs(900);

/// Servers that one provider's section names: the first and its fallbacks.
pub const SERVERS_MAX: usize = 4;

/// Addresses of one provider's servers; what DNS and the section name beyond is not used.
pub const SERVER_TARGETS_MAX: usize = 8;

/// For how long a target that failed is tried after the others.
pub const TARGET_FAILED: Duration = Duration::from_secs(600);

/// Contacts of one phone in a REGISTER beside the first; more are left out of it.
pub const CONTACTS_FURTHER_MAX: usize = 3;

/// Sources of one provider beyond its targets.
pub const PROVIDER_SOURCES_MAX: usize = 8;

/// How often the server's names are resolved again.
pub const LOCATE_AGAIN: Duration = Duration::from_secs(60);

/// The file of learned phones on flash is written this often at most, but for new addresses.
pub const BINDINGS_FILE_INTERVAL: Duration = Duration::from_secs(3600);

/// Format of the file of learned phones.
pub const BINDINGS_FILE_VERSION: u8 = 5;

/// Changes of registrations within this time are written together.
pub const VOLATILE_FILE_DELAY: Duration = Duration::from_millis(200);

/// While changes go on, the volatile file is written this often: it is written whole, and after
/// a power cut every phone registers.
pub const VOLATILE_FILE_INTERVAL: Duration = Duration::from_secs(1);

/// How long after its time a phone still counts as registered: refreshes arrive late on a loaded
/// router.
pub const REGISTRATION_GRACE: Duration = Duration::from_secs(2);

/// A file that must not be written now, or not yet, is written after this.
pub const STATE_FILE_PAUSE: Duration = Duration::from_secs(60);
