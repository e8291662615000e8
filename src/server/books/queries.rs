//! What is asked of the books, and written into them.

use super::{Books, Row, Value};
use crate::identity::PublicKey;
use crate::identity::trust::LIST_S;
use crate::net::NodeId;
use crate::server::ServerError;
use crate::server::metrics::Counts;
use crate::server::text::{from_hex, hex};
use core::fmt;

/// Serials that are given in a second before they run ahead of the clock.
const SERIALS_PER_S: u64 = 16;

/// Which certificates are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// That of this number, or the delegation of it.
    Serial(u64),
    /// All of this adapter.
    Adapter(PublicKey),
    /// All for this AOR.
    Aor(String),
    /// All that there are.
    All,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => serial.fmt(f),
            Self::Adapter(key) => f.write_str(&hex(key)),
            Self::Aor(aor) => f.write_str(aor),
            Self::All => f.write_str("all"),
        }
    }
}

/// A certificate before it is written.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its number.
    pub serial: u64,
    /// The adapter's key.
    pub adapter: &'a PublicKey,
    /// The adapter's place.
    pub place: NodeId,
    /// From when, in seconds of Unix time.
    pub from_s: u32,
    /// Until when.
    pub until_s: u32,
    /// For whom.
    pub aors: &'a [String],
    /// The signed bytes.
    pub bytes: &'a [u8],
}

/// A certificate as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub serial: u64,
    /// The adapter's key, in hex.
    pub adapter: String,
    /// Until when, in seconds of Unix time.
    pub until_s: u64,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// For whom, in order.
    pub aors: Vec<String>,
}

/// One that was revoked and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its number.
    pub serial: u64,
    /// When it ends, in seconds of Unix time.
    pub ends_s: u64,
    /// The list in which it stands, where it does.
    pub list: Option<u64>,
}

impl Books {
    /// The network whose books these are: its name, and its anchor's key in hex.
    ///
    /// # Errors
    /// What the database says, as of all that follows.
    pub fn network(&mut self) -> Result<Option<(String, String)>, ServerError> {
        let row = self.ask_one("SELECT name, anchor FROM network", &[])?;
        Ok(row.map(|row| (row.text(0).to_owned(), row.text(1).to_owned())))
    }

    /// These are the books of that network now.
    pub fn found(&mut self, name: &str, anchor: &PublicKey) -> Result<(), ServerError> {
        let values = [Value::from(name), hex(anchor).into()];
        self.ask("INSERT INTO network (name, anchor) VALUES ($1, $2)", &values).map(drop)
    }

    /// A number for a certificate or a delegation.
    pub fn next_serial(&mut self, now_s: u64) -> Result<u64, ServerError> {
        let statement = "SELECT MAX(serial) FROM (SELECT MAX(serial) AS serial FROM certificates \
                         UNION ALL SELECT MAX(serial) FROM delegations) AS both_kinds";
        let last = self.ask_one(statement, &[])?.and_then(|row| row.number(0));
        Ok(last.map_or(0, |last| last + 1).max(now_s * SERIALS_PER_S))
    }

    /// Writes a delegation down.
    pub fn add_delegation(
        &mut self,
        serial: u64,
        issuing: &PublicKey,
        (from_s, until_s): (u32, u32),
    ) -> Result<(), ServerError> {
        let values = [
            Value::from(serial),
            hex(issuing).into(),
            u64::from(from_s).into(),
            u64::from(until_s).into(),
        ];
        let statement = "INSERT INTO delegations (serial, issuing, from_s, until_s) \
                         VALUES ($1, $2, $3, $4)";
        self.ask(statement, &values).map(drop)
    }

