//! Issues certificates and revokes them.
//!
//! One AOR belongs to one adapter, unless the operator says that a customer has two: who could get
//! a certificate for an AOR that another has would take its calls. A key that was revoked as a
//! whole is certified no more.

use super::books::{Books, Deed, Entry, Selector};
use super::error::{DatabaseFault, FolderFault, Refusal, ServerError};
use super::folder::{DATABASE, Folder, ISSUING, SECRET, SETTINGS};
use super::metrics::Counts;
use super::text::{array_from_hex, hex};
use super::{DAY_S, Moment};
use crate::adapter::spelling;
pub use crate::channel::CERTIFIED_AORS_MAX;
use crate::config::Config;
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::enrolment::SERVER_AOR;
use crate::identity::record::Key;
use crate::identity::rolling::Rolled;
use crate::identity::trust::CLOCK_LATE_S;
use crate::identity::{Certificate, NetworkKeys, PublicKey, key};
use crate::net::NodeId;

/// Days that a certificate is valid at most, and where nothing else is said.
pub const CERTIFICATE_DAYS_MAX: u32 = 14;
/// Adapters with one AOR: callers are told of no more.
pub const ADAPTERS_PER_AOR_MAX: usize = 8;

/// Secrets that a network has at most while certificates are issued: the old one and the new one.
pub(super) const SECRETS_MAX: usize = 2;

/// What shall be certified.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The adapter's key.
    pub adapter: PublicKey,
    /// Its AORs, as SIP URIs.
    pub aors: &'a [String],
    /// For how many days.
    pub days: u32,
    /// Whether another adapter may have them, too.
    pub second: bool,
}

/// What was certified.
#[derive(Clone, Debug)]
pub struct Issued {
    /// What the router is given.
    pub certificate: Certificate,
    /// The AORs in their one spelling.
    pub aors: Vec<String>,
    /// Whether the delegation cuts it short.
    pub is_cut: bool,
}

/// Everything that issuing takes.
pub struct Office {
    pub(super) folder: Folder,
    pub(super) config: Config,
    pub(super) keys: NetworkKeys,
    pub(super) anchor: PublicKey,
    pub(super) books: Books,
    /// What the books say of secrets that take over.
    pub(super) rolled: Rolled,
}

