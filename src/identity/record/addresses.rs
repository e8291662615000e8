//! Lists of addresses: where an owner is.

use super::bytes::{Writer, check_head, parse_addresses};
use super::{
    ADDRESS_RECORD_BYTES_MAX, ADDRESSES_MAX, AddressList, AddressRecord, EXTENSION_PLACE,
    FAMILY_RENDEZVOUS, HEAD_BYTES, KEY_BYTES, KIND_ADDRESSES, RecordError, RendezvousList, Signed,
};
use crate::identity::extension;
use crate::identity::key::{Identity, PUBLIC_KEY_BYTES};
use core::fmt;
use std::net::IpAddr;

impl AddressRecord {
    /// Signs the owner's own addresses and its rendezvous peers', four together at most: of more,
    /// the rest is left out. One public-key operation.
    pub fn sign(
        identity: &Identity,
        network: &[u8; 16],
        seq: u64,
        addresses: &AddressList,
        rendezvous: &RendezvousList,
    ) -> Self {
        let mut out =
            Writer::<ADDRESS_RECORD_BYTES_MAX>::new(KIND_ADDRESSES, &identity.public(), seq);
        let own = addresses.iter().map(|address| (address, 0));
        let met = rendezvous.iter().map(|address| (address, FAMILY_RENDEZVOUS));
        let count = (addresses.len() + rendezvous.len()).min(ADDRESSES_MAX);
        out.put(&[count as u8]);
        for (address, mark) in own.chain(met).take(count) {
            match address.ip() {
                IpAddr::V4(ip) => {
                    out.put(&[4 | mark]);
                    out.put(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.put(&[6 | mark]);
                    out.put(&ip.octets());
                }
            }
            out.put(&address.port().to_be_bytes());
        }
        if identity.is_certified() {
            out.extend(EXTENSION_PLACE, &identity.id().0);
        }
        Self(out.finish(identity, network))
    }

    /// Checks the shape of `data`, not the signature.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn parse(data: &[u8]) -> Result<Self, RecordError> {
        let body = check_head(data, KIND_ADDRESSES)?;
        let (_, _, rest) = parse_addresses(body)?;
        let place = extension::find(rest, EXTENSION_PLACE).ok_or(RecordError::Length)?;
        if place.is_some_and(|place| place.len() != KEY_BYTES) {
            return Err(RecordError::Length);
        }
        heapless::Vec::from_slice(data).map(Self).map_err(|_| RecordError::Length)
    }
}

impl<B: AsRef<[u8]>> Signed<KIND_ADDRESSES, B> {
    /// The owner's own addresses, best first.
    pub fn addresses(&self) -> AddressList {
        parse_addresses(self.body()).map(|(list, ..)| list).unwrap_or_default()
    }

    /// Members through which the owner is met where its own addresses do not answer.
    pub fn rendezvous(&self) -> RendezvousList {
        parse_addresses(self.body()).map(|(_, list, _)| list).unwrap_or_default()
    }

    fn body(&self) -> &[u8] {
        self.as_bytes().get(HEAD_BYTES + PUBLIC_KEY_BYTES + 8..).unwrap_or_default()
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Signed<KIND_ADDRESSES, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressRecord({} seq {:x})", self.owner_id(true), self.seq())
    }
}
