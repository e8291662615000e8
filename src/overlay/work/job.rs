//! What waits for public-key work, and why.

use crate::identity::Certificate;
use crate::identity::record::{AddressRecord, Key, Record};
use crate::identity::revocation::RevocationHead;
use crate::net::NodeId;
use crate::overlay::id::Node;
use crate::overlay::lookup::Lookup;
use crate::overlay::publication::Publication;
use crate::table::Id;
use std::net::SocketAddr;

/// Why something is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::overlay) enum Reason {
    /// A look-up found it.
    Found(Id<Lookup>),
    /// A member wants it stored.
    Store {
        /// Where the answer goes.
        from: SocketAddr,
        /// Who asked.
        sender: NodeId,
        /// Under which number.
        request: u64,
        /// How long the request was.
        len: u16,
        /// What was touched, where it is a touch.
        touched: Option<(Key, u64, u64)>,
    },
    /// A holder says that we published it in an earlier life.
    Own(Id<Publication>),
    /// A node that is to be listed shows who it is; true where it was reached from our second port
    /// only.
    Who(Node, bool),
    /// Somebody has a newer list of revocations.
    List,
    /// A node that tells a look-up that there is nothing shows who it is.
    Denial(Id<Lookup>, Node),
}

/// What is to be verified before a list of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a box would allocate for a datagram")]
pub(in crate::overlay) enum Subject {
    /// The list stands for itself.
    Nothing,
    /// A record, with the certificate that it brings.
    Record(Record),
    /// The certificate that binds the key of the list to a place.
    Certificate(Certificate),
    /// The head of a list of revocations.
    Head(RevocationHead),
}

/// Something that needs verification.
#[derive(Clone, Debug)]
pub(in crate::overlay) struct Job {
    /// Why.
    pub(in crate::overlay) reason: Reason,
    /// What for.
    pub(in crate::overlay) subject: Subject,
    /// Addresses of the same owner.
    pub(in crate::overlay) addresses: Option<AddressRecord>,
}

impl Job {
    /// The record, if it is about one.
    pub(in crate::overlay) fn record(&self) -> Option<&Record> {
        match &self.subject {
            Subject::Record(record) => Some(record),
            Subject::Nothing | Subject::Certificate(_) | Subject::Head(_) => None,
        }
    }

    /// The certificate that has to hold, or `Some(None)` where it is missing. What we have
    /// published ourselves, and what stands for itself, needs none.
    #[expect(clippy::option_option, reason = "none is needed, or one is and there is none")]
    pub(super) fn certificate(&self) -> Option<Option<Certificate>> {
        match &self.subject {
            Subject::Nothing | Subject::Head(_) => None,
            Subject::Record(_) if matches!(self.reason, Reason::Own(_)) => None,
            Subject::Record(record) => Some(record.certificate()),
            Subject::Certificate(certificate) => Some(Some(certificate.clone())),
        }
    }
}
