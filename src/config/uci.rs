//! The syntax of UCI files, as OpenWrt's libuci reads it: statements of words.
//!
//! `package NAME`, `config TYPE [NAME]`, `option NAME VALUE` and `list NAME VALUE`, or their first
//! letters alone. A word is made of bare characters, 'single' and "double" quoted pieces side by
//! side; a backslash takes the next character as it is, outside single quotes, and joins lines at
//! a line's end; `#` begins a comment. Sections of one type and name are one section. Stricter
//! than libuci in one thing: a bare `;` (two statements on a line) is an error, because it is
//! always a forgotten quote around a SIP URI. Sizes are bounded by [`crate::limits`].

use super::Error;
use super::schema::is_public;
use crate::limits::{
    CONFIG_BYTES_MAX, CONFIG_SECTIONS_MAX, CONFIG_VALUES_MAX, CONFIG_WORD_BYTES_MAX,
};

/// One section with all its options, in the order of the file.
pub(super) struct Section {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) line: u32,
    pub(super) options: Vec<Setting>,
}

/// One option with its values, of which a list has several.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) line: u32,
    pub(super) values: Vec<(u32, String)>,
}

/// A place that is not UCI.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) line: u32,
    pub(super) value: String,
    pub(super) allowed: &'static str,
}

impl Syntax {
    /// The same, told of the file `source`.
    pub(super) fn of(self, source: &str) -> Error {
        let Self { line, value, allowed } = self;
        Error { file: source.to_owned(), line, value, allowed: allowed.to_owned() }
    }
}

/// Reads all sections of `text`.
pub(super) fn sections(text: &str) -> Result<Vec<Section>, Syntax> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(Syntax { line: 1, value: String::new(), allowed: "a file of at most 4 MB" });
    }
    let mut reader = Reader { rest: text, line: 1 };
    let mut sections: Vec<Section> = Vec::new();
    let mut current = None;
    loop {
        let words = reader.statement()?;
        let Some((line, first)) = words.first() else { break };
        let line = *line;
        match (first.as_str(), words.get(1), words.get(2)) {
            ("package" | "p", Some(_), None) => {}
            ("config" | "c", Some((_, kind)), name) if words.len() <= 3 => {
                let name = name.map_or("", |(_, name)| name);
                current = Some(open(&mut sections, line, kind, name)?);
            }
            ("option" | "o" | "list" | "l", Some((_, name)), Some((_, value)))
                if words.len() == 3 =>
            {
                let section = current.and_then(|index: usize| sections.get_mut(index));
                let allowed = "'config TYPE' before the first option";
                let no_section = || Syntax { line, value: name.clone(), allowed };
                let section = section.ok_or_else(no_section)?;
                set(section, line, first.starts_with('l'), name, value)?;
            }
            _ => {
                let allowed = "'package NAME', 'config TYPE [NAME]', 'option NAME VALUE' or \
                               'list NAME VALUE'";
                return Err(Syntax { line, value: first.clone(), allowed });
            }
        }
    }
    Ok(sections)
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Finds or adds a section and returns its place.
fn open(list: &mut Vec<Section>, line: u32, kind: &str, name: &str) -> Result<usize, Syntax> {
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Syntax { line, value: kind.into(), allowed: "a type of section" });
    }
    if !is_name(name) {
        return Err(Syntax { line, value: name.into(), allowed: "letters, digits and '_'" });
    }
    if !name.is_empty()
        && let Some(index) = list.iter().position(|s| s.kind == kind && s.name == name)
    {
        return Ok(index);
    }
    if list.len() == CONFIG_SECTIONS_MAX {
        return Err(Syntax { line, value: kind.into(), allowed: "fewer sections" });
    }
    list.push(Section { kind: kind.into(), name: name.into(), line, options: Vec::new() });
    Ok(list.len() - 1)
}

