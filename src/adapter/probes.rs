//! Probes: an OPTIONS from a registered AOR, where nothing else was heard of the server
//! (CALLS §5).

use super::call::identity::Rename;
use super::own_request::OwnRequest;
use super::providers::ProviderId;
use super::register::wan_contact;
use super::server::Sent;
use super::targets::Target;
use super::ways::Way;
use super::{Adapter, ClientOwner};
use crate::sip::{Method, Name};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// OPTIONS from a registered AOR. To a server that is not up, or has never answered one, it
    /// goes once: the next probe repeats it soon enough. Whether it could be sent.
    pub(super) fn probe(&mut self, now: Instant, id: ProviderId) -> bool {
        let Some((aor, user, accepted)) = self
            .registrar
            .iter()
            .find(|(_, binding)| binding.provider == Some(id))
            .map(|(_, b)| (b.aor.clone(), b.wan_user.clone(), b.accepted_by))
        else {
            return false;
        };
        let Some(Target { addr: to, tcp }) = self.probe_target(now, id, accepted) else {
            return false;
        };
        let tcp = tcp == Some(true);
        let domain = self.providers.options(id).domain.clone();
        let owner = ClientOwner::Probe(id);
        let Way::Ready(flow, local) = self.way_to(to, tcp, None, owner) else { return false };
        let (tag, call) = (self.rng.next_u32(), self.rng.next_u64());
        let name = Rename {
            call_id: format!("{call:016x}"),
            from: format!("<sip:{aor}>;tag={tag:08x}"),
            to: format!("<sip:{domain}>"),
        };
        let contact = (Name::Contact, format!("<{}>", wan_contact(&user, local)));
        let uri = format!("sip:{domain}");
        let options = OwnRequest::new(Method::Options, uri, (flow, local), name).with([contact]);
        let bytes = self.write_own(&options);
        let owner = owner.encode();
        let Some(bytes) = bytes else { return false };
        if let Ok(client) = self.transactions.send_request(now, flow, &bytes, owner)
            && let Some(provider) = self.providers.get_mut(id)
        {
            if !(provider.is_up() && provider.state.answers_probes()) {
                self.transactions.stop_retransmitting(client);
            }
            provider.probed = Some(to);
            provider.state.on_request_sent(now, owner, Sent::Probe);
            return true;
        }
        false
    }

    /// Whom the next probe goes to. Where the last one was not answered, that target has failed,
    /// unless it answers no OPTIONS at all.
    fn probe_target(
        &mut self,
        now: Instant,
        id: ProviderId,
        accepted: Option<SocketAddr>,
    ) -> Option<Target> {
        let provider = self.providers.get_mut(id)?;
        if let Some(silent) = provider.probed.take()
            && provider.state.answers_probes()
        {
            provider.targets.failed(now, silent);
        }
        self.next_target(now, id, accepted, &[])
    }
}
