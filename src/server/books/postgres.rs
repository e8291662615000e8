//! Books that several machines share.

use super::{Database, Row, Value, shown};
use crate::server::error::{DatabaseFault, ServerError};
use core::error::Error;
use postgres::types::{ToSql, Type};
use postgres::{Client, NoTls};

/// The number of the lock that whoever changes something holds; any other would do.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(7240561)";
const GUARDS: &str = "
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit is only ever added to'; END $$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
";

pub(super) struct Postgres {
    at: String,
    client: Client,
}

impl Postgres {
    /// Connects without TLS: through a socket of this machine, or a network that is trusted.
    pub(super) fn open(address: &str) -> Result<Self, ServerError> {
        let at = shown(address);
        let client = Client::connect(address, NoTls).map_err(|error| says(&at, &error))?;
        Ok(Self { at, client })
    }

    fn rows(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, postgres::Error> {
        fn value(value: &Value) -> &(dyn ToSql + Sync) {
            match value {
                Value::Number(number) => number,
                Value::Text(text) => text,
            }
        }
        let values: Vec<_> = values.iter().map(value).collect();
        let found = self.client.query(statement, &values)?;
        let row = |row: &postgres::Row| {
            let field = |(index, column): (usize, &postgres::Column)| {
                Ok(if *column.type_() == Type::INT8 {
                    Value::Number(row.try_get(index)?)
                } else {
                    Value::Text(row.try_get(index)?)
                })
            };
            let fields: Result<_, postgres::Error> =
                row.columns().iter().enumerate().map(field).collect();
            fields.map(Row)
        };
        found.iter().map(row).collect()
    }
}

impl Database for Postgres {
    fn guards(&self) -> &'static str {
        GUARDS
    }

    fn begin(&mut self) -> Result<(), ServerError> {
        self.batch(BEGIN)
    }

    fn batch(&mut self, statements: &str) -> Result<(), ServerError> {
        self.client.batch_execute(statements).map_err(|error| says(&self.at, &error))
    }

    fn ask(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, ServerError> {
        self.rows(statement, values).map_err(|error| says(&self.at, &error))
    }
}

/// With what the server says, which the error alone keeps to itself.
fn says(at: &str, error: &postgres::Error) -> ServerError {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    ServerError::Database(at.to_owned(), DatabaseFault::Says(format!("{error}{cause}")))
}
