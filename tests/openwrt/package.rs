//! The packages: what is in them is what they say, the same bytes wherever they are built.

use crate::{project, run, scratch, told};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Packages are tried with this machine's program, whatever the name says.
const ARCH: &str = "mips_24kc";
pub(crate) const IPK: &str = concat!("cosip_", env!("CARGO_PKG_VERSION"), "-r1_mips_24kc.ipk");

/// This machine's program without its debugging information.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = scratch("program").join("cosip");
        run(Command::new("strip").arg("-o").arg(&path).arg(env!("CARGO_BIN_EXE_cosip")));
        path
    })
}

fn package_command(project: &Path, out: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(project.join("scripts/package.sh"))
        .env("BINARY", program())
        .env("ARCHS", ARCH)
        .env("OUT", out)
        .env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

fn package(project: &Path, out: &Path) {
    run(&mut package_command(project, out));
}

/// The folder with the packages of this tree.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = scratch("built");
        package(project(), &out);
        out
    })
}

/// Unpacks a package into `control` and `data` below a folder of its own.
fn unpack(name: &str, package: &Path) -> PathBuf {
    let folder = scratch(name);
    run(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(&folder));
    for part in ["control", "data"] {
        fs::create_dir(folder.join(part)).unwrap();
        let archive = folder.join(format!("{part}.tar.gz"));
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.join(part)));
    }
    folder
}

fn field<'a>(control: &'a str, name: &str) -> &'a str {
    let lines = control.lines();
    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).next().unwrap_or_default()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_ipk_holds_what_its_control_data_says() {
    let folder = unpack("ipk", &built().join(IPK));
    assert_eq!(fs::read_to_string(folder.join("debian-binary")).unwrap(), "2.0\n");
    let control = fs::read_to_string(folder.join("control/control")).unwrap();
    for (name, value) in [
        ("Package", "cosip"),
        ("Version", concat!(env!("CARGO_PKG_VERSION"), "-r1")),
        ("Architecture", ARCH),
        ("License", "GPL-2.0-or-later"),
        ("LicenseFiles", "LICENSE"),
        ("Require-User", "cosip:cosip"),
        ("Depends", "kmod-nft-tproxy, kmod-nf-conntrack-netlink"),
        ("Section", "net"),
    ] {
        assert_eq!(field(&control, name), value, "{name}");
    }
    assert!(field(&control, "Maintainer").contains('@'));
    assert!(field(&control, "Description").len() > 20);
    let data = run(Command::new("sh")
        .args(["-c", "gzip -dc \"$0\" | wc -c"])
        .arg(folder.join("data.tar.gz")));
    assert_eq!(field(&control, "Installed-Size"), data.trim());
    let listed = fs::read_to_string(folder.join("control/conffiles")).unwrap();
    assert_eq!(listed, "/etc/config/cosip\n");
    for (path, wanted) in [
        ("control/postinst", 0o755),
        ("control/postinst-pkg", 0o755),
        ("control/prerm", 0o755),
        ("data/etc/config/cosip", 0o600),
        ("data/etc/init.d/cosip", 0o755),
        ("data/etc/uci-defaults/90-cosip", 0o755),
        ("data/usr/libexec/rpcd/luci.cosip", 0o755),
        ("data/usr/sbin/cosip", 0o755),
        ("data/lib/upgrade/keep.d/cosip", 0o644),
    ] {
        assert_eq!(mode(&folder.join(path)), wanted, "{path}");
    }
    let kept = fs::read_to_string(folder.join("data/lib/upgrade/keep.d/cosip")).unwrap();
    assert_eq!(kept, "/etc/cosip/\n");
    let list =
        run(Command::new("tar").args(["--numeric-owner", "-tvzf"]).arg(folder.join("data.tar.gz")));
    assert!(list.lines().all(|line| line.contains(" 0/0 ")), "all of it is root's: {list}");
    let version = run(Command::new(folder.join("data/usr/sbin/cosip")).arg("--version"));
    assert_eq!(version.trim(), format!("cosip {VERSION}"));
}

