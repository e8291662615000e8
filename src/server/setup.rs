//! Makes what a network needs at its provider's, and delegates anew.

use super::books::{Books, Deed};
use super::error::{AnchorFault, DatabaseFault, FolderFault, Refusal, ServerError};
use super::folder::{
    ANCHOR, ANCHOR_PUBLIC, DATABASE, Folder, ISSUING, OWN_SETTINGS, PLACES, SECRET, SETTINGS,
    read_provider,
};
use super::office::Office;
use super::text::hex;
use super::{DAY_S, Moment, settings as own_settings, vault};
use crate::driver::files::replace;
use crate::driver::read_secret;
use crate::identity::authority::Authority;
use crate::identity::chain::Validity;
use crate::identity::{Identity, NetworkKeys, PublicKey};
use crate::rng::Rng;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Days for which the anchor delegates where nothing else is said.
pub const DELEGATION_DAYS: u32 = 90;
/// And at most: lists of revocations say in one byte when what is on them ends.
pub const DELEGATION_DAYS_MAX: u32 = 250;

/// The database of one machine.
const OWN_DATABASE: &str = "sqlite:state.db";

/// What `init` is told.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The routers' settings.
    pub settings: &'a Path,
    /// The network's secret, where there is one already.
    pub secret: Option<&'a Path>,
    /// Where the anchor's key goes, if not into the folder.
    pub offline: Option<&'a Path>,
    /// The address of the database, if not a file in the folder.
    pub database: Option<&'a str>,
    /// For how many days the anchor delegates.
    pub days: u32,
    /// What the anchor's key is encrypted under.
    pub passphrase: &'a str,
}

/// What it has made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The name of the network.
    pub network: String,
    /// The anchor's public key.
    pub anchor: PublicKey,
    /// Where its secret half is.
    pub path: PathBuf,
    /// Until when it has delegated.
    pub until_s: u32,
}

/// Removes what an `init` that failed has written.
struct Undo {
    folder: Folder,
    made_folder: bool,
    anchor: PathBuf,
    armed: bool,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let names =
            [SETTINGS, OWN_SETTINGS, SECRET, PLACES, ANCHOR_PUBLIC, ISSUING, DATABASE, "state.db"];
        let files = names.into_iter().map(|name| self.folder.file(name));
        // They may not have been written yet.
        files.chain([self.anchor.clone()]).for_each(|file| drop(fs::remove_file(file)));
        if self.made_folder {
            let _ = fs::remove_dir(self.folder.path());
        }
    }
}

/// Makes the folder, its keys, and the books.
///
/// # Errors
/// What is wrong with the plan, and what can fail; then nothing is left behind.
pub fn init(
    folder: &Folder,
    plan: &Plan<'_>,
    moment: Moment<'_>,
    rng: &mut Rng,
) -> Result<Made, ServerError> {
    let validity = delegated_for(plan.days, moment)?;
    let (settings, config) = read_provider(plan.settings)?;
    let name = config.network_name();
    let (secret, keys) = secret(plan, name, rng)?;
    let path = plan.offline.map_or_else(|| folder.file(ANCHOR), Path::to_owned);
    if path.exists() {
        return Err(ServerError::Folder(path, FolderFault::Exists));
    }
    let (anchor, issuing) = (new_key(rng)?, new_key(rng)?);
    let sealed = vault::seal(&path, &anchor, plan.passphrase, rng.bytes())?;
    let made_folder = !folder.check_empty()?;
    folder.ensure()?;
    let mut undo = Undo { folder: folder.clone(), made_folder, anchor: path.clone(), armed: true };
    replace(&path, sealed.as_bytes(), true)?;
    folder.write(SETTINGS, &settings)?;
    folder.write(OWN_SETTINGS, own_settings::TEMPLATE)?;
    folder.write(SECRET, &secret)?;
    folder.write(PLACES, &format!("{}\n", hex(&rng.bytes::<32>())))?;
    folder.write(ANCHOR_PUBLIC, &format!("{}\n", hex(&anchor.public())))?;
    let address = plan.database.unwrap_or(OWN_DATABASE);
    folder.write(DATABASE, &format!("{address}\n"))?;
    let mut books = Books::open(address, folder.path())?;
    let public = anchor.public();
    let authority = Authority::anchor(anchor, keys.network());
    books.alone(|books| {
        if let Some((name, _)) = books.network()? {
            return Err(books.fault(DatabaseFault::Taken(name)));
        }
        books.found(name, &public)?;
        let detail = format!("network {name}, anchor {}", hex(&public));
        books.note(moment, &Deed { what: "init", detail: &detail, ..Deed::default() })?;
        delegate_to(folder, books, &authority, &issuing, validity, moment)
    })?;
    undo.armed = false;
    Ok(Made { network: name.to_owned(), anchor: public, path, until_s: validity.until_s })
}