    /// Writes a certificate down.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), ServerError> {
        let values = [
            Value::from(entry.serial),
            hex(entry.adapter).into(),
            hex(&entry.place.0).into(),
            u64::from(entry.from_s).into(),
            u64::from(entry.until_s).into(),
            hex(entry.bytes).into(),
        ];
        let statement = "INSERT INTO certificates (serial, adapter, place, from_s, until_s, bytes) \
                         VALUES ($1, $2, $3, $4, $5, $6)";
        self.ask(statement, &values)?;
        for aor in entry.aors {
            let values = [Value::from(aor.as_str()), entry.serial.into()];
            self.ask("INSERT INTO aors (aor, serial) VALUES ($1, $2)", &values)?;
        }
        Ok(())
    }

    /// Where an adapter was last placed, in hex.
    pub fn place_of(&mut self, adapter: &PublicKey) -> Result<Option<String>, ServerError> {
        let statement = "SELECT place FROM certificates WHERE adapter = $1 \
                         ORDER BY serial DESC LIMIT 1";
        let row = self.ask_one(statement, &[hex(adapter).into()])?;
        Ok(row.map(|row| row.text(0).to_owned()))
    }

    /// The certificates that are meant, by rising number: with `valid_s` those that count then.
    pub fn certificates(
        &mut self,
        which: &Selector,
        valid_s: Option<u64>,
    ) -> Result<Vec<Held>, ServerError> {
        let (filter, value) = match which {
            Selector::Serial(serial) => ("c.serial = $1", Value::from(*serial)),
            Selector::Adapter(key) => ("c.adapter = $1", hex(key).into()),
            Selector::Aor(aor) => {
                let filter = "c.serial IN (SELECT serial FROM aors WHERE aor = $1)";
                (filter, aor.as_str().into())
            }
            Selector::All => ("c.serial > $1", 0.into()),
        };
        let statement = format!(
            "SELECT c.serial, c.adapter, c.until_s, r.serial, a.aor FROM certificates c \
             JOIN aors a ON a.serial = c.serial LEFT JOIN revocations r ON r.serial = c.serial \
             WHERE {filter} AND c.until_s >= $2 ORDER BY c.serial, a.aor"
        );
        let mut held: Vec<Held> = Vec::new();
        for row in self.ask(&statement, &[value, valid_s.unwrap_or(0).into()])? {
            let (serial, is_revoked) = (row.number(0).unwrap_or(0), row.number(3).is_some());
            let aor = row.text(4).to_owned();
            match held.last_mut() {
                _ if is_revoked && valid_s.is_some() => {}
                Some(last) if last.serial == serial => last.aors.push(aor),
                _ => held.push(Held {
                    serial,
                    adapter: row.text(1).to_owned(),
                    until_s: row.number(2).unwrap_or(0),
                    is_revoked,
                    aors: vec![aor],
                }),
            }
        }
        Ok(held)
    }

    /// The signed bytes of a certificate, in hex.
    pub fn bytes_of(&mut self, serial: u64) -> Result<Option<String>, ServerError> {
        let statement = "SELECT bytes FROM certificates WHERE serial = $1";
        let row = self.ask_one(statement, &[serial.into()])?;
        Ok(row.map(|row| row.text(0).to_owned()))
    }

    /// The certificates that name this place and end no sooner: signed bytes, in hex, and whether
    /// they were revoked.
    pub fn certified_at(
        &mut self,
        place: &NodeId,
        ends_s: u64,
    ) -> Result<Vec<(String, bool)>, ServerError> {
        let statement = "SELECT c.bytes, r.serial FROM certificates c LEFT JOIN revocations r \
                         ON r.serial = c.serial WHERE c.place = $1 AND c.until_s >= $2";
        let rows = self.ask(statement, &[hex(&place.0).into(), ends_s.into()])?;
        Ok(rows.iter().map(|row| (row.text(0).to_owned(), row.number(1).is_some())).collect())
    }

    /// When a delegation ends, where it counts at `now_s`.
    pub fn delegation(&mut self, serial: u64, now_s: u64) -> Result<Option<u64>, ServerError> {
        let statement = "SELECT until_s FROM delegations WHERE serial = $1 AND until_s >= $2 \
                         AND serial NOT IN (SELECT serial FROM revocations)";
        let row = self.ask_one(statement, &[serial.into(), now_s.into()])?;
        Ok(row.and_then(|row| row.number(0)))
    }

    /// Whether a number was revoked.
    pub fn is_revoked(&mut self, serial: u64) -> Result<bool, ServerError> {
        let statement = "SELECT serial FROM revocations WHERE serial = $1";
        Ok(self.ask_one(statement, &[serial.into()])?.is_some())
    }

    /// Writes down that a number counts no longer, which would have ended by itself at `ends_s`.
    pub fn revoke(&mut self, serial: u64, ends_s: u64) -> Result<(), ServerError> {
        let values = [Value::from(serial), ends_s.into()];
        let statement = "INSERT INTO revocations (serial, ends_s) VALUES ($1, $2)";
        self.ask(statement, &values).map(drop)
    }

    /// Since when a key is certified no more.
    pub fn blocked_since(&mut self, adapter: &PublicKey) -> Result<Option<u64>, ServerError> {
        let statement = "SELECT at_s FROM blocked WHERE adapter = $1";
        Ok(self.ask_one(statement, &[hex(adapter).into()])?.and_then(|row| row.number(0)))
    }

    /// A key is certified no more.
    pub fn block(&mut self, adapter: &PublicKey, now_s: u64) -> Result<(), ServerError> {
        let values = [Value::from(hex(adapter)), now_s.into()];
        self.ask("INSERT INTO blocked (adapter, at_s) VALUES ($1, $2)", &values).map(drop)
    }

    /// What is revoked and would count at `now_s`, by rising number.
    pub fn revoked(&mut self, now_s: u64) -> Result<Vec<Ended>, ServerError> {
        let statement = "SELECT serial, ends_s, list FROM revocations WHERE ends_s >= $1 \
                         ORDER BY serial";
        let rows = self.ask(statement, &[now_s.into()])?;
        let ended = |row: &Row| Ended {
            serial: row.number(0).unwrap_or(0),
            ends_s: row.number(1).unwrap_or(0),
            list: row.number(2),
        };
        Ok(rows.iter().map(ended).collect())
    }

    /// How many adapters have a certificate that counts.
    pub fn members(&mut self, now_s: u64) -> Result<usize, ServerError> {
        let statement = "SELECT COUNT(DISTINCT adapter) FROM certificates WHERE until_s >= $1";
        let row = self.ask_one(statement, &[now_s.into()])?;
        Ok(row.and_then(|row| row.number(0)).unwrap_or(0) as usize)
    }

    /// How much there is of what counts at `now_s`.
    pub fn counts(&mut self, now_s: u64) -> Result<Counts, ServerError> {
        let valid = "FROM certificates c WHERE c.until_s >= $1 AND c.serial NOT IN \
                     (SELECT serial FROM revocations)";
        let aors = "SELECT COUNT(DISTINCT a.aor) FROM aors a JOIN certificates c \
                    ON c.serial = a.serial WHERE c.until_s >= $1 AND c.serial NOT IN \
                    (SELECT serial FROM revocations)";
        let mut count = |statement: &str| {
            let row = self.ask_one(statement, &[now_s.into()])?;
            Ok::<_, ServerError>(row.and_then(|row| row.number(0)).unwrap_or(0))
        };
        Ok(Counts {
            certificates: count(&format!("SELECT COUNT(*) {valid}"))?,
            adapters: count(&format!("SELECT COUNT(DISTINCT c.adapter) {valid}"))?,
            aors: count(aors)?,
            revoked: count("SELECT COUNT(*) FROM revocations WHERE ends_s >= $1")?,
            blocked: count("SELECT COUNT(*) FROM blocked WHERE at_s <= $1")?,
            delegated_until_s: 0,
            secret_from_s: 0,
        })
    }

    /// The lists that were made since: their numbers and when.
    pub fn lists(&mut self, since_s: u64) -> Result<Vec<(u64, u64)>, ServerError> {
        let statement = "SELECT number, issued_s FROM lists WHERE issued_s >= $1 ORDER BY number";
        let rows = self.ask(statement, &[since_s.into()])?;
        let list = |row: &Row| (row.number(0).unwrap_or(0), row.number(1).unwrap_or(0));
        Ok(rows.iter().map(list).collect())
    }

    /// A number for a list.
    pub fn next_list(&mut self, now_s: u64) -> Result<u64, ServerError> {
        Ok((self.last_list()? + 1).max(now_s / u64::from(LIST_S)))
    }

    /// What of the newest list is spread, where its number is higher than `held`.
    pub fn newest_list(&mut self, held: u64) -> Result<Option<Vec<u8>>, ServerError> {
        let statement = "SELECT bytes FROM lists WHERE number > $1 AND bytes IS NOT NULL \
                         ORDER BY number DESC LIMIT 1";
        let row = self.ask_one(statement, &[held.into()])?;
        Ok(row.and_then(|row| from_hex(row.text(0))))
    }

    /// Routers hold a list of this number, which these books may not know: the next one is higher.
    pub fn note_list(&mut self, number: u64, now_s: u64) -> Result<(), ServerError> {
        if self.last_list()? < number {
            let values = [Value::from(number), now_s.into()];
            self.ask("INSERT INTO lists (number, issued_s) VALUES ($1, $2)", &values)?;
        }
        Ok(())
    }

    /// The highest number that a list has; 0 where there is none.
    pub fn last_list(&mut self) -> Result<u64, ServerError> {
        let last = self.ask_one("SELECT MAX(number) FROM lists", &[])?;
        Ok(last.and_then(|row| row.number(0)).unwrap_or(0))
    }

    /// Whether a delegation is revoked that would count at `now_s`.
    pub fn has_dismissed(&mut self, now_s: u64) -> Result<bool, ServerError> {
        let statement = "SELECT serial FROM revocations WHERE ends_s >= $1 AND serial IN \
                         (SELECT serial FROM delegations) LIMIT 1";
        Ok(self.ask_one(statement, &[now_s.into()])?.is_some())
    }

    /// Writes a list down, on which now all stands that was revoked. Of those before it is kept
    /// that they were.
    pub fn add_list(&mut self, number: u64, now_s: u64, bytes: &[u8]) -> Result<(), ServerError> {
        self.ask("UPDATE lists SET bytes = NULL WHERE bytes IS NOT NULL", &[])?;
        let values = [Value::from(number), now_s.into(), hex(bytes).into()];
        self.ask("INSERT INTO lists (number, issued_s, bytes) VALUES ($1, $2, $3)", &values)?;
        let statement = "UPDATE revocations SET list = $1 WHERE list IS NULL";
        self.ask(statement, &[number.into()]).map(drop)
    }

    /// The audit, oldest first: number, moment, who, what, serial, adapter, AORs, detail.
    pub fn audit(&mut self) -> Result<Vec<Row>, ServerError> {
        let statement = "SELECT number, at_s, who, what, serial, adapter, aors, detail FROM audit \
                         ORDER BY number";
        self.ask(statement, &[])
    }
}