impl Office {
    /// Opens the files and books of a network, which have to belong together.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn open(folder: Folder) -> Result<Self, ServerError> {
        let anchor = folder.anchor()?;
        let (_, config) = folder.settings()?;
        let keys = folder.network_keys(config.network_name())?;
        let address = folder.read(DATABASE)?;
        let mut books = Books::open(address.trim(), folder.path())?;
        let name = config.network_name();
        let Some((was, key)) = books.network()? else {
            return Err(books.fault(DatabaseFault::Empty));
        };
        if key != hex(&anchor) {
            return Err(books.fault(DatabaseFault::Taken(was)));
        }
        if was != name {
            let fault = FolderFault::Renamed { now: name.to_owned(), was };
            return Err(folder.fault(SETTINGS, fault));
        }
        let mut office = Self { folder, config, keys, anchor, books, rolled: Rolled::default() };
        office.read_secrets()?;
        Ok(office)
    }

    /// The books.
    pub fn books(&mut self) -> &mut Books {
        &mut self.books
    }

    /// Certifies an adapter.
    ///
    /// # Errors
    /// [`Refusal`], and what else can fail.
    pub fn issue(&mut self, moment: Moment<'_>, order: &Order<'_>) -> Result<Issued, ServerError> {
        if !(1..=CERTIFICATE_DAYS_MAX).contains(&order.days) {
            return Err(Refusal::Days(CERTIFICATE_DAYS_MAX).into());
        }
        let aors = self.spelled(order.aors)?;
        self.keep_secrets(moment)?;
        self.certify(moment, (&order.adapter, order.days), aors, &|_| order.second)
    }

    /// Certifies a CoSIP server, so that adapters find and know it. Nobody orders that.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub(super) fn issue_own(
        &mut self,
        moment: Moment<'_>,
        server: &PublicKey,
    ) -> Result<Issued, ServerError> {
        let aors = vec![SERVER_AOR.to_owned()];
        self.certify(moment, (server, CERTIFICATE_DAYS_MAX), aors, &|_| true)
    }

    /// Certifies an adapter for AORs in their one spelling; `beside` says of which another may
    /// have a certificate, too.
    pub(super) fn certify(
        &mut self,
        moment: Moment<'_>,
        (adapter, days): (&PublicKey, u32),
        aors: Vec<String>,
        beside: &dyn Fn(&str) -> bool,
    ) -> Result<Issued, ServerError> {
        let keys = self.overlay_keys(&aors)?;
        let (authority, delegated) = self.authority(moment)?;
        let places = self.folder.places()?;
        let validity = Validity {
            from_s: moment.stamp().saturating_sub(CLOCK_LATE_S),
            until_s: moment.stamp().saturating_add(days * DAY_S as u32),
        };
        let (anchor, network) = (self.anchor, *self.keys.network());
        let mixed = self.folder.fault(ISSUING, FolderFault::Mixed);
        self.books.alone(|books| {
            let others = admit(books, moment, adapter, &aors, beside)?;
            let known = books.place_of(adapter)?.and_then(|text| array_from_hex(&text));
            let place = known.map_or_else(|| Authority::place(&places, adapter), NodeId);
            let serial = books.next_serial(moment.now_s)?;
            let subject = Subject { serial, key: *adapter, place, validity, keys: &keys };
            let certificate = authority.certify(&subject);
            if !certificate.verify(&[anchor], &network) {
                return Err(mixed);
            }
            let valid = certificate.validity();
            books.add(&Entry {
                serial,
                adapter,
                place,
                from_s: valid.from_s,
                until_s: valid.until_s,
                aors: &aors,
                bytes: certificate.as_bytes(),
            })?;
            let what = if others.is_empty() { "issue" } else { "issue second" };
            books.note(
                moment,
                &Deed {
                    what,
                    serial: Some(serial),
                    adapter: Some(adapter),
                    aors: &aors,
                    detail: &others,
                },
            )?;
            let is_cut = delegated.until_s < validity.until_s;
            Ok(Issued { certificate, aors, is_cut })
        })
    }

    /// Ends certificates, or a delegation, before their time. Returns their numbers.
    ///
    /// # Errors
    /// [`Refusal::Nothing`], and what the database says.
    pub fn revoke(
        &mut self,
        moment: Moment<'_>,
        which: &Selector,
        reason: &str,
    ) -> Result<Vec<u64>, ServerError> {
        let which = match which {
            Selector::Aor(text) => Selector::Aor(self.spell(text)?),
            other => other.clone(),
        };
        self.books.alone(|books| revoke(books, moment, &which, reason))
    }

    /// The one spelling of an AOR.
    ///
    /// # Errors
    /// [`Refusal::Aor`] where it is of no provider that the settings name.
    pub fn spell(&self, text: &str) -> Result<String, Refusal> {
        let spelled = |provider| {
            let aor = spelling::key(text, provider)?;
            let may = aor.domain() == provider.domain && aor.as_str() != SERVER_AOR;
            may.then(|| aor.as_str().to_owned())
        };
        let found = self.config.providers.iter().find_map(spelled);
        found.ok_or_else(|| Refusal::Aor(text.to_owned()))
    }

    /// The overlay keys of AORs, under each secret.
    pub(super) fn overlay_keys(&self, aors: &[String]) -> Result<Vec<Key>, ServerError> {
        let all = aors.iter().flat_map(|aor| self.keys.aor_keys(aor));
        let keys: Vec<Key> = all.map(|key| Key::of(&key)).collect();
        if keys.len() > SECRETS_MAX * aors.len() {
            return Err(self.folder.fault(SECRET, FolderFault::ManySecrets));
        }
        Ok(keys)
    }

    /// Whether a certificate of these books will still do for these AORs for more than half of its
    /// life, under each secret, and the key that signed it may sign.
    pub(super) fn vouches_for(
        &mut self,
        moment: Moment<'_>,
        certificate: &Certificate,
        aors: &[String],
    ) -> Result<bool, ServerError> {
        let Validity { from_s, until_s } = certificate.validity();
        let half_s = until_s.saturating_sub(from_s) / 2;
        if until_s.saturating_sub(half_s) <= moment.stamp() {
            return Ok(false);
        }
        let keys = self.overlay_keys(aors)?;
        let delegation = certificate.delegation_serial();
        let dismissed = delegation.map_or(Ok(false), |serial| self.books.is_revoked(serial))?
            || self.books.is_revoked(certificate.serial())?;
        Ok(!dismissed && keys.iter().all(|key| certificate.covers(key)))
    }

    /// The same for the certificate of a CoSIP server.
    pub(super) fn does_for_server(
        &mut self,
        moment: Moment<'_>,
        certificate: &Certificate,
    ) -> Result<bool, ServerError> {
        self.vouches_for(moment, certificate, &[SERVER_AOR.to_owned()])
    }

    /// What the books hold, for metrics.
    pub(super) fn counts(&mut self, moment: Moment<'_>) -> Result<Counts, ServerError> {
        let mut counts = self.books.counts(moment.now_s)?;
        let delegated = self.folder.authority(self.keys.network())?.delegation();
        counts.delegated_until_s = delegated.map_or(0, |(_, it)| it.until_s.into());
        counts.secret_from_s = self.newest_secret().map_or(0, |it| it.sends_s.into());
        Ok(counts)
    }

    fn spelled(&self, texts: &[String]) -> Result<Vec<String>, Refusal> {
        let mut aors = texts.iter().map(|text| self.spell(text)).collect::<Result<Vec<_>, _>>()?;
        aors.sort();
        aors.dedup();
        if (1..=CERTIFIED_AORS_MAX).contains(&aors.len()) {
            Ok(aors)
        } else {
            Err(Refusal::Aors(CERTIFIED_AORS_MAX))
        }
    }

    /// The issuing key, where it may sign now, and when it may.
    pub(super) fn authority(
        &mut self,
        moment: Moment<'_>,
    ) -> Result<(Authority, Validity), ServerError> {
        let authority = self.folder.authority(self.keys.network())?;
        let mixed = || self.folder.fault(ISSUING, FolderFault::Mixed);
        let (serial, validity) = authority.delegation().ok_or_else(mixed)?;
        let now_s = moment.now_s;
        if !validity.covers(now_s) {
            return Err(Refusal::Undelegated { validity, now_s }.into());
        }
        if self.books.is_revoked(serial)? {
            return Err(Refusal::Dismissed(serial).into());
        }
        Ok((authority, validity))
    }
}

