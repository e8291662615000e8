//! What a dialog is called on one of its sides: RFC 3261 s12.
//!
//! A B2BUA gives a call another Call-ID, other tags and often another From on its far side, and a
//! leg that is held here has names of its own. So each end of a dialog keeps the names that it
//! knows, and a message is written with those of the end that it goes to. On the direct path
//! between two adapters a call is called by its notice (CALLS §4.1): that name both of them know.

use super::Role;
use crate::adapter::names::OVERLAY_SUFFIX;
use crate::channel::CallKey;
use crate::sip::{Message, Name, NameAddr};
use core::fmt::Write;

/// The names of a dialog on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialogId {
    /// Call-ID.
    pub(crate) call_id: String,
    /// The phone with its tag, as From or To has it there.
    pub(crate) phone: String,
    /// The far end with its tag, likewise.
    pub(crate) far: String,
}

impl DialogId {
    /// The names in a message that the phone's side sends, or a response that it gets.
    pub(crate) fn of(message: &Message<'_>, phone_is_from: bool) -> Self {
        let value = |name| message.header(name).unwrap_or_default().to_owned();
        let (phone, far) =
            if phone_is_from { (Name::From, Name::To) } else { (Name::To, Name::From) };
        Self { call_id: message.call_id().to_owned(), phone: value(phone), far: value(far) }
    }

    /// The phone's tag.
    pub(crate) fn phone_tag(&self) -> &str {
        tag_of(&self.phone)
    }

    /// The far end's tag.
    pub(crate) fn far_tag(&self) -> &str {
        tag_of(&self.far)
    }

    /// Whether a message with this Call-ID and these tags is in it.
    pub(crate) fn is(&self, call_id: &str, phone_tag: &str, far_tag: &str) -> bool {
        self.call_id == call_id && self.has_tags(phone_tag, far_tag)
    }

    /// Whether both name the same dialog, however they write its ends.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.is(&other.call_id, other.phone_tag(), other.far_tag())
    }

    /// Whether these are its tags, whatever the Call-ID.
    pub(crate) fn has_tags(&self, phone_tag: &str, far_tag: &str) -> bool {
        self.phone_tag() == phone_tag && self.far_tag() == far_tag
    }

    /// The names as a request writes them; `outbound`: it comes from the phone.
    pub(crate) fn rename(&self, outbound: bool) -> Rename {
        let (from, to) = if outbound { (&self.phone, &self.far) } else { (&self.far, &self.phone) };
        Rename { call_id: self.call_id.clone(), from: from.clone(), to: to.clone() }
    }
}

/// Call-ID, From and To that a message leaves with, in place of those that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rename {
    /// Call-ID.
    pub(crate) call_id: String,
    /// From, with its tag.
    pub(crate) from: String,
    /// To, with its tag where it has one.
    pub(crate) to: String,
}

impl Rename {
    /// The same, in the name of a caller that is withheld: the tag stays.
    pub(crate) fn withheld(self) -> Self {
        let from = match tag_of(&self.from) {
            "" => NOBODY.to_owned(),
            tag => with_tag(NOBODY, tag),
        };
        Self { from, ..self }
    }
}

/// Who calls where that is withheld (RFC 3323 s4.1.1.3).
pub(crate) const NOBODY: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// User part of the Contact of a caller that is withheld.
pub(crate) const NOBODY_USER: &str = "anonymous";

/// The tag of a From or To; empty where it has none.
pub(crate) fn tag_of(value: &str) -> &str {
    NameAddr::parse(value).ok().and_then(|address| address.tag()).unwrap_or_default()
}

/// A From or To under another tag.
pub(crate) fn with_tag(value: &str, tag: &str) -> String {
    let Ok(address) = NameAddr::parse(value) else { return format!("{value};tag={tag}") };
    let mut out = String::with_capacity(value.len() + tag.len() + 8);
    if !address.display.is_empty() {
        let _ = write!(out, "\"{}\" ", address.display);
    }
    let _ = write!(out, "<{}>", address.uri);
    for (name, value) in address.params.iter().filter(|(name, _)| !is_tag(name)) {
        let _ = match value {
            "" => write!(out, ";{name}"),
            value => write!(out, ";{name}={value}"),
        };
    }
    let _ = write!(out, ";tag={tag}");
    out
}

fn is_tag(name: &str) -> bool {
    name.eq_ignore_ascii_case("tag")
}

/// The Call-ID of requests that take the direct path: who sends them, and the call's name.
pub(crate) fn direct_call_id(sender: Role, key: CallKey) -> String {
    format!("{}.{key:?}{OVERLAY_SUFFIX}", prefix(sender))
}

/// Reads such a Call-ID back.
pub(crate) fn read_direct(call_id: &str) -> Option<(Role, CallKey)> {
    let name = call_id.strip_suffix(OVERLAY_SUFFIX)?;
    [Role::Caller, Role::Callee].into_iter().find_map(|role| {
        let hex = name.strip_prefix(prefix(role))?.strip_prefix('.')?;
        crate::adapter::names::hex_bytes(hex).map(|key| (role, CallKey(key)))
    })
}

fn prefix(role: Role) -> &'static str {
    match role {
        Role::Caller => "caller",
        Role::Callee => "callee",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_put_in_place_of_the_old_one() {
        let cases = [
            ("<sip:a@x>", "<sip:a@x>;tag=n"),
            ("<sip:a@x>;tag=old", "<sip:a@x>;tag=n"),
            ("\"A, B\" <sip:a@x>;q=1;TAG=old", "\"A, B\" <sip:a@x>;q=1;tag=n"),
            ("sip:a@x;tag=old", "<sip:a@x>;tag=n"),
        ];
        for (value, wanted) in cases {
            assert_eq!(with_tag(value, "n"), wanted);
            assert_eq!(tag_of(wanted), "n");
        }
    }

    #[test]
    fn the_name_of_a_direct_path_is_read_back_and_no_other() {
        let key = CallKey::of("some call");
        for role in [Role::Caller, Role::Callee] {
            assert_eq!(read_direct(&direct_call_id(role, key)), Some((role, key)));
        }
        for other in ["", "caller.", "caller.00.cosip.invalid", "some call", "x.cosip.invalid"] {
            assert_eq!(read_direct(other), None);
        }
    }
}
