//! The one program on the router: the daemon, and the tools that ask it.

use cosip::adapter::Adapter;
use cosip::config::{Config, Mode, schema};
use cosip::control::commands::{Action, HELP, Invocation, parse};
use cosip::driver::plugin::{self, Places};
use cosip::driver::{Driver, Folders, Options, hold_signals, logger, privileges, start, tools};
use cosip::time::Instant;
use std::io;
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
        certificate: defaults.certificate,
    };
    let Invocation { action, settings, .. } = invocation;
    match action {
        Action::Run { user } => run(&settings, folders, user.as_deref()),
        Action::Check => tools::check(&settings),
        Action::Schema => tools::print(&schema::json()),
        Action::Ask { words, json } => tools::tell(&settings, &folders, &words, json),
        Action::Rpcd { words, service } => {
            let places = Places { settings: &settings, folders: &folders, service: &service };
            plugin::rpcd(&places, &words)
        }
        Action::Help => tools::print(HELP),
        Action::Version => tools::print(concat!("cosip ", env!("CARGO_PKG_VERSION"))),
    }
}

fn run(settings: &Path, folders: Folders, user: Option<&str>) -> ExitCode {
    logger::init(log::LevelFilter::Info);
    if let Err(error) = hold_signals() {
        log::error!("no signal can be held: {error}");
        return ExitCode::FAILURE;
    }
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

fn serve(
    config: &Config,
    settings: &Path,
    mut folders: Folders,
    user: Option<&str>,
) -> io::Result<()> {
    folders.certificate = config.identity.certificate.clone().into();
    folders.create()?;
    if let Some(few) = start::raise_descriptor_limit(config) {
        log::warn!("{few}");
    }
    if let Some(user) = user {
        privileges::drop_to(user, &folders)?;
    }
    let identity = start::identity(config, &folders)?;
    let secrets = folders.resolve(&config.overlay.secret_file);
    let keys = match start::network_keys(config, &secrets) {
        Ok(keys) => Some(keys),
        Err(error) => {
            // Without a secret the settings may still ask for the server alone.
            let needed = config.adapter.mode != Mode::Server;
            let level = if needed { log::Level::Error } else { log::Level::Debug };
            log::log!(
                level,
                "the overlay needs the network's secret (or option mode: server): {error}"
            );
            None
        }
    };
    let starts = folders.count_start()?;
    let mut driver = Driver::new(Options {
        folders: Some(folders.clone()),
        settings: Some(settings.to_owned()),
        secrets: Some(secrets),
        signals: true,
        lan: config.adapter.lan.clone(),
        wan: config.adapter.wan.clone(),
        ..Options::default()
    })?;
    let seed = start::random_seed()?;
    let adapter = Adapter::new(config, &identity, keys.as_ref(), starts, seed, Instant::ZERO);
    // It lives as long as the process, whose memory goes back as a whole.
    let adapter = Box::leak(Box::new(adapter));
    log::info!("cosip {}: adapter {}", env!("CARGO_PKG_VERSION"), adapter.id());
    driver.run(adapter)?;
    log::info!("stopped");
    Ok(())
}
