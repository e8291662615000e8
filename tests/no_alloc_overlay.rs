//! An overlay node allocates nothing for a datagram once it has started: a counting allocator
//! watches a network of nodes at work.
#![allow(unsafe_code)]

use cosip::budget::Budget;
#[cfg(feature = "lab")]
use cosip::identity::authority::{Authority, Subject};
#[cfg(feature = "lab")]
use cosip::identity::chain::Validity;
use cosip::identity::record::Contact;
#[cfg(feature = "lab")]
use cosip::identity::record::Key;
use cosip::identity::trust::Trust;
use cosip::identity::{Identity, NetworkKeys};
use cosip::net::Transmit;
use cosip::overlay::{Limits, Overlay, OverlayEvent, Port};
use cosip::time::{Duration, Instant, earlier};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

thread_local! {
    static COUNT: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get().map(|n| n + 1)));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` above with the same layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NODES: usize = 12;
const SECOND: u16 = 5071;

struct Net {
    nodes: Vec<Overlay>,
    budgets: Vec<Budget>,
    now: Instant,
    found: usize,
    /// Datagrams under way: due, to, from, length, bytes. Reserved once.
    wire: Vec<(Instant, SocketAddr, SocketAddr, usize, [u8; 1200])>,
}

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, n as u8 + 1], 5070))
}

impl Net {
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            for i in 0..NODES {
                let (node, budget) = (&mut self.nodes[i], &mut self.budgets[i]);
                let due = earlier(node.poll_timeout(), node.work_at(budget));
                if due.is_some_and(|at| at <= self.now) {
                    node.handle_timeout(self.now);
                    node.work(self.now, budget);
                    self.drain(i);
                }
            }
            while let Some(at) = self.wire.iter().position(|(due, ..)| *due <= self.now) {
                let (_, to, from, len, data) = self.wire.swap_remove(at);
                let ip = to.ip();
                let Some(i) = (0..NODES).find(|i| address(*i).ip() == ip) else { continue };
                let taken = self.nodes[i].handle_datagram(self.now, from, &data[..len]);
                assert!(taken.is_ok(), "{taken:?}");
                self.drain(i);
            }
        }
    }

    fn drain(&mut self, i: usize) {
        let mut data = [0; 1200];
        while let Some(Transmit { via, to, len, .. }) = self.nodes[i].poll_transmit(&mut data) {
            let due = self.now + Duration::from_millis(10);
            let mut from = address(i);
            if via == Port::Second {
                from.set_port(SECOND);
            }
            self.wire.push((due, to, from, len, data));
        }
        while let Some(event) = self.nodes[i].poll_event() {
            self.found += usize::from(matches!(event, OverlayEvent::Found(_)));
        }
    }
}

/// What a provider's anchor has issued to a node for its AOR.
#[cfg(feature = "lab")]
fn certified(i: usize, identity: Identity, keys: &NetworkKeys) -> (Identity, Trust) {
    let anchor = Identity::from_seed([99; 32]).unwrap();
    let anchors = [anchor.public()].into_iter().collect();
    let key = identity.public();
    let certificate = Authority::anchor(anchor, keys.network()).certify(&Subject {
        serial: 1,
        key,
        place: Authority::place(&[5; 32], &key),
        validity: Validity { from_s: 0, until_s: 1000 },
        keys: &[Key::of(&keys.aor_key(&aor(i)))],
    });
    (identity.certified(&[certificate]), Trust { anchors, ..Trust::default() })
}

fn aor(i: usize) -> String {
    format!("sip:{i}@example.net")
}

#[test]
fn look_ups_puts_touches_and_upkeep_allocate_nothing() {
    let trust = |_, identity, _: &NetworkKeys| (identity, Trust::default());
    hold(&trust);
}

#[cfg(feature = "lab")]
#[test]
fn nothing_is_allocated_for_certificates_either() {
    hold(&certified);
}

fn hold(vouch: &dyn Fn(usize, Identity, &NetworkKeys) -> (Identity, Trust)) {
    let keys = NetworkKeys::new(&[1; 32], "test");
    let now = Instant::from_micros(1_000_000);
    let limits = Limits { table_kb: 64, store_entries: 64, publish_entries: 8, lookup_entries: 16 };
    let nodes = (0..NODES).map(|i| {
        let identity = Identity::from_seed([i as u8 + 1; 32]).unwrap();
        let (identity, trust) = vouch(i, identity, &keys);
        let mut node = Overlay::new(&identity, &keys, limits, 1, [i as u8; 32], now);
        node.set_trust(now, &trust);
        node.set_local(now, &[address(i)], &[]);
        node.set_bootstrap(now, &[address(0)]);
        node
    });
    let wire = Vec::with_capacity(4096);
    let budgets = (0..NODES).map(|_| Budget::new(now)).collect();
    let mut net = Net { nodes: nodes.collect(), budgets, now, found: 0, wire };
    let aors: Vec<String> = (0..NODES).map(aor).collect();
    let contact = Contact::new("phone").unwrap();
    net.run(Duration::from_secs(5));
    COUNT.set(Some(0));
    for (i, aor) in aors.iter().enumerate() {
        net.nodes[i].publish(net.now, aor, &contact).unwrap();
    }
    net.run(Duration::from_secs(3));
    for (i, aor) in aors.iter().enumerate() {
        net.nodes[(i + 5) % NODES].lookup(net.now, aor);
        net.nodes[i].set_local(net.now, &[address(i), address(i + 100)], &[]);
        net.run(Duration::from_millis(200));
    }
    for (i, aor) in aors.iter().enumerate().skip(6) {
        net.nodes[i].withdraw(net.now, aor);
    }
    net.run(Duration::from_secs(10));
    let allocated = COUNT.take();
    assert!(net.found >= NODES, "{}", net.found);
    let least = net.nodes.iter().map(|node| node.counters().datagrams_in).min();
    assert!(least.is_some_and(|least| least > 80), "{least:?}");
    assert_eq!(allocated, Some(0));
}
