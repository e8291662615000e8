//! What a CoSIP server has members find out about one another, and what they answer: statements
//! of others; see [`crate::identity::statement`].

use crate::identity::Statement;
use crate::identity::statement::STATEMENT_BYTES;
use crate::limits::WATCH_STATEMENTS_MAX;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// From a CoSIP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WatchAsk {
    /// For receipts of records of the one who is asked.
    Receipts,
    /// A holder is to be asked for a record, as look-ups do, and what it says to be told.
    Get {
        /// Where the record is kept ([`crate::identity::record::Key`]).
        key: [u8; 16],
        /// The place of its owner.
        owner: [u8; 16],
        /// The place of the holder.
        holder: [u8; 16],
        /// Where that is.
        address: SocketAddr,
    },
}

/// Statements one behind the other, at most [`WATCH_STATEMENTS_MAX`], not verified: receipts; or
/// what a holder has said, none where it was silent or has not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statements<'a>(&'a [u8]);

impl<'a> Statements<'a> {
    /// Takes the bytes of whole statements. `None` where they are others, or too many.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (statements, rest) = bytes.as_chunks::<STATEMENT_BYTES>();
        let fits = rest.is_empty() && statements.len() <= WATCH_STATEMENTS_MAX;
        fits.then_some(Self(bytes))
    }

    /// The statements.
    pub fn iter(self) -> impl Iterator<Item = Statement> {
        self.0.chunks_exact(STATEMENT_BYTES).filter_map(Statement::parse)
    }

    pub(super) fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}
