//! The fuzz target of the media parsers: any bytes as a body, on its way both ways.
//!
//! Compiled with everything else, so that it cannot rot. What it asserts holds for every input.

use super::{Media, Side};
use crate::config::MediaConfig;
use crate::limits::SIP_MESSAGE_BYTES_MAX;
use crate::net::{Answer, Request, SocketId};
use crate::rng::Rng;
use crate::time::Instant;
use std::net::{IpAddr, Ipv4Addr};

const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
const WAN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// A relay with ports and one call, as every input meets it.
fn relay() -> Media {
    let mut media = Media::new(&MediaConfig::default(), 1, &mut Rng::new([0; 32]));
    media.set_addresses(&[LAN], &[WAN], None);
    let mut socket = 0;
    while let Some((ticket, request)) = media.poll_request() {
        if let Request::Bind { local, .. } = request {
            socket += 1;
            let answer = Answer::Bound(SocketId(socket), local);
            media.handle_answer(Instant::ZERO, ticket, Ok(answer));
        }
    }
    media
}

/// Rewrites `data` as a description, and as a multipart body whose boundary is its first line.
///
/// # Panics
/// Where the rewriting breaks a promise: that is what a fuzzer looks for.
pub fn fuzz(data: &[u8]) {
    let mut media = relay();
    let Ok(session) = media.open(Instant::ZERO) else { return };
    let boundary = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let boundary = String::from_utf8_lossy(boundary);
    let multipart = format!("multipart/mixed; boundary=\"{}\"", boundary.trim_matches('-').trim());
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for content_type in ["application/sdp", &multipart] {
        for (from, to) in [(Side::Phone, Side::Far(0)), (Side::Far(0), Side::Phone)] {
            let mut rewrite = |out: &mut Vec<u8>| {
                media.rewrite(Instant::ZERO, session, from, to, LAN, content_type, data, out)
            };
            let result = rewrite(&mut first);
            assert!(first.len() <= data.len() + SIP_MESSAGE_BYTES_MAX, "growth is bounded");
            assert_eq!(rewrite(&mut again), result, "a repetition has the same outcome");
            assert_eq!(first, again, "and the same ports");
        }
    }
}
