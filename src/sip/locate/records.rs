//! Records and names: what is worth resolving, and in which order (RFC 2782).

use crate::limits;
use crate::net::Record;
use crate::order::order;
use crate::rng::Rng;
use crate::sip::host_ip;
use crate::sip::lex::is_host;
use core::cmp::Reverse;

/// The longest name that DNS can carry (RFC 1035 s2.3.4), in text.
const NAME_BYTES_MAX: usize = 253;

/// The SRV records that are worth resolving, by priority. A target of "." says that the service is
/// decidedly not offered.
pub(super) fn first_services(records: Vec<Record>) -> Vec<(u16, u16, u16, String)> {
    let mut services: Vec<_> = records
        .into_iter()
        .filter_map(|record| match record {
            Record::Service { priority, weight, port, target } => {
                let name = target.trim_end_matches('.').to_ascii_lowercase();
                (port != 0 && can_be_found(&name)).then_some((priority, weight, port, name))
            }
            Record::Address(_) => None,
        })
        .collect();
    order(&mut services, |it| (it.0, Reverse(it.1), it.3.clone(), it.2));
    services.truncate(limits::LOCATE_TARGETS_MAX);
    services
}

/// Chooses by weight, as RFC 2782 says: weight 0 has a small chance of its own.
pub(super) fn pick(rng: &mut Rng, weights: impl Iterator<Item = u16> + Clone) -> usize {
    let share = |weight: u16| if weight == 0 { 1 } else { 100 * u32::from(weight) };
    let total = weights.clone().map(share).sum();
    let mut chosen = rng.below(total);
    for (at, weight) in weights.enumerate() {
        match chosen.checked_sub(share(weight)) {
            Some(rest) => chosen = rest,
            None => return at,
        }
    }
    0
}

/// Whether a host is an address, or a name that DNS can be asked for.
pub(super) fn can_be_found(host: &str) -> bool {
    let has_empty_label = host.trim_end_matches('.').split('.').any(str::is_empty);
    let is_name = is_host(host) && host.len() <= NAME_BYTES_MAX && !has_empty_label;
    is_name || host_ip(host).is_some()
}
