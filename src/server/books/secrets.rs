//! Secrets of the network that take over by themselves, sealed: see [`crate::server::secrets`].

use super::{Books, Row, Value};
use crate::server::ServerError;

/// A secret as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// By which people know it.
    pub key_id: u8,
    /// From when it is sent, in seconds of Unix time.
    pub sends_s: u32,
    /// The sealed bytes, in hex.
    pub sealed: String,
}

impl Books {
    /// Those that were made, oldest first.
    ///
    /// # Errors
    /// What the database says, as of all that follows.
    pub fn secrets(&mut self) -> Result<Vec<Kept>, ServerError> {
        let statement = "SELECT key_id, sends_s, sealed FROM secrets ORDER BY number";
        let kept = |row: &Row| {
            Some(Kept {
                key_id: row.number(0)?.try_into().ok()?,
                sends_s: row.number(1)?.try_into().ok()?,
                sealed: row.text(2).to_owned(),
            })
        };
        Ok(self.ask(statement, &[])?.iter().filter_map(kept).collect())
    }

    /// Writes one down behind the others.
    pub fn add_secret(&mut self, kept: &Kept) -> Result<(), ServerError> {
        let last = self.ask_one("SELECT MAX(number) FROM secrets", &[])?;
        let values = [
            Value::from(last.and_then(|row| row.number(0)).unwrap_or(0) + 1),
            u64::from(kept.key_id).into(),
            u64::from(kept.sends_s).into(),
            kept.sealed.as_str().into(),
        ];
        let statement = "INSERT INTO secrets (number, key_id, sends_s, sealed) \
                         VALUES ($1, $2, $3, $4)";
        self.ask(statement, &values).map(drop)
    }
}
