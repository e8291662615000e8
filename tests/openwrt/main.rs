//! What routers get: the init and first-boot scripts under busybox ash with the real daemon, the
//! packages, what is handed in to OpenWrt, and what a provider lays over an image.
//!
//! The cases of `cases.sh` run on the unpacked package, each on a router of its own that `enter.sh`
//! makes: a root folder, mounts, processes and network that end with it. procd, uci, fw4 and the
//! shell libraries are stood in for by `stubs/`. They need root.

#[path = "../rig/needs.rs"]
mod needs;
mod package;
mod scripts;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for one test, empty.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openwrt").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command that has to succeed; what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Plays one case of `cases.sh`.
#[track_caller]
fn play(case: &str) {
    let programs = ["unshare", "mount", "chroot", "busybox", "ip", "nft"];
    if !needs::are_met(case, &programs) {
        return;
    }
    let output = Command::new("sh")
        .arg(project().join("tests/openwrt/enter.sh"))
        .arg(package::built().join(package::IPK))
        .arg(scratch(case))
        .arg(case)
        .output()
        .unwrap();
    let done = String::from_utf8_lossy(&output.stdout).ends_with(&format!("done: {case}\n"));
    assert!(output.status.success() && done, "{case}: {}", told(&output));
}

macro_rules! cases {
    ($($case:ident)*) => {
        $(#[test]
        fn $case() {
            play(stringify!($case));
        })*

        #[test]
        fn every_case_is_played() {
            let played = [$(stringify!($case)),*];
            let text = std::fs::read_to_string(project().join("tests/openwrt/cases.sh")).unwrap();
            // Helpers have short names.
            let written = text.lines().filter_map(|line| line.strip_suffix("() {"));
            let written: Vec<&str> = written.filter(|name| name.contains('_')).collect();
            assert_eq!(written, played);
        }
    };
}

cases! {
    a_start_hands_over_what_the_daemon_needs_and_tells_the_firewall
    a_reload_is_a_signal_and_never_a_restart
    a_secret_that_root_exchanges_is_taken_by_a_reload
    wrong_settings_keep_the_daemon_running_and_are_told
    wrong_settings_at_boot_start_nothing_and_the_next_good_ones_do
    a_new_ppp_session_does_not_restart_the_daemon
    a_wan_that_is_not_up_at_boot_is_waited_for
    without_interception_nothing_that_is_for_others_is_let_in
    disabled_leaves_no_rule_no_port_no_file_and_no_process
    a_stop_keeps_what_the_next_start_needs
    a_killed_daemon_leaves_nothing_when_it_is_stopped_or_disabled
    what_root_puts_into_the_state_becomes_the_daemons_and_no_link_is_followed
    in_a_jail_only_the_two_folders_are_mounted
    sections_without_names_single_options_and_devices_are_understood
    literal_addresses_have_the_rules_of_the_network_that_holds_them
    the_first_boot_chooses_a_wan_port_that_nothing_else_uses_and_keeps_it
    an_account_that_the_plugin_sets_is_the_daemons_after_a_reload
    what_is_installed_passes_the_feeds_test
}
