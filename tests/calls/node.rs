//! What a town is made of: routers, and with the lab telephones and servers that act by
//! themselves.

use cosip::adapter::Adapter;
#[cfg(feature = "lab")]
use cosip::lab::phone::Phone;
#[cfg(feature = "lab")]
use cosip::lab::server::{Server, b2bua::B2bua};
use cosip::net::{Core, Event, Input, Rejected, Transmit};
use cosip::time::Instant;

/// A core in a town.
pub(crate) enum Node {
    /// The adapter of a router.
    Router(Box<Adapter>),
    /// A telephone of the lab.
    #[cfg(feature = "lab")]
    Phone(Box<Phone>),
    /// A provider's proxy of the lab.
    #[cfg(feature = "lab")]
    Proxy(Box<Server>),
    /// A provider's back-to-back user agent of the lab.
    #[cfg(feature = "lab")]
    B2bua(Box<B2bua>),
}

impl Node {
    fn core(&self) -> &dyn Core {
        match self {
            Self::Router(adapter) => adapter.as_ref(),
            #[cfg(feature = "lab")]
            Self::Phone(phone) => phone.as_ref(),
            #[cfg(feature = "lab")]
            Self::Proxy(server) => server.as_ref(),
            #[cfg(feature = "lab")]
            Self::B2bua(server) => server.as_ref(),
        }
    }

    fn core_mut(&mut self) -> &mut dyn Core {
        match self {
            Self::Router(adapter) => adapter.as_mut(),
            #[cfg(feature = "lab")]
            Self::Phone(phone) => phone.as_mut(),
            #[cfg(feature = "lab")]
            Self::Proxy(server) => server.as_mut(),
            #[cfg(feature = "lab")]
            Self::B2bua(server) => server.as_mut(),
        }
    }

    /// The telephone that this is.
    #[cfg(feature = "lab")]
    pub(crate) fn phone(&mut self) -> &mut Phone {
        match self {
            Self::Phone(phone) => phone,
            _ => panic!("no telephone"),
        }
    }
}

impl Core for Node {
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
