//! What the first byte after version and key id says; from 0x40 on it is the channel's.

/// Asks for nothing but an answer.
pub(in crate::overlay) const PING: u8 = 1;
/// Answers a ping.
pub(in crate::overlay) const PONG: u8 = 2;
/// Asks for the members closest to a place.
pub(in crate::overlay) const FIND: u8 = 3;
/// Answers a find.
pub(in crate::overlay) const NODES: u8 = 4;
/// Asks for the records of a key.
pub(in crate::overlay) const GET: u8 = 5;
/// Answers a get.
pub(in crate::overlay) const VALUE: u8 = 6;
/// Stores a record.
pub(in crate::overlay) const PUT: u8 = 7;
/// Answers a put or a touch.
pub(in crate::overlay) const STORED: u8 = 8;
/// Extends a record's lifetime, or tells an address.
pub(in crate::overlay) const TOUCH: u8 = 9;
/// Asks whether somebody can be reached.
pub(in crate::overlay) const DIAL: u8 = 10;
/// Answers a dial.
pub(in crate::overlay) const DIALED: u8 = 11;
/// Asks to be introduced to somebody whose flow the asked keeps.
pub(in crate::overlay) const INTRODUCE: u8 = 12;
/// Answers that.
pub(in crate::overlay) const INTRODUCED: u8 = 13;
/// Tells on a kept flow who wants to be met.
pub(in crate::overlay) const INTRODUCTION: u8 = 14;
/// Hands over a datagram of the channel for somebody else.
pub(in crate::overlay) const RELAY: u8 = 15;
/// A datagram of the channel from somebody else.
pub(in crate::overlay) const RELAYED: u8 = 16;
/// Spreads hints. Answered like a put.
pub(in crate::overlay) const HINTS: u8 = 17;
/// Asks a node who it is.
pub(in crate::overlay) const WHO: u8 = 18;
/// Answers that.
pub(in crate::overlay) const CREDENTIALS: u8 = 19;
/// Asks for a piece of the list of revocations, or tells that there is a newer one.
pub(in crate::overlay) const LIST: u8 = 20;
/// Answers that.
pub(in crate::overlay) const PIECE: u8 = 21;