/// Reads an adapter's public key.
///
/// # Errors
/// [`Refusal::Key`].
pub fn read_key(text: &str) -> Result<PublicKey, Refusal> {
    let key = array_from_hex(text).filter(key::is_usable);
    key.ok_or_else(|| Refusal::Key(text.to_owned()))
}

/// Whether the adapter may have these AORs; which others have them, for the audit.
fn admit(
    books: &mut Books,
    moment: Moment<'_>,
    adapter: &PublicKey,
    aors: &[String],
    beside: &dyn Fn(&str) -> bool,
) -> Result<String, ServerError> {
    if let Some(at_s) = books.blocked_since(adapter)? {
        return Err(Refusal::Blocked { adapter: *adapter, at_s }.into());
    }
    let own = hex(adapter);
    let mut others = Vec::new();
    for aor in aors {
        let held = books.certificates(&Selector::Aor(aor.clone()), Some(moment.now_s))?;
        let mut foreign: Vec<_> = held.into_iter().filter(|held| held.adapter != own).collect();
        if let Some(held) = foreign.first().filter(|_| !beside(aor)) {
            let (adapter, serial) = (held.adapter.clone(), held.serial);
            return Err(Refusal::Held { aor: aor.clone(), adapter, serial }.into());
        }
        foreign.sort_by(|a, b| a.adapter.cmp(&b.adapter));
        foreign.dedup_by(|a, b| a.adapter == b.adapter);
        if foreign.len() >= ADAPTERS_PER_AOR_MAX {
            return Err(Refusal::Crowded(aor.clone(), ADAPTERS_PER_AOR_MAX).into());
        }
        others.extend(foreign.into_iter().map(|held| format!("{aor} beside {}", held.adapter)));
    }
    Ok(others.join(", "))
}

/// Ends certificates, or a delegation, before their time.
pub(super) fn revoke(
    books: &mut Books,
    moment: Moment<'_>,
    which: &Selector,
    reason: &str,
) -> Result<Vec<u64>, ServerError> {
    let mut serials = Vec::new();
    for held in books.certificates(which, Some(moment.now_s))? {
        let adapter = array_from_hex(&held.adapter);
        books.revoke(held.serial, held.until_s)?;
        let (serial, adapter) = (Some(held.serial), adapter.as_ref());
        let deed = Deed { what: "revoke", serial, adapter, aors: &held.aors, detail: reason };
        books.note(moment, &deed)?;
        serials.push(held.serial);
    }
    match which {
        Selector::Serial(serial) if serials.is_empty() => {
            if let Some(ends_s) = books.delegation(*serial, moment.now_s)? {
                books.revoke(*serial, ends_s)?;
                let what = "revoke delegation";
                let deed = Deed { what, serial: Some(*serial), detail: reason, ..Deed::default() };
                books.note(moment, &deed)?;
                serials.push(*serial);
            }
        }
        Selector::Adapter(adapter) if books.blocked_since(adapter)?.is_none() => {
            books.block(adapter, moment.now_s)?;
            let what = "block";
            let deed = Deed { what, adapter: Some(adapter), detail: reason, ..Deed::default() };
            books.note(moment, &deed)?;
            return Ok(serials);
        }
        _ => {}
    }
    if serials.is_empty() { Err(Refusal::Nothing(which.to_string()).into()) } else { Ok(serials) }
}
