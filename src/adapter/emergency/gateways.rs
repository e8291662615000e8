//! Where the emergency routes are, and the legs that go there.
//!
//! Their names are resolved before anybody calls, and the last answer is kept: where the server is
//! out of reach, name servers often are too. A call keeps the routes that were there when it was
//! dialled, so that new settings turn none of its legs to another gateway.

use super::{Emergency, Step};
use crate::adapter::call::{Call, CallId, Leg};
use crate::adapter::crossing::NextHop;
use crate::adapter::names::Path;
use crate::adapter::providers::ProviderId;
use crate::adapter::providers::locate::query_of;
use crate::adapter::ways::Way;
use crate::adapter::{Adapter, ClientOwner, spelling};
use crate::config::Route;
use crate::limits::LOCATE_AGAIN;
use crate::sip::locate::{Target, Targets, Transport};
use crate::sip::{Message, Uri};
use crate::time::Instant;

/// An emergency route, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// The route.
    pub(super) route: Route,
    at: Option<Target>,
}

/// The routes of the settings, in their order.
pub(crate) struct Gateways {
    all: Vec<Gateway>,
    locate_at: Instant,
}

impl Gateways {
    /// None is located yet.
    pub(crate) fn new(routes: &[Route], now: Instant) -> Self {
        let all = routes.iter().map(|route| Gateway { route: route.clone(), at: None }).collect();
        Self { all, locate_at: now }
    }

    /// The routes as they are now, for a call.
    pub(crate) fn all(&self) -> &[Gateway] {
        &self.all
    }

    /// When they want to be looked for again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.all.is_empty()).then_some(self.locate_at)
    }

    fn place_of(&self, route: &Route) -> Option<Target> {
        self.all.iter().find(|gateway| gateway.route == *route)?.at
    }
}

impl Adapter {
    /// The routes have changed: what is still looked for is no place of a new one. What stays
    /// keeps its place.
    pub(crate) fn gateways_changed(&mut self, now: Instant) {
        for at in 0..self.gateways.all.len() {
            self.locator.forget(ClientOwner::Gateway(at as u8).encode());
        }
        let mut new = Gateways::new(&self.config.emergency.route, now);
        for gateway in &mut new.all {
            gateway.at = self.gateways.place_of(&gateway.route);
        }
        self.gateways = new;
    }

    /// Looks for the routes, where it is time.
    pub(crate) fn gateways_due(&mut self, now: Instant) {
        if now < self.gateways.locate_at {
            return;
        }
        self.gateways.locate_at = now + LOCATE_AGAIN;
        for (at, Gateway { route, .. }) in self.gateways.all.iter().enumerate() {
            let owner = ClientOwner::Gateway(at as u8).encode();
            if let Err(error) = self.locator.start(now, &query_of(&route.server), owner) {
                log::warn!("emergency route {route}: {error}");
            }
        }
    }

    /// A route was looked for.
    pub(crate) fn gateway_located(&mut self, at: u8, found: Option<Targets>) {
        let first = found.and_then(|targets| targets.first().copied());
        let Some(gateway) = self.gateways.all.get_mut(usize::from(at)) else { return };
        match first {
            Some(target) => gateway.at = Some(target),
            None => log::warn!("emergency route {} has no address now", gateway.route),
        }
    }

    /// The provider whose server is asked first for a phone that has none, where its request does
    /// not say where to.
    pub(crate) fn emergency_provider(&self, message: &Message<'_>) -> Option<ProviderId> {
        let leads_away = Uri::parse(self.next_hop_uri(message))
            .is_ok_and(|uri| !uri.host.is_empty() && matches!(uri.scheme, crate::sip::Scheme::Sip));
        if leads_away && !self.leads_back(message) {
            return None;
        }
        self.providers.find(|provider| !provider.targets.all().is_empty())
    }

