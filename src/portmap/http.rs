//! As much of HTTP/1.1 as UPnP needs: one request on a connection, and its bounded answer.

use crate::limits::{PORTMAP_HTTP_BYTES_MAX, PORTMAP_URL_BYTES_MAX};
use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// Not HTTP, or larger than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// An `http` URL whose host is a literal address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) host: SocketAddr,
    /// Path and query; begins with `/`.
    pub(super) path: String,
}

impl Url {
    /// Reads an absolute URL. `None` for another scheme, a host name, a control character.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
        if !plain || text.len() > PORTMAP_URL_BYTES_MAX || scheme.is_none() {
            return None;
        }
        let rest = text.get(7..)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = match (authority.parse::<SocketAddr>(), authority.parse::<IpAddr>()) {
            (Ok(host), _) => host,
            (_, Ok(ip)) => SocketAddr::new(ip, 80),
            _ => return None,
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { host, path })
    }

    /// Reads a URL that may be relative to this one: absolute, or a path.
    pub(super) fn join(&self, text: &str) -> Option<Self> {
        if crate::text::has(text, "://") {
            return Self::parse(text);
        }
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || text.is_empty() || text.len() > PORTMAP_URL_BYTES_MAX {
            return None;
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = if text.starts_with('/') { text.into() } else { format!("{folder}/{text}") };
        (path.len() <= PORTMAP_URL_BYTES_MAX).then_some(Self { host: self.host, path })
    }
}

/// Writes a request for a document.
pub(super) fn get(url: &Url) -> String {
    format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", url.path, url.host)
}

/// Writes a SOAP request (UPnP Device Architecture 1.1 s3.1).
pub(super) fn post(url: &Url, action: impl fmt::Display, body: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n\
         SOAPAction: \"{action}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        url.path,
        url.host,
        body.len(),
    )
}

/// An answer as it comes in.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes bytes in. The status and the body where the answer is whole; `closed` says that no
    /// more will come.
    ///
    /// # Errors
    /// [`Malformed`] where it can become no answer.
    pub(super) fn read(
        &mut self,
        data: &[u8],
        closed: bool,
    ) -> Result<Option<(u16, String)>, Malformed> {
        if self.bytes.len() + data.len() > PORTMAP_HTTP_BYTES_MAX {
            return Err(Malformed);
        }
        self.bytes.extend_from_slice(data);
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if closed { Err(Malformed) } else { Ok(None) };
        };
        let (heading, body) = self.bytes.split_at(end + 4);
        let heading = core::str::from_utf8(heading).map_err(|_| Malformed)?;
        let status = status(heading).ok_or(Malformed)?;
        let body = if header(heading, "transfer-encoding").is_some() {
            unchunked(body)?
        } else if let Some(length) = header(heading, "content-length") {
            let length = length.parse::<usize>().map_err(|_| Malformed)?;
            if length > PORTMAP_HTTP_BYTES_MAX {
                return Err(Malformed);
            }
            body.get(..length).map(<[u8]>::to_vec)
        } else {
            closed.then(|| body.to_vec())
        };
        match body {
            Some(body) => {
                let body = String::from_utf8(body).map_err(|_| Malformed)?;
                Ok(Some((status, body)))
            }
            None if closed => Err(Malformed),
            None => Ok(None),
        }
    }
}

/// The status of a status line.
pub(super) fn status(heading: &str) -> Option<u16> {
    let line = heading.strip_prefix("HTTP/1.")?;
    line.get(1..)?.strip_prefix(' ')?.get(..3)?.parse().ok()
}

/// The value of the first header of this name, which is given in lower case.
pub(super) fn header<'h>(heading: &'h str, name: &str) -> Option<&'h str> {
    let fields = heading.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|(field, _)| field.trim_end().eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim())
}

/// The content of a body in chunks (RFC 9112 s7.1); `None` while the last has not come.
fn unchunked(mut body: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut content = Vec::new();
    loop {
        let Some(end) = body.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = body.get(..end).and_then(|line| core::str::from_utf8(line).ok());
        let size = line.and_then(|line| line.split(';').next()).unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Malformed)?;
        if size > PORTMAP_HTTP_BYTES_MAX {
            return Err(Malformed);
        }
        if size == 0 {
            return Ok(Some(content));
        }
        let Some(chunk) = body.get(end + 2..end + 2 + size) else { return Ok(None) };
        content.extend_from_slice(chunk);
        match body.get(end + 2 + size..) {
            Some([b'\r', b'\n', rest @ ..]) => body = rest,
            Some([] | [b'\r']) | None => return Ok(None),
            Some(_) => return Err(Malformed),
        }
    }
}
