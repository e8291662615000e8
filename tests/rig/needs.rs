//! What tests need of the machine, and what they say where it is missing.

use std::io::Write;
use std::path::PathBuf;

/// The program of each Debian package, where it is not found by its own name.
const PACKAGES: [(&str, &str); 18] = [
    ("kamailio", "kamailio"),
    ("sipp", "sip-tester"),
    ("tshark", "tshark"),
    ("baresip", "baresip-core"),
    ("linphonec", "linphone-cli"),
    ("miniupnpd", "miniupnpd-nftables"),
    ("dnsmasq", "dnsmasq-base"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("node", "nodejs"),
    ("script", "bsdutils"),
    ("initdb", "postgresql"),
    ("postgres", "postgresql"),
    ("systemd-analyze", "systemd"),
    ("dpkg-deb", "dpkg"),
    ("strip", "binutils"),
];

/// Whether `test` can run here: with all `programs`, and as root where `unshare` is among them.
/// Where it cannot, says what is missing and that the test is left out; panics instead where
/// `COSIP_TEST_ALL` is 1.
pub(crate) fn are_met(test: &str, programs: &[&str]) -> bool {
    let mut missing: Vec<String> = Vec::new();
    if programs.contains(&"unshare") && !nix::unistd::geteuid().is_root() {
        missing.push("root".into());
    }
    for program in programs.iter().filter(|program| find(program).is_none()) {
        let package = PACKAGES.iter().find(|(name, _)| name == program);
        missing.push(format!("{program} (package {})", package.map_or(*program, |it| it.1)));
    }
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(
        std::env::var("COSIP_TEST_ALL").as_deref() != Ok("1"),
        "{test} needs {missing}, and COSIP_TEST_ALL is 1"
    );
    // Past the capture of the test harness, which would keep it from whoever runs the tests.
    let _ = writeln!(std::io::stderr(), "left out: {test} needs {missing}");
    // And for `make test`, which says it again at its end.
    if let Some(path) = std::env::var_os("COSIP_LEFT_OUT") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "  {test}: needs {missing}"));
    }
    false
}

/// Where a program is; also in the folders that only root's PATH names, and in those of the servers
/// of PostgreSQL, one a version, which no PATH does.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(PathBuf::from);
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = folders.chain(versions.map(|version| version.path().join("bin")));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}
