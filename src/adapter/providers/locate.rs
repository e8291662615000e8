//! Where the providers' servers are: by their names, again and again.

use super::ProviderId;
use crate::adapter::ways::Way;
use crate::adapter::{Adapter, ClientOwner, Wish};
use crate::config::{Mode, Provider, Server};
use crate::limits::LOCATE_AGAIN;
use crate::net::Request;
use crate::sip::locate::{Query, Targets, Transport};
use crate::time::Instant;

impl Adapter {
    /// Passes on what the locator asks and takes what it found.
    pub(crate) fn pump_locator(&mut self, now: Instant) {
        while let Some(question) = self.locator.poll_question() {
            let request = Request::Resolve { name: question.name, kind: question.kind };
            self.wish(Wish::Locate(question.id), request);
        }
        while let Some((user, found)) = self.locator.poll_found() {
            match ClientOwner::decode(user) {
                ClientOwner::Locate(id, server) => {
                    self.provider_located(now, (id, server), found.ok());
                }
                ClientOwner::Gateway(at) => self.gateway_located(at, found.ok()),
                ClientOwner::Bootstrap(at) => {
                    let targets = found.unwrap_or_default();
                    self.bootstrap_located(now, usize::from(at), &targets);
                }
                owner => {
                    let to = found.ok().and_then(|targets| targets.first().copied());
                    let phone = self.phone_of_owner(owner);
                    let way = to.map_or(Way::None(None), |t| {
                        self.way_to(t.addr, t.transport == Transport::Tcp, phone, owner)
                    });
                    self.resume(now, owner, way);
                }
            }
        }
    }

    fn provider_located(
        &mut self,
        now: Instant,
        (id, server): (ProviderId, u8),
        found: Option<Targets>,
    ) {
        let Some(provider) = self.providers.get_mut(id) else { return };
        let options = &provider.options;
        match found {
            Some(targets) if !targets.is_empty() => {
                let named = server_of(options, server);
                let decided = named.is_none_or(|named| named.transport.is_some());
                provider.targets.locate(usize::from(server), &targets, decided);
                provider.state.set_targets(provider.targets.all().len() as u8);
            }
            _ => {
                let name = server_of(options, server).map_or(&options.domain, |s| &s.host);
                log::warn!("provider {}: {name} has no address now", options.domain);
            }
        }
        if self.config.adapter.mode != Mode::Overlay {
            provider.locate_at = Some(now + LOCATE_AGAIN);
        }
    }

    pub(super) fn locate_due(&mut self, now: Instant, id: ProviderId) {
        let Some(provider) = self.providers.get_mut(id) else { return };
        if provider.locate_at.is_none_or(|due| now < due) {
            return;
        }
        provider.locate_at = Some(now + LOCATE_AGAIN);
        let options = &provider.options;
        for server in 0..=options.fallback_server.len() {
            let query = match server_of(options, server as u8) {
                Some(server) => query_of(server),
                None => Query {
                    host: &options.domain,
                    port: None,
                    transport: None,
                    preferred: Transport::Udp,
                },
            };
            let owner = ClientOwner::Locate(id, server as u8).encode();
            if let Err(error) = self.locator.start(now, &query, owner) {
                log::warn!("provider {}: {error}", options.domain);
            }
        }
    }
}

/// The question where a server is.
pub(crate) fn query_of(server: &Server) -> Query<'_> {
    let transport = server.transport.map(|transport| match transport {
        crate::config::Transport::Udp => Transport::Udp,
        crate::config::Transport::Tcp => Transport::Tcp,
    });
    Query { host: &server.host, port: server.port, transport, preferred: Transport::Udp }
}

/// Server number `at` of a section; none where the domain's own records say where it is.
fn server_of(options: &Provider, at: u8) -> Option<&Server> {
    match usize::from(at).checked_sub(1) {
        None => options.server.as_ref(),
        Some(fallback) => options.fallback_server.get(fallback),
    }
}