/// Sets an option, or adds a value to a list.
fn set(
    section: &mut Section,
    line: u32,
    list: bool,
    name: &str,
    value: &str,
) -> Result<(), Syntax> {
    if name.is_empty() || !is_name(name) {
        return Err(Syntax { line, value: name.into(), allowed: "letters, digits and '_'" });
    }
    let total: usize = section.options.iter().map(|option| option.values.len().max(1)).sum();
    if total >= CONFIG_VALUES_MAX {
        return Err(Syntax { line, value: value.into(), allowed: "fewer values in a section" });
    }
    let value = (line, value.to_owned());
    match section.options.iter_mut().find(|option| option.name == name) {
        Some(option) if list => option.values.push(value),
        Some(option) => {
            option.line = line;
            option.values = vec![value];
        }
        None => {
            let values = vec![value];
            section.options.push(Setting { name: name.into(), line, values });
        }
    }
    Ok(())
}

/// An error in a value is told without the value, where that may be a secret: by its option's
/// name, or because no option has that name.
fn discreet(mut error: Syntax, before: &[(u32, String)]) -> Syntax {
    if before.get(1).is_some_and(|(_, option)| !is_public(option)) {
        error.value = "(secret)".into();
    }
    error
}

/// A place in the text.
struct Reader<'a> {
    rest: &'a str,
    line: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        self.line += u32::from(c == '\n');
        Some(c)
    }

    /// The words of the next line that has any, each with its line; none at the end of the text.
    fn statement(&mut self) -> Result<Vec<(u32, String)>, Syntax> {
        let mut words = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.take();
                    if !words.is_empty() {
                        break;
                    }
                }
                '#' => self.comment(),
                c if c.is_ascii_whitespace() => {
                    self.take();
                }
                _ if words.len() == 4 => {
                    let allowed = "at most a name and a value on a line, quoted if need be";
                    return Err(self.error(&c.to_string(), allowed));
                }
                _ => {
                    let line = self.line;
                    let mut word = String::new();
                    let some = self.word(&mut word).map_err(|error| discreet(error, &words))?;
                    if some {
                        words.push((line, word));
                    }
                }
            }
        }
        Ok(words)
    }

    fn comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    /// Reads one word. False where there was none: a joined line only.
    fn word(&mut self, word: &mut String) -> Result<bool, Syntax> {
        let mut some = false;
        while let Some(c) = self.peek() {
            match c {
                '#' => break,
                c if c.is_ascii_whitespace() => break,
                ';' => {
                    return Err(self.error(word, "a value with ';' stands in quotes"));
                }
                '\'' | '"' => {
                    self.take();
                    self.quoted(c, word)?;
                    some = true;
                }
                '\\' => {
                    self.take();
                    some |= self.escaped(word)?;
                }
                c => {
                    self.take();
                    self.push(word, c)?;
                    some = true;
                }
            }
        }
        Ok(some)
    }

    fn quoted(&mut self, quote: char, word: &mut String) -> Result<(), Syntax> {
        let line = self.line;
        loop {
            match self.take() {
                None => {
                    let value = word.lines().next().unwrap_or_default().to_owned();
                    return Err(Syntax { line, value, allowed: "a closing quote" });
                }
                Some(c) if c == quote => return Ok(()),
                Some('\\') if quote == '"' => {
                    self.escaped(word)?;
                }
                Some(c) => self.push(word, c)?,
            }
        }
    }

    /// Takes what follows a backslash. False for the end of a line, which joins two lines.
    fn escaped(&mut self, word: &mut String) -> Result<bool, Syntax> {
        if self.rest.starts_with("\r\n") {
            self.take();
        }
        match self.take() {
            None | Some('\n') => Ok(false),
            Some(c) => self.push(word, c).map(|()| true),
        }
    }

    fn push(&self, word: &mut String, c: char) -> Result<(), Syntax> {
        if word.len() + c.len_utf8() > CONFIG_WORD_BYTES_MAX {
            return Err(self.error(word, "at most 1,024 bytes in a word"));
        }
        word.push(c);
        Ok(())
    }

    fn error(&self, value: &str, allowed: &'static str) -> Syntax {
        let value = value.chars().take(64).collect();
        Syntax { line: self.line, value, allowed }
    }
}
