//! Flows that are not ours, as connection tracking shows them: those that interception takes over,
//! and what passes beside it.

use crate::driver::conntrack::{self, Flows, TCP, Tracked};
use crate::driver::network;
use crate::driver::privileges::with_net_admin;
use crate::driver::reactor::{Reactor, start};
use crate::driver::requests::Io;
use crate::limits::{
    FLOW_PIECES_A_TURN, FLOW_PIECES_REST, INTERCEPTION_SURVEY, OVER_TLS_MAX, SIPS_PORT,
};
use crate::net::Beside;
use crate::time::Instant;
use smol::Task;
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// Looks now and then for what passes beside us.
#[derive(Default)]
pub(super) struct Survey {
    /// When the last one began.
    began: Option<Instant>,
    /// The one that is under way.
    task: Option<Task<()>>,
    /// What the last one has seen.
    seen: Rc<RefCell<Beside>>,
}

impl Survey {
    /// What was seen last.
    pub(super) fn seen(&self) -> Beside {
        self.seen.borrow().clone()
    }
}

/// A protocol, and ports of ours.
pub(super) type Ports = (u8, RangeInclusive<u16>);

/// Flows that go another way from now on, and have to begin anew for that.
#[derive(Default)]
pub(super) struct Anew {
    /// The ports that they are to.
    pub(super) ports: Vec<u16>,
    /// What is redirected to these goes on.
    pub(super) ours: Vec<Ports>,
}

impl Io {
    /// Begins a survey, unless there was one lately.
    pub(super) fn survey(&mut self) {
        let recent = |at: Instant| self.reactor.now().since(at) < INTERCEPTION_SURVEY;
        if !self.interceptor.survey.began.is_some_and(recent) {
            self.begin_survey(Anew::default());
        }
    }

    /// Begins a survey in place of the one under way, and has flows begin anew.
    pub(super) fn begin_survey(&mut self, anew: Anew) {
        let survey = &mut self.interceptor.survey;
        survey.began = Some(self.reactor.now());
        let walk = walk(self.reactor.clone(), anew, survey.seen.clone());
        survey.task = Some(start(&self.executor, walk));
    }
}

/// Has flows begin anew, at once and whatever time it takes.
pub(super) fn begin_anew(anew: Anew) {
    let Ok(mut pass) = Pass::open(anew) else { return };
    while let Ok(true) = pass.step() {}
    pass.tell();
}

async fn walk(reactor: Rc<Reactor>, anew: Anew, seen: Rc<RefCell<Beside>>) {
    let walked = async {
        let mut pass = Pass::open(anew)?;
        let mut pieces = 0;
        while pass.step()? {
            pieces += 1;
            if pieces % FLOW_PIECES_A_TURN == 0 {
                reactor.sleep(FLOW_PIECES_REST).await;
            }
        }
        io::Result::Ok(pass)
    };
    match walked.await {
        Ok(pass) => {
            pass.tell();
            let known = seen.replace(pass.found.beside);
            if seen.borrow().helper && !known.helper {
                log::warn!(
                    "the kernel's SIP helper rewrites signalling here: unload nf_conntrack_sip"
                );
            }
        }
        Err(error) => log::debug!("no connection tracking: {error}"),
    }
}

/// One look at all flows.
struct Pass {
    flows: Flows,
    found: Found,
}

struct Found {
    own: Vec<IpAddr>,
    anew: Anew,
    beside: Beside,
    begun: u32,
}

impl Pass {
    fn open(anew: Anew) -> io::Result<Self> {
        let flows = with_net_admin(Flows::open)?;
        let own = network::own_addresses();
        Ok(Self { flows, found: Found { own, anew, beside: Beside::default(), begun: 0 } })
    }

    fn step(&mut self) -> io::Result<bool> {
        self.flows.next(&mut |flow| self.found.look(flow))
    }

    fn tell(&self) {
        if self.found.begun > 0 {
            log::info!("interception: {} flows of phones begin anew", self.found.begun);
        }
    }
}

impl Found {
    fn look(&mut self, flow: &Tracked) {
        self.beside.helper |= flow.helped;
        if !passes(flow, &self.own) {
        } else if (flow.protocol, flow.to.port()) == (TCP, SIPS_PORT) {
            self.note_tls(flow.from.ip());
        } else if self.anew.ports.contains(&flow.to.port())
            && !is_taken(flow, &self.own, &self.anew.ours)
            && with_net_admin(|| conntrack::forget(flow)).is_ok()
        {
            self.begun += 1;
        }
    }

    fn note_tls(&mut self, host: IpAddr) {
        let Beside { over_tls, over_tls_untold, .. } = &mut self.beside;
        if let Err(place) = over_tls.binary_search(&host) {
            over_tls.insert(place, host);
            *over_tls_untold += u32::from(over_tls.len() > OVER_TLS_MAX);
            over_tls.truncate(OVER_TLS_MAX);
        }
    }
}

/// Whether a flow only passes through this router.
fn passes(flow: &Tracked, own: &[IpAddr]) -> bool {
    ![flow.from.ip(), flow.to.ip()].iter().any(|ip| own.contains(ip) || ip.is_loopback())
}

/// Whether a flow is redirected to one of our protocols and ports.
fn is_taken(flow: &Tracked, own: &[IpAddr], ours: &[Ports]) -> bool {
    let here =
        |(protocol, ports): &Ports| *protocol == flow.protocol && ports.contains(&flow.at.port());
    own.contains(&flow.at.ip()) && ours.iter().any(here)
}

#[cfg(test)]
mod tests;
