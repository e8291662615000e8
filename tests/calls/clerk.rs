//! A CoSIP server, scripted: a member of the overlay that notes what it is asked over the channel,
//! and answers what a test says.

use cosip::budget::Budget;
use cosip::channel::{
    Channel, ChannelEvent, EnrolAnswer, EnrolProof, EnrolRefusal, Payload, WatchAsk,
};
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::chain::{TrustAnchors, Validity};
use cosip::identity::enrolment::{Nonce, SERVER_AOR};
use cosip::identity::record::{Contact, Key};
use cosip::identity::rolling::NewSecret;
use cosip::identity::trust::{Clock, Trust};
use cosip::identity::{Identity, NetworkKeys, Statement};
use cosip::limits::SIP_MESSAGE_BYTES_MAX;
use cosip::net::{
    Answer, Core, Event, Input, NodeId, Rejected, Request, SocketId, SocketKind, Ticket, Transmit,
    Via,
};
use cosip::overlay::{Datagram, Limits, Overlay};
use cosip::rng::Rng;
use cosip::time::{Instant, earlier};
use std::net::SocketAddr;
use std::sync::Arc;

/// What it says to every question.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Nothing,
    Wait(u32),
    Refused(u8, EnrolRefusal, u32),
    Certified(Vec<u8>, Option<NewSecret>),
}

impl Word {
    fn answer(&self) -> Option<EnrolAnswer<'_>> {
        match self {
            Self::Nothing => None,
            Self::Wait(seconds) => Some(EnrolAnswer::Wait(*seconds)),
            Self::Refused(which, why, again_s) => {
                Some(EnrolAnswer::Refused { which: *which, why: *why, again_s: *again_s })
            }
            Self::Certified(bytes, secret) => Some(EnrolAnswer::Certified(bytes, *secret)),
        }
    }
}

/// A question that it heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) from: NodeId,
    pub(crate) number: u32,
    pub(crate) aors: Vec<String>,
}

/// See the module's text.
pub(crate) struct Clerk {
    identity: Identity,
    overlay: Overlay,
    channel: Channel,
    budget: Budget,
    local: SocketAddr,
    bootstrap: SocketAddr,
    socket: Option<SocketId>,
    binds: bool,
    pub(crate) word: Word,
    pub(crate) asks: Vec<Heard>,
    pub(crate) proofs: Vec<(NodeId, EnrolProof)>,
    pub(crate) reports: Vec<(NodeId, Nonce)>,
    /// What it was told of others: by whom, and the number of its question.
    pub(crate) told: Vec<(NodeId, u32, Vec<Statement>)>,
}

impl Clerk {
    /// One that `anchor` vouches for, at the place that its key gives.
    pub(crate) fn new(
        (now, unix_s): (Instant, u64),
        (seed, local): (u8, SocketAddr),
        keys: &NetworkKeys,
        anchor: &Identity,
    ) -> Self {
        Self::certified_for(SERVER_AOR, (now, unix_s), (seed, local), keys, anchor)
    }

    /// A member like that, for another address: no CoSIP server.
    pub(crate) fn certified_for(
        aor: &str,
        (now, unix_s): (Instant, u64),
        (seed, local): (u8, SocketAddr),
        keys: &NetworkKeys,
        anchor: &Identity,
    ) -> Self {
        let identity = Identity::from_seed([seed; 32]).unwrap();
        let identity = certified(&identity, aor, unix_s, keys, anchor);
        let mut rng = Rng::new([seed; 32]);
        let mut overlay = Overlay::new(&identity, keys, Limits::default(), 1, rng.bytes(), now);
        let anchors: TrustAnchors = [anchor.public()].into_iter().collect();
        let trust = Trust { anchors, ..Trust::default() };
        let clock = Clock { unix_s: Some(unix_s), floor_s: 0 };
        overlay.set_trust(now, &trust);
        overlay.set_clock(now, clock);
        overlay.publish(now, aor, &Contact::new("server").unwrap()).unwrap();
        let mut channel = Channel::new(&identity, keys, &mut rng, 64);
        channel.take_uncertified(true);
        channel.set_trust(now, Arc::new(trust), clock);
        Self {
            identity: identity.clone(),
            overlay,
            channel,
            budget: Budget::new(now),
            local,
            bootstrap: local,
            socket: None,
            binds: false,
            word: Word::Nothing,
            asks: Vec::new(),
            proofs: Vec::new(),
            reports: Vec::new(),
            told: Vec::new(),
        }
    }

    /// It joins others here.
    pub(crate) fn joins(self, bootstrap: SocketAddr) -> Self {
        Self { bootstrap, ..self }
    }

