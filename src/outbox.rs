//! A bounded queue of bytes to send, reserved once.
//!
//! What a core wants to send between one input and the draining that follows it waits here. A
//! full outbox refuses: the caller counts the loss, and the protocol's own retransmission mends it.

use crate::net::{Transmit, Via};
use crate::queue;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Transmissions waiting to be polled, first in, first out.
pub struct Outbox<V = Via> {
    heads: VecDeque<Transmit<V>>,
    bytes: VecDeque<u8>,
    bytes_max: usize,
    heads_max: usize,
}

impl<V> Outbox<V> {
    /// An outbox for at most `heads_max` transmissions of `bytes_max` bytes together.
    pub fn with_capacity(heads_max: usize, bytes_max: usize) -> Self {
        Self {
            heads: VecDeque::with_capacity(heads_max),
            bytes: VecDeque::with_capacity(bytes_max),
            bytes_max,
            heads_max,
        }
    }

    /// Queues `data`. False where it does not fit: nothing was queued.
    #[must_use]
    pub fn push(&mut self, via: V, to: SocketAddr, tos: u8, data: &[u8]) -> bool {
        if self.heads.len() == self.heads_max || self.bytes.len() + data.len() > self.bytes_max {
            return false;
        }
        self.heads.push_back(Transmit { via, to, tos, len: data.len() });
        self.bytes.extend(data);
        true
    }

    /// Moves the oldest transmission into `buf`. One that is larger than `buf` is dropped.
    pub fn pop(&mut self, buf: &mut [u8]) -> Option<Transmit<V>> {
        loop {
            let head = queue::pop(&mut self.heads)?;
            if head.len > buf.len() {
                self.bytes.drain(..head.len);
                continue;
            }
            let (front, back) = self.bytes.as_slices();
            let first = head.len.min(front.len());
            buf[..first].copy_from_slice(&front[..first]);
            buf[first..head.len].copy_from_slice(&back[..head.len - first]);
            self.bytes.drain(..head.len);
            return Some(head);
        }
    }

    /// See [`queue::fit`].
    #[cfg(feature = "lab")]
    pub fn fit(&mut self) {
        queue::fit(&mut self.heads);
        queue::fit(&mut self.bytes);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::SocketId;

    #[test]
    fn what_does_not_fit_is_refused_and_the_rest_comes_out_in_order() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let via = Via::Udp(SocketId(1));
        let mut out = Outbox::with_capacity(2, 8);
        let mut buf = [0; 8];
        for round in 0..5u8 {
            assert!(out.push(via, to, 0, &[round; 5]));
            assert!(out.push(via, to, 7, &[round + 1; 3]));
            assert!(!out.push(via, to, 0, &[]));
            let head = out.pop(&mut buf).unwrap();
            assert_eq!(buf[..head.len], [round; 5]);
            assert!(!out.push(via, to, 0, &[0; 6]));
            let head = out.pop(&mut buf).unwrap();
            assert_eq!((head.tos, &buf[..head.len]), (7, &[round + 1; 3][..]));
            assert!(out.is_empty() && out.pop(&mut buf).is_none());
        }
    }
}
