//! The bytes of a question, and of an answer what a stub resolver needs of it. What is not an
//! answer to that question, and whole, is none.

use std::net::IpAddr;

/// Records of the Internet.
const INTERNET: u16 = 1;
/// `OPT`, which tells how large an answer may be (RFC 6891 s6.1).
const OPTIONS: u16 = 41;
/// Flags of a message: it is an answer; it was cut off; recursion is wished for.
const ANSWER: u16 = 0x8000;
const CUT: u16 = 0x0200;
const RECURSION: u16 = 0x0100;
/// The bytes of a name without the root, and of one of its labels.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A kind of record that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(in crate::driver) enum Kind {
    A = 1,
    Aaaa = 28,
    Srv = 33,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Of [`Kind::A`] and [`Kind::Aaaa`].
    Address(IpAddr),
    /// The name is another one's alias.
    Alias(String),
    /// Of [`Kind::Srv`].
    Service { priority: u16, weight: u16, port: u16, target: String },
    /// Something else.
    Other,
}

/// A record of an answer. Names are without the dot of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) ttl_s: u32,
    pub(super) data: Data,
}

/// An answer to the question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// `RCODE`: 0, or why there is no answer.
    pub(super) code: u8,
    /// It did not fit.
    pub(super) cut: bool,
    pub(super) records: Vec<Record>,
}

/// A question for the records of a kind; `None` where the name is none.
pub(super) fn question(id: u16, name: &str, kind: Kind, answer_max: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64);
    // One question, and the options beside it.
    put(&mut bytes, &[id, RECURSION, 1, 0, 0, 1]);
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    put(&mut bytes, &[kind as u16, INTERNET]);
    // The options' name is the root's; no flags, no data.
    bytes.push(0);
    put(&mut bytes, &[OPTIONS, answer_max, 0, 0, 0]);
    Some(bytes)
}

fn put(bytes: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_be_bytes()));
}

/// Reads an answer to the question with this id; `None` where the bytes are none.
pub(super) fn read(packet: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let mut reader = Reader { packet, at: 0 };
    let (got, flags, questions) = (reader.number()?, reader.number()?, reader.number()?);
    let count = reader.number()?;
    // Servers that vouch for the answer and records beside it are not needed.
    reader.take(4)?;
    if got != id || flags & ANSWER == 0 || questions != 1 {
        return None;
    }
    let same = reader.name()?.eq_ignore_ascii_case(name);
    if !same || reader.number()? != kind as u16 || reader.number()? != INTERNET {
        return None;
    }
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(reader.record()?);
    }
    Some(Answer { code: (flags & 0xf) as u8, cut: flags & CUT != 0, records })
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.packet.get(self.at..self.at + len)?;
        self.at += len;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A name, with labels that stand further ahead in the packet (RFC 1035 s4.1.4).
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut at = self.at;
        // Each pointer leads to before where the labels began that it ends, so that all end.
        let mut before = at;
        let mut end = None;
        loop {
            let len = usize::from(*self.packet.get(at)?);
            match len {
                0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(name);
                }
                1..=LABEL_BYTES_MAX => {
                    let label = self.packet.get(at + 1..at + 1 + len)?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    // No name that is asked for has anything else in it than what can be seen.
                    let seen = |byte: &u8| if byte.is_ascii_graphic() { *byte } else { b' ' };
                    name.extend(label.iter().map(|byte| char::from(seen(byte))));
                    if name.len() > NAME_BYTES_MAX {
                        return None;
                    }
                    at += 1 + len;
                }
                0xc0.. => {
                    end = end.or(Some(at + 2));
                    at = (len & 0x3f) << 8 | usize::from(*self.packet.get(at + 1)?);
                    if at >= before {
                        return None;
                    }
                    before = at;
                }
                _ => return None,
            }
        }
    }

    fn record(&mut self) -> Option<Record> {
        const CNAME: u16 = 5;
        const A: u16 = Kind::A as u16;
        const AAAA: u16 = Kind::Aaaa as u16;
        const SRV: u16 = Kind::Srv as u16;
        let name = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let ttl_s = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let len = usize::from(self.number()?);
        let start = self.at;
        let bytes = self.take(len)?;
        let end = self.at;
        self.at = start;
        let data = match (class, kind) {
            (INTERNET, A) => Data::Address(<[u8; 4]>::try_from(bytes).ok()?.into()),
            (INTERNET, AAAA) => Data::Address(<[u8; 16]>::try_from(bytes).ok()?.into()),
            (INTERNET, CNAME) => Data::Alias(self.name()?),
            (INTERNET, SRV) => Data::Service {
                priority: self.number()?,
                weight: self.number()?,
                port: self.number()?,
                target: self.name()?,
            },
            _ => Data::Other,
        };
        if matches!(data, Data::Alias(_) | Data::Service { .. }) && self.at != end {
            return None;
        }
        self.at = end;
        Some(Record { name, ttl_s, data })
    }
}

#[cfg(test)]
mod tests;
