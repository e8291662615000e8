//! Secrets of the network that take over by themselves, sealed: see [`crate::server::secrets`].

use super::{Books, Row, Value};
use crate::identity::trust::CLOCK_LATE_S;
use crate::server::ServerError;

/// A secret as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// By which people know it.
    pub key_id: u8,
    /// When it was made, in seconds of Unix time.
    pub made_s: u64,
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
        let statement = "SELECT key_id, made_s, sends_s, sealed FROM secrets ORDER BY number";
        let kept = |row: &Row| {
            Some(Kept {
                key_id: row.number(0)?.try_into().ok()?,
                made_s: row.number(1)?,
                sends_s: row.number(2)?.try_into().ok()?,
                sealed: row.text(3).to_owned(),
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
            kept.made_s.into(),
            u64::from(kept.sends_s).into(),
            kept.sealed.as_str().into(),
        ];
        let statement = "INSERT INTO secrets (number, key_id, made_s, sends_s, sealed) \
                         VALUES ($1, $2, $3, $4, $5)";
        self.ask(statement, &values).map(drop)
    }

    /// Of how many adapters a certificate counts at `now_s`, and how many of them have one that was
    /// issued since then.
    pub fn members_since(&mut self, made_s: u64, now_s: u64) -> Result<(u64, u64), ServerError> {
        let mut count = |from_s: u64| {
            let statement = "SELECT COUNT(DISTINCT adapter) FROM certificates \
                             WHERE until_s >= $1 AND from_s >= $2";
            let row = self.ask_one(statement, &[now_s.into(), from_s.into()])?;
            Ok::<_, ServerError>(row.and_then(|row| row.number(0)).unwrap_or(0))
        };
        Ok((count(0)?, count(made_s.saturating_sub(CLOCK_LATE_S.into()))?))
    }
}
