//! Where the emergency routes are, and the legs that go there.
//!
//! Their names are resolved before anybody calls, and the last answer is kept: where the server is
//! out of reach, name servers often are too.

use super::{Emergency, Step};
use crate::adapter::call::{Call, CallId, Leg, LegState};
use crate::adapter::crossing::NextHop;
use crate::adapter::names::Path;
use crate::adapter::ways::Way;
use crate::adapter::{Adapter, ClientOwner, spelling};
use crate::config;
use crate::limits::{EMERGENCY_ROUTES_MAX, LOCATE_AGAIN};
use crate::sip::locate::{Query, Target, Targets, Transport};
use crate::sip::{Message, Uri};
use crate::time::Instant;

/// Where each route is.
pub(crate) struct Gateways {
    at: [Option<Target>; EMERGENCY_ROUTES_MAX],
    locate_at: Instant,
}

impl Gateways {
    /// None is located yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { at: [None; EMERGENCY_ROUTES_MAX], locate_at: now }
    }

    /// The routes have changed.
    pub(crate) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// When they want to be looked for again; `routes`: how many there are.
    pub(crate) fn poll_timeout(&self, routes: usize) -> Option<Instant> {
        (routes > 0).then_some(self.locate_at)
    }
}

impl Adapter {
    /// Looks for the routes, where it is time.
    pub(crate) fn gateways_due(&mut self, now: Instant) {
        if now < self.gateways.locate_at {
            return;
        }
        self.gateways.locate_at = now + LOCATE_AGAIN;
        for (at, route) in self.config.emergency.route.iter().enumerate() {
            let server = &route.server;
            let query = Query {
                host: &server.host,
                port: server.port,
                transport: server.transport.map(|transport| match transport {
                    config::Transport::Udp => Transport::Udp,
                    config::Transport::Tcp => Transport::Tcp,
                }),
                preferred: Transport::Udp,
            };
            let owner = ClientOwner::Gateway(at as u8).encode();
            if let Err(error) = self.locator.start(now, &query, owner) {
                log::warn!("emergency route {route}: {error}");
            }
        }
    }

    /// A route was looked for.
    pub(crate) fn gateway_located(&mut self, at: u8, found: Option<Targets>) {
        let first = found.and_then(|targets| targets.first().copied());
        let place = self.gateways.at.get_mut(usize::from(at));
        match (place, first) {
            (Some(place), Some(target)) => *place = Some(target),
            _ => {
                if let Some(route) = self.config.emergency.route.get(usize::from(at)) {
                    log::warn!("emergency route {route} has no address now");
                }
            }
        }
    }

    /// The provider whose server is asked first for a phone that has none, where its request does
    /// not say where to.
    pub(crate) fn emergency_provider(&self, message: &Message<'_>) -> Option<u8> {
        let leads_away = Uri::parse(self.next_hop_uri(message))
            .is_ok_and(|uri| !uri.host.is_empty() && matches!(uri.scheme, crate::sip::Scheme::Sip));
        if leads_away && !self.leads_back(message) {
            return None;
        }
        self.providers
            .iter()
            .position(|provider| !provider.targets.all().is_empty())
            .map(|at| at as u8)
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
        let Some(options) = self.config.emergency.route.get(usize::from(route)) else { return };
        let note = format!("emergency route {options}");
        let phone = self.calls.get(id).and_then(|call| call.phone.as_ref()).map(|p| p.flow.to);
        let way = match self.gateways.at.get(usize::from(route)).copied().flatten() {
            Some(target) => self.way_to(target.addr, target.transport == Transport::Tcp, phone),
            None => Way::nowhere(),
        };
        self.trace_note(now, id, &note);
        let (flow, local, state) = way.parts();
        let target = message.request_uri().to_owned();
        let leg = Leg::new(now, Path::Server, (flow, local), state, target, message.cseq());
        let leg = Leg { route: Some(route), ..leg };
        let Some(call) = self.calls.get_mut(id) else { return };
        match call.legs.get_mut(at) {
            Some(old) => *old = leg,
            None => {
                let _ = call.legs.push(leg);
            }
        }
        if state == LegState::Silent {
            self.send_invite_as(now, id, at, message);
        }
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

    /// Under which Request-URI and Route an INVITE takes a route; see [`config::Route`].
    pub(crate) fn next_hop_of(&self, route: Option<u8>, message: &Message<'_>) -> Option<NextHop> {
        let route = self.config.emergency.route.get(usize::from(route?))?;
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
    /// What a leg of an emergency call is called towards people.
    pub(super) fn way_name(&self, at: usize, routes: &[config::Route]) -> String {
        let route = self.legs.get(at).and_then(|leg| leg.route);
        let named = route.and_then(|route| routes.get(usize::from(route)));
        named.map_or_else(|| "server".to_owned(), ToString::to_string)
    }
}
