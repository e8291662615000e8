//! Texts of others in messages to users.

use core::fmt::{self, Write};

/// A text in quotation marks, its control characters, quotation marks and backslashes escaped.
///
/// What `{:?}` does beyond that, for characters that join others or do not print, takes Unicode's
/// tables, for which a router has no room.
#[derive(Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if c.is_control() || matches!(c, '"' | '\\') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn what_prints_is_as_it_was_and_nothing_leaves_its_line_or_its_marks() {
        for text in ["", "0.5", "it's", "Büro", "a\"b\\c", "two\nlines\t\u{7f}\u{1b}[31m"] {
            assert_eq!(Quoted(text).to_string(), format!("{text:?}"));
        }
    }
}
