//! Second challenges: of keys that want an AOR which another adapter has.
//!
//! Rows, and not memory: such a challenge comes hours after the first, and a server that was
//! restarted meanwhile still sends it. One server of several sends it, the one that was asked last.

use super::{Books, Row, Value};
use crate::identity::PublicKey;
use crate::server::ServerError;
use crate::server::text::{array_from_hex, hex};

/// How a second challenge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// Until when it may be answered, or was answered and counts.
    pub ends_s: u64,
    /// Whether it was answered.
    pub is_proven: bool,
}

/// One whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The AOR.
    pub aor: String,
    /// Who wants it.
    pub adapter: PublicKey,
    /// How often it was sent before.
    pub tries: u64,
    /// Until when it may be answered.
    pub ends_s: u64,
}

impl Books {
    /// How the second challenge of this key for an AOR stands, where there is one.
    ///
    /// # Errors
    /// What the database says, as of all that follows.
    pub fn second(
        &mut self,
        aor: &str,
        adapter: &PublicKey,
        now_s: u64,
    ) -> Result<Option<Second>, ServerError> {
        let statement = "SELECT ends_s, proven_s FROM seconds WHERE aor = $1 AND adapter = $2 \
                         AND ends_s >= $3";
        let row = self.ask_one(statement, &[aor.into(), hex(adapter).into(), now_s.into()])?;
        Ok(row.map(|row| Second {
            ends_s: row.number(0).unwrap_or(0),
            is_proven: row.number(1).is_some(),
        }))
    }

    /// Writes one down, in place of what is known of this key and AOR.
    pub fn set_second(
        &mut self,
        due: &Due,
        due_s: u64,
        server: &PublicKey,
    ) -> Result<(), ServerError> {
        self.drop_second(&due.aor, &due.adapter)?;
        let values = [
            Value::from(due.aor.as_str()),
            hex(&due.adapter).into(),
            hex(server).into(),
            due_s.into(),
            due.ends_s.into(),
            due.tries.into(),
        ];
        let statement = "INSERT INTO seconds (aor, adapter, server, due_s, ends_s, tries) \
                         VALUES ($1, $2, $3, $4, $5, $6)";
        self.ask(statement, &values).map(drop)
    }

    /// Forgets one: its certificate was issued, or nothing came of it.
    pub fn drop_second(&mut self, aor: &str, adapter: &PublicKey) -> Result<(), ServerError> {
        let statement = "DELETE FROM seconds WHERE aor = $1 AND adapter = $2";
        self.ask(statement, &[aor.into(), hex(adapter).into()]).map(drop)
    }

    /// One was answered: the AOR is the key's to have until `ends_s`.
    pub fn prove_second(
        &mut self,
        aor: &str,
        adapter: &PublicKey,
        (now_s, ends_s): (u64, u64),
    ) -> Result<(), ServerError> {
        let statement = "UPDATE seconds SET proven_s = $1, ends_s = $2 \
                         WHERE aor = $3 AND adapter = $4";
        let values = [Value::from(now_s), ends_s.into(), aor.into(), hex(adapter).into()];
        self.ask(statement, &values).map(drop)
    }

    /// This server was asked by the adapter last, so it sends what is still to be sent.
    pub fn move_seconds(
        &mut self,
        adapter: &PublicKey,
        server: &PublicKey,
    ) -> Result<(), ServerError> {
        let statement = "UPDATE seconds SET server = $1 WHERE adapter = $2 AND server <> $1";
        self.ask(statement, &[hex(server).into(), hex(adapter).into()]).map(drop)
    }

    /// Those that this server has to send now, at most `most` of them.
    pub fn seconds_due(
        &mut self,
        server: &PublicKey,
        now_s: u64,
        most: u64,
    ) -> Result<Vec<Due>, ServerError> {
        let statement = "SELECT aor, adapter, tries, ends_s FROM seconds WHERE server = $1 \
                         AND due_s <= $2 AND ends_s >= $2 AND proven_s IS NULL \
                         ORDER BY due_s LIMIT $3";
        let rows = self.ask(statement, &[hex(server).into(), now_s.into(), most.into()])?;
        let due = |row: &Row| {
            Some(Due {
                aor: row.text(0).to_owned(),
                adapter: array_from_hex(row.text(1))?,
                tries: row.number(2)?,
                ends_s: row.number(3)?,
            })
        };
        Ok(rows.iter().filter_map(due).collect())
    }

    /// Forgets those whose time is over; how many are left.
    pub fn sweep_seconds(&mut self, now_s: u64) -> Result<u64, ServerError> {
        self.ask("DELETE FROM seconds WHERE ends_s < $1", &[now_s.into()])?;
        let row = self.ask_one("SELECT COUNT(*) FROM seconds", &[])?;
        Ok(row.and_then(|row| row.number(0)).unwrap_or(0))
    }
}
