//! Probes: an OPTIONS from a registered AOR, where nothing else was heard of the server
//! (CALLS §5).

use super::providers::ProviderId;
use super::server::Sent;
use super::targets::Target;
use super::ways::Way;
use super::{Adapter, ClientOwner, crossing, rewrite};
use crate::sip::proxy::MAX_FORWARDS;
use crate::sip::{Name, Writer};
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
        let (branch, tag, call) =
            (self.transactions.branch(), self.rng.next_u32(), self.rng.next_u64());
        let bytes = crossing::write(|out| {
            let mut writer = Writer::new(out);
            writer.request("OPTIONS", &format!("sip:{domain}"));
            rewrite::write_via(&mut writer, local, &branch);
            writer.header(Name::MaxForwards, MAX_FORWARDS);
            writer.header(Name::From, format_args!("<sip:{aor}>;tag={tag:08x}"));
            writer.header(Name::To, format_args!("<sip:{domain}>"));
            writer.header(Name::CallId, format_args!("{call:016x}"));
            writer.header(Name::CSeq, "1 OPTIONS");
            writer.header(Name::Contact, format_args!("<sip:{user}@{}>", local.host()));
            writer.finish(&[])
        });
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
