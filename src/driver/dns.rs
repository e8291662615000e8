//! DNS messages: a question, and what an answer to it says (RFC 1035 s4, RFC 2782, RFC 6891).

mod message;

pub(super) use message::Kind;

use crate::limits::{DNS_RECORDS_MAX, DNS_TTL_S_MAX};
use crate::net::{Failure, Record};
use message::{Answer, Data};

/// The largest answer over UDP: what survives every path unfragmented (RFC 9715).
pub(super) const UDP_BYTES_MAX: u16 = 1232;
/// `RCODE` of a name that there is not.
const NO_SUCH_NAME: u8 = 3;
/// Aliases followed within one answer.
const ALIASES_MAX: usize = 8;

/// The records of a name, and for how many seconds they are good.
pub(super) type Outcome = Result<(Vec<Record>, u32), Failure>;

/// A question that was asked.
pub(super) struct Question<'a> {
    id: u16,
    name: &'a str,
    kind: Kind,
}

/// What an answer says.
pub(super) struct Reading {
    pub(super) outcome: Outcome,
    /// Whether it is cut off: over TCP there is all of it (RFC 7766 s5).
    pub(super) cut: bool,
}

impl<'a> Question<'a> {
    /// For records of one type, under a number that nobody can guess.
    pub(super) fn new(name: &'a str, kind: Kind) -> Result<Self, Failure> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|_| Failure::System)?;
        Ok(Self { id: u16::from_be_bytes(id), name, kind })
    }

    /// The question as it is sent; none where this is no name.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        message::question(self.id, self.name, self.kind, UDP_BYTES_MAX)
    }

    /// What a packet answers; `None` where it is not an answer to this question.
    pub(super) fn read(&self, packet: &[u8]) -> Option<Reading> {
        let answer = message::read(packet, self.id, self.name, self.kind)?;
        let cut = answer.cut;
        let outcome = match answer.code {
            0 => match collect(&answer, self.name, self.kind) {
                // A cut-off answer without a usable record is no proof that there is none.
                (records, _) if records.is_empty() && cut => Err(Failure::Refused),
                (records, _) if records.is_empty() => Err(Failure::Absent),
                found => Ok(found),
            },
            NO_SUCH_NAME => Err(Failure::Absent),
            _ => Err(Failure::Refused),
        };
        Some(Reading { outcome, cut })
    }
}

/// The records of `name` or of what it is an alias of, and how long all of that is good.
fn collect(answer: &Answer, name: &str, kind: Kind) -> (Vec<Record>, u32) {
    let (mut owner, mut ttl) = (name, DNS_TTL_S_MAX);
    for _ in 0..ALIASES_MAX {
        let alias = answer.records.iter().find_map(|record| match &record.data {
            Data::Alias(target) if record.name.eq_ignore_ascii_case(owner) => {
                Some((target, record.ttl_s))
            }
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { break };
        (owner, ttl) = (target, ttl.min(alias_ttl));
    }
    let mut records = Vec::new();
    let answers = answer.records.iter().filter(|record| record.name.eq_ignore_ascii_case(owner));
    for record in answers.take(DNS_RECORDS_MAX) {
        let found = match (&record.data, kind) {
            (Data::Address(ip), Kind::A) if ip.is_ipv4() => Record::Address(*ip),
            (Data::Address(ip), Kind::Aaaa) if ip.is_ipv6() => Record::Address(*ip),
            // The root as the target: decidedly no such service (RFC 2782).
            (Data::Service { target, .. }, Kind::Srv) if target.is_empty() => continue,
            (Data::Service { priority, weight, port, target }, Kind::Srv) => {
                let (priority, weight, port) = (*priority, *weight, *port);
                Record::Service { priority, weight, port, target: target.clone() }
            }
            _ => continue,
        };
        ttl = ttl.min(record.ttl_s);
        records.push(found);
    }
    (records, ttl)
}
