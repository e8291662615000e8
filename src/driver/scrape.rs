//! Metrics over HTTP: one GET a connection, answered by the core's command `metrics`.
//!
//! For Prometheus on the same machine. What is asked for has a bound, and so has the time that a
//! connection lives; nothing but that one page is served.

use super::control::Reply;
use super::reactor::{Happening, Reactor, Source};
use crate::limits::SCRAPE_BYTES_MAX;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

/// Opens the port.
///
/// # Errors
/// What the system says, with the address.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers the request of one connection.
pub(super) async fn answer(reactor: Rc<Reactor>, stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let source = Source::new(&reactor, stream)?;
    let mut request = Vec::new();
    let mut buf = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match source.done(|mut stream| stream.read(&mut buf)).await? {
            0 => return Ok(()),
            _ if request.len() > SCRAPE_BYTES_MAX => return Ok(()),
            len => request.extend(buf.get(..len).unwrap_or_default()),
        }
    }
    let status = status(&request);
    let body = if status == OK {
        let reply = Reply::default();
        reactor.report(Happening::Command(vec!["metrics".into()], reply.clone()));
        reply.received().await
    } else {
        format!("{status}\n").into_bytes()
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let whole = [head.into_bytes(), body].concat();
    let mut rest = whole.as_slice();
    while !rest.is_empty() {
        let len = source.done(|mut stream| stream.write(rest)).await?;
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(())
}

const OK: &str = "200 OK";

/// What a request is answered with (RFC 9110).
fn status(request: &[u8]) -> &'static str {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    match words.as_slice() {
        [b"GET", b"/metrics", version] if version.starts_with(b"HTTP/1.") => OK,
        [b"GET", _, version] if version.starts_with(b"HTTP/1.") => "404 Not Found",
        [_, _, version] if version.starts_with(b"HTTP/1.") => "405 Method Not Allowed",
        _ => "400 Bad Request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_is_served_and_nothing_else() {
        for (line, answer) in [
            ("GET /metrics HTTP/1.1", OK),
            ("GET /metrics HTTP/1.0", OK),
            ("GET / HTTP/1.1", "404 Not Found"),
            ("GET /metrics/.. HTTP/1.1", "404 Not Found"),
            ("POST /metrics HTTP/1.1", "405 Method Not Allowed"),
            ("GET /metrics", "400 Bad Request"),
            ("GET  /metrics HTTP/1.1", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            assert_eq!(status(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()), answer, "{line}");
        }
    }
}