    /// Takes the next step of an emergency call, until one has to wait.
    pub(crate) fn advance_emergency(&mut self, now: Instant, id: CallId) {
        loop {
            let Some(call) = self.calls.get(id) else { return };
            let Some(emergency) = &call.emergency else { return };
            match self.emergency_step(now, call, emergency) {
                Step::Wait(until) => {
                    if let Some(call) = self.calls.get_mut(id) {
                        call.decide_at = until;
                    }
                    return self.arm(id);
                }
                Step::OpenTarget => self.open_next_target(now, id),
                Step::OpenRoute => self.open_next_route(now, id),
                Step::GiveUp => return self.refuse_emergency(now, id),
            }
        }
    }

    fn open_next_route(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(emergency) = &mut call.emergency else { return };
        let route = emergency.routes_tried;
        emergency.routes_tried += 1;
        call.reason = "emergency route";
        let (at, invite) = (call.legs.len(), call.invite().to_vec());
        if let Ok(message) = Message::parse(&invite) {
            self.open_route_leg(now, (id, at), route, &message);
        }
    }

    /// Sends `message`, the call's INVITE, on leg `at` to a route.
    fn open_route_leg(
        &mut self,
        now: Instant,
        (id, at): (CallId, usize),
        route: u8,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let phone = call.phone.as_ref().map(|p| p.flow.to);
        let gateways = call.emergency.as_mut().map(|emergency| &mut emergency.gateways);
        let Some(gateway) = gateways.and_then(|all| all.get_mut(usize::from(route))) else {
            return;
        };
        // It may have been located since the call was dialled.
        gateway.at = gateway.at.or_else(|| self.gateways.place_of(&gateway.route));
        let (note, at_now) = (format!("emergency route {}", gateway.route), gateway.at);
        let owner = ClientOwner::Leg(id.slot(), at as u8);
        self.stop_waiting(owner);
        let way = at_now.map_or(Way::None(None), |target| {
            self.way_to(target.addr, target.transport == Transport::Tcp, phone, owner)
        });
        self.trace_note(now, id, &note);
        let (flow, local, state) = way.parts();
        let target = message.request_uri().to_owned();
        let leg = Leg::new(now, Path::Server, (flow, local), state, target, message.cseq());
        let leg = Leg { route: Some(route), ..leg };
        self.open_leg(now, (id, at), leg, message);
    }

    /// The phone's INVITE with credentials continues the way that asked for them.
    pub(crate) fn retry_emergency(&mut self, now: Instant, id: CallId, message: &Message<'_>) {
        let Some(call) = self.calls.get(id).filter(|call| call.winner.is_none()) else { return };
        let at = call.emergency.as_ref().and_then(Emergency::challenged_leg);
        let route = at.and_then(|at| call.legs.get(at)).and_then(|leg| leg.route);
        match (at, route) {
            (Some(at), Some(route)) => self.open_route_leg(now, (id, at), route, message),
            (at, _) => self.open_server_leg(now, id, message, at),
        }
    }

    /// Under which Request-URI and Route an INVITE takes a route of its call; see [`Route`].
    pub(crate) fn next_hop_of(
        &self,
        call: &Call,
        route: Option<u8>,
        message: &Message<'_>,
    ) -> Option<NextHop> {
        let route = call.route(route?)?;
        let dialled = message.request_uri();
        if route.proxy {
            let routes = vec![format!("<{route}>")];
            return Some(NextHop { uri: dialled.to_owned(), routes });
        }
        let user = match (route.user.as_str(), spelling::dialled(dialled)) {
            ("", Some(number)) => number.as_str().to_owned(),
            // A service without a number: the one that reaches all of them.
            ("", None) => self.config.emergency.number.first().cloned().unwrap_or_default(),
            (user, _) => user.to_owned(),
        };
        Some(NextHop { uri: route.uri_of(&user), routes: Vec::new() })
    }
}

impl Call {
    fn route(&self, route: u8) -> Option<&Route> {
        let gateway = self.emergency.as_ref()?.gateways.get(usize::from(route))?;
        Some(&gateway.route)
    }

    /// What a leg of an emergency call is called towards people.
    pub(super) fn way_name(&self, at: usize) -> String {
        let route = self.legs.get(at).and_then(|leg| leg.route);
        let named = route.and_then(|route| self.route(route));
        named.map_or_else(|| "server".to_owned(), ToString::to_string)
    }
}
