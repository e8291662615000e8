//! CoSIP: phone service that keeps working when the provider's SIP server does not.
//!
//! An adapter on a home router serves the phones of its LAN. It registers them with the
//! provider's server, as before, and beside that puts them into an overlay of adapters. A call
//! goes to the server, and where the server is silent, straight to the callee's adapter. This
//! crate is the daemon (`cosip`), and with the feature `lab` everything around it on a
//! developer's machine. README.md is for those who use it, ARCHITECTURE.md for those who
//! change it.
//!
//! # Layers
//!
//! | layer | what it knows | uses |
//! |---|---|---|
//! | [`config`] | settings: syntax, options, types | |
//! | [`observe`] | counters, the ladder of calls | |
//! | [`sip`] | messages, transactions, proxy rules, digest, where servers are: the RFCs | |
//! | [`media`] | SDP, and the relay of what it describes | config |
//! | [`identity`] | keys, secrets, signed records | |
//! | [`overlay`] | where adapters are, and which serves whom | identity, observe |
//! | [`channel`] | how two adapters talk | identity, observe |
//! | [`portmap`] | how a router in front is asked to open ports: PCP, NAT-PMP, UPnP-IGD | observe |
//! | [`adapter`] | CoSIP itself: phones, servers' verdicts, calls with several legs | all above |
//! | [`control`] | commands and what they print | config |
//! | [`driver`] | sockets, files, names, clock: all impure | config, control, identity |
//! | `server` | the provider's side (feature `server`) | adapter, config, driver, identity |
//!
//! Below them are small things that all use: [`time`], [`timer`], [`table`], [`list`], [`map`],
//! [`outbox`], [`json`], [`text`], [`rng`], the capacities in [`limits`], what work for others may
//! cost in [`budget`], and [`net`], the contract between cores and drivers.
//! No layer uses another than the table says (a test holds that); only the programs know both
//! [`adapter`] and [`driver`].
//!
//! # The rule
//!
//! A core never reads a clock, a socket, a file or a random source. Time, bytes and a seed come
//! in as arguments; what it wants sent or done is polled out of it. So the daemon, the tests,
//! the fuzzers and the lab run the same code, and a test of an hour takes a millisecond.
//! Whoever drives a [`net::Core`]
//!
//! 1. hands it one input,
//! 2. drains [`poll_transmit`](net::Core::poll_transmit) and
//!    [`poll_event`](net::Core::poll_event) until both are `None`,
//! 3. waits until [`poll_timeout`](net::Core::poll_timeout), or for the next input.
//!
//! What only a driver can do is a request with a ticket, answered later by an input. Hostile
//! input is refused by an `Err` and a counter: it never panics, and what it can make grow has a
//! limit.
//!
//! # A run loop
//!
//! This one has no clock and no sockets. It grants what the adapter asks for, and a phone that
//! it plays asks whether somebody is there.
//!
//! ```
//! use cosip::adapter::Adapter;
//! use cosip::config::Config;
//! use cosip::identity::Identity;
//! use cosip::limits::TRANSMIT_BYTES_MAX;
//! use cosip::net::{
//!     Answer, Core, Event, Failure, Input, Network, Request, SocketId, SocketKind, Transmit,
//! };
//! use cosip::time::Instant;
//! use std::net::{IpAddr, SocketAddr};
//!
//! /// Hands in one input, then drains: rules 1 and 2. Grants sockets, knows no files.
//! fn turn(
//!     core: &mut impl Core,
//!     now: Instant,
//!     input: Input<'_>,
//!     sockets: &mut Vec<(SocketKind, SocketAddr)>,
//! ) -> Vec<(Transmit, Vec<u8>)> {
//!     let mut sent = Vec::new();
//!     let mut buf = [0; TRANSMIT_BYTES_MAX];
//!     let mut refused = core.handle_input(now, input);
//!     loop {
//!         if let Err(why) = refused {
//!             eprintln!("refused and counted: {why:?}");
//!         }
//!         while let Some(transmit) = core.poll_transmit(now, &mut buf) {
//!             sent.push((transmit, buf[..transmit.len].to_vec()));
//!         }
//!         let Some(event) = core.poll_event() else { return sent };
//!         let Event::Request(ticket, request) = event else { return sent };
//!         let answer = match request {
//!             Request::Bind { kind, local } => {
//!                 sockets.push((kind, local));
//!                 Ok(Answer::Bound(SocketId(sockets.len() as u32 - 1), local))
//!             }
//!             Request::Load(_) => Err(Failure::Absent),
//!             _ => Ok(Answer::Done),
//!         };
//!         refused = core.handle_input(now, Input::Answer(ticket, answer));
//!     }
//! }
//!
//! let identity = Identity::from_seed([1; 32]).expect("any seed but a few is a key");
//! let mut now = Instant::ZERO;
//! let mut adapter = Adapter::new(&Config::default(), &identity, None, 1, [2; 32], now);
//! let mut sockets = Vec::new();
//!
//! // An adapter knows no addresses until it is told, and then asks for sockets.
//! let lan: IpAddr = "192.168.1.1".parse()?;
//! let wan: IpAddr = "203.0.113.7".parse()?;
//! let (lan_side, wan_side) = (vec![lan], vec![wan]);
//! let network =
//!     Network { lan: lan_side, wan: wan_side, wan_up: true, ..Network::default() };
//! turn(&mut adapter, now, Input::Network(&network), &mut sockets);
//! let sip = (SocketKind::Sip, SocketAddr::new(lan, 5060));
//! let socket = sockets.iter().position(|socket| *socket == sip).expect("phones are served");
//!
//! // A phone asks.
//! let phone: SocketAddr = "192.168.1.20:5060".parse()?;
//! let options = "OPTIONS sip:192.168.1.1 SIP/2.0\r\n\
//!                Via: SIP/2.0/UDP 192.168.1.20:5060;branch=z9hG4bK1\r\n\
//!                Max-Forwards: 70\r\nFrom: <sip:alice@example.net>;tag=a\r\n\
//!                To: <sip:192.168.1.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
//! let socket = SocketId(socket as u32);
//! let data = options.as_bytes();
//! let to = SocketAddr::new(lan, 5060);
//! let question = Input::Datagram { socket, from: phone, to, tos: 0, data };
//! let sent = turn(&mut adapter, now, question, &mut sockets);
//! let (transmit, response) = &sent[0];
//! assert_eq!(transmit.to, phone);
//! assert!(response.starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(response));
//!
//! // An hour later: rule 3, without the waiting.
//! let end = Instant::from_micros(3_600_000_000);
//! while let Some(at) = adapter.poll_timeout().filter(|at| *at < end) {
//!     now = now.max(at);
//!     turn(&mut adapter, now, Input::Timeout, &mut sockets);
//! }
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod adapter;
pub mod budget;
pub mod channel;
pub mod config;
pub mod control;
pub mod driver;
pub mod identity;
pub mod json;
#[cfg(feature = "lab")]
pub mod lab;
pub mod limits;
pub mod list;
pub mod map;
pub mod media;
pub mod net;
pub mod observe;
pub mod order;
pub mod outbox;
pub mod overlay;
pub mod portmap;
#[cfg(test)]
mod properties;
pub mod queue;
pub mod rng;
#[cfg(feature = "server")]
pub mod server;
pub mod sip;
pub mod table;
pub mod text;
pub mod time;
pub mod timer;
