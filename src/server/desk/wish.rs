//! What the desk wants done, what adapters hear, and what is counted.

use crate::channel::{EnrolAnswer, EnrolRefusal};
use crate::identity::Certificate;
use crate::identity::enrolment::Challenge;
use crate::identity::rolling::NewSecret;
use crate::net::NodeId;

crate::observe::counters! {
    /// What happened at the desk since its start.
    pub struct Counters {
        /// Asks that came.
        asks,
        /// Asks that were told to come again.
        waits,
        /// Challenges sent.
        challenges,
        /// Challenges that the SIP server has answered with an error other than that nobody is
        /// there.
        challenges_refused,
        /// Challenges that nobody has answered in time.
        challenges_expired,
        /// Challenges that were answered by the key which asked.
        proofs,
        /// Answers to no challenge that is open: late, repeated or made up.
        proofs_strange,
        /// Answers that another key has signed, or for another AOR.
        proofs_wrong,
        /// Challenges of which another adapter says that it is certified for their AOR, and is.
        foreign_reported,
        /// Such reports that nothing bears out.
        reports_strange,
        /// Certificates issued.
        certified,
        /// Certificates handed out again.
        certified_again,
        /// Certificates that went out with a new secret of the network.
        secrets,
        /// AORs refused: nobody with this key has answered.
        refused_unanswered,
        /// AORs refused: the SIP server has answered with an error.
        refused_server,
        /// AORs refused: of no provider here.
        refused_foreign,
        /// AORs refused: as many adapters have them as may.
        refused_crowded,
        /// AORs refused: the key was revoked.
        refused_blocked,
        /// Second challenges that were put off to a later time.
        seconds_begun,
        /// Second challenges that were answered.
        seconds_proven,
        /// Asks over the limit of challenges of an AOR.
        limited_aor,
        /// Asks over the limit of challenges of a key.
        limited_key,
        /// Asks over the limit of challenges of an address.
        limited_address,
        /// Asks of a key that asks too often: not looked at.
        limited_asks_key,
        /// Asks of an address that asks too often: not looked at.
        limited_asks_address,
        /// Asks for which there was no turn soon.
        limited_pace,
        /// Asks and second challenges of which nothing became: books or keys are not to be used.
        failed,
    }
}

/// What is to be sent to an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It shall ask again after so many seconds.
    Wait(u32),
    /// These are not certified.
    Refused {
        /// Which, bit 0 the first.
        which: u8,
        /// Why the first of them.
        why: EnrolRefusal,
        /// When to try again, in seconds.
        again_s: u32,
    },
    /// The certificate, and the newest secret of the network.
    Certified(Box<Certificate>, Option<NewSecret>),
}

impl Answer {
    /// As it is sent.
    pub fn payload(&self) -> EnrolAnswer<'_> {
        match self {
            Self::Wait(seconds) => EnrolAnswer::Wait(*seconds),
            Self::Refused { which, why, again_s } => {
                EnrolAnswer::Refused { which: *which, why: *why, again_s: *again_s }
            }
            Self::Certified(certificate, secret) => {
                EnrolAnswer::Certified(certificate.as_bytes(), *secret)
            }
        }
    }
}

/// What the desk wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This challenge goes through the SIP server; [`super::Desk::answered`] follows.
    Challenge {
        /// Its number.
        number: u32,
        /// To whom.
        aor: String,
        /// What the header says.
        challenge: Challenge,
    },
    /// This answer goes to an adapter.
    Answer {
        /// To whom.
        peer: NodeId,
        /// Its number for what it asked.
        number: u32,
        /// What it hears.
        answer: Answer,
    },
}
