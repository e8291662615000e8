//! What a town is made of: routers, and with the lab telephones and servers that act by
//! themselves.

use crate::clerk::Clerk;
use crate::liar::Liar;
use cosip::adapter::Adapter;
#[cfg(feature = "lab")]
use cosip::lab::{part::Part, phone::Phone, server::Server};
use cosip::net::{Answer, Core, Event, Input, Rejected, Transmit};
#[cfg(feature = "server")]
use cosip::server::serve::Served;
use cosip::time::Instant;

/// A core in a town.
pub(crate) enum Node {
    /// The adapter of a router.
    Router(Box<Adapter>),
    /// A CoSIP server, scripted.
    Clerk(Box<Clerk>),
    /// A CoSIP server.
    #[cfg(feature = "server")]
    Served(Box<Served<'static>>),
    /// A telephone or a server of the lab.
    #[cfg(feature = "lab")]
    Part(Part),
    /// A member that keeps to no rule.
    Liar(Box<Liar>),
}

impl Node {
    fn core(&self) -> &dyn Core {
        match self {
            Self::Router(adapter) => adapter.as_ref(),
            Self::Clerk(clerk) => clerk.as_ref(),
            #[cfg(feature = "server")]
            Self::Served(served) => served.as_ref(),
            #[cfg(feature = "lab")]
            Self::Part(part) => part,
            Self::Liar(liar) => liar.as_ref(),
        }
    }

    /// Public-key operations done and addresses blinded by a router.
    fn work_done(&self) -> u64 {
        match self {
            Self::Router(adapter) => adapter.work_done(),
            Self::Clerk(_) => 0,
            #[cfg(feature = "server")]
            Self::Served(_) => 0,
            #[cfg(feature = "lab")]
            Self::Part(_) => 0,
            Self::Liar(_) => 0,
        }
    }

    fn core_mut(&mut self) -> &mut dyn Core {
        match self {
            Self::Router(adapter) => adapter.as_mut(),
            Self::Clerk(clerk) => clerk.as_mut(),
            #[cfg(feature = "server")]
            Self::Served(served) => served.as_mut(),
            #[cfg(feature = "lab")]
            Self::Part(part) => part,
            Self::Liar(liar) => liar.as_mut(),
        }
    }

    /// The member without rules that this is.
    pub(crate) fn liar(&mut self) -> &mut Liar {
        match self {
            Self::Liar(liar) => liar,
            _ => panic!("no liar"),
        }
    }

    /// The telephone that this is.
    #[cfg(feature = "lab")]
    pub(crate) fn phone(&mut self) -> &mut Phone {
        match self {
            Self::Part(part) => part.phone_mut().expect("a telephone"),
            _ => panic!("no telephone"),
        }
    }

    /// The lab's server that this is.
    #[cfg(feature = "lab")]
    pub(crate) fn server(&mut self) -> &mut Server {
        match self {
            Self::Part(part) => part.server_mut().expect("a server"),
            _ => panic!("no server"),
        }
    }

    /// The CoSIP server that this is.
    pub(crate) fn clerk(&mut self) -> &mut Clerk {
        match self {
            Self::Clerk(clerk) => clerk,
            _ => panic!("no CoSIP server"),
        }
    }
}

/// How much work that takes milliseconds on a router an input may bring: one piece where time has
/// passed, and the blinding of the address that somebody asks for now. What is read from files, or
/// told of the settings and the network, is worked off later.
fn pieces_of_work_in(input: &Input<'_>) -> u64 {
    match input {
        Input::Answer(_, Ok(Answer::Loaded(_)))
        | Input::Config(_)
        | Input::Network(_)
        | Input::Clock(_)
        | Input::Stop => 0,
        _ => 1,
    }
}

impl Core for Node {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let allowed = pieces_of_work_in(&input);
        let before = self.work_done();
        let result = self.core_mut().handle_input(now, input);
        let done = self.work_done() - before;
        assert!(done <= allowed, "{done} pieces of work of milliseconds in one turn");
        result
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
