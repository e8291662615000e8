//! The two requests that a transaction makes by itself: ACK of a refusal, and CANCEL; and what
//! it reads of those that its user made.
//!
//! RFC 3261 s17.1.1.3 and s9.1. Both are hop by hop: one Via, that of the INVITE, and its Route.

use crate::sip::proxy::MAX_FORWARDS;
use crate::sip::{Message, Method, Name, Split, Via, Writer};

/// Method and branch of a request that we wrote. Only its lines down to the first Via are looked
/// at: whoever wrote the rest knows it.
pub(super) fn method_and_branch(request: &[u8]) -> Option<(Method<'_>, &str)> {
    let lines = request.split(|byte| *byte == b'\n');
    let mut lines = lines.map_while(|line| core::str::from_utf8(line).ok());
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut headers = lines.map_while(|line| line.split_once(':'));
    let (_, vias) = headers.find(|(name, _)| Name::parse(name) == Name::Via)?;
    let via = Via::parse(Split::new(vias, b',').next()?).ok()?;
    let is_request = uri.ends_with(" SIP/2.0\r");
    is_request.then_some((Method::parse(method), via.branch()?))
}

/// Writes the ACK of `response`, a final response other than 2xx, to `invite`.
pub(super) fn ack(invite: &[u8], response: &Message<'_>, out: &mut [u8]) -> Option<usize> {
    let invite = Message::parse(invite).ok()?;
    follow_up("ACK", &invite, response.header(Name::To)?, out)
}

/// Writes the CANCEL of `invite`.
pub(super) fn cancel(invite: &[u8], out: &mut [u8]) -> Option<usize> {
    let invite = Message::parse(invite).ok()?;
    follow_up("CANCEL", &invite, invite.header(Name::To)?, out)
}

fn follow_up(method: &str, invite: &Message<'_>, to: &str, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out);
    writer.request(method, invite.request_uri());
    writer.header(Name::Via, invite.values(Name::Via).next()?);
    writer.header(Name::MaxForwards, MAX_FORWARDS);
    for header in invite.headers().iter().filter(|header| header.name == Name::Route) {
        writer.copy(header);
    }
    writer.header(Name::From, invite.header(Name::From)?);
    writer.header(Name::To, to);
    writer.header(Name::CallId, invite.call_id());
    writer.header(Name::CSeq, format_args!("{} {method}", invite.cseq()?.0));
    writer.finish(&[]).ok()
}
