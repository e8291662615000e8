//! Relaying a packet allocates nothing: held by an allocator that counts.

#![allow(unsafe_code)] // A global allocator cannot be written without.

use cosip::config::MediaConfig;
use cosip::limits::TRANSMIT_BYTES_MAX;
use cosip::media::{Media, SessionId, Side};
use cosip::net::{Answer, Request, SocketId};
use cosip::rng::Rng;
use cosip::time::{Duration, Instant};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts on its own thread only: the test harness has others.
fn count() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

struct Bench {
    media: Media,
    sockets: Vec<(SocketAddr, SocketId)>,
}

impl Bench {
    fn serve(&mut self, now: Instant) {
        while let Some((ticket, request)) = self.media.poll_request() {
            let Request::Bind { local, .. } = request else { continue };
            let id = SocketId(1000 + self.sockets.len() as u32);
            self.sockets.push((local, id));
            self.media.handle_answer(now, ticket, Ok(Answer::Bound(id, local)));
        }
    }

    /// Passes a description on; the socket that the other side is told to send to.
    fn pass(&mut self, session: SessionId, from: Side, to: Side, body: &str) -> SocketId {
        let source = "192.168.1.20".parse().unwrap();
        let mut out = Vec::new();
        let now = Instant::ZERO;
        let kind = "application/sdp";
        self.media
            .rewrite(now, session, from, to, source, kind, body.as_bytes(), &mut out)
            .unwrap();
        self.serve(now);
        let text = String::from_utf8(out).unwrap();
        let word = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split(' ').nth(if start == "m=" { 1 } else { 2 }).unwrap()
        };
        let wanted: SocketAddr = format!("{}:{}", word("c="), word("m=")).parse().unwrap();
        self.sockets.iter().find(|(local, _)| *local == wanted).unwrap().1
    }
}

#[test]
fn relaying_allocates_nothing() {
    let mut now = Instant::ZERO;
    let config = MediaConfig::default();
    let media = Media::new(&config, 4, &mut Rng::new([1; 32]));
    let mut bench = Bench { media, sockets: Vec::new() };
    let (lan, wan) = ("192.168.1.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
    bench.media.set_addresses(&[lan], &[wan], None);
    bench.serve(now);
    let session = bench.media.open(now).unwrap();
    let offer = "v=0\r\nc=IN IP4 192.168.1.20\r\nm=audio 5004 RTP/AVP 0\r\n";
    let answer = "v=0\r\nc=IN IP4 203.0.113.10\r\nm=audio 6000 RTP/AVP 0\r\n";
    let far = bench.pass(session, Side::Phone, Side::Far(0), offer);
    let near = bench.pass(session, Side::Far(0), Side::Phone, answer);
    let (phone, server) =
        ("192.168.1.20:5004".parse().unwrap(), "203.0.113.10:6000".parse().unwrap());
    let stranger = "192.0.2.1:6000".parse().unwrap();
    let packet = [0x80; 172];
    let mut buf = vec![0; TRANSMIT_BYTES_MAX];

    let before = allocations();
    let _witness = Box::new(now);
    assert_eq!(allocations(), before + 1, "the counter works");

    let before = allocations();
    let mut relayed = 0;
    for _ in 0..10_000 {
        now += Duration::from_millis(20);
        for (socket, from) in [(near, phone), (far, server), (far, stranger)] {
            let _ = bench.media.handle_datagram(now, socket, from, 0, &packet);
            while bench.media.poll_transmit(&mut buf).is_some() {
                relayed += 1;
            }
            bench.media.handle_timeout(now);
        }
    }
    assert_eq!(allocations() - before, 0, "no allocation in {relayed} packets");
    assert_eq!(relayed, 20_000);
}