#[test]
fn packages_from_two_folders_are_the_same_bytes() {
    let mut made = Vec::new();
    // What other tools, or the user's habits, leave in a copy changes nothing.
    for (name, umask) in [("one", "022"), ("another/and/deeper", "077")] {
        let folder = scratch("two-folders").join(name);
        fs::create_dir_all(folder.join("tree")).unwrap();
        let copy = format!("umask {umask} && cp -R openwrt scripts Cargo.toml \"$0\"");
        let mut shell = Command::new("sh");
        run(shell.args(["-c", &copy]).arg(folder.join("tree")).current_dir(project()));
        package(&folder.join("tree"), &folder.join("dist"));
        let mut files = Vec::new();
        collect(&folder.join("dist"), Path::new(""), &mut files);
        files.sort();
        made.push(files);
    }
    assert!(made[0].len() > 8);
    let names =
        |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&made[0]), names(&made[1]));
    assert!(made[0] == made[1], "the same files, and other bytes in them");
}

fn collect(folder: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        if folder.join(&path).is_dir() {
            collect(folder, &path, files);
        } else {
            files.push((path.clone(), fs::read(folder.join(&path)).unwrap()));
        }
    }
}

/// Digits and dots, then what Alpine's and OpenWrt's tools both take: `-r` and a number.
fn is_version(text: &str) -> bool {
    let Some((version, release)) = text.split_once("-r") else { return false };
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    version.split('.').all(number) && number(release)
}

#[test]
fn versions_are_the_programs_own_and_both_tools_take_them() {
    assert!(is_version("1.20.3-r4"));
    assert!(!is_version("1.0.0-rc1-r1") && !is_version("1.0.0") && !is_version("v1-r1"));
    let makefile = fs::read_to_string(project().join("openwrt/net/cosip/Makefile")).unwrap();
    let value = |name: &str| makefile.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    assert_eq!(value("PKG_VERSION:="), VERSION);
    assert!(is_version(&format!("{VERSION}-r{}", value("PKG_RELEASE:="))));
}

#[test]
fn an_apk_has_the_same_files_and_the_command_that_makes_it() {
    let home = built().join("apk").join(ARCH).join("cosip");
    let own = |name: &str| {
        fs::read_to_string(home.join(format!("files/lib/apk/packages/cosip.{name}"))).unwrap()
    };
    assert_eq!(own("rusers"), "cosip:cosip\n");
    assert_eq!(own("conffiles"), "/etc/config/cosip\n/etc/cosip/\n");
    let sum = run(Command::new("sha256sum").arg(home.join("files/etc/config/cosip")));
    let sum = sum.split(' ').next().unwrap();
    assert_eq!(own("conffiles_static"), format!("/etc/config/cosip {sum}\n"));
    for path in own("list").lines() {
        assert!(home.join("files").join(&path[1..]).is_file(), "{path}");
    }
    // A tool of this name writes down how it is called.
    let tools = scratch("apk-tool");
    let path = with_apk(&tools);
    run(Command::new(home.join("mkpkg")).env("PATH", path).env("TOLD", tools.join("told")));
    let told = fs::read_to_string(tools.join("told")).unwrap();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[0], "mkpkg");
    for wanted in [
        "name:cosip",
        concat!("version:", env!("CARGO_PKG_VERSION"), "-r1"),
        "arch:mips_24kc",
        "license:GPL-2.0-or-later",
        "depends:kmod-nft-tproxy kmod-nf-conntrack-netlink",
        "post-install:post-install",
        "pre-deinstall:pre-deinstall",
        concat!("../cosip-", env!("CARGO_PKG_VERSION"), "-r1.apk"),
    ] {
        assert!(told.contains(&wanted), "{wanted} in {told:?}");
    }
    for script in ["post-install", "post-upgrade", "pre-deinstall", "post-deinstall"] {
        run(Command::new("sh").arg("-n").arg(home.join(script)));
    }
}

/// A path with a tool that says that it is apk-tools 3, and writes down how it is called.
fn with_apk(tools: &Path) -> String {
    let apk = tools.join("apk");
    let told = "echo apk-tools 3.0.5, compiled for x86_64.";
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] || exec {told}\nprintf '%s\\n' \"$@\" >>\"$TOLD\"\n"
    );
    fs::write(&apk, script).unwrap();
    fs::set_permissions(&apk, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())
}

