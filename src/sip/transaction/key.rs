//! What a transaction is found by: branch, sent-by and method, or more without the magic cookie.
//!
//! RFC 3261 s17.1.3 and s17.2.3. A key is a 128-bit hash under a random secret, so that an entry
//! costs 16 bytes however long the branch is, and so that nobody on the wire can make two
//! transactions look alike. Branches are compared byte by byte: a server that made them in Base64
//! means the difference between `a` and `A`.

use crate::rng::Rng;
use crate::sip::{Message, Method, Name, Via};
use core::fmt;
use core::hash::{Hash, Hasher};
use siphasher::sip128::{Hasher128, SipHasher13};

/// A branch parameter that nobody else has and nobody can guess: the cookie and 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch([u32; 3]);

impl Branch {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(core::array::from_fn(|_| rng.next_u32()))
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, middle, low] = self.0;
        write!(f, "{}{high:08x}{middle:08x}{low:08x}", Via::MAGIC_COOKIE)
    }
}

/// A transaction's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u64; 2]);

/// Makes keys under one secret.
pub(super) struct Keyer(u64, u64);

impl Keyer {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(rng.next_u64(), rng.next_u64())
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }

    /// The key of a client transaction: we made the branch, so it and the method are enough.
    pub(super) fn client(&self, branch: &str, method: Method<'_>) -> Key {
        let mut hasher = self.hasher();
        (branch, method.as_str()).hash(&mut hasher);
        finish(&hasher)
    }

    /// A tag of From or To, in short.
    pub(super) fn tag(&self, tag: &str) -> u64 {
        let mut hasher = self.hasher();
        tag.hash(&mut hasher);
        hasher.finish()
    }

    /// The key of a server transaction that a request of `method` would have, were it otherwise
    /// like `message`. An ACK has the key of its INVITE; for a CANCEL the caller asks twice.
    pub(super) fn server(&self, message: &Message<'_>, method: Method<'_>) -> Key {
        let method = if method == Method::Ack { Method::Invite } else { method };
        let mut hasher = self.hasher();
        method.as_str().hash(&mut hasher);
        match message.via() {
            Some(via) if via.is_branch_unique() => {
                via.branch().hash(&mut hasher);
                via.host.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
                via.port.hash(&mut hasher);
            }
            _ => hash_2543(message, &mut hasher),
        }
        finish(&hasher)
    }
}

/// The fields that RFC 2543 matched by. The To tag is left out: an ACK has one where its INVITE
/// had none, and no two requests differ in it alone.
fn hash_2543(message: &Message<'_>, hasher: &mut SipHasher13) {
    let via = message.values(Name::Via).next();
    let tag = message.from().and_then(|from| from.tag());
    let number = message.cseq().map(|(number, _)| number);
    (message.request_uri(), via, tag, message.call_id(), number).hash(hasher);
}

fn finish(hasher: &SipHasher13) -> Key {
    let (high, low) = hasher.finish128().as_u64();
    Key([high, low])
}