/// Has the anchor delegate to the issuing key again, or to a new one. Returns until when.
///
/// # Errors
/// Where it is not this network's anchor, and what else can fail.
pub fn delegate(
    office: &mut Office,
    anchor: Identity,
    days: u32,
    new: Option<&mut Rng>,
    moment: Moment<'_>,
) -> Result<u32, ServerError> {
    let validity = delegated_for(days, moment)?;
    let issuing = match new {
        Some(rng) => new_key(rng)?,
        None => office.folder.issuing()?.0,
    };
    let authority = Authority::anchor(anchor, office.keys.network());
    let folder = &office.folder;
    office
        .books
        .alone(|books| delegate_to(folder, books, &authority, &issuing, validity, moment))?;
    Ok(validity.until_s)
}

/// The anchor's key, from the file `path`, or from the folder.
///
/// # Errors
/// Where it is not there, does not open, or is another network's.
pub fn open_anchor(
    folder: &Folder,
    path: Option<&Path>,
    passphrase: impl FnOnce() -> Result<Zeroizing<String>, ServerError>,
) -> Result<Identity, ServerError> {
    let path = path.map_or_else(|| folder.file(ANCHOR), Path::to_owned);
    let text = match read_secret(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ServerError::Anchor(path, AnchorFault::Absent));
        }
        text => text?,
    };
    let anchor = vault::open(&path, &text, &passphrase()?)?;
    if anchor.public() == folder.anchor()? {
        Ok(anchor)
    } else {
        Err(ServerError::Anchor(path, AnchorFault::Other))
    }
}

fn delegated_for(days: u32, moment: Moment<'_>) -> Result<Validity, Refusal> {
    if !(1..=DELEGATION_DAYS_MAX).contains(&days) {
        return Err(Refusal::Days(DELEGATION_DAYS_MAX));
    }
    let from_s = moment.stamp().saturating_sub(DAY_S as u32);
    Ok(Validity { from_s, until_s: moment.stamp().saturating_add(days * DAY_S as u32) })
}

/// The network's secret: the text of its file, and the keys that follow.
fn secret(
    plan: &Plan<'_>,
    name: &str,
    rng: &mut Rng,
) -> Result<(String, NetworkKeys), ServerError> {
    let path = plan.secret.unwrap_or_else(|| Path::new(SECRET));
    let text = match plan.secret {
        Some(path) => read_secret(path)?,
        None => format!("{}\n", hex(&rng.bytes::<32>())),
    };
    let keys = NetworkKeys::parse(&text, name)
        .map_err(|error| ServerError::Folder(path.to_owned(), error.into()))?;
    Ok((text, keys))
}

fn new_key(rng: &mut Rng) -> Result<Identity, ServerError> {
    Identity::from_seed(rng.bytes())
        .map_err(|error| ServerError::System(io::Error::other(error.to_string())))
}

/// Signs and writes a delegation down. The file comes last: what it holds is in the books.
fn delegate_to(
    folder: &Folder,
    books: &mut Books,
    anchor: &Authority,
    issuing: &Identity,
    validity: Validity,
    moment: Moment<'_>,
) -> Result<(), ServerError> {
    let serial = books.next_serial(moment.now_s)?;
    let public = issuing.public();
    let delegation = anchor.delegate(serial, &public, validity);
    books.add_delegation(serial, &public, (validity.from_s, validity.until_s))?;
    let detail = format!("to the issuing key {}", hex(&public));
    let deed = Deed { what: "delegate", serial: Some(serial), detail: &detail, ..Deed::default() };
    books.note(moment, &deed)?;
    folder.set_issuing(issuing, &delegation)
}
