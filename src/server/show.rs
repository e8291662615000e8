//! Tables for people, and for `awk`.

use super::books::{Books, Selector};
use super::error::ServerError;
use super::text::moment;
use crate::identity::rolling::Shown;

/// The certificates that are meant: those that count at `now_s`, or `all`.
pub(super) fn certificates(
    books: &mut Books,
    which: &Selector,
    all: bool,
    now_s: u64,
) -> Result<String, ServerError> {
    let mut lines =
        format!("{:<14} {:<8} {:<19}  {:<64}  aors\n", "serial", "state", "until", "key");
    for held in books.certificates(which, (!all).then_some(now_s))? {
        let state = match (held.is_revoked, held.until_s < now_s) {
            (true, _) => "revoked",
            (false, true) => "expired",
            (false, false) => "valid",
        };
        let (serial, until, aors) = (held.serial, moment(held.until_s), held.aors.join(" "));
        lines.push_str(&format!("{serial:<14} {state:<8} {until}  {}  {aors}\n", held.adapter));
    }
    Ok(lines)
}

/// The secrets of the network by their key ids, the one that is sent first.
pub(super) fn secrets(shown: &[Shown]) -> String {
    let mut lines = format!("{:<6} {:<7} {:<19}  {:<19}\n", "key id", "state", "from", "until");
    for Shown { key_id, state, from_s, until_s } in shown {
        let [from, until] = [from_s, until_s].map(|at_s| at_s.map_or("-".into(), moment));
        let (key_id, state) = (format!("{key_id:02x}"), state.as_str());
        lines.push_str(&format!("{key_id:<6} {state:<7} {from:<19}  {until:<19}\n"));
    }
    lines
}

/// The audit, oldest first, in columns that tabs divide.
pub(super) fn audit(books: &mut Books) -> Result<String, ServerError> {
    let mut lines = String::from("number\twhen\twho\twhat\tserial\tkey\taors\tdetail\n");
    for row in books.audit()? {
        let number = |column| row.number(column).map(|it| it.to_string()).unwrap_or_default();
        let fields = [
            number(0),
            moment(row.number(1).unwrap_or(0)),
            row.text(2).to_owned(),
            row.text(3).to_owned(),
            number(4),
            row.text(5).to_owned(),
            row.text(6).to_owned(),
            row.text(7).to_owned(),
        ];
        let clean = fields.map(|field| field.replace(['\t', '\n', '\r'], " "));
        lines.push_str(&clean.join("\t"));
        lines.push('\n');
    }
    Ok(lines)
}