#[test]
fn where_there_is_an_apk_it_makes_the_packages() {
    let tools = scratch("apk-makes");
    let path = with_apk(&tools);
    let out = tools.join("dist");
    run(package_command(project(), &out).env("PATH", path).env("TOLD", tools.join("told")));
    let told = fs::read_to_string(tools.join("told")).unwrap();
    assert_eq!(told.lines().filter(|line| *line == "mkpkg").count(), 2, "{told}");
    assert!(told.contains("name:luci-app-cosip") && told.contains("arch:noarch"), "{told}");
}

#[test]
fn what_is_handed_in_names_the_release_and_its_hash() {
    if !crate::needs::are_met("what_is_handed_in_names_the_release_and_its_hash", &["git"]) {
        return;
    }
    let out = scratch("feed");
    run(Command::new("sh")
        .arg(project().join("scripts/feed.sh"))
        .env("OUT", &out)
        .env("RELEASE_URL", "https://example.net/releases")
        .env("MAINTAINER", "Some One <one@example.net>"));
    let release = out.join(format!("cosip-{VERSION}.tar.gz"));
    let sum = run(Command::new("sha256sum").arg(&release));
    let makefile = fs::read_to_string(out.join("feed/telephony/net/cosip/Makefile")).unwrap();
    for line in [
        format!("PKG_HASH:={}", sum.split(' ').next().unwrap()),
        "PKG_SOURCE_URL:=https://example.net/releases".into(),
        "PKG_MAINTAINER:=Some One <one@example.net>".into(),
        "CARGO_PKG_PROFILE:=openwrt".into(),
    ] {
        assert!(makefile.lines().any(|found| found == line), "{line}");
    }
    let listed = run(Command::new("tar").arg("-tzf").arg(&release));
    for file in ["Cargo.toml", "Cargo.lock", "LICENSE", "src/bin/cosip.rs"] {
        let file = format!("cosip-{VERSION}/{file}");
        assert!(listed.lines().any(|found| found == file), "{file}");
    }
}

#[test]
fn what_nobody_told_of_a_release_is_taken_from_git_or_named_as_missing() {
    let name = "what_nobody_told_of_a_release_is_taken_from_git_or_named_as_missing";
    if !crate::needs::are_met(name, &["git"]) {
        return;
    }
    let folder = scratch("feed-defaults");
    let tree = folder.join("tree");
    let script = "mkdir \"$0\" && cp -R openwrt scripts Cargo.toml \"$0\" && cd \"$0\" && \
                  git init -q && git add . && \
                  git -c user.name=x -c user.email=x@example.net commit -qm x";
    run(Command::new("sh").args(["-c", script]).arg(&tree).current_dir(project()));
    let made = || {
        let mut command = Command::new("sh");
        command.arg("scripts/feed.sh").env("OUT", folder.join("out")).current_dir(&tree);
        for (name, value) in [("HOME", "/nonexistent"), ("GIT_CONFIG_NOSYSTEM", "1")] {
            command.env(name, value);
        }
        let output = command.env_remove("XDG_CONFIG_HOME").output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let path = folder.join("out/feed/telephony/net/cosip/Makefile");
        (told(&output), fs::read_to_string(path).unwrap())
    };
    let (told, _) = made();
    assert!(told.contains("make feed RELEASE_URL=") && told.contains("make feed MAINTAINER="));
    for words in [
        "remote add origin git@github.com:someone/cosip.git",
        "config user.name One",
        "config user.email one@example.net",
    ] {
        run(Command::new("git").args(words.split(' ')).current_dir(&tree));
    }
    let (told, makefile) = made();
    assert!(!told.contains("make feed"), "{told}");
    for line in [
        concat!(
            "PKG_SOURCE_URL:=https://github.com/someone/cosip/releases/download/v",
            env!("CARGO_PKG_VERSION")
        ),
        "PKG_MAINTAINER:=One <one@example.net>",
    ] {
        assert!(makefile.lines().any(|found| found == line), "{line}");
    }
}

const PROVIDER: &str = "config adapter\n\toption enabled '1'\n\nconfig provider\n\toption domain \
                        'example.net'\n\nconfig overlay\n\toption secret_file 'net.key'\n\tlist \
                        bootstrap 'seed.example.net:5070'\n";

