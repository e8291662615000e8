//! Who signs certificates: the provider's anchor, and issuing keys that it delegated to.
//!
//! The provider's programs use this; an adapter only verifies. See [`super::certificate`] for the
//! layout.

use super::certificate::{
    CERTIFICATE_BYTES_MAX, CERTIFIED_KEYS_MAX, Certificate, DELEGATION_BYTES, HEAD_BYTES,
    LABEL_BYTES, LABEL_CERTIFICATE, LABEL_DELEGATION, VERSION, Validity, with_message,
};
use super::key::{Identity, PublicKey, SIGNATURE_BYTES};
use super::record::Key;
use crate::net::NodeId;

const CONTEXT_PLACE: &str = "cosip 2026 certified place v1";

/// A delegation with its signature.
pub type Delegation = [u8; DELEGATION_BYTES + SIGNATURE_BYTES];

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

    /// Lets `issuing` sign certificates in the anchor's name.
    pub fn delegate(&self, serial: u64, issuing: &PublicKey, validity: Validity) -> Delegation {
        let mut out = heapless::Vec::<u8, { DELEGATION_BYTES + SIGNATURE_BYTES }>::new();
        let parts: [&[u8]; 5] = [
            &self.key.public()[..4],
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
            &self.key.public()[..4],
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
        let signature = self.sign(LABEL_CERTIFICATE, &own);
        put(&mut own, &[&signature]);
        let delegation = self.delegation.as_ref().map_or(&[][..], |it| it.as_slice());
        let len = (delegation.len() + own.len()) as u16;
        let mut out = heapless::Vec::<u8, CERTIFICATE_BYTES_MAX>::new();
        let head = [VERSION, u8::from(self.delegation.is_some())];
        put(&mut out, &[&head, &len.to_be_bytes(), delegation, &own]);
        debug_assert_eq!(out.len(), HEAD_BYTES + usize::from(len));
        Certificate::of(out)
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

    fn sign(&self, label: &[u8; LABEL_BYTES], signed: &[u8]) -> super::key::Signature {
        with_message(label, &self.network, signed, |message| self.key.sign(message))
    }
}

fn put<const N: usize>(out: &mut heapless::Vec<u8, N>, parts: &[&[u8]]) {
    let put = parts.iter().try_for_each(|part| out.extend_from_slice(part));
    debug_assert!(put.is_ok(), "limits of the fields add up to less than the whole");
}
