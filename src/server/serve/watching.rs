//! The watch of a running server: what it hears, and what is done for it.

use super::Served;
use crate::adapter::Adapter;
use crate::identity::Statement;
use crate::net::NodeId;
use crate::server::text::hex;
use crate::server::watch::{Contradiction, Member, Members, Verdict, Wish};
use crate::time::Instant;
use std::net::SocketAddr;

/// Whom the overlay of a server's adapter knows.
struct Known<'a>(&'a mut Adapter, Instant);

impl Members for Known<'_> {
    fn any(&mut self) -> Option<Member> {
        self.0.any_member(self.1).map(|(id, address)| Member { id, address })
    }

    fn find(&self, id: NodeId) -> Option<SocketAddr> {
        self.0.address_of_member(self.1, id)
    }
}

impl Served<'_> {
    /// A member has answered.
    pub(super) fn watch_heard(
        &mut self,
        now: Instant,
        from: (NodeId, u32),
        statements: &[Statement],
    ) {
        self.watch.heard(now, from, statements, &mut Known(self.adapter, now));
    }

    /// Does what the watch wants now.
    pub(super) fn watch(&mut self, now: Instant) {
        if self.watch.poll_timeout().is_some_and(|at| at <= now) {
            self.watch.handle_timeout(now, &mut Known(self.adapter, now));
        }
        while let Some(wish) = self.watch.poll_wish() {
            match wish {
                Wish::Ask(Member { id, address }, number, ask) => {
                    self.adapter.ask_watched(now, (id, address), number, &ask);
                }
                Wish::Judge(contradiction) => self.judge(now, &contradiction),
            }
        }
    }

    fn judge(&mut self, now: Instant, contradiction: &Contradiction) {
        let verdict =
            self.with_office(now, |_, moment, office| office.judge(moment, contradiction));
        let Some(verdict) = verdict else { return };
        let (place, key) = (contradiction.receipt.said().place, hex(&contradiction.key()));
        let who = format!("adapter {place} with key {key}");
        match &verdict {
            Verdict::Revoked(serials) => {
                let count = serials.len();
                log::warn!("{who} denies what it promised to keep: revoked, {count} certificates");
            }
            Verdict::HeldBack(why) => log::error!(
                "{who} denies what it promised to keep, and is not revoked: {why}; revoke it by \
                 its key, and have the anchor sign the list"
            ),
            Verdict::Doubtful => log::info!(
                "{who} denies what it promised to keep, and may have a reason: it, or the record's \
                 owner, is not certified here without a doubt"
            ),
        }
        self.watch.judged(now, contradiction, &verdict);
    }
}
