//! The body of the fuzz target: everything that reads a received message.
//!
//! Nothing here judges the result but one law: what was read and written again reads the same.

use super::{Frame, Framer, Message, Name, NameAddr, Uri, Via, Writer, delta_seconds, proxy};
use crate::limits::{SIP_HEADERS_MAX, SIP_MESSAGE_BYTES_MAX};
use std::net::SocketAddr;

/// Reads `data` as a datagram and as a stream in every way there is.
///
/// # Panics
/// Where a message that was read and written again reads otherwise.
pub fn fuzz(data: &[u8]) {
    let mut framer = Framer::new();
    for chunk in data.chunks(100) {
        if framer.push(chunk).is_err() {
            break;
        }
        while let Ok(Some(frame)) = framer.next() {
            if let Frame::Message(bytes) = frame {
                read(bytes);
            }
        }
    }
    read(data);
}

fn read(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    let checked = message.check();
    for header in message.headers() {
        for value in message.values(header.name).chain([header.value]) {
            let via = Via::parse(value).ok();
            let address = NameAddr::parse(value).ok();
            let text = address.map_or(value, |address| address.uri);
            if let Ok(uri) = Uri::parse(text) {
                assert!(uri.equivalent(&uri), "a URI equals itself: {text:?}");
                let _ = (uri.user_unescaped(), uri.host_ip());
            }
            let _ = (via, delta_seconds(value));
        }
    }
    route(&message);
    let mut buf = vec![0; 2 * SIP_MESSAGE_BYTES_MAX];
    if without_length(&message).count() == SIP_HEADERS_MAX {
        return; // No room for the Content-Length that is written.
    }
    let Ok(len) = rewrite(&message, &mut buf) else { return };
    let written = buf.get(..len).unwrap_or(&[]);
    let again = Message::parse(written);
    assert!(again.is_ok(), "written message does not parse: {again:?}");
    let Ok(again) = again else { return };
    assert_eq!(again.body(), message.body());
    assert_eq!(again.headers().len(), 1 + without_length(&message).count());
    if checked.is_ok() {
        assert_eq!(again.check(), Ok(()));
    }
}

/// Asks a proxy's rules about `message`.
fn route(message: &Message<'_>) {
    let is_ours = |uri: &Uri<'_>| uri.host == "192.0.2.1";
    let routed = proxy::Routed::new(message, is_ours);
    let detector = proxy::LoopDetector::new([7; 16]);
    let is_loop = detector.is_loop(message, |via| via.host == "192.0.2.1");
    let mut buf = [0; SIP_MESSAGE_BYTES_MAX];
    let mut writer = Writer::new(&mut buf);
    writer.status(420, &proxy::unsupported(message).to_string());
    let from = SocketAddr::from(([192, 0, 2, 1], 5060));
    proxy::copy_vias(&mut writer, message, from);
    routed.write_routes(&mut writer);
    let target = message.via().map(|via| proxy::response_target(&via, from));
    let _ = (proxy::validate(message), is_loop, target, writer.finish(b""));
}

/// Writes `message` again, header by header.
///
/// # Errors
/// [`super::TooLong`] where `buf` is too small.
pub fn rewrite(message: &Message<'_>, buf: &mut [u8]) -> Result<usize, super::TooLong> {
    let mut writer = Writer::new(buf);
    if message.is_request() {
        writer.request(message.method().as_str(), message.request_uri());
    } else {
        writer.status(message.status(), message.reason());
    }
    without_length(message).for_each(|header| writer.copy(header));
    writer.finish(message.body())
}

fn without_length<'m, 'a>(message: &'m Message<'a>) -> impl Iterator<Item = &'m super::Header<'a>> {
    message.headers().iter().filter(|header| header.name != Name::ContentLength)
}
