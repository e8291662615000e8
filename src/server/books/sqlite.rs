//! Books in one file.

use super::{Database, Row, Value};
use crate::server::error::{DatabaseFault, ServerError};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// How long another command may take that is at it already.
const PATIENCE: Duration = Duration::from_secs(30);
/// What replaces a row deletes it without a word, so the audit takes the next number alone.
const GUARDS: &str = "
CREATE TRIGGER audit_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
CREATE TRIGGER audit_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
CREATE TRIGGER audit_not_replaced BEFORE INSERT ON audit
    WHEN NEW.number IS NOT (SELECT COALESCE(MAX(number), 0) + 1 FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
";

pub(super) struct Sqlite {
    at: String,
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, or makes it: for its owner alone, who may be known by what it says.
    pub(super) fn open(path: &Path) -> Result<Self, ServerError> {
        let at = path.display().to_string();
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        made.map_err(|error| says(&at, &error.to_string()))?;
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(PATIENCE)?;
            connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL")?;
            Ok(connection)
        };
        let connection = open().map_err(|error: rusqlite::Error| says(&at, &error.to_string()))?;
        Ok(Self { at, connection })
    }

    fn rows(&mut self, statement: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let mut prepared = self.connection.prepare(statement)?;
        let columns = prepared.column_count();
        let mut found = prepared.query(params_from_iter(values))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let field = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Integer(number) => Value::Number(Some(number)),
                    ValueRef::Text(text) => {
                        Value::Text(Some(String::from_utf8_lossy(text).into_owned()))
                    }
                    _ => Value::Text(None),
                })
            };
            rows.push(Row((0..columns).map(field).collect::<rusqlite::Result<_>>()?));
        }
        Ok(rows)
    }
}

impl Database for Sqlite {
    fn guards(&self) -> &'static str {
        GUARDS
    }

    fn begin(&mut self) -> Result<(), ServerError> {
        self.batch("BEGIN IMMEDIATE")
    }

    fn batch(&mut self, statements: &str) -> Result<(), ServerError> {
        let done = self.connection.execute_batch(statements);
        done.map_err(|error| says(&self.at, &error.to_string()))
    }

    fn ask(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, ServerError> {
        self.rows(statement, values).map_err(|error| says(&self.at, &error.to_string()))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Number(None) | Self::Text(None) => ValueRef::Null,
        }))
    }
}

fn says(at: &str, text: &str) -> ServerError {
    ServerError::Database(at.to_owned(), DatabaseFault::Says(text.to_owned()))
}
