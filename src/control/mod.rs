//! The control socket's language, and the tools' side of it. Pure.
//!
//! A command is one line: its words, divided by U+001F (the unit separator of ASCII), then a line
//! feed. So a word may hold spaces, but neither of the two. The reply is whatever comes until
//! the end of the stream: JSON for what programs read, text otherwise. [`commands`] knows the
//! commands.

pub mod commands;
pub mod render;
pub mod rpcd;
#[cfg(test)]
mod tests;

const SEPARATOR: char = '\u{1f}';

/// Writes a command.
pub fn encode(words: &[&str]) -> String {
    let mut line = String::new();
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            line.push(SEPARATOR);
        }
        line.extend(word.chars().filter(|c| *c != SEPARATOR && *c != '\n'));
    }
    line.push('\n');
    line
}

/// Reads a command; `None` where it has no words, too many, or is not UTF-8.
pub fn decode(line: &[u8]) -> Option<Vec<String>> {
    let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
    let text = std::str::from_utf8(line.get(..end)?).ok()?;
    let words: Vec<String> = text.split(SEPARATOR).map(str::to_owned).collect();
    let empty = words.first().is_none_or(String::is_empty);
    (!empty && words.len() <= crate::limits::CONTROL_WORDS_MAX).then_some(words)
}
