//! How a REGISTER of our own is written: the phone's last one, with what is ours in it.

use crate::adapter::register::answer::write_timed_contact;
use crate::adapter::rewrite::split_list;
use crate::sip::{Message, Name, NameAddr, TooLong, Writer};

/// What one REGISTER of our own has besides the phone's.
pub(super) struct Own<'a> {
    pub(super) call_id: &'a str,
    pub(super) cseq: u32,
    pub(super) expires_s: u32,
    pub(super) credentials: Option<(Name, String)>,
}

/// The phone's REGISTER with what is ours in it.
pub(super) fn write_own(
    template: &Message<'_>,
    contact: &str,
    own: &Own<'_>,
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let mut writer = Writer::new(out);
    writer.request("REGISTER", template.request_uri());
    for header in template.headers() {
        match header.name {
            Name::CallId => writer.header(Name::CallId, own.call_id),
            Name::CSeq => writer.header(Name::CSeq, format_args!("{} REGISTER", own.cseq)),
            Name::Authorization | Name::ProxyAuthorization => {}
            Name::Expires | Name::ContentLength => {}
            Name::Contact => {
                for value in split_list(header.value) {
                    write_own_contact(&mut writer, value, contact, own.expires_s);
                }
            }
            _ => writer.copy(header),
        }
    }
    if let Some((name, value)) = &own.credentials {
        writer.header(*name, value);
    }
    writer.finish(template.body())
}

fn write_own_contact(writer: &mut Writer<'_>, value: &str, contact: &str, expires_s: u32) {
    let Ok(parsed) = NameAddr::parse(value) else { return };
    if parsed.uri != contact {
        return;
    }
    write_timed_contact(writer, contact, &parsed, expires_s);
}
