//! The lab: what runs on a developer's machine, never on a router (feature `lab`).
//!
//! Phones and a SIP server as cores ([`phone`], [`server`]), so that one program plays them in
//! virtual time in the tests ([`world`]) and on real sockets in the demo ([`stage`]). They share
//! the message and transaction layers with the adapter, but none of its decisions: phones know
//! nothing but SIP and SDP, the server nothing but RFC 3261, and what they saw is the evidence
//! that the demo is judged by. The lab speaks IPv4 and IPv6 literals only; it asks no name server.

pub mod bench;
pub mod commands;
pub mod demo;
pub mod dht_client;
mod dialog;
pub mod hosts;
mod issuer;
pub mod nat;
pub mod part;
pub mod phone;
mod repeat;
pub mod report;
pub mod router_test;
pub mod rtp;
pub mod sdp;
pub mod server;
pub mod sim;
pub mod soak;
pub mod stage;
mod svg;
pub mod swarm;
pub mod timeline;
pub mod world;
