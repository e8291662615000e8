//! A world of its own for each test.
//!
//! The test's program runs itself again, for that test alone, in new namespaces. Whatever ends
//! either of the two ends all that runs in the world, and with it the namespaces.

use crate::{host, needs, wait};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names the test whose world this process is in.
const INSIDE: &str = "COSIP_RIG_TEST";
/// The folder of that test.
const FOLDER: &str = "COSIP_RIG_FOLDER";

const PROGRAMS: [&str; 9] =
    ["kamailio", "sipp", "baresip", "dnsmasq", "miniupnpd", "nft", "ip", "unshare", "setpriv"];

/// Runs `test` in a world of its own, for at most `limit`. To be called by the test function
/// itself with a closure, whose type names the test.
pub(crate) fn inside<F: FnOnce(&Path)>(limit: Duration, test: F) {
    inside_with(&[], limit, test);
}

/// As [`inside`], with programs that no other test needs.
pub(crate) fn inside_with<F: FnOnce(&Path)>(programs: &[&str], limit: Duration, test: F) {
    let name = test_name::<F>();
    if std::env::var(INSIDE).as_deref() == Ok(name) {
        let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
        host::run("mount", &["-t", "tmpfs", "none", "/run"]);
        fs::create_dir_all("/run/netns").unwrap();
        return test(&folder);
    }
    if !needs::are_met(name, &[&PROGRAMS[..], programs].concat()) {
        return;
    }
    let folder = std::env::temp_dir().join(format!(
        "cosip-rig-{}-{}",
        name.replace("::", "-"),
        std::process::id()
    ));
    fs::create_dir_all(&folder).unwrap();
    let began = Instant::now();
    run_again(name, &folder, limit);
    // Past the capture of the test harness: worlds are most of the time that all tests take.
    let _ = writeln!(std::io::stderr(), "{name}: {:.1} s", began.elapsed().as_secs_f64());
    let _ = fs::remove_dir_all(&folder);
}

/// The name that the test harness knows the test by: the path of its closure, without the crate
/// and the closure.
fn test_name<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_, rest)| rest);
    path.split_once("::{{").map_or(path, |(test, _)| test)
}

fn run_again(name: &str, folder: &Path, limit: Duration) {
    let log = folder.join("test.log");
    let output = File::create(&log).unwrap();
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        wait::pause(Duration::from_millis(50));
    };
    let text = fs::read_to_string(&log).unwrap_or_default();
    let folder = folder.display();
    match status {
        None => panic!("not done in {} s (all files: {folder})\n{text}", limit.as_secs()),
        Some(status) if !status.success() || !text.contains("1 passed") => {
            panic!("{status} (all files: {folder})\n{text}")
        }
        Some(_) => {}
    }
}
