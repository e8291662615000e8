//! Books that several machines share.
//!
//! The one thread of a running server waits for what is asked here, so nothing is waited for for
//! long. The database ends what takes too long, be it for a lock that another holds, and what a
//! machine that is gone had begun. One that says nothing at all, since its disk or its network
//! hangs, is not waited for either. After both the connection is given up, and what comes behind
//! fails at once, until the books are opened anew.

use super::{Database, Row, Value, shown};
use crate::server::error::{DatabaseFault, ServerError};
use core::error::Error as _;
use core::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls};

/// The number of the lock that whoever changes something holds; any other would do.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(7240561)";
/// How long the database takes for one statement, for a lock in it, and for one that does not come
/// while somebody holds the lock.
const LIMITS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '4s'; \
                      SET idle_in_transaction_session_timeout = '5s'";
/// What it says where one of these is over, but for the last: that ends the connection.
const LATE: [SqlState; 2] = [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE];
/// For how long it may say nothing: longer than it takes to say that.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long each machine of the address has to take a connection, where the address does not say.
const CONNECT: Duration = Duration::from_secs(2);
const GUARDS: &str = "
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit is only ever added to'; END $$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
";

pub(super) struct Postgres {
    at: String,
    /// None once it was given up.
    session: Option<Session>,
}

struct Session {
    /// Runs while something is waited for.
    runtime: Runtime,
    client: Client,
}

impl Postgres {
    /// Connects without TLS: through a socket of this machine, or a network that is trusted.
    pub(super) fn open(address: &str) -> Result<Self, ServerError> {
        let at = shown(address);
        let mut config: Config = address.parse().map_err(|error| says(&at, &error))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connected = runtime.block_on(async { timeout(PATIENCE, connect(&config)).await });
        let error = match connected {
            Ok(Ok(client)) => return Ok(Self { at, session: Some(Session { runtime, client }) }),
            Ok(Err(error)) => says(&at, &error),
            Err(_) => silent(&at),
        };
        runtime.shutdown_background();
        Err(error)
    }

    /// Waits for what the database answers.
    fn wait<T>(
        &mut self,
        what: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, ServerError> {
        let Some(Session { runtime, client }) = &self.session else { return Err(silent(&self.at)) };
        let (error, is_late) =
            match runtime.block_on(async { timeout(PATIENCE, what(client)).await }) {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => {
                    (says(&self.at, &error), error.code().is_some_and(|code| LATE.contains(code)))
                }
                Err(_) => (silent(&self.at), true),
            };
        if is_late {
            self.give_up();
        }
        Err(error)
    }

    fn give_up(&mut self) {
        if let Some(session) = self.session.take() {
            // A look-up of the machine's name may still be under way.
            session.runtime.shutdown_background();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.give_up();
    }
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(LIMITS).await?;
    Ok(client)
}

fn rows(found: &[tokio_postgres::Row]) -> Result<Vec<Row>, Error> {
    let row = |row: &tokio_postgres::Row| {
        let field = |(index, column): (usize, &tokio_postgres::Column)| {
            Ok(if *column.type_() == Type::INT8 {
                Value::Number(row.try_get(index)?)
            } else {
                Value::Text(row.try_get(index)?)
            })
        };
        let fields: Result<_, Error> = row.columns().iter().enumerate().map(field).collect();
        fields.map(Row)
    };
    found.iter().map(row).collect()
}

impl Database for Postgres {
    fn guards(&self) -> &'static str {
        GUARDS
    }

    fn begin(&mut self) -> Result<(), ServerError> {
        self.batch(BEGIN)
    }

    fn batch(&mut self, statements: &str) -> Result<(), ServerError> {
        self.wait(async |client| client.batch_execute(statements).await)
    }

    fn ask(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, ServerError> {
        fn value(value: &Value) -> &(dyn ToSql + Sync) {
            match value {
                Value::Number(number) => number,
                Value::Text(text) => text,
            }
        }
        let values: Vec<_> = values.iter().map(value).collect();
        self.wait(async |client| rows(&client.query(statement, &values).await?))
    }
}

fn silent(at: &str) -> ServerError {
    ServerError::Database(at.to_owned(), DatabaseFault::Silent)
}

/// With what the server says, which the error alone keeps to itself.
fn says(at: &str, error: &Error) -> ServerError {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    ServerError::Database(at.to_owned(), DatabaseFault::Says(format!("{error}{cause}")))
}
