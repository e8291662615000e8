//! DNS messages: a question, and what an answer to it says (RFC 1035 s4, RFC 2782, RFC 6891).

use crate::limits::{DNS_RECORDS_MAX, DNS_TTL_S_MAX};
use crate::net::{Failure, Record};
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question as Entry, RCODE, TYPE};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The largest answer over UDP: what survives every path unfragmented (RFC 9715).
pub(super) const UDP_BYTES_MAX: u16 = 1232;
/// Aliases followed within one answer.
const ALIASES_MAX: usize = 8;

/// The records of a name, and for how many seconds they are good.
pub(super) type Outcome = Result<(Vec<Record>, u32), Failure>;

/// A question that was asked.
pub(super) struct Question<'a> {
    id: u16,
    name: &'a str,
    kind: TYPE,
}

/// What an answer says.
pub(super) struct Reading {
    pub(super) outcome: Outcome,
    /// Whether it is cut off: over TCP there is all of it (RFC 7766 s5).
    pub(super) cut: bool,
}

impl<'a> Question<'a> {
    /// For records of one type, under a number that nobody can guess.
    pub(super) fn new(name: &'a str, kind: TYPE) -> Result<Self, Failure> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|_| Failure::System)?;
        Ok(Self { id: u16::from_be_bytes(id), name, kind })
    }

    /// The question as it is sent; none where this is no name.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(self.name).ok()?;
        packet.questions.push(Entry::new(name, self.kind.into(), CLASS::IN.into(), false));
        *packet.opt_mut() =
            Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_BYTES_MAX, version: 0 });
        packet.build_bytes_vec().ok()
    }

    /// What a packet answers; `None` where it is not an answer to this question.
    pub(super) fn read(&self, packet: &[u8]) -> Option<Reading> {
        let packet = Packet::parse(packet).ok()?;
        let [asked] = packet.questions.as_slice() else { return None };
        let same = same_name(&asked.qname, self.name)
            && asked.qtype == self.kind.into()
            && asked.qclass == CLASS::IN.into();
        if packet.id() != self.id || !packet.has_flags(PacketFlag::RESPONSE) || !same {
            return None;
        }
        let cut = packet.has_flags(PacketFlag::TRUNCATION);
        let outcome = match packet.rcode() {
            RCODE::NoError => match collect(&packet, self.name, self.kind) {
                // A cut-off answer without a usable record is no proof that there is none.
                (records, _) if records.is_empty() && cut => Err(Failure::Refused),
                (records, _) if records.is_empty() => Err(Failure::Absent),
                found => Ok(found),
            },
            RCODE::NameError => Err(Failure::Absent),
            _ => Err(Failure::Refused),
        };
        Some(Reading { outcome, cut })
    }
}

/// The records of `name` or of what it is an alias of, and how long all of that is good.
fn collect(packet: &Packet<'_>, name: &str, kind: TYPE) -> (Vec<Record>, u32) {
    let (mut owner, mut ttl) = (name.to_owned(), DNS_TTL_S_MAX);
    for _ in 0..ALIASES_MAX {
        let alias = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(target) if same_name(&record.name, &owner) => {
                Some((target.0.to_string(), record.ttl))
            }
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { break };
        (owner, ttl) = (target, ttl.min(alias_ttl));
    }
    let mut records = Vec::new();
    let answers = packet.answers.iter().filter(|record| same_name(&record.name, &owner));
    for record in answers.take(DNS_RECORDS_MAX) {
        let found = match (&record.rdata, kind) {
            (RData::A(a), TYPE::A) => Record::Address(Ipv4Addr::from(a.address).into()),
            (RData::AAAA(a), TYPE::AAAA) => Record::Address(Ipv6Addr::from(a.address).into()),
            (RData::SRV(srv), TYPE::SRV) => {
                let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
                let target = srv.target.to_string();
                // The root as the target: decidedly no such service (RFC 2782).
                if target.trim_end_matches('.').is_empty() {
                    continue;
                }
                Record::Service { priority, weight, port, target }
            }
            _ => continue,
        };
        ttl = ttl.min(record.ttl);
        records.push(found);
    }
    (records, ttl)
}

fn same_name(name: &Name<'_>, text: &str) -> bool {
    name.to_string().trim_end_matches('.').eq_ignore_ascii_case(text.trim_end_matches('.'))
}
