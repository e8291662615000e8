//! Messages on their way from one side to another: CALLS §1.1 to §1.4.
//!
//! Every hop shows exactly one Via, ours; the far side's Vias stay with the stored request and
//! come back in its responses. What a plan does not name passes unchanged and in order.

use super::call::dialogs::shifted;
use super::call::identity::Rename;
use super::names::{self, Local};
use crate::sip::proxy::{Routed, copy_vias, max_forwards};
use crate::sip::{Header, Message, Name, NameAddr, Uri};
use crate::sip::{TooLong, Writer};
use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// What becomes of the Contact headers of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contacts<'a> {
    /// They pass.
    Keep,
    /// URIs whose host is one of these addresses become `uri`; header parameters stay.
    Replace { hosts: &'a [IpAddr], uri: &'a str },
    /// Those that name a host by its address are left out: of a redirection over the overlay.
    Names,
    /// As `Replace`, and of the phone's own URIs those stay that are named here, each with the
    /// URI that it becomes.
    Named { hosts: &'a [IpAddr], named: &'a [(&'a str, String)] },
    /// Every URI becomes `uri`; header parameters are dropped with it.
    All(&'a str),
}

/// How a request is rewritten.
pub(crate) struct RequestPlan<'a, 'm> {
    /// The Request-URI that it leaves with.
    pub(crate) uri: &'a str,
    /// Our end of the hop that it goes to.
    pub(crate) local: Local,
    /// The branch of our Via.
    pub(crate) branch: &'a dyn fmt::Display,
    /// Route headers.
    pub(crate) routes: Routes<'a, 'm>,
    /// Our Record-Route, placed first.
    pub(crate) record_route: Option<Local>,
    /// Whether the Record-Routes of those before us stay.
    pub(crate) keep_record_routes: bool,
    /// Contact headers.
    pub(crate) contacts: Contacts<'a>,
    /// What the dialog is called there, where it has another name.
    pub(crate) rename: Option<&'a Rename>,
    /// Who sends it is withheld: no header says so.
    pub(crate) withheld: bool,
    /// What is added to the numbers of CSeq and RAck.
    pub(crate) cseq_shift: i64,
    /// Whether only the allow-list of the overlay passes.
    pub(crate) allow_list: bool,
    /// The body to send.
    pub(crate) body: &'a [u8],
}

/// What becomes of the Route headers of a request.
#[derive(Clone, Copy)]
pub(crate) enum Routes<'a, 'm> {
    /// All are dropped.
    Drop,
    /// They are written as routed: ours taken off, strict routers mended (RFC 3261 s16.4).
    Routed(&'a Routed<'a, 'm>),
    /// These take their place.
    Set(&'a [String]),
}

/// Writes `message`, a request, into `out` as `plan` says. Returns its length.
pub(crate) fn request(
    message: &Message<'_>,
    plan: &RequestPlan<'_, '_>,
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let mut writer = Writer::new(out);
    writer.request(message.method().as_str(), plan.uri);
    write_via(&mut writer, plan.local, plan.branch);
    if let Some(local) = plan.record_route {
        write_record_route(&mut writer, local);
    }
    match plan.routes {
        Routes::Drop => {}
        Routes::Routed(routed) => routed.write_routes(&mut writer),
        Routes::Set(routes) => routes.iter().for_each(|route| writer.header(Name::Route, route)),
    }
    for header in message.headers() {
        match header.name {
            Name::Via | Name::ContentLength | Name::Route | Name::MaxForwards => {}
            Name::RecordRoute if !plan.keep_record_routes => {}
            Name::Contact => write_contacts(&mut writer, header, plan.contacts),
            Name::From | Name::To | Name::CallId if plan.rename.is_some() => {
                write_renamed(&mut writer, header.name, plan.rename);
            }
            Name::ReferredBy if plan.withheld => {}
            Name::CSeq => write_cseq(&mut writer, header, plan.cseq_shift),
            Name::RAck if plan.cseq_shift != 0 => write_rack(&mut writer, header, plan.cseq_shift),
            _ if plan.allow_list && !crosses_overlay(header) => {}
            _ => writer.copy(header),
        }
    }
    writer.header(Name::MaxForwards, max_forwards(message).unwrap_or_default());
    writer.finish(plan.body)
}

fn write_renamed(writer: &mut Writer<'_>, name: Name, rename: Option<&Rename>) {
    let Some(rename) = rename else { return };
    match name {
        Name::From => writer.header(name, &rename.from),
        Name::To => writer.header(name, &rename.to),
        _ => writer.header(name, &rename.call_id),
    }
}

/// How a response is rewritten.
pub(crate) struct ResponsePlan<'a, 'm> {
    /// The request that it answers, as it came from upstream: Via, From, Call-ID and CSeq.
    pub(crate) upstream: &'a Message<'m>,
    /// The source of that request (RFC 3581).
    pub(crate) source: SocketAddr,
    /// Our Record-Route.
    pub(crate) record_route: RecordRoute,
    /// Contact headers.
    pub(crate) contacts: Contacts<'a>,
    /// To, where its tag is not the one that the answerer chose.
    pub(crate) to: Option<&'a str>,
    /// Whether only the allow-list of the overlay passes.
    pub(crate) allow_list: bool,
    /// It goes to a phone: a 503 loses its Retry-After (CALLS §3.6).
    pub(crate) to_phone: bool,
    /// The body to send.
    pub(crate) body: &'a [u8],
}

/// Our Record-Route in a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RecordRoute {
    /// Towards a phone: ours goes last, after the far side's where those are kept.
    Append { local: Local, keep: bool },
    /// From a phone: ours, which is this, is taken off.
    Remove(Local),
    /// To the overlay and from it: none crosses.
    Drop,
    /// Left alone.
    Keep,
}

/// Writes `message`, a response, into `out` as `plan` says. Returns its length.
pub(crate) fn response(
    message: &Message<'_>,
    plan: &ResponsePlan<'_, '_>,
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let mut writer = Writer::new(out);
    writer.status(message.status(), message.reason());
    copy_vias(&mut writer, plan.upstream, plan.source);
    // Inside a dialog the request says who is asked, by the name that its sender knows.
    let in_dialog = plan.upstream.to().is_some_and(|to| to.tag().is_some());
    for header in plan.upstream.headers() {
        match header.name {
            Name::From | Name::CallId | Name::CSeq => writer.copy(header),
            Name::To if in_dialog => writer.copy(header),
            _ => {}
        }
    }
    for header in message.headers() {
        match header.name {
            Name::Via | Name::From | Name::CallId | Name::CSeq | Name::ContentLength => {}
            Name::To if in_dialog => {}
            Name::To if plan.to.is_some() => {
                writer.header(Name::To, plan.to.unwrap_or_default());
            }
            Name::RecordRoute => write_response_route(&mut writer, header, plan.record_route),
            Name::Contact => write_contacts(&mut writer, header, plan.contacts),
            Name::RetryAfter if plan.to_phone && message.status() == 503 => {}
            _ if plan.allow_list && !crosses_overlay(header) => {}
            _ => writer.copy(header),
        }
    }
    if let RecordRoute::Append { local, .. } = plan.record_route {
        write_record_route(&mut writer, local);
    }
    writer.finish(plan.body)
}

/// Writes a response of our own to `request`. `to_tag` is added to a To that has none.
pub(crate) fn reply(
    request: &Message<'_>,
    source: SocketAddr,
    (code, reason): (u16, &str),
    to_tag: Option<&dyn fmt::Display>,
    (extra, body): (&[(Name, &dyn fmt::Display)], &[u8]),
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let mut writer = Writer::new(out);
    writer.status(code, reason);
    copy_vias(&mut writer, request, source);
    for header in request.headers() {
        match (header.name, to_tag) {
            (Name::To, Some(tag)) if request.to().is_none_or(|to| to.tag().is_none()) => {
                writer.header(Name::To, format_args!("{};tag={tag}", header.value));
            }
            (Name::From | Name::CallId | Name::CSeq | Name::To, _) => writer.copy(header),
            _ => {}
        }
    }
    for (name, value) in extra {
        writer.header(*name, value);
    }
    writer.finish(body)
}

/// `message` with other values of some headers, or without them.
pub(crate) fn with_headers(
    message: &Message<'_>,
    changes: &[(Name, Option<&str>)],
) -> Option<Vec<u8>> {
    super::crossing::write(|out| {
        let mut writer = Writer::new(out);
        match message.is_request() {
            true => writer.request(message.method().as_str(), message.request_uri()),
            false => writer.status(message.status(), message.reason()),
        }
        for header in message.headers().iter().filter(|it| it.name != Name::ContentLength) {
            match changes.iter().find(|(name, _)| *name == header.name) {
                None => writer.copy(header),
                Some((name, Some(value))) => writer.header(*name, value),
                Some((_, None)) => {}
            }
        }
        writer.finish(message.body())
    })
}

/// The values of one header line, split at commas outside quotes and angle brackets.
pub(crate) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    crate::sip::Split::new(value, b',')
}

/// Writes our Via.
pub(crate) fn write_via(writer: &mut Writer<'_>, local: Local, branch: &dyn fmt::Display) {
    let rport = if matches!(local, Local::Overlay(_)) { "" } else { ";rport" };
    let (transport, host) = (local.transport(), local.host());
    writer.header(Name::Via, format_args!("SIP/2.0/{transport} {host};branch={branch}{rport}"));
}

fn write_record_route(writer: &mut Writer<'_>, local: Local) {
    let (host, parameter) = (local.host(), local.parameter());
    writer.header(Name::RecordRoute, format_args!("<sip:{host}{parameter};lr>"));
}

fn write_cseq(writer: &mut Writer<'_>, header: &Header<'_>, shift: i64) {
    match header.value.split_once(|c: char| c.is_ascii_whitespace()) {
        Some((number, method)) if shift != 0 => {
            let number = shifted(number.parse().unwrap_or(0), shift);
            writer.header(Name::CSeq, format_args!("{number} {}", method.trim()));
        }
        _ => writer.copy(header),
    }
}

/// RAck names the INVITE's CSeq behind the number of the response (RFC 3262 s7.2).
fn write_rack(writer: &mut Writer<'_>, header: &Header<'_>, shift: i64) {
    let mut words = header.value.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(response), Some(number), Some(method)) => {
            let number = shifted(number.parse().unwrap_or(0), shift);
            writer.header(Name::RAck, format_args!("{response} {number} {method}"));
        }
        _ => writer.copy(header),
    }
}

fn write_response_route(writer: &mut Writer<'_>, header: &Header<'_>, plan: RecordRoute) {
    match plan {
        RecordRoute::Drop | RecordRoute::Append { keep: false, .. } => {}
        RecordRoute::Keep | RecordRoute::Append { keep: true, .. } => writer.copy(header),
        RecordRoute::Remove(own) => {
            let own = match own {
                Local::Socket { address, .. } => address,
                Local::Overlay(_) => return writer.copy(header),
            };
            for value in split_list(header.value) {
                if !names(value, own) {
                    writer.header(Name::RecordRoute, value);
                }
            }
        }
    }
}

fn write_contacts(writer: &mut Writer<'_>, header: &Header<'_>, contacts: Contacts<'_>) {
    if header.value.trim() == "*" {
        writer.copy(header);
        return;
    }
    for value in split_list(header.value) {
        let Ok(contact) = NameAddr::parse(value) else {
            writer.header(Name::Contact, value);
            continue;
        };
        let host = names::uri_address(contact.uri);
        let at_one_of = |hosts: &[IpAddr]| host.is_some_and(|host| hosts.contains(&host));
        let own = match contacts {
            Contacts::Replace { hosts, uri } => at_one_of(hosts).then_some(uri),
            Contacts::Named { hosts, named } => {
                let uri = named.iter().find(|(own, _)| *own == contact.uri);
                if uri.is_none() && at_one_of(hosts) {
                    continue;
                }
                uri.map(|(_, uri)| uri.as_str())
            }
            _ => None,
        };
        match (contacts, own) {
            (Contacts::Names, _) if host.is_some() => {}
            (Contacts::All(uri), _) => writer.header(Name::Contact, format_args!("<{uri}>")),
            (_, Some(uri)) => {
                writer.header(Name::Contact, ContactValue { contact: &contact, uri });
            }
            (_, None) => writer.header(Name::Contact, value),
        }
    }
}

struct ContactValue<'a> {
    contact: &'a NameAddr<'a>,
    uri: &'a str,
}

