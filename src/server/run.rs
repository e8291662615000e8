//! `cosip-server run`: what is done before the run loop.

use super::commands::Said;
use super::desk::{CHALLENGES_PER_S_MAX, Desk};
use super::error::ServerError;
use super::folder::{CERTIFICATE, Folder, OWN_SETTINGS, SECRET};
use super::office::Office;
use super::serve::Served;
use super::settings;
use super::watch::{WATCH_INTERVAL_S, WATCH_INTERVAL_S_MAX, Watch};
use crate::adapter::Adapter;
use crate::driver::{Driver, Folders, Options, hold_signals, logger, start};
use crate::rng::Rng;
use crate::time::Instant;
use lexopt::prelude::{Long, ValueExt as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the control socket is, where nothing else is said.
const RUN: &str = "/run/cosip-server";

/// Serves until it is told to stop.
///
/// # Errors
/// What keeps it from starting, and from going on.
pub fn run(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(super::commands::FOLDER);
    let (mut run, mut metrics) = (PathBuf::from(RUN), None::<SocketAddr>);
    let (mut challenges, mut watch) = (CHALLENGES_PER_S_MAX, WATCH_INTERVAL_S);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("run") => run = arguments.value()?.into(),
            Long("metrics") => metrics = Some(arguments.value()?.parse()?),
            Long("challenges") => challenges = arguments.value()?.parse()?,
            Long("watch") => watch = arguments.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if !(1..=CHALLENGES_PER_S_MAX).contains(&challenges) {
        return Err("--challenges: a number from 1 to 50, a second".into());
    }
    if watch > WATCH_INTERVAL_S_MAX {
        return Err("--watch: seconds, up to 3600; 0 watches nobody".into());
    }
    hold_signals()?;
    let folder = Folder::new(folder);
    let office = Office::open(folder.clone())?;
    let config = settings::read(&folder, &office.config, office.anchor)?;
    logger::set_level(config.adapter.log_level);
    let mut folders = Folders::new(folder.path(), run);
    folders.certificate = CERTIFICATE.into();
    folders.create().map_err(|error| {
        let text = format!("{error}; the systemd unit makes it, or name another by --run FOLDER");
        std::io::Error::new(error.kind(), text)
    })?;
    if let Some(few) = start::raise_descriptor_limit(&config) {
        log::warn!("{few}");
    }
    let identity = start::identity(&config, &folders)?;
    let starts = folders.count_start()?;
    let mut driver = Driver::new(Options {
        folders: Some(folders),
        settings: Some(folder.file(OWN_SETTINGS)),
        // It runs: that of its settings is the routers' alone.
        can_be_disabled: false,
        secrets: Some(folder.file(SECRET)),
        signals: true,
        metrics,
        lan: config.adapter.lan.clone(),
        wan: config.adapter.wan.clone(),
        ..Options::default()
    })?;
    let now = Instant::ZERO;
    let mut rng = Rng::new(start::random_seed()?);
    let (keys, key) = (Some(&office.keys), identity.public());
    let mut adapter = Adapter::new(&config, &identity, keys, starts, rng.bytes(), now);
    let desk = Desk::new(now, key, challenges, &mut rng);
    let watch = Watch::new(now, key, office.keys.network(), watch, &mut rng);
    log::info!("cosip-server {}: adapter {}", env!("CARGO_PKG_VERSION"), adapter.id());
    driver.run(&mut Served::new(&mut adapter, key, office, (desk, watch), now))?;
    log::info!("stopped");
    Ok(Said::default())
}

/// `status`: asks the server that runs on this machine.
///
/// # Errors
/// Where none answers.
pub fn status(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut run = PathBuf::from(RUN);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("run") => run = arguments.value()?.into(),
            // As all commands have it.
            Long("dir") => drop(arguments.value()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let folders = Folders::new(super::commands::FOLDER, run);
    let ask = |word| {
        let reply = crate::driver::ask(&folders, &[word]).map_err(|error| {
            let socket = folders.control_socket();
            let text = format!("{}: {error}; does cosip-server run there?", socket.display());
            std::io::Error::new(error.kind(), text)
        })?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&reply).into_owned())
    };
    let (status, desk, watch) = (ask("status")?, ask("desk")?, ask("watch")?);
    let [status, desk, watch] = [&status, &desk, &watch].map(|it| it.trim());
    let result = format!("{{\"adapter\":{status},\"desk\":{desk},\"watch\":{watch}}}\n");
    Ok(Said { result, ..Said::default() })
}
