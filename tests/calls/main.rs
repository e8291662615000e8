//! Calls by the book: adapters in virtual time, between scripted phones and a scripted provider.
//!
//! Every test is one or a few sentences of the rules for calls. The network is [`net::World`]: one
//! seed decides delay, loss and order. What crossed it is kept, and at the end of each test
//! [`oracle`] looks through all of it, and at what the adapters still hold.
#![cfg(feature = "lab")]

mod account;
mod acts;
mod answers;
#[cfg(feature = "lab")]
mod avalanche;
mod b2bua;
mod behind;
mod callee;
mod callers;
mod clerk;
#[cfg(feature = "lab")]
mod clock;
mod contacts;
mod crossed;
mod dialog;
#[cfg(feature = "lab")]
mod district;
mod during;
mod early;
mod emergency;
mod emergency_room;
mod enrolling;
mod hangup;
mod hedge;
mod home;
mod intercepted;
mod keepalive;
mod lasting;
mod late;
mod leaving;
mod legs;
mod liar;
mod losers;
mod mailbox;
mod message;
mod moved;
mod moving;
#[cfg(feature = "lab")]
mod moving_lab;
mod nats;
mod net;
mod node;
mod numbers;
mod oracle;
#[cfg(feature = "lab")]
mod outages;
#[cfg(feature = "lab")]
mod peak;
mod provider;
mod recovery;
mod redirect;
mod refused;
mod register;
mod renamed;
mod repeats;
mod rescue;
mod retry;
mod rfc3665;
mod rolling;
mod secrets;
mod seen;
#[cfg(feature = "lab")]
mod sessions;
mod sim;
mod sip;
mod spit;
mod targets;
mod toll;
mod town;
mod transfer;
mod unheard;
mod verdict;
mod vouched;
mod wan;
mod warm;
mod watched;
mod ways;
mod withheld;
mod wrong;
