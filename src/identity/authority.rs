//! Who signs certificates: the provider's anchor, and issuing keys that it delegated to.
//!
//! The provider's programs use this; an adapter only verifies. See [`super::certificate`] and
//! [`super::revocation`] for the layouts.

use super::certificate::{self, CERTIFICATE_BYTES_MAX, CERTIFIED_KEYS_MAX, Certificate};
use super::chain::{
    self, DELEGATION_BYTES, Delegation, LABEL_DELEGATION, Label, NAME_BYTES, Validity, with_message,
};
use super::key::{Identity, PublicKey, SIGNATURE_BYTES, Signature};
use super::record::Key;
use super::revocation::{self, REVOCATION_HEAD_BYTES_MAX, RevocationHead, Revoked};
use crate::net::NodeId;

const CONTEXT_PLACE: &str = "cosip 2026 certified place v1";

/// What a certificate shall say.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The number under which it can be revoked.
    pub serial: u64,
    /// The adapter's key.
    pub key: PublicKey,
    /// Its id in the overlay; see [`Authority::place`].
    pub place: NodeId,
    /// When it is valid.
    pub validity: Validity,
    /// The overlay keys of its AORs, [`CERTIFIED_KEYS_MAX`] at most: of more, the rest is left out.
    pub keys: &'a [Key],
}

/// A key that signs certificates, and the delegation that lets it.
pub struct Authority {
    key: Identity,
    network: [u8; 16],
    delegation: Option<Delegation>,
}

impl Authority {
    /// An anchor: its own word counts. `network` is [`super::NetworkKeys::network`].
    pub fn anchor(key: Identity, network: &[u8; 16]) -> Self {
        Self { key, network: *network, delegation: None }
    }

    /// An issuing key with the delegation by which an anchor speaks for it.
    pub fn issuing(key: Identity, network: &[u8; 16], delegation: Delegation) -> Self {
        Self { key, network: *network, delegation: Some(delegation) }
    }

    /// The number of the delegation, and when it is valid, where there is one.
    pub fn delegation(&self) -> Option<(u64, Validity)> {
        let delegation = self.delegation.as_ref()?;
        Some((chain::serial(delegation), chain::validity(delegation)))
    }

    /// Lets `issuing` sign certificates in the anchor's name.
    pub fn delegate(&self, serial: u64, issuing: &PublicKey, validity: Validity) -> Delegation {
        let mut out = heapless::Vec::<u8, { DELEGATION_BYTES + SIGNATURE_BYTES }>::new();
        let parts: [&[u8]; 5] = [
            &self.key.public()[..NAME_BYTES],
            &serial.to_be_bytes(),
            issuing,
            &validity.from_s.to_be_bytes(),
            &validity.until_s.to_be_bytes(),
        ];
        put(&mut out, &parts);
        let signature = self.sign(LABEL_DELEGATION, &out);
        put(&mut out, &[&signature]);
        out.into_array().unwrap_or([0; _])
    }

    /// Signs a certificate.
    pub fn certify(&self, subject: &Subject<'_>) -> Certificate {
        let keys = &subject.keys[..subject.keys.len().min(CERTIFIED_KEYS_MAX)];
        let mut own = heapless::Vec::<u8, CERTIFICATE_BYTES_MAX>::new();
        let parts: [&[u8]; 7] = [
            &self.key.public()[..NAME_BYTES],
            &subject.serial.to_be_bytes(),
            &subject.key,
            &subject.place.0,
            &subject.validity.from_s.to_be_bytes(),
            &subject.validity.until_s.to_be_bytes(),
            &[keys.len() as u8],
        ];
        put(&mut own, &parts);
        for key in keys {
            put(&mut own, &[&key.0]);
        }
        let signature = self.sign(certificate::LABEL, &own);
        put(&mut own, &[&signature]);
        Certificate::of(self.enclose(certificate::VERSION, &own))
    }

    /// Signs a list of revocations: `entries` by rising serial, without those that have ended.
    pub fn revoke(&self, number: u32, issued_s: u32, entries: &[Revoked]) -> RevocationHead {
        let mut own = heapless::Vec::<u8, REVOCATION_HEAD_BYTES_MAX>::new();
        let parts: [&[u8]; 5] = [
            &self.key.public()[..NAME_BYTES],
            &number.to_be_bytes(),
            &issued_s.to_be_bytes(),
            &(entries.len() as u16).to_be_bytes(),
            &revocation::digest(entries),
        ];
        put(&mut own, &parts);
        let signature = self.sign(revocation::LABEL, &own);
        put(&mut own, &[&signature]);
        RevocationHead::of(self.enclose(revocation::VERSION, &own))
    }

    /// Puts version, length and delegation before what was signed.
    fn enclose<const N: usize>(&self, version: u8, own: &[u8]) -> heapless::Vec<u8, N> {
        let delegation = self.delegation.as_ref().map_or(&[][..], |it| it.as_slice());
        let len = (1 + delegation.len() + own.len()) as u16;
        let delegations = u8::from(self.delegation.is_some());
        let mut out = heapless::Vec::new();
        put(&mut out, &[&[version], &len.to_be_bytes(), &[delegations], delegation, own]);
        out
    }

    /// The place of a key: nobody without `secret` can grind a key into a chosen one, and the same
    /// key gets the same place with each renewal.
    pub fn place(secret: &[u8; 32], key: &PublicKey) -> NodeId {
        let salt = blake3::keyed_hash(secret, key);
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT_PLACE);
        hasher.update(key);
        hasher.update(salt.as_bytes());
        let mut place = [0; 16];
        place.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        NodeId(place)
    }

    fn sign(&self, label: &Label, signed: &[u8]) -> Signature {
        with_message(label, &self.network, signed, |message| self.key.sign(message))
    }
}

fn put<const N: usize>(out: &mut heapless::Vec<u8, N>, parts: &[&[u8]]) {
    let put = parts.iter().try_for_each(|part| out.extend_from_slice(part));
    debug_assert!(put.is_ok(), "limits of the fields add up to less than the whole");
}
