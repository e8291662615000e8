//! The proofs inside a handshake: what each end signs, and the messages that carry it sealed.

use super::crypto::{self, Secrets};
use super::handshake::{Handshake, Role};
use super::wire::{
    EXTENSION_CERTIFICATE, EXTENSION_HEAD_BYTES, EXTENSION_PAYLOAD, FINISH, FINISH_PLAIN_BYTES_MAX,
    Packet, REPLY, take,
};
use crate::identity::Certificate;
use crate::identity::key::{Identity, PublicKey, Signature};
use crate::identity::network::NetworkKeys;
use crate::limits::CERTIFICATES_MAX;

const LABEL_RESPONDER: &[u8] = b"cosip channel responder v1";
const LABEL_OPENER: &[u8] = b"cosip channel opener v1";
const SIGNED_BYTES_MAX: usize = 96;

/// What one end shows of itself.
pub(super) struct Proof {
    pub(super) public: PublicKey,
    pub(super) signature: Signature,
    /// By whom it is vouched for, where that was asked; not verified yet.
    pub(super) certificates: Vec<Certificate>,
}

impl Proof {
    /// Reads it, with its certificates where they are `asked` for; `None` where it is cut short.
    /// What is no certificate, or one of a later version, is left out.
    pub(super) fn read(mut plain: &[u8], asked: bool) -> Option<Self> {
        let (public, signature) = (take(&mut plain)?, take(&mut plain)?);
        let extensions = Extensions { rest: plain };
        let shown = extensions.filter(|(kind, _)| asked && *kind == EXTENSION_CERTIFICATE);
        let shown = shown.take(CERTIFICATES_MAX);
        let certificates = shown.filter_map(|(_, data)| Certificate::parse(data).ok()).collect();
        Some(Self { public, signature, certificates })
    }

    /// Writes that of `identity`, with the certificates that it shows.
    fn write(packet: &mut Packet, identity: &Identity, signature: &Signature, shown: &Shown<'_>) {
        packet.put(&identity.public());
        packet.put(signature);
        for certificate in shown {
            let bytes = certificate.as_bytes();
            let [high, low] = (bytes.len() as u16).to_be_bytes();
            packet.put(&[EXTENSION_CERTIFICATE, high, low]);
            packet.put(bytes);
        }
    }
}

/// Certificates to show.
pub(super) type Shown<'a> = heapless::Vec<&'a Certificate, CERTIFICATES_MAX>;

impl Handshake {
    /// What `by` signs: its role's label, the transcript, and for the opener the sealed Reply.
    pub(super) fn signed(&self, keys: &Secrets, by: Role) -> heapless::Vec<u8, SIGNED_BYTES_MAX> {
        let label = if by == Role::Opener { LABEL_OPENER } else { LABEL_RESPONDER };
        let mut message = heapless::Vec::new();
        let proof: &[u8] = if by == Role::Opener { &self.sealed_reply } else { &[] };
        for part in [label, &keys.transcript, proof] {
            let fits = message.extend_from_slice(part).is_ok();
            debug_assert!(fits, "label, hash and hash have at most 96 bytes");
        }
        message
    }

    pub(super) fn build_reply(
        &mut self,
        identity: &Identity,
        network: &NetworkKeys,
        signature: &Signature,
        shown: &Shown<'_>,
    ) {
        let Some(keys) = &self.keys else { return };
        let head = self.reply_head().core();
        let mut packet = Packet::new(network, REPLY);
        packet.put(&head);
        let start = packet.bytes().len();
        Proof::write(&mut packet, identity, signature, shown);
        let sealed = packet.bytes_mut().get_mut(start..).unwrap_or_default();
        let tag = crypto::seal(&keys.reply, 0, &head, sealed);
        packet.put(&tag);
        let sealed = packet.bytes().get(start..).unwrap_or_default();
        self.sealed_reply = *blake3::hash(sealed).as_bytes();
        self.packet = packet.tag(network);
    }

    /// The Finish, with the oldest waiting payload inside where it fits.
    pub(super) fn build_finish(
        &mut self,
        identity: &Identity,
        network: &NetworkKeys,
        signature: &Signature,
        shown: &Shown<'_>,
    ) {
        let Some(keys) = &self.keys else { return };
        let mut packet = Packet::new(network, FINISH);
        packet.put(&self.remote);
        let start = packet.bytes().len();
        Proof::write(&mut packet, identity, signature, shown);
        let proof = packet.bytes().len() - start;
        let fits =
            |body: &[u8]| proof + EXTENSION_HEAD_BYTES + 1 + body.len() <= FINISH_PLAIN_BYTES_MAX;
        if let Some((kind, body)) = self.backlog.front().filter(|(_, body)| fits(body)) {
            let [high, low] = (body.len() as u16 + 1).to_be_bytes();
            packet.put(&[EXTENSION_PAYLOAD, high, low, kind]);
            packet.put(body);
            let _carried = self.backlog.pop();
        }
        let sealed = packet.bytes_mut().get_mut(start..).unwrap_or_default();
        let tag = crypto::seal(&keys.finish, 0, &self.remote, sealed);
        packet.put(&tag);
        self.finish = finish_hash(packet.bytes().get(start..).unwrap_or_default());
        self.packet = packet.tag(network);
    }
}

/// Names a Finish by its sealed part.
pub(super) fn finish_hash(sealed: &[u8]) -> [u8; 32] {
    *blake3::hash(sealed).as_bytes()
}

/// The extensions of a proof: kind and value each. Ends at the first that is cut short.
pub(super) struct Extensions<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, high, low] = take(&mut self.rest)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some((kind, value))
    }
}
