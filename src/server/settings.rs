//! The settings of a CoSIP server: those of the routers, and of its own what no router has.
//!
//! Providers, network and bootstrap peers are in `provider.config`. Where this server listens, and
//! the SIP account from which it sends its challenges, the operator writes into `server.config`, in
//! the same form. What both could say, `server.config` decides where it says it.

use super::error::{FolderFault, ServerError};
use super::folder::{Folder, OWN_SETTINGS};
use crate::config::{self, AdapterConfig, Anchor, Config, Mode, OverlayConfig};
use crate::driver::read_settings;
use crate::identity::PublicKey;
use std::io;

/// What `init` writes.
pub(super) const TEMPLATE: &str = "\
# Where this CoSIP server listens: an address of this machine, UDP port 5070 for routers.
# Name it, with the port, in provider.config as one of the routers' bootstrap peers.
config adapter 'adapter'
#	list wan '198.51.100.7'

# The SIP account from which it sends its challenges (OPTIONS) to phones. Nobody calls it.
#config account 'challenges'
#	option aor 'sip:cosip@example.net'
#	option user 'cosip'
#	option password ''
";

/// SIP transactions of a desk: each challenge may be open for 32 s (RFC 3261 s17.1.2.2), and those
/// of calls and phones are reckoned by these.
const PHONES: u16 = 512;
const CALLS: u16 = 1;
/// A CoSIP server knows many members and keeps much for them, where nothing else is said.
const TABLE_KB: u32 = 4096;
const STORE_ENTRIES: u32 = 8192;

/// Reads `server.config` and adds the routers' settings.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(
    folder: &Folder,
    routers: &Config,
    anchor: PublicKey,
) -> Result<Config, ServerError> {
    let path = folder.file(OWN_SETTINGS);
    let text = match read_settings(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(folder.fault(OWN_SETTINGS, FolderFault::NoServer));
        }
        text => text?,
    };
    let (own, warnings) = config::parse(&text, &path.display().to_string())?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    if own.adapter.wan == AdapterConfig::default().wan {
        return Err(folder.fault(OWN_SETTINGS, FolderFault::NoAddress));
    }
    if own.accounts.is_empty() {
        return Err(folder.fault(OWN_SETTINGS, FolderFault::NoAccount));
    }
    Ok(combined(routers, own, anchor))
}

/// The settings of the server's adapter.
pub(super) fn combined(routers: &Config, own: Config, anchor: PublicKey) -> Config {
    let usual = OverlayConfig::default();
    let or = |own: u32, usual: u32, server: u32| if own == usual { server } else { own };
    let bootstrap = if own.overlay.bootstrap.is_empty() { routers } else { &own };
    let mut config = Config {
        adapter: AdapterConfig {
            enabled: true,
            mode: Mode::Cooperative,
            lan: Vec::new(),
            port_mapping: false,
            intercept: false,
            max_phones: PHONES,
            max_calls: CALLS,
            ..own.adapter.clone()
        },
        overlay: OverlayConfig {
            name: routers.network_name().to_owned(),
            bootstrap: bootstrap.overlay.bootstrap.clone(),
            table_kb: or(own.overlay.table_kb, usual.table_kb, TABLE_KB),
            store_entries: or(own.overlay.store_entries, usual.store_entries, STORE_ENTRIES),
            port: own.overlay.port,
            ..usual
        },
        ..own
    };
    config.identity.trust_anchor = vec![Anchor(anchor)];
    config.identity.accept = config::Accept::Nobody;
    if config.providers.is_empty() {
        config.providers.clone_from(&routers.providers);
    }
    config
}