impl fmt::Display for ContactValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.contact.display.is_empty() {
            write!(f, "\"{}\" ", self.contact.display)?;
        }
        write!(f, "<{}>{}", self.uri, self.contact.params)
    }
}

/// Whether a Record-Route value names this address of ours.
fn names(value: &str, own: SocketAddr) -> bool {
    let Ok(route) = NameAddr::parse(value) else { return false };
    let Ok(uri) = Uri::parse(route.uri) else { return false };
    let Some(ip) = uri.host_ip() else { return false };
    own == (ip, uri.port.unwrap_or(5060)).into()
}

/// The headers that may cross the overlay (CALLS §1.4). Credentials, routes, assertions that only
/// a provider can make, and whatever rings or answers a phone by itself stay behind.
fn crosses_overlay(header: &Header<'_>) -> bool {
    match header.name {
        Name::From
        | Name::To
        | Name::CallId
        | Name::ContentType
        | Name::Expires
        | Name::MinExpires
        | Name::Require
        | Name::Supported
        | Name::Unsupported
        | Name::Allow
        | Name::Event
        | Name::SubscriptionState
        | Name::RAck
        | Name::RSeq
        | Name::RetryAfter
        | Name::Warning
        | Name::UserAgent
        | Name::Server
        | Name::Date
        | Name::SessionExpires
        | Name::MinSe
        | Name::Privacy
        | Name::Reason
        | Name::Accept
        | Name::AcceptEncoding
        | Name::AcceptLanguage
        | Name::AllowEvents
        | Name::ContentDisposition
        | Name::ContentEncoding
        | Name::ContentLanguage
        | Name::MimeVersion
        | Name::InfoPackage
        | Name::RecvInfo
        | Name::SessionId
        | Name::ReferTo
        | Name::ReferredBy
        // Only where it names a dialog between the two adapters; see `transfer`.
        | Name::Replaces => true,
        _ => false,
    }
}