fn overlay(folder: &Path, settings: &str, secret: Option<&str>) -> Output {
    fs::write(folder.join("provider.config"), settings).unwrap();
    let _ = fs::remove_file(folder.join("network.key"));
    if let Some(secret) = secret {
        fs::write(folder.join("network.key"), secret).unwrap();
    }
    Command::new("sh")
        .arg(project().join("scripts/image-overlay.sh"))
        .env("PROVIDER", folder.join("provider.config"))
        .env("COSIP", program())
        .env("OUT", folder.join("image"))
        .output()
        .unwrap()
}

#[test]
fn an_image_gets_the_providers_settings_and_secret_and_no_routers_key() {
    let folder = scratch("image");
    let secret = format!("{}\n", "5a".repeat(32));
    let made = overlay(&folder, PROVIDER, Some(&secret));
    assert!(made.status.success(), "{}", told(&made));
    let mut files = Vec::new();
    collect(&folder.join("image/files"), Path::new(""), &mut files);
    files.sort();
    let text = |name: &str, text: &str| (PathBuf::from(name), text.as_bytes().to_vec());
    assert_eq!(files, [text("etc/config/cosip", PROVIDER), text("etc/cosip/net.key", &secret)]);
    for (path, wanted) in [("config/cosip", 0o600), ("cosip/net.key", 0o600), ("cosip", 0o700)] {
        assert_eq!(mode(&folder.join("image/files/etc").join(path)), wanted, "{path}");
    }
}

#[test]
fn an_image_that_could_not_work_is_refused_with_what_is_missing() {
    let folder = scratch("refused");
    let secret = "5a".repeat(32);
    for (from, to, secret, reason) in [
        ("enabled '1'", "enabled '0'", Some(secret.as_str()), "enabled"),
        ("config provider\n\toption domain 'example.net'", "", Some(&secret), "provider"),
        ("list bootstrap", "#list bootstrap", Some(&secret), "bootstrap"),
        ("domain 'example.net'", "domain 'a b'", Some(&secret), "provider.config:5"),
        ("", "", None, "network.key"),
        ("", "", Some("5a"), "64 hex digits"),
    ] {
        let refused = overlay(&folder, &PROVIDER.replace(from, to), secret);
        assert_eq!(refused.status.code(), Some(1), "{reason}");
        assert!(told(&refused).contains(reason), "{reason}: {}", told(&refused));
        assert!(!folder.join("image/files/etc/cosip/net.key").exists(), "{reason}");
    }
    // The name of the secret's file, however UCI lets it be written.
    for written in ["other.key", "\"other.key\"", "'/etc/cosip/other.key'"] {
        let settings = PROVIDER.replace("'net.key'", written);
        let made = overlay(&folder, &settings, Some(&secret));
        assert!(made.status.success(), "{written}: {}", told(&made));
        assert!(folder.join("image/files/etc/cosip/other.key").exists(), "{written}");
    }
    let outside = overlay(&folder, &PROVIDER.replace("net.key", "/etc/other.key"), Some(&secret));
    assert_eq!(outside.status.code(), Some(1));
    // Without the overlay there is nothing to keep secret.
    let server = PROVIDER.replace("enabled '1'", "enabled '1'\n\toption mode 'server'");
    assert!(overlay(&folder, &server, None).status.success());
}

#[test]
fn openwrts_environment_changes_nothing_in_the_profile_of_routers() {
    let profile = |environment: &[(&str, &str)]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--profile", "openwrt", "--bin", "cosip"]);
        cargo.args(["--unit-graph", "-Zunstable-options"]).env("RUSTC_BOOTSTRAP", "1");
        cargo.current_dir(project()).envs(environment.iter().copied());
        let graph: serde_json::Value = serde_json::from_str(&run(&mut cargo)).unwrap();
        let units = graph["units"].as_array().unwrap();
        let program = |unit: &&serde_json::Value| unit["target"]["kind"][0] == "bin";
        units.iter().find(program).unwrap()["profile"].clone()
    };
    // What lang/rust sets, and the opposite of what is asked for where it sets the same.
    let of_openwrt = [
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
        ("CARGO_PROFILE_RELEASE_LTO", "false"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_PROFILE_RELEASE_PANIC", "unwind"),
        ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "true"),
    ];
    let ours = profile(&[]);
    assert_eq!((&ours["panic"], &ours["lto"]), (&"abort".into(), &"true".into()));
    assert_eq!(profile(&of_openwrt), ours);
}
