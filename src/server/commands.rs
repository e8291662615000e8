//! The commands of `cosip-server`, each with its arguments. They read the clock and ask the kernel
//! for randomness; what they call does not.

use super::books::Selector;
use super::error::ServerError;
use super::folder::{Folder, SETTINGS};
use super::office::{CERTIFICATE_DAYS_MAX, Office, Order, read_key};
use super::secrets::ROLL_DAYS_MIN;
use super::setup::{self, DELEGATION_DAYS, Plan};
use super::text::{hex, moment as written};
use super::{Moment, passphrase, show};
use crate::driver::files::replace;
use crate::driver::start::random_seed;
use crate::identity::Identity;
use crate::identity::certificate::text;
use crate::rng::Rng;
use lexopt::prelude::{Long, Value, ValueExt as _};
use nix::unistd::{User, geteuid};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the files of the network are, where nothing else is said.
pub(super) const FOLDER: &str = "/var/lib/cosip-server";

/// What a command prints.
#[derive(Debug, Default)]
pub struct Said {
    /// What was asked for: to standard output.
    pub result: String,
    /// What else there is to know: to standard error.
    pub remark: String,
}

/// `init`: makes what a network needs.
///
/// # Errors
/// [`ServerError`], as of all that follows.
pub fn init(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut settings, mut secret, mut offline) = (None::<PathBuf>, None::<PathBuf>, None);
    let (mut database, mut file, mut days) = (None::<String>, None::<PathBuf>, DELEGATION_DAYS);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("settings") => settings = Some(arguments.value()?.into()),
            Long("secret") => secret = Some(arguments.value()?.into()),
            Long("offline") => offline = Some(PathBuf::from(arguments.value()?)),
            Long("database") => database = Some(arguments.value()?.string()?),
            Long("days") => days = arguments.value()?.parse()?,
            Long("passphrase-file") => file = Some(arguments.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let settings = settings.ok_or("--settings FILE is missing: what all routers are set to")?;
    let folder = Folder::new(folder);
    folder.check_empty()?;
    let passphrase = passphrase::ask(file.as_deref(), true)?;
    let plan = Plan {
        settings: &settings,
        secret: secret.as_deref(),
        offline: offline.as_deref(),
        database: database.as_deref(),
        days,
        passphrase: &passphrase,
    };
    let by = who();
    let made = setup::init(&folder, &plan, now(&by), &mut rng()?)?;
    let result = format!(
        "network {}\nanchor {}\ndelegated until {} UTC\n",
        made.network,
        hex(&made.anchor),
        written(made.until_s.into())
    );
    let remark = format!(
        "the anchor's key is in {}; keep a copy elsewhere: without it and its passphrase no \
         delegation is renewed\n",
        made.path.display()
    );
    Ok(Said { result, remark })
}

/// `delegate`: has the anchor renew its delegation.
pub fn delegate(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut anchor, mut file) = (None::<PathBuf>, None::<PathBuf>);
    let (mut days, mut new_key) = (DELEGATION_DAYS, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("anchor") => anchor = Some(arguments.value()?.into()),
            Long("passphrase-file") => file = Some(arguments.value()?.into()),
            Long("days") => days = arguments.value()?.parse()?,
            Long("new-key") => new_key = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let folder = Folder::new(folder);
    let mut office = Office::open(folder.clone())?;
    let anchor = open_anchor(&folder, anchor.as_deref(), file.as_deref())?;
    let mut rng = new_key.then(rng).transpose()?;
    let by = who();
    let until_s = setup::delegate(&mut office, anchor, days, rng.as_mut(), now(&by))?;
    let result = format!("delegated until {} UTC\n", written(until_s.into()));
    Ok(Said { result, ..Said::default() })
}

/// `issue`: prints what a router keeps as its `adapter.crt`.
pub fn issue(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut key, mut aors) = (None, Vec::new());
    let (mut days, mut second) = (CERTIFICATE_DAYS_MAX, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("key") => key = Some(read_key(&arguments.value()?.string()?)?),
            Long("aor") => aors.push(arguments.value()?.string()?),
            Long("days") => days = arguments.value()?.parse()?,
            Long("second") => second = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let adapter = key.ok_or("--key HEX is missing: the router's public key")?;
    let mut office = Office::open(Folder::new(folder))?;
    let by = who();
    let order = Order { adapter, aors: &aors, days, second };
    let issued = office.issue(now(&by), &order)?;
    let certificate = &issued.certificate;
    let until = written(certificate.validity().until_s.into());
    let cut = "; the delegation ends then: cosip-server delegate renews it";
    let cut = if issued.is_cut { cut } else { "" };
    let (serial, aors) = (certificate.serial(), issued.aors.join(" "));
    Ok(Said {
        result: text::write(core::slice::from_ref(certificate)),
        remark: format!("certificate {serial} for {aors}, until {until} UTC{cut}\n"),
    })
}

