//! The one program on the router: the daemon, and the tools that ask it.

use cosip::adapter::Adapter;
use cosip::config::{self, Config, Mode, schema};
use cosip::control::commands::{Action, HELP, Invocation, parse};
use cosip::control::render;
use cosip::driver::{Driver, Folders, Options, ask, logger, start};
use cosip::time::Instant;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit statuses of sysexits.h: wrong usage, wrong settings.
const USAGE: u8 = 64;
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let invocation = match parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("cosip: {error}");
            return USAGE.into();
        }
    };
    let defaults = Folders::default();
    let folders = Folders {
        state: invocation.state.clone().unwrap_or(defaults.state),
        run: invocation.run.clone().unwrap_or(defaults.run),
    };
    let Invocation { action, settings, .. } = invocation;
    match action {
        Action::Run { user } => run(&settings, folders, user.as_deref()),
        Action::Check => check(&settings),
        Action::Schema => print(&schema::json()),
        Action::Ask { words, json } => tell(&settings, &folders, &words, json),
        Action::Help => print(HELP),
        Action::Version => print(concat!("cosip ", env!("CARGO_PKG_VERSION"))),
    }
}

fn run(settings: &Path, folders: Folders, user: Option<&str>) -> ExitCode {
    logger::init(log::LevelFilter::Info);
    let config = match start::load_settings(settings) {
        Ok(config) => config,
        Err(error) => {
            log::error!("{error}");
            return CONFIG.into();
        }
    };
    if !config.adapter.enabled {
        log::info!("{}: disabled by option enabled '0'", settings.display());
        return ExitCode::SUCCESS;
    }
    logger::set_level(config.adapter.log_level);
    match serve(&config, settings, folders, user) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config, settings: &Path, folders: Folders, user: Option<&str>) -> io::Result<()> {
    folders.create()?;
    start::raise_descriptor_limit();
    let identity = start::identity(config, &folders)?;
    let keys = match start::network_keys(config, &folders) {
        Ok(keys) => Some(keys),
        Err(error) => {
            // Without a secret the settings may still ask for the server alone.
            let needed = config.adapter.mode != Mode::Server;
            let level = if needed { log::Level::Error } else { log::Level::Debug };
            log::log!(level, "the overlay cannot run without the network's secret: {error}");
            None
        }
    };
    let starts = folders.count_start()?;
    let mut driver = Driver::new(Options {
        folders: Some(folders.clone()),
        settings: Some(settings.to_owned()),
        signals: true,
        lan: config.adapter.lan.clone(),
        wan: config.adapter.wan.clone(),
        ..Options::default()
    })?;
    if let Some(user) = user {
        start::drop_privileges(user, &folders)?;
    }
    let seed = start::random_seed()?;
    let mut adapter = Adapter::new(config, &identity, keys.as_ref(), starts, seed, Instant::ZERO);
    log::info!("cosip {}: adapter {}", env!("CARGO_PKG_VERSION"), adapter.id());
    driver.run(&mut adapter)?;
    log::info!("stopped");
    Ok(())
}

fn check(settings: &Path) -> ExitCode {
    match start::check_settings(settings) {
        Ok((_, warnings)) => {
            warnings.iter().for_each(|warning| eprintln!("{warning}"));
            print(&format!("{}: no errors", settings.display()))
        }
        Err(error) => {
            eprintln!("{error}");
            CONFIG.into()
        }
    }
}

/// Asks the daemon and prints what it says.
fn tell(settings: &Path, folders: &Folders, words: &[String], json: bool) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut reply = match ask(folders, &words) {
        Ok(reply) => reply,
        Err(error) => return unanswered(settings, folders, &words, json, &error),
    };
    if words == ["status"] {
        let driver = ask(folders, &["driver"]).unwrap_or_default();
        reply = render::with_driver_counters(&reply, &driver);
    }
    print(&if json { String::from_utf8_lossy(&reply).into_owned() } else { render::text(&reply) })
}

fn unanswered(
    settings: &Path,
    folders: &Folders,
    words: &[&str],
    json: bool,
    error: &io::Error,
) -> ExitCode {
    let checked: Result<_, config::Error> = start::check_settings(settings);
    if json && words == ["status"] {
        print(&render::not_running(env!("CARGO_PKG_VERSION"), checked.as_ref().err()));
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        eprintln!("cosip: {}: {error}", folders.control_socket().display());
    } else {
        eprintln!("cosip: no daemon answers at {}: {error}", folders.control_socket().display());
        checked.err().iter().for_each(|error| eprintln!("cosip: it would not start: {error}"));
    }
    ExitCode::FAILURE
}

/// Prints, where somebody reads.
fn print(text: &str) -> ExitCode {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(io::stdout(), "{text}{end}");
    ExitCode::SUCCESS
}