    /// These are the network's secrets from now on; it is certified anew.
    pub(crate) fn takes(
        &mut self,
        (now, unix_s): (Instant, u64),
        keys: &NetworkKeys,
        anchor: &Identity,
    ) {
        self.identity = certified(&self.identity, SERVER_AOR, unix_s, keys, anchor);
        self.overlay.set_network(keys);
        self.channel.set_network(keys);
        assert!(self.overlay.set_certificates(now, self.identity.certificates()));
        self.channel.set_identity(&self.identity);
        self.overlay.publish(now, SERVER_AOR, &Contact::new("server").unwrap()).unwrap();
    }

    /// Whether anybody in the overlay has answered it.
    pub(crate) fn has_joined(&self) -> bool {
        self.overlay.status().joined
    }

    /// Answers a question.
    pub(crate) fn tell(&mut self, now: Instant, peer: NodeId, number: u32, word: &Word) {
        if let Some(answer) = word.answer() {
            self.channel.send(now, peer, &Payload::EnrolAnswer(number, answer)).unwrap();
        }
    }

    /// Asks a member about others.
    pub(crate) fn ask_about_others(
        &mut self,
        now: Instant,
        (peer, at): (NodeId, SocketAddr),
        (number, ask): (u32, WatchAsk),
    ) {
        self.channel.open(now, peer, &[at]).unwrap();
        self.channel.send(now, peer, &Payload::Watch(number, ask)).unwrap();
    }

    fn hear(&mut self, now: Instant) {
        let mut buffer = vec![0; SIP_MESSAGE_BYTES_MAX];
        while let Some(event) = self.channel.poll_event(&mut buffer) {
            match event {
                ChannelEvent::Received { peer, payload: Payload::Enrol(ask) } => {
                    let aors = ask.aors.iter().filter(|aor| !aor.is_empty());
                    let aors = aors.map(|aor| (*aor).to_owned()).collect();
                    let heard = Heard { at: now, from: peer, number: ask.number, aors };
                    self.asks.push(heard);
                    let word = self.word.clone();
                    self.tell(now, peer, ask.number, &word);
                }
                ChannelEvent::Received { peer, payload: Payload::EnrolProof(proof) } => {
                    self.proofs.push((peer, proof));
                }
                ChannelEvent::Received { peer, payload: Payload::EnrolReport(nonce) } => {
                    self.reports.push((peer, nonce));
                }
                ChannelEvent::Received { peer, payload: Payload::Watched(number, told) } => {
                    self.told.push((peer, number, told.iter().collect()));
                }
                _ => {}
            }
        }
        while self.overlay.poll_event().is_some() {}
    }
}

/// A CoSIP server's key with a certificate, at the place that the key gives.
fn certified(
    identity: &Identity,
    aor: &str,
    unix_s: u64,
    keys: &NetworkKeys,
    anchor: &Identity,
) -> Identity {
    let aor_keys: Vec<Key> = keys.aor_keys(aor).map(|key| Key::of(&key)).collect();
    let certificate = Authority::anchor(anchor.clone(), keys.network()).certify(&Subject {
        serial: 1,
        key: identity.public(),
        place: identity.id(),
        validity: Validity { from_s: unix_s as u32 - 60, until_s: unix_s as u32 + 1_000_000 },
        keys: &aor_keys,
    });
    identity.clone().certified(&[certificate])
}

impl Core for Clerk {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let result = match input {
            Input::Answer(_, Ok(Answer::Bound(id, local))) => {
                self.socket = Some(id);
                self.overlay.set_local(now, &[local], &[]);
                self.overlay.set_bootstrap(now, &[self.bootstrap]);
                Ok(())
            }
            Input::Datagram { from, data, .. } => match Datagram::of(data) {
                Datagram::Channel => self.channel.handle_datagram(now, from, data),
                _ => self.overlay.handle_datagram(now, from, data),
            },
            Input::Timeout => {
                self.overlay.handle_timeout(now);
                self.channel.handle_timeout(now);
                let _ = self.channel.work(now, &mut self.budget)
                    || self.overlay.work(now, &mut self.budget);
                Ok(())
            }
            _ => Ok(()),
        };
        self.hear(now);
        result
    }

    fn poll_transmit(&mut self, _: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let via = Via::Udp(self.socket?);
        if let Some((to, len)) = self.channel.poll_transmit(buf) {
            return Some(Transmit { via, to, tos: 0, len });
        }
        let transmit = self.overlay.poll_transmit(buf)?;
        Some(Transmit { via, to: transmit.to, tos: 0, len: transmit.len })
    }

    fn poll_event(&mut self) -> Option<Event> {
        let first = !core::mem::replace(&mut self.binds, true);
        let request = Request::Bind { kind: SocketKind::Overlay, local: self.local };
        first.then_some(Event::Request(Ticket(1), request))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = earlier(self.overlay.poll_timeout(), self.channel.poll_timeout());
        let work = earlier(self.overlay.work_at(&self.budget), self.channel.work_at(&self.budget));
        earlier(own, work)
    }
}
