//! A phone or a server: what a stage with both on it holds.

use super::phone::Phone;
use super::server::Server;
use super::server::b2bua::B2bua;
use crate::net::{Core, Event, Input, Rejected, Transmit};
use crate::time::Instant;

/// One of the kinds of cores that the lab has.
pub enum Part {
    /// A telephone.
    Phone(Box<Phone>),
    /// A SIP server.
    Server(Box<Server>),
    /// A back-to-back user agent.
    B2bua(Box<B2bua>),
}

impl Part {
    /// The phone that this is, if it is one.
    pub fn phone(&self) -> Option<&Phone> {
        match self {
            Self::Phone(phone) => Some(phone),
            Self::Server(_) | Self::B2bua(_) => None,
        }
    }

    /// The phone that this is, to give it an order.
    pub fn phone_mut(&mut self) -> Option<&mut Phone> {
        match self {
            Self::Phone(phone) => Some(phone),
            Self::Server(_) | Self::B2bua(_) => None,
        }
    }

    /// The server that this is, if it is one.
    pub fn server_mut(&mut self) -> Option<&mut Server> {
        match self {
            Self::Phone(_) | Self::B2bua(_) => None,
            Self::Server(server) => Some(server),
        }
    }

    fn core(&self) -> &dyn Core {
        match self {
            Self::Phone(phone) => phone.as_ref(),
            Self::Server(server) => server.as_ref(),
            Self::B2bua(server) => server.as_ref(),
        }
    }

    fn core_mut(&mut self) -> &mut dyn Core {
        match self {
            Self::Phone(phone) => phone.as_mut(),
            Self::Server(server) => server.as_mut(),
            Self::B2bua(server) => server.as_mut(),
        }
    }
}

impl Core for Part {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        self.core_mut().handle_input(now, input)
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.core_mut().poll_transmit(now, buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.core_mut().poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.core().poll_timeout()
    }
}
