//! Netlink: messages, written attribute by attribute, and the kernel's answers (netlink(7)).
//!
//! The kernel handles a message within the call that sends it: when that returns, the answer is
//! there to be read, and nothing is ever waited for.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: the kernel says how it went.
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_ROOT | NLM_F_MATCH`: all that there are.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`: not where there is one already.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;

/// `NLMSG_ERROR`, also with the error 0, and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLA_F_NESTED`, and what of an attribute's kind is no flag.
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

const HEAD: usize = 16;

/// A message that is being written.
pub(super) struct Message {
    bytes: Vec<u8>,
    acknowledged: bool,
}

impl Message {
    /// A request of a kind, with the family's own head.
    pub(super) fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        // Sequence number and port: one exchange is open at a time.
        bytes.extend([0; 8]);
        bytes.extend(body);
        let mut message = Self { bytes, acknowledged: flags & ACK != 0 };
        message.pad();
        message
    }

    /// Has the kernel say how it went.
    pub(super) fn acknowledge(&mut self) {
        self.acknowledged = true;
        if let Some(place) = self.bytes.get_mut(6..8) {
            let flags = u16::from_ne_bytes([place[0], place[1]]) | ACK;
            place.copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// Adds an attribute.
    pub(super) fn put(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.pad();
        self
    }

    /// Adds an address.
    pub(super) fn address(self, kind: u16, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => self.put(kind, &ip.octets()),
            IpAddr::V6(ip) => self.put(kind, &ip.octets()),
        }
    }

    /// Adds a number in the order of the network, as netfilter has all of them.
    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds a text that ends with a zero.
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Adds an attribute that holds attributes.
    pub(super) fn nest(mut self, kind: u16, inside: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        let mut message = inside(self);
        let len = (message.bytes.len() - start) as u16;
        if let Some(place) = message.bytes.get_mut(start..start + 2) {
            place.copy_from_slice(&len.to_ne_bytes());
        }
        message
    }

    /// What is after the head, as an answer's reader sees it.
    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[HEAD..]
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let len = self.bytes.len() as u32;
        if let Some(place) = self.bytes.get_mut(..4) {
            place.copy_from_slice(&len.to_ne_bytes());
        }
        self.bytes
    }
}

/// Of what the kernel answers: the body of a message, or the code of an error, of which 0 is an
/// acknowledgement.
pub(super) type Answer<'a> = Result<&'a [u8], i32>;

/// A socket to one family of the kernel's.
pub(super) struct Netlink(OwnedFd);

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Netlink {
    /// Opens a socket to the family of this protocol.
    pub(super) fn open(protocol: SockProtocol) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?))
    }

    /// Opens a socket that is told what the kernel tells these multicast groups.
    pub(super) fn listen(protocol: SockProtocol, groups: u32) -> io::Result<Self> {
        let netlink = Self::open(protocol)?;
        bind(netlink.0.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(netlink)
    }

    /// Throws away what has been told.
    pub(super) fn forget_told(&self) {
        let mut buf = [0; 4096];
        // ENOBUFS says that there was more than the socket could hold.
        while let Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) = self.receive(&mut buf) {}
    }

    fn receive(&self, buf: &mut [u8]) -> nix::Result<usize> {
        recv(self.0.as_raw_fd(), buf, MsgFlags::MSG_DONTWAIT)
    }

    /// Sends messages together, and reads all that the kernel answers: the bodies of its messages.
    ///
    /// # Errors
    /// The first error that the kernel reports, and a message that asked for an acknowledgement
    /// and got none.
    pub(super) fn ask(&self, messages: Vec<Message>) -> io::Result<Vec<Vec<u8>>> {
        let mut wanted = messages.iter().filter(|message| message.acknowledged).count();
        self.send(messages)?;
        let (mut bodies, mut failed) = (Vec::new(), None);
        let mut buf = vec![0; 32_768];
        let mut take = |answer: Answer<'_>| match answer {
            Ok(body) => bodies.push(body.to_vec()),
            Err(0) => wanted = wanted.saturating_sub(1),
            Err(code) => failed = failed.or(Some(code)),
        };
        while self.read(&mut buf, &mut take)? {}
        match failed {
            Some(code) => Err(error(code)),
            None if wanted > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Ok(bodies),
        }
    }

    /// Sends messages together; [`Self::read`] has the answers.
    pub(super) fn send(&self, messages: Vec<Message>) -> io::Result<()> {
        let bytes: Vec<u8> = messages.into_iter().flat_map(Message::finish).collect();
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        Ok(())
    }

    /// Reads a piece of what the kernel answers. False where all has been read.
    pub(super) fn read(
        &self,
        buf: &mut [u8],
        take: &mut dyn FnMut(Answer<'_>),
    ) -> io::Result<bool> {
        let len = match self.receive(buf) {
            Ok(len) => len,
            Err(Errno::EAGAIN) => return Ok(false),
            Err(Errno::EINTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let mut rest = buf.get(..len).unwrap_or_default();
        while let Some((kind, body, after)) = split(rest) {
            rest = after;
            match kind {
                ERROR => take(Err(code(body))),
                DONE => {}
                _ => take(Ok(body)),
            }
        }
        Ok(true)
    }
}

/// What the code of an error says.
pub(super) fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_neg())
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEAD..len)?;
    Some((kind, body, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn code(body: &[u8]) -> i32 {
    body.get(..4).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes)
}

/// The attributes in these bytes: kind and value.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & KIND;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub(super) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = Message::new(7, ACK, &[1, 2])
            .text(3, "lan")
            .nest(4, |inside| inside.number(1, 5060).put(2, &[9]))
            .finish();
        let (kind, body, rest) = split(&bytes).unwrap();
        assert_eq!((kind, rest.len(), bytes.len() % 4), (7, 0, 0));
        let attributes = &body[4..];
        assert_eq!(find(attributes, 3), Some(&b"lan\0"[..]));
        let inside = find(attributes, 4).unwrap();
        assert_eq!(find(inside, 1), Some(&5060_u32.to_be_bytes()[..]));
        assert_eq!((find(inside, 2), find(inside, 3)), (Some(&[9][..]), None));
        for len in 0..bytes.len() {
            assert!(split(&bytes[..len]).is_none(), "{len} bytes are no message");
        }
    }

    #[test]
    fn the_kernel_says_what_it_does_not_know() {
        let netlink = Netlink::open(SockProtocol::NetlinkRoute).unwrap();
        assert!(netlink.ask(vec![Message::new(4000, ACK, &[0; 4])]).is_err());
    }
}
