//! What the daemon keeps of root's power, with and without a jail. As root.

#[path = "rig/needs.rs"]
mod needs;

use cosip::driver::privileges::with_net_admin;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The user `nobody` and its group, as Debian has them.
const NOBODY: u32 = 65_534;
/// CAP_NET_ADMIN alone, as the kernel prints a set.
const NET_ADMIN: &str = "0000000000001000";
const NOTHING: &str = "0000000000000000";

/// A daemon in folders of its own, both gone with it.
struct Daemon {
    folder: PathBuf,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Daemon {
    /// Starts `cosip run --user USER`, by a program that prepares its world, if any.
    fn start(name: &str, user: &str, before: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("cosip-priv-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        for below in ["", "state", "run", "empty"] {
            std::fs::create_dir_all(folder.join(below)).unwrap();
        }
        // As the init script leaves them: a state folder and settings that are the user's.
        chown(folder.join("state"), Some(NOBODY), Some(NOBODY)).unwrap();
        let settings = folder.join("run/config");
        std::fs::write(&settings, SETTINGS).unwrap();
        std::fs::set_permissions(&settings, PermissionsExt::from_mode(0o400)).unwrap();
        chown(&settings, Some(NOBODY), Some(NOBODY)).unwrap();
        let program = env!("CARGO_BIN_EXE_cosip");
        let words: Vec<&str> = before.iter().copied().chain([program]).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["run", "--user", user, "-c"])
            .arg(settings)
            .arg("--state")
            .arg(folder.join("state"))
            .arg("--run")
            .arg(folder.join("run"))
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { folder, child, stdout }
    }

    /// Reads the log up to a line with `text`. Fails where the daemon ends before.
    fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(
                self.stdout.read_line(&mut line).unwrap() > 0,
                "no {text:?}: {}",
                self.errors()
            );
        }
    }

    fn errors(&mut self) -> String {
        std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap()
    }

    /// What the kernel says of the process while it sleeps: at work it may be in the one call for
    /// which its capability is awake.
    fn status(&self) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
            let status = status.unwrap();
            if field(&status, "State")[0] == "S" {
                return status;
            }
        }
        panic!("it never sleeps");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const SETTINGS: &str = "config adapter 'adapter'\n\toption enabled '1'\n\toption mode \
                        'server'\n\tlist lan '127.99.31.1'\n\tlist wan 'wan'\n";

/// The words after a name in the kernel's status.
fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect()
}

#[track_caller]
fn assert_dropped(status: &str, permitted: &str) {
    let nobody = NOBODY.to_string();
    assert_eq!(field(status, "Uid"), [nobody.as_str(); 4]);
    assert_eq!(field(status, "Gid"), [nobody.as_str(); 4]);
    assert_eq!(field(status, "Groups"), [nobody.as_str()]);
    assert_eq!(field(status, "CapPrm"), [permitted]);
    assert_eq!(field(status, "CapEff"), [NOTHING]);
    assert_eq!(field(status, "CapInh"), [NOTHING]);
    assert_eq!(field(status, "CapAmb"), [NOTHING]);
    assert_eq!(field(status, "CapBnd"), [NET_ADMIN]);
    assert_eq!(field(status, "NoNewPrivs"), ["1"]);
}

#[test]
fn the_daemon_keeps_one_capability_asleep_and_its_files_are_its_own() {
    if !needs::are_met("the_daemon_keeps_one_capability_asleep_and_its_files_are_its_own", &[]) {
        return;
    }
    let mut daemon = Daemon::start("plain", "nobody", &[]);
    daemon.wait_for("WAN has no address");
    assert_dropped(&daemon.status(), NET_ADMIN);
    for file in ["state/adapter.key", "state/starts", "run/control.sock", "run", "state"] {
        assert_eq!(std::fs::metadata(daemon.folder.join(file)).unwrap().uid(), NOBODY, "{file}");
    }
    // A reload reads its settings, and the networks that the init script has written meanwhile.
    std::fs::write(daemon.folder.join("run/networks"), "wan lo wan\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("read again");
    daemon.wait_for("WAN is up");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.child.wait().unwrap().success());
    assert!(!daemon.folder.join("run/control.sock").exists());
}

#[test]
fn in_a_jail_without_a_list_of_users_the_state_folder_tells_who_is_meant() {
    let test = "in_a_jail_without_a_list_of_users_the_state_folder_tells_who_is_meant";
    if !needs::are_met(test, &["unshare", "mount"]) {
        return;
    }
    // The folder `empty` hides /etc; exec keeps the process, and its number, the child's.
    let hide = "mount --bind empty /etc && exec \"$@\"";
    let mut daemon =
        Daemon::start("jail", "cosip", &["unshare", "--mount", "sh", "-c", hide, "sh"]);
    daemon.wait_for("WAN has no address");
    assert_dropped(&daemon.status(), NET_ADMIN);
}

#[test]
fn an_unknown_user_is_an_error_and_no_root() {
    if !needs::are_met("an_unknown_user_is_an_error_and_no_root", &[]) {
        return;
    }
    let settings = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unknown-user");
    std::fs::write(&settings, SETTINGS).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_cosip"))
        .args(["run", "--user", "cosip-nobody-knows", "-c"])
        .arg(&settings)
        .args(["--state", env!("CARGO_TARGET_TMPDIR"), "--run", env!("CARGO_TARGET_TMPDIR")])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no user"));
}

#[test]
fn where_nothing_can_be_kept_the_daemon_serves_without() {
    let test = "where_nothing_can_be_kept_the_daemon_serves_without";
    if !needs::are_met(test, &["setpriv"]) {
        return;
    }
    let before = ["setpriv", "--securebits", "+keep_caps_locked"];
    let mut daemon = Daemon::start("locked", "nobody", &before);
    daemon.wait_for("WAN has no address");
    assert_dropped(&daemon.status(), NOTHING);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for("stopped");
    assert!(daemon.errors().contains("CAP_NET_ADMIN cannot be kept"));
}

/// What the kernel says of this thread's effective set.
fn effective() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    field(&status, "CapEff").concat()
}

/// Whether a socket can be made transparent, which takes CAP_NET_ADMIN.
fn can_be_transparent() -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpTransparent, &true).is_ok()
}

#[test]
fn the_capability_is_awake_only_around_the_work_that_needs_it() {
    if !needs::are_met("the_capability_is_awake_only_around_the_work_that_needs_it", &[]) {
        return;
    }
    // Capabilities belong to a thread; this one ends with them.
    let thread = std::thread::Builder::new().spawn(|| {
        let none = CapabilitySet::empty();
        let permitted = CapabilitySet::NET_ADMIN;
        let asleep = CapabilitySets { effective: none, permitted, inheritable: none };
        set_capabilities(None, asleep).unwrap();
        assert!(!can_be_transparent());
        let (awake, transparent) = with_net_admin(|| (effective(), can_be_transparent()));
        assert_eq!((awake.as_str(), transparent), (NET_ADMIN, true));
        assert_eq!(effective(), NOTHING);
        let without = CapabilitySets { permitted: none, ..asleep };
        set_capabilities(None, without).unwrap();
        assert!(!with_net_admin(can_be_transparent), "what is gone is gone");
    });
    thread.unwrap().join().unwrap();
}
