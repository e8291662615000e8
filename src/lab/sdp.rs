//! The session description of a telephone: one G.711 stream (RFC 4566, RFC 3264).
//!
//! Written apart from the adapter's own reader, so that a mistake there is not shared here.

use std::net::{IpAddr, SocketAddr};

/// A description that asks for G.711 at `media`.
pub fn write(media: SocketAddr, session: u32, version: u32) -> String {
    let family = if media.is_ipv4() { "IP4" } else { "IP6" };
    let (host, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- {session} {version} IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\n\
         t=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Where a description wants its sound: the first audio stream's port at its own address, else
/// at the session's. None where it wants none: no stream, port 0, or no address.
pub fn media_address(body: &[u8]) -> Option<SocketAddr> {
    let text = core::str::from_utf8(body).ok()?;
    let mut address = None;
    let mut port = None;
    for line in text.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            if port.is_some() {
                break;
            }
            let mut words = media.split(' ');
            if words.next() == Some("audio") {
                port = words.next()?.parse().ok().filter(|port| *port != 0u16);
                port?;
            }
        } else if let Some(connection) = line.strip_prefix("c=IN ") {
            let host = connection.split(' ').nth(1)?;
            address = Some(host.parse::<IpAddr>().ok()?);
        }
    }
    let address = address.filter(|address| !address.is_unspecified())?;
    Some(SocketAddr::new(address, port?))
}

/// The session that a description names in its origin.
pub fn session(body: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(body).ok()?;
    let origin = text.lines().find_map(|line| line.strip_prefix("o="))?;
    origin.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["127.0.1.10:4000", "[::1]:5004"] {
            let media: SocketAddr = text.parse().unwrap();
            assert_eq!(media_address(write(media, 1, 2).as_bytes()), Some(media));
            assert_eq!(session(write(media, 1, 2).as_bytes()), Some(1));
        }
    }

    #[test]
    fn the_stream_s_own_address_counts_and_a_refused_stream_has_none() {
        let head = "v=0\r\nc=IN IP4 192.0.2.1\r\n";
        let body = format!("{head}m=audio 8 RTP/AVP 0\r\nc=IN IP4 192.0.2.2\r\nm=video 9 X 1\r\n");
        assert_eq!(media_address(body.as_bytes()), "192.0.2.2:8".parse().ok());
        for rest in ["m=audio 0 RTP/AVP 0\r\n", "m=video 4 X 1\r\n", "", "m=audio\r\n"] {
            assert_eq!(media_address(format!("{head}{rest}").as_bytes()), None, "{rest}");
        }
        let held = "c=IN IP4 0.0.0.0\r\nm=audio 8 RTP/AVP 0\r\n";
        assert_eq!(media_address(held.as_bytes()), None);
    }
}
