//! A PostgreSQL of a test's own: made, started as a user without privileges, and ended with it.

use super::{needs, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The user `nobody` and its group, as Debian has them: PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server that listens on a socket in its own folder alone.
pub(super) struct Server {
    folder: PathBuf,
    address: String,
    child: Child,
}

impl Server {
    /// None where this machine has no PostgreSQL; then the test is left out.
    pub(super) fn start(test: &str) -> Option<Self> {
        if !needs::are_met(test, &["initdb", "postgres"]) {
            return None;
        }
        let folder = std::env::temp_dir().join(format!("cosip-pg-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        if geteuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.join("data");
        let made = unprivileged("initdb", &folder)
            .args(["--username", "cosip", "--auth", "trust", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let child = unprivileged("postgres", &folder)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(&folder)
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("postgresql://cosip@/postgres?host={}", folder.display());
        let server = Self { folder, address, child };
        wait::until("PostgreSQL", PATIENCE, || server.execute("SELECT 1").is_ok());
        Some(server)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Executes a statement behind the program's back.
    pub(super) fn execute(&self, statement: &str) -> Result<(), String> {
        self.ask(statement).map(drop)
    }

    /// The first field of each row.
    fn ask(&self, statement: &str) -> Result<Vec<String>, String> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let asked = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.address, NoTls).await?;
            tokio::spawn(connection);
            client.simple_query(statement).await
        });
        let messages = asked.map_err(|error| {
            error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned())
        })?;
        let field = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(messages.iter().filter_map(field).collect())
    }

    /// A session that holds this table until it is dropped.
    pub(super) fn lock(&self, table: &str) -> impl Send + use<> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.address, NoTls).await.unwrap();
            tokio::spawn(connection);
            let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
            client.batch_execute(&lock).await.unwrap();
            client
        });
        (client, runtime)
    }

    /// Stops all that serves a connection, as a disk does that hangs, until [`Frozen`] is dropped.
    pub(super) fn freeze(&self) -> Frozen {
        let all = "SELECT pid FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let pids = self.ask(all).unwrap();
        let pids = pids.iter().map(|pid| pid.parse().unwrap()).chain([self.child.id() as i32]);
        let frozen = Frozen(pids.map(Pid::from_raw).collect());
        frozen.signal(Signal::SIGSTOP);
        frozen
    }
}

/// Processes that do not run.
pub(super) struct Frozen(Vec<Pid>);

impl Frozen {
    fn signal(&self, signal: Signal) {
        for pid in &self.0 {
            let _ = kill(*pid, signal);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends what is connected, too.
        let pid = Pid::from_raw(self.child.id() as i32);
        let _ = kill(pid, Signal::SIGINT);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn unprivileged(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(needs::find(program).unwrap());
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
