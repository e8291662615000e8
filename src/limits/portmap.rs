//! Limits of port mapping at the router in front.

use core::time::Duration;

/// Ports that are mapped at a time: SIP, overlay, and two for each line of a call's media.
pub const PORTMAP_MAPPINGS_MAX: usize = 64;

/// The lifetime that is asked for, in seconds: what RFC 6886 s3.3 recommends.
pub const PORTMAP_LIFETIME_S: u32 = 7_200;

/// The longest lifetime that is believed, in seconds (RFC 6887 s15 asks for such a bound).
pub const PORTMAP_LIFETIME_S_MAX: u32 = 86_400;

/// The shortest time between two renewals (RFC 6887 s11.2.1).
pub const PORTMAP_RENEW_MIN: Duration = Duration::from_secs(4);

/// How often a router that speaks PCP or NAT-PMP is asked whether it was restarted or has another
/// address. Its own announcements come by multicast, which firewalls drop.
pub const PORTMAP_CHECK: Duration = Duration::from_secs(60);

/// As [`PORTMAP_CHECK`], by UPnP: a connection each time.
pub const PORTMAP_CHECK_UPNP: Duration = Duration::from_secs(300);

/// After this a router that opened nothing is asked again; at first after [`PORTMAP_RETRY`], then
/// twice that, and so on: after a power cut it may come up later than we do.
pub const PORTMAP_AGAIN: Duration = Duration::from_secs(300);

/// After this a mapping that was refused, or a router that fell silent, is asked again.
pub const PORTMAP_RETRY: Duration = Duration::from_secs(30);

/// At a clean stop all withdrawals are sent at once, and those not answered once again after this.
pub const PORTMAP_WITHDRAWAL: Duration = Duration::from_secs(1);

/// How long a clean stop waits for mappings to be withdrawn: some routers take a quarter of a
/// second for each.
pub const PORTMAP_STOP: Duration = Duration::from_secs(3);

/// Port pairs for media that are opened before a call needs them, of those that are bound in
/// advance: two calls with two legs each.
pub const PORTMAP_MEDIA_AHEAD: usize = 4;

/// Other external ports that are tried by UPnP where the wanted one is taken.
pub const PORTMAP_CONFLICTS_MAX: u8 = 4;

/// The largest datagram taken from the router in front; PCP allows 1,100 bytes, and an answer to
/// an SSDP search has no limit of its own.
pub const PORTMAP_DATAGRAM_BYTES_MAX: usize = 1_500;

/// The largest HTTP answer taken, heading and body: device descriptions have up to 20 kB.
pub const PORTMAP_HTTP_BYTES_MAX: usize = 32 * 1024;

/// How long one HTTP exchange may take, connecting included.
pub const PORTMAP_HTTP: Duration = Duration::from_secs(5);

/// The longest URL of a device or of its control that is used.
pub const PORTMAP_URL_BYTES_MAX: usize = 256;

/// WAN connections of one device description that are tried.
pub const PORTMAP_SERVICES_MAX: usize = 4;

/// Elements of a device description inside one another.
pub const PORTMAP_XML_DEPTH_MAX: usize = 32;
