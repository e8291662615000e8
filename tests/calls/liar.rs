//! A member of the network that speaks the channel as its keeper likes, with no adapter behind it.

use cosip::budget::Budget;
use cosip::channel::{Channel, ChannelEvent, NoticeAnswer, Payload};
use cosip::limits::SIP_MESSAGE_BYTES_MAX;
use cosip::net::{
    Answer, Core, Event, Input, NodeId, Rejected, Request, SocketId, SocketKind, Ticket, Transmit,
    Via,
};
use cosip::time::{Instant, earlier};
use std::net::SocketAddr;

/// See the module's text.
pub(crate) struct Liar {
    pub(crate) channel: Channel,
    budget: Budget,
    wanted: Option<SocketAddr>,
    socket: Option<SocketId>,
    /// The SIP messages that it heard, each once.
    pub(crate) heard: Vec<String>,
    /// Whether its notices were for a phone there.
    pub(crate) answers: Vec<bool>,
}

impl Liar {
    pub(crate) fn new(channel: Channel, at: SocketAddr, now: Instant) -> Self {
        Self {
            channel,
            budget: Budget::new(now),
            wanted: Some(at),
            socket: None,
            heard: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Sends a payload, opening the channel if need be.
    pub(crate) fn say(
        &mut self,
        now: Instant,
        (peer, at): (NodeId, SocketAddr),
        payload: &Payload<'_>,
    ) {
        self.channel.open(now, peer, &[at]).unwrap();
        self.channel.send(now, peer, payload).unwrap();
    }

    /// How many responses with this start it heard.
    pub(crate) fn heard(&self, start: &str) -> usize {
        self.heard.iter().filter(|message| message.starts_with(start)).count()
    }
}

impl Core for Liar {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        match input {
            Input::Datagram { from, data, .. } => self.channel.handle_datagram(now, from, data)?,
            Input::Timeout => {
                self.channel.handle_timeout(now);
                self.channel.work(now, &mut self.budget);
            }
            Input::Answer(_, Ok(Answer::Bound(id, _))) => self.socket = Some(id),
            _ => {}
        }
        let mut buf = vec![0; SIP_MESSAGE_BYTES_MAX];
        while let Some(event) = self.channel.poll_event(&mut buf) {
            match event {
                ChannelEvent::Received { payload: Payload::Sip(bytes), .. } => {
                    let message = String::from_utf8(bytes.to_vec()).unwrap();
                    if !self.heard.contains(&message) {
                        self.heard.push(message);
                    }
                }
                ChannelEvent::Received {
                    payload: Payload::NoticeAnswer { answer, .. }, ..
                } => self.answers.push(answer == NoticeAnswer::Here),
                _ => {}
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self, _: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let via = Via::Udp(self.socket?);
        let (to, len) = self.channel.poll_transmit(buf)?;
        Some(Transmit { via, to, tos: 0, len })
    }

    fn poll_event(&mut self) -> Option<Event> {
        let local = self.wanted.take()?;
        Some(Event::Request(Ticket(1), Request::Bind { kind: SocketKind::Overlay, local }))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.channel.poll_timeout(), self.channel.work_at(&self.budget))
    }
}
