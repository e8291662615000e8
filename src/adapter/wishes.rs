//! What the adapter asks of the driver, and what each ticket was for.

use super::Adapter;
use super::inbound::Source;
use super::ways::Opening;
use crate::media::MediaTicket;
use crate::net::{Event, File, Request, SocketKind, Ticket};
use crate::portmap::PortmapTicket;
use crate::sip::transaction::ServerId;
use std::net::SocketAddr;

/// Tickets of the driver's commands have this bit; ours do not.
const COMMAND_TICKETS: u32 = 1 << 31;

/// What a ticket was for.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// A socket of ours.
    Bind(SocketKind, SocketAddr),
    /// A socket of the relay.
    Media(MediaTicket),
    /// A socket or connection to the router in front.
    Portmap(PortmapTicket),
    /// A connection.
    Connect(Opening),
    /// A question of the locator.
    Locate(u32),
    /// The hardware address of the phone that this REGISTER is from.
    Neighbour(ServerId, Source),
    /// A file.
    Load(File),
    /// The network's secrets.
    Secrets,
    /// What of the LAN's traffic is taken.
    Rules,
    /// Nothing depends on the answer.
    Nothing,
}

impl Adapter {
    /// Asks the driver for something.
    pub(super) fn wish(&mut self, wish: Wish, request: Request) {
        let ticket = self.ticket(wish);
        self.events.push_back(Event::Request(ticket, request));
    }

    pub(super) fn ticket(&mut self, wish: Wish) -> Ticket {
        let ticket = Ticket(self.next_ticket & !COMMAND_TICKETS);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.wishes.insert(ticket, wish);
        ticket
    }
}
