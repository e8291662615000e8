//! The bytes of every record: head, extensions, signature, addresses.

use super::{
    ADDRESSES_MAX, AddressList, FAMILY_RENDEZVOUS, HEAD_BYTES, LABEL, RECORD_BYTES_MAX,
    RecordError, RendezvousList, VERSION,
};
use crate::identity::key::{self, Identity, PUBLIC_KEY_BYTES, PublicKey};
use crate::identity::key::{SIGNATURE_BYTES, Signature};
use std::net::{IpAddr, SocketAddr};

pub(super) struct Writer<const N: usize>(heapless::Vec<u8, N>);

impl<const N: usize> Writer<N> {
    pub(super) fn new(kind: u8, owner: &PublicKey, seq: u64) -> Self {
        let mut writer = Self(heapless::Vec::new());
        writer.put(&[VERSION, kind, 0, 0]);
        writer.put(owner);
        writer.put(&seq.to_be_bytes());
        writer
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        let put = self.0.extend_from_slice(bytes);
        debug_assert!(put.is_ok(), "limits of the fields add up to less than the whole");
    }

    pub(super) fn extend(&mut self, kind: u8, data: &[u8]) {
        self.put(&[kind]);
        self.put(&(data.len() as u16).to_be_bytes());
        self.put(data);
    }

    pub(super) fn finish(
        mut self,
        identity: &Identity,
        network: &[u8; 16],
    ) -> heapless::Vec<u8, N> {
        let len = (self.0.len() - HEAD_BYTES) as u16;
        self.0[2..HEAD_BYTES].copy_from_slice(&len.to_be_bytes());
        let signature = with_message(network, &self.0, |message| identity.sign(message));
        self.put(&signature);
        self.0
    }
}

/// Hands what the signature covers (label, network, the bytes before the signature) to `then`.
pub(super) fn with_message<R>(
    network: &[u8; 16],
    signed: &[u8],
    then: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut message = heapless::Vec::<u8, { 32 + RECORD_BYTES_MAX }>::new();
    let put = [LABEL.as_slice(), network, signed]
        .into_iter()
        .try_for_each(|part| message.extend_from_slice(part));
    debug_assert!(put.is_ok(), "a record is never longer than its limit");
    then(&message)
}

pub(super) fn verify(data: &[u8], network: &[u8; 16]) -> bool {
    let Some((signed, signature)) = data.split_last_chunk::<SIGNATURE_BYTES>() else {
        return false;
    };
    let signature: &Signature = signature;
    with_message(network, signed, |message| key::verify(&owner(data), message, signature))
}

/// Checks version, kind and length; returns what lies between the sequence number and the
/// signature.
pub(super) fn check_head(data: &[u8], kind: u8) -> Result<&[u8], RecordError> {
    let &[version, found, high, low, ..] = data else { return Err(RecordError::Length) };
    if version != VERSION || found != kind {
        return Err(RecordError::Unknown);
    }
    let len = usize::from(u16::from_be_bytes([high, low]));
    if data.len() != HEAD_BYTES + len + SIGNATURE_BYTES {
        return Err(RecordError::Length);
    }
    data.get(HEAD_BYTES + PUBLIC_KEY_BYTES + 8..HEAD_BYTES + len).ok_or(RecordError::Length)
}

/// Own addresses, those of rendezvous peers, and what follows.
pub(super) fn parse_addresses(
    body: &[u8],
) -> Result<(AddressList, RendezvousList, &[u8]), RecordError> {
    let (count, mut rest) = body.split_first().ok_or(RecordError::Length)?;
    let (mut list, mut rendezvous) = (AddressList::new(), RendezvousList::new());
    if usize::from(*count) > ADDRESSES_MAX {
        return Err(RecordError::Length);
    }
    for _ in 0..*count {
        let (family, tail) = rest.split_first().ok_or(RecordError::Length)?;
        let ip_bytes = match family & !FAMILY_RENDEZVOUS {
            4 => 4,
            6 => 16,
            _ => return Err(RecordError::Address),
        };
        let (ip, tail) = tail.split_at_checked(ip_bytes).ok_or(RecordError::Length)?;
        let (port, tail) = tail.split_first_chunk::<2>().ok_or(RecordError::Length)?;
        let port = u16::from_be_bytes(*port);
        let ip = if ip_bytes == 4 {
            IpAddr::from(array::<4>(ip, 0))
        } else {
            IpAddr::from(array::<16>(ip, 0))
        };
        if port == 0 || ip.is_unspecified() || ip.is_multicast() {
            return Err(RecordError::Address);
        }
        let address = SocketAddr::new(ip, port);
        let pushed = if family & FAMILY_RENDEZVOUS == 0 {
            list.push(address)
        } else {
            rendezvous.push(address)
        };
        pushed.map_err(|_| RecordError::Length)?;
        rest = tail;
    }
    Ok((list, rendezvous, rest))
}

pub(super) fn owner(data: &[u8]) -> PublicKey {
    array(data, HEAD_BYTES)
}

/// `N` bytes at `at`; zeros where there are fewer, which a checked shape rules out.
pub(super) fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