/// `revoke`: ends certificates, or a delegation, before their time.
pub fn revoke(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut which, mut reason) = (Vec::new(), String::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("reason") => reason = arguments.value()?.string()?,
            Long("key") => {
                which.push(Selector::Adapter(read_key(&arguments.value()?.string()?)?));
            }
            Long("aor") => which.push(Selector::Aor(arguments.value()?.string()?)),
            Value(serial) => which.push(Selector::Serial(serial.parse()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let [which] = which.as_slice() else {
        return Err("one of SERIAL, --key HEX and --aor AOR, and only one".into());
    };
    let mut office = Office::open(Folder::new(folder))?;
    let by = who();
    let serials = office.revoke(now(&by), which, &reason)?;
    let result = serials.iter().map(|serial| format!("{serial}\n")).collect();
    let remark =
        "cosip-server run lists them within a minute, and routers hear of it in a few\n".into();
    Ok(Said { result, remark })
}

/// `revocations`: makes the next list, which cosip-server run has spread, and which may be written
/// into a file, too.
pub fn revocations(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut anchor, mut file, mut out) = (None::<PathBuf>, None::<PathBuf>, None::<PathBuf>);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("anchor") => anchor = Some(arguments.value()?.into()),
            Long("passphrase-file") => file = Some(arguments.value()?.into()),
            Long("out") => out = Some(arguments.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let folder = Folder::new(folder);
    let mut office = Office::open(folder.clone())?;
    let anchor = match anchor {
        Some(path) => Some(open_anchor(&folder, Some(&path), file.as_deref())?),
        None => None,
    };
    let by = who();
    let list = office.list(now(&by), anchor)?;
    if let Some(out) = out {
        replace(&out, &list.bytes, true)?;
    }
    let result = format!("list {}, {} on it\n", list.number, list.entries);
    Ok(Said { result, ..Said::default() })
}

/// `secret`: shows the network's secrets, and makes a new one.
pub fn secret(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut new, mut days) = (false, None::<u32>);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("new") => new = true,
            Long("days") => days = Some(arguments.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if days.is_some() && !new {
        return Err("--days is said with --new alone".into());
    }
    let mut office = Office::open(Folder::new(folder))?;
    let by = who();
    let moment = now(&by);
    office.keep_secrets(moment)?;
    if new {
        office.new_secret(moment, days.unwrap_or(ROLL_DAYS_MIN), &mut rng()?)?;
    }
    let result = show::secrets(&office.shown_secrets(moment));
    let brought = "routers are brought it with their next certificates; export it for new images\n";
    let remark = if new { brought.to_owned() } else { office.spread(moment)? };
    Ok(Said { result, remark })
}

/// `list`: who is certified.
pub fn list(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let (mut which, mut all) = (Selector::All, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("all") => all = true,
            Long("key") => which = Selector::Adapter(read_key(&arguments.value()?.string()?)?),
            Long("aor") => which = Selector::Aor(arguments.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut office = Office::open(Folder::new(folder))?;
    if let Selector::Aor(aor) = &which {
        which = Selector::Aor(office.spell(aor)?);
    }
    let now_s = unix_s();
    let result = show::certificates(office.books(), &which, all, now_s)?;
    Ok(Said { result, ..Said::default() })
}

/// `audit`: what was done, when and by whom.
pub fn audit(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let folder = only_folder(arguments)?;
    let result = show::audit(Office::open(folder)?.books())?;
    Ok(Said { result, ..Said::default() })
}

/// `export`: writes what a router's image needs.
pub fn export(arguments: &mut lexopt::Parser) -> Result<Said, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    let mut out = None::<PathBuf>;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            Long("out") => out = Some(arguments.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let out = Folder::new(out.ok_or("--out DIR is missing: where settings and secret go")?);
    let mut office = Office::open(Folder::new(folder))?;
    let by = who();
    office.keep_secrets(now(&by))?;
    office.export(&out)?;
    let result = format!("{}\n", out.file(SETTINGS).display());
    let remark = format!("make image-overlay PROVIDER={}\n", out.file(SETTINGS).display());
    Ok(Said { result, remark })
}

fn only_folder(arguments: &mut lexopt::Parser) -> Result<Folder, ServerError> {
    let mut folder = PathBuf::from(FOLDER);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("dir") => folder = arguments.value()?.into(),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Folder::new(folder))
}

fn open_anchor(
    folder: &Folder,
    path: Option<&Path>,
    file: Option<&Path>,
) -> Result<Identity, ServerError> {
    setup::open_anchor(folder, path, || passphrase::ask(file, false))
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn now(by: &str) -> Moment<'_> {
    Moment { now_s: unix_s(), by }
}

/// Who gave the command: also where they became another user for it.
fn who() -> String {
    let uid = geteuid();
    let user = User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| uid.to_string(), |user| user.name);
    match std::env::var("SUDO_USER") {
        Ok(before) if before != name => format!("{before} as {name}"),
        _ => name,
    }
}

fn rng() -> Result<Rng, ServerError> {
    Ok(Rng::new(random_seed()?))
}
