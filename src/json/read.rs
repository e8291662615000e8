//! Reads JSON.

use super::{Map, Value};

/// How deep values may lie within each other.
const DEPTH_MAX: u32 = 32;

/// The value that these bytes are; `None` where they are none.
pub fn parse(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(DEPTH_MAX)?;
    reader.space();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Whether this byte was next; then it is passed.
    fn pass(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.next();
        }
        there
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.next();
        }
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        self.space();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let words = [
                    (&b"null"[..], Value::Null),
                    (b"true", Value::Bool(true)),
                    (b"false", Value::Bool(false)),
                ];
                words.into_iter().find_map(|(word, value)| {
                    self.rest = self.rest.strip_prefix(word)?;
                    Some(value)
                })
            }
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        let mut fields = Map::new();
        self.next();
        self.space();
        if self.pass(b'}') {
            return Some(Value::Object(fields));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            if !self.pass(b':') {
                return None;
            }
            fields.insert(&name, self.value(depth)?);
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Some(Value::Object(fields)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<Value> {
        let mut items = Vec::new();
        self.next();
        self.space();
        if self.pass(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Some(Value::Array(items)),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.rest;
        self.pass(b'-');
        if !self.pass(b'0') {
            self.digits()?;
        }
        if self.pass(b'.') {
            self.digits()?;
        }
        if self.pass(b'e') || self.pass(b'E') {
            let _signed = self.pass(b'+') || self.pass(b'-');
            self.digits()?;
        }
        let text = start.get(..start.len() - self.rest.len())?;
        Some(Value::Number(core::str::from_utf8(text).ok()?.to_owned()))
    }

    fn digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.next();
        }
        (self.rest.len() < before).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        if !self.pass(b'"') {
            return None;
        }
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => {
                    let c = self.escaped()?;
                    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..0x20 => return None,
                byte => text.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'u' => return self.unit(),
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            _ => return None,
        })
    }

    /// A character by one unit of UTF-16 or two (RFC 8259 s7).
    fn unit(&mut self) -> Option<char> {
        let first = self.hex()?;
        let units = if (0xd800..0xdc00).contains(&first) {
            if !(self.pass(b'\\') && self.pass(b'u')) {
                return None;
            }
            vec![first, self.hex()?]
        } else {
            vec![first]
        };
        char::decode_utf16(units).next()?.ok()
    }

    fn hex(&mut self) -> Option<u16> {
        (0..4).try_fold(0, |number, _| {
            let digit = char::from(self.next()?).to_digit(16)?;
            Some(number << 4 | digit as u16)
        })
    }
}
