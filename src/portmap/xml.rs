//! As much of XML as device descriptions and SOAP answers need: elements and their text.
//!
//! Prefixes of namespaces and attributes are passed over, entities other than the five of XML
//! itself stand as they are, and a document type with declarations of its own is refused: nothing
//! grows here.

use crate::limits::PORTMAP_XML_DEPTH_MAX;
use crate::text::split_once;

/// The document is none, or nests too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A piece of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'d> {
    /// A start tag, by its local name; an empty element's [`Piece::End`] follows.
    Start(&'d str),
    /// Text between tags, as written.
    Text(&'d str),
    /// The end of the innermost element, by its local name.
    End(&'d str),
}

/// Reads a document piece by piece; ends at its end or at its first fault.
pub(super) struct Reader<'d> {
    rest: &'d str,
    open: heapless::Vec<&'d str, PORTMAP_XML_DEPTH_MAX>,
    /// An empty element was begun.
    ends: bool,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d str) -> Self {
        Self { rest: document, open: heapless::Vec::new(), ends: false }
    }

    fn piece(&mut self) -> Result<Option<Piece<'d>>, Malformed> {
        if core::mem::take(&mut self.ends) {
            return self.open.pop().map(Piece::End).map(Some).ok_or(Malformed);
        }
        loop {
            if let Some(after) = self.rest.strip_prefix("<!--") {
                self.rest = split_once(after, "-->").ok_or(Malformed)?.1;
            } else if let Some(after) = self.rest.strip_prefix("<![CDATA[") {
                let (text, after) = split_once(after, "]]>").ok_or(Malformed)?;
                self.rest = after;
                return Ok(Some(Piece::Text(text)));
            } else if let Some(after) = self.rest.strip_prefix("<?") {
                self.rest = split_once(after, "?>").ok_or(Malformed)?.1;
            } else if let Some(after) = self.rest.strip_prefix("<!") {
                let (doctype, after) = after.split_once('>').ok_or(Malformed)?;
                if doctype.contains('[') {
                    return Err(Malformed);
                }
                self.rest = after;
            } else if let Some(after) = self.rest.strip_prefix("</") {
                let (name, after) = after.split_once('>').ok_or(Malformed)?;
                self.rest = after;
                let open = self.open.pop().filter(|open| *open == local(name.trim_end()));
                return open.map(Piece::End).map(Some).ok_or(Malformed);
            } else if let Some(after) = self.rest.strip_prefix('<') {
                return self.start(after).map(Some);
            } else if self.rest.is_empty() {
                return if self.open.is_empty() { Ok(None) } else { Err(Malformed) };
            } else {
                let (text, after) =
                    self.rest.split_at(self.rest.find('<').unwrap_or(self.rest.len()));
                self.rest = after;
                return Ok(Some(Piece::Text(text)));
            }
        }
    }

    /// A start tag. Its attributes may have `>` between their quotes.
    fn start(&mut self, tag: &'d str) -> Result<Piece<'d>, Malformed> {
        let mut quote = None;
        let end = tag.char_indices().find_map(|(at, c)| {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, '>') => return Some(at),
                _ => {}
            }
            None
        });
        let (tag, after) = tag.split_at(end.ok_or(Malformed)?);
        self.rest = after.get(1..).unwrap_or_default();
        self.ends = tag.ends_with('/');
        let name = tag.split(|c: char| c.is_ascii_whitespace() || c == '/').next();
        let name = name.map(local).filter(|name| !name.is_empty()).ok_or(Malformed)?;
        self.open.push(name).map_err(|_| Malformed)?;
        Ok(Piece::Start(name))
    }
}

impl<'d> Iterator for Reader<'d> {
    type Item = Result<Piece<'d>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.piece();
        if piece.is_err() {
            (self.rest, self.ends) = ("", false);
            self.open.clear();
        }
        piece.transpose()
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// The text of the first element of this name, without white space around it.
pub(super) fn text_of(document: &str, name: &str) -> Option<String> {
    let mut text: Option<String> = None;
    for piece in Reader::new(document) {
        match (piece.ok()?, &mut text) {
            (Piece::Start(start), None) if start == name => text = Some(String::new()),
            (Piece::Text(more), Some(text)) => text.push_str(&plain(more)),
            (Piece::End(end), Some(text)) if end == name => return Some(text.trim().to_owned()),
            _ => {}
        }
    }
    None
}

/// Text without the entities of XML itself.
pub(super) fn plain(text: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, _)) = rest.split_once('&') {
        let from = &rest[before.len()..];
        let mut known = entities.iter();
        let found = known.find_map(|(entity, plain)| Some((*plain, from.strip_prefix(entity)?)));
        let (plain, after) = found.unwrap_or_else(|| from.split_at(1));
        out.extend([before, plain]);
        rest = after;
    }
    out + rest
}
