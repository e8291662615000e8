//! The tables, and how a database that an earlier version wrote comes to have them.

use super::{Database, Value};
use crate::server::error::{DatabaseFault, ServerError};

/// What each version of the schema adds to the one before.
pub(super) const MIGRATIONS: [&str; 3] = [
    "
CREATE TABLE network (name TEXT NOT NULL, anchor TEXT NOT NULL);
CREATE TABLE delegations (
    serial BIGINT PRIMARY KEY,
    issuing TEXT NOT NULL,
    from_s BIGINT NOT NULL,
    until_s BIGINT NOT NULL
);
CREATE TABLE certificates (
    serial BIGINT PRIMARY KEY,
    adapter TEXT NOT NULL,
    place TEXT NOT NULL,
    from_s BIGINT NOT NULL,
    until_s BIGINT NOT NULL,
    bytes TEXT NOT NULL
);
CREATE INDEX certificates_of_adapter ON certificates (adapter);
CREATE INDEX certificates_by_end ON certificates (until_s);
CREATE TABLE aors (
    aor TEXT NOT NULL,
    serial BIGINT NOT NULL REFERENCES certificates (serial),
    PRIMARY KEY (aor, serial)
);
CREATE INDEX aors_of_certificate ON aors (serial);
CREATE TABLE revocations (
    serial BIGINT PRIMARY KEY,
    ends_s BIGINT NOT NULL,
    list BIGINT
);
CREATE TABLE blocked (adapter TEXT PRIMARY KEY, at_s BIGINT NOT NULL);
CREATE TABLE lists (number BIGINT PRIMARY KEY, issued_s BIGINT NOT NULL);
CREATE TABLE audit (
    number BIGINT PRIMARY KEY,
    at_s BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    serial BIGINT,
    adapter TEXT,
    aors TEXT NOT NULL,
    detail TEXT NOT NULL
);
",
    "
CREATE TABLE seconds (
    aor TEXT NOT NULL,
    adapter TEXT NOT NULL,
    server TEXT NOT NULL,
    due_s BIGINT NOT NULL,
    ends_s BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    proven_s BIGINT,
    PRIMARY KEY (aor, adapter)
);
CREATE INDEX seconds_by_due ON seconds (due_s);
",
    "
ALTER TABLE lists ADD COLUMN bytes TEXT;
CREATE TABLE secrets (
    number BIGINT PRIMARY KEY,
    key_id BIGINT NOT NULL,
    made_s BIGINT NOT NULL,
    sends_s BIGINT NOT NULL,
    sealed TEXT NOT NULL
);
",
];

/// Applies those of `migrations` that the database at `at` lacks.
///
/// # Errors
/// [`ServerError::Database`]; also where a later version has written it.
pub(super) fn migrate(
    at: &str,
    database: &mut dyn Database,
    migrations: &[&str],
) -> Result<(), ServerError> {
    database.batch("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
    let rows = database.ask("SELECT MAX(version) FROM schema_version", &[])?;
    let version = rows.first().and_then(|row| row.number(0)).unwrap_or(0);
    let known = migrations.len();
    let Some(lacking) = usize::try_from(version).ok().and_then(|done| migrations.get(done..))
    else {
        let fault = DatabaseFault::Newer { found: version as i64, known: known as i64 };
        return Err(ServerError::Database(at.to_owned(), fault));
    };
    for (number, migration) in (version + 1..).zip(lacking) {
        database.batch(migration)?;
        if number == 1 {
            let guards = database.guards();
            database.batch(guards)?;
        }
        let values = [Value::from(number)];
        database.ask("INSERT INTO schema_version (version) VALUES ($1)", &values)?;
    }
    Ok(())
}
