//! What a town is made of: routers, and with the lab telephones and servers that act by
//! themselves.

use cosip::adapter::Adapter;
#[cfg(feature = "lab")]
use cosip::lab::{part::Part, phone::Phone};
use cosip::net::{Core, Event, Input, Rejected, Transmit};
use cosip::time::Instant;

/// A core in a town.
pub(crate) enum Node {
    /// The adapter of a router.
    Router(Box<Adapter>),
    /// A telephone or a server of the lab.
    #[cfg(feature = "lab")]
    Part(Part),
}

impl Node {
    fn core(&self) -> &dyn Core {
        match self {
            Self::Router(adapter) => adapter.as_ref(),
            #[cfg(feature = "lab")]
            Self::Part(part) => part,
        }
    }

    fn core_mut(&mut self) -> &mut dyn Core {
        match self {
            Self::Router(adapter) => adapter.as_mut(),
            #[cfg(feature = "lab")]
            Self::Part(part) => part,
        }
    }

    /// The telephone that this is.
    #[cfg(feature = "lab")]
    pub(crate) fn phone(&mut self) -> &mut Phone {
        match self {
            Self::Part(part) => part.phone_mut().expect("a telephone"),
            Self::Router(_) => panic!("no telephone"),
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
