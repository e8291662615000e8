//! Behind another router: which of our ports it is to open, and what follows when it did.
//!
//! The WAN's SIP and overlay ports, and of media those of running calls and of the next ones: what
//! is bound in advance is opened in advance too, so that no call waits for the router in front.
//! What it has not opened when a call begins is named as it is without it.

use super::Adapter;
use super::outside::{Outside, is_private};
use super::sockets::Facing;
use crate::json::{Value, json};
use crate::limits::PORTMAP_MEDIA_AHEAD;
use crate::net::SocketKind;
use crate::overlay::{OverlayStatus, Reachability, Reason};
use crate::portmap::Place;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

impl Adapter {
    /// Whether another router is in front, and what it is to open.
    pub(super) fn look_in_front(&mut self, now: Instant) {
        let place = self.place_behind();
        self.portmap.set_place(now, place);
        self.want_mappings(now);
    }

    /// Our place behind another router: with a private address, or one that the outside does not
    /// see. An address that the operator wrote down needs no help.
    fn place_behind(&self) -> Option<Place> {
        let gateway = self.network.gateway?;
        let local = self.network.wan.iter().copied().find(IpAddr::is_ipv4)?;
        let seen = self.outside.seen().filter(IpAddr::is_ipv4);
        let behind = is_private(local) || seen.is_some_and(|seen| seen != local);
        let helps = behind && !self.is_written_down(local) && self.outside.given().is_none();
        // What was opened is closed before the router in front is left alone.
        let asked = self.config.adapter.port_mapping || !self.portmap.is_idle();
        (helps && asked).then_some(Place { local, gateway })
    }

    /// Tells which ports the router in front is to open.
    pub(super) fn want_mappings(&mut self, now: Instant) {
        let Some(place) = self.portmap.place() else { return };
        let mut ports: Vec<u16> = Vec::new();
        if self.config.adapter.port_mapping {
            for kind in [SocketKind::Sip, SocketKind::Overlay] {
                let bound = self.sockets.addresses(Facing::Wan, kind);
                ports.extend(bound.iter().filter(|a| a.ip() == place.local).map(SocketAddr::port));
            }
            ports.extend(self.media.open_ports(place.local, PORTMAP_MEDIA_AHEAD));
        }
        self.portmap.want(now, ports.iter().copied());
    }

    /// The router in front opened or closed ports.
    pub(super) fn mappings_changed(&mut self, now: Instant) {
        let mapped = self.portmap.opened().collect();
        self.change_outside(now, |outside| outside.set_mapped(mapped));
    }

    /// What is known of our outside changes, and all who name it are told.
    fn change_outside(&mut self, now: Instant, change: impl FnOnce(&mut Outside)) {
        let sip = self.sockets.addresses(Facing::Wan, SocketKind::Sip);
        let shown = |outside: &Outside| -> Vec<SocketAddr> {
            sip.iter().map(|local| outside.of(*local)).collect()
        };
        let before = shown(&self.outside);
        change(&mut self.outside);
        let address = self.outside.address();
        self.media.set_addresses(&self.network.lan, &self.network.wan, address);
        self.media.set_mapped(self.outside.mapped().collect());
        if shown(&self.outside) != before {
            self.address_changed(now);
        }
        let overlay_port = self.config.overlay.port;
        let opened = self.outside.mapped().find(|(own, _)| own.port() == overlay_port);
        if let Some(overlay) = &mut self.overlay {
            overlay.set_mapped(now, opened.map(|(_, external)| external));
        }
    }

    /// The overlay's members agree on our address.
    pub(super) fn public_address_seen(&mut self, now: Instant, address: SocketAddr) {
        let own = self.network.wan.contains(&address.ip());
        let other_family =
            self.outside.seen().is_some_and(|known| known.is_ipv4() != address.is_ipv4());
        if own || other_family || self.outside.given().is_some() {
            return;
        }
        if self.outside.seen() != Some(address.ip()) {
            log::info!("public address: {}", address.ip());
            self.change_outside(now, |outside| outside.see(address.ip()));
            self.look_in_front(now);
            self.portmap.check(now);
        }
    }

    /// Why others reach us as they do: with what the router in front has to do with it.
    pub(super) fn reason_of(&self, status: &OverlayStatus) -> String {
        let apart = self.portmap.place().is_none() || status.reachable == Reachability::Direct;
        match status.reason {
            reason if apart => reason.to_string(),
            Reason::OpenedPort => self.portmap.report(),
            reason => format!("{reason}; {}", self.portmap.report()),
        }
    }

    /// What the router in front opened, for people.
    pub(super) fn mapping_status(&self) -> Value {
        let opened: Vec<Value> = self
            .portmap
            .opened()
            .map(|(own, external)| json!({ "port": own.port(), "external": external }))
            .collect();
        json!({
            "gateway": self.network.gateway,
            "state": self.portmap.report(),
            "opened": opened,
        })
    }
}
