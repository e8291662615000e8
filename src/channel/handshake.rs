//! One handshake under way, and the public-key operations that it takes, one at a time.
//!
//! SIGMA (Krawczyk 2003) over an X25519 agreement, under the network's key: the responder proves
//! its Ed25519 key first, encrypted, then the opener its own. Each signs the hash of everything
//! said before, under a label for its role, so nothing that was signed fits anywhere else. Each
//! end does four operations: make an ephemeral key, agree, sign, verify.

use super::backlog::Backlog;
use super::crypto::{self, Secrets};
use super::proof::{Extensions, Proof, finish_hash};
use super::session::{Addresses, Agreed};
use super::vouching::{Unvouched, Vouched, Vouching};
use super::wire::{Cookie, Hello, PROOF_BYTES, Packet, ReplyHead, SessionId};
use crate::identity::key::{self, Identity};
use crate::identity::network::NetworkKeys;
use crate::net::NodeId;
use crate::rng::Rng;
use crate::table::Id;
use crate::time::{Duration, Instant};
use curve25519_dalek::montgomery::MontgomeryPoint;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Opener,
    Responder,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Make an ephemeral key.
    Generate,
    /// Opener: for a Reply. Responder: for a Finish.
    Await,
    /// Compute the shared secret.
    Agree,
    /// Verify the other end's signature.
    Verify,
    /// Verify those by which others vouch for it.
    Vouch,
    /// Sign.
    Sign,
    /// Opener: the Finish is sent, the session is there; wait until the peer is heard on it.
    Confirm,
}

/// What a public-key operation led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next operation can follow.
    Again,
    /// There is something to send; then wait.
    Send,
    /// The session is agreed on.
    Done,
    /// The other end's message proves nothing; go on waiting for a genuine one.
    Refused,
    /// The other end proved a key, but not the one whose id was wanted.
    WrongIdentity,
    /// Nobody whose word counts vouches for the other end.
    Untrusted(Unvouched),
    /// Nothing can come of it.
    Failed,
}

/// A handshake.
pub(super) struct Handshake {
    pub(super) role: Role,
    pub(super) stage: Stage,
    pub(super) peer: NodeId,
    /// The network's channel key: the one of the opener's tag.
    pub(super) network: [u8; 32],
    pub(super) local: SessionId,
    pub(super) remote: SessionId,
    /// The opener's ephemeral key.
    pub(super) hello: [u8; 32],
    /// The responder's ephemeral key.
    pub(super) reply: [u8; 32],
    /// The secret half of our ephemeral key (X25519, RFC 7748), forgotten once it is used.
    secret: Option<Zeroizing<[u8; 32]>>,
    pub(super) keys: Option<Secrets>,
    /// A message that waits for an operation; later the one to repeat.
    pub(super) packet: Packet,
    proof: Option<Proof>,
    /// The certificate that is being verified.
    vouched: usize,
    /// Hash of the sealed Reply, which the opener signs.
    pub(super) sealed_reply: [u8; 32],
    /// Hash of the Finish.
    pub(super) finish: [u8; 32],
    pub(super) addresses: Addresses,
    /// Opener: where the peer answered from. Responder: where its cookie was proven.
    pub(super) address: Option<SocketAddr>,
    pub(super) cookie: Cookie,
    pub(super) started: Instant,
    pub(super) progress: Instant,
    pub(super) sent: Instant,
    pub(super) interval: Duration,
    /// Whether the last message was sent more than once: no round trip is measured then.
    pub(super) repeated: bool,
    pub(super) rtt: Option<Duration>,
    /// Whether somebody proved another key than the one wanted.
    pub(super) wrong_identity: bool,
    /// Whether somebody proved the key without anybody who vouches for it.
    pub(super) untrusted: bool,
    pub(super) session: Option<Id<super::session::Session>>,
    pub(super) backlog: Backlog,
}

impl Handshake {
    /// A handshake that nothing was sent in.
    pub(super) fn new(now: Instant, role: Role, peer: NodeId, local: SessionId) -> Self {
        Self {
            role,
            stage: Stage::Generate,
            peer,
            network: [0; 32],
            local,
            remote: SessionId::default(),
            hello: [0; 32],
            reply: [0; 32],
            secret: None,
            keys: None,
            packet: Packet::default(),
            proof: None,
            vouched: 0,
            sealed_reply: [0; 32],
            finish: [0; 32],
            addresses: Addresses::new(),
            address: None,
            cookie: Cookie::default(),
            started: now,
            progress: now,
            sent: now,
            interval: crate::limits::CHANNEL_REPEAT_INTERVAL,
            repeated: false,
            rtt: None,
            wrong_identity: false,
            untrusted: false,
            session: None,
            backlog: Backlog::default(),
        }
    }

    /// The Hello of this handshake, opened by `opener` towards `wanted`.
    fn hello_message(&self, own: NodeId) -> Hello {
        let (session, opener, wanted) = match self.role {
            Role::Opener => (self.local, own, self.peer),
            Role::Responder => (self.remote, self.peer, own),
        };
        Hello { session, opener, wanted, ephemeral: self.hello }
    }

    /// The opener's Hello, without a cookie or with the one it has.
    pub(super) fn hello_packet(
        &self,
        own: NodeId,
        network: &NetworkKeys,
        cookie: &Cookie,
    ) -> Packet {
        self.hello_message(own).packet(network, cookie)
    }

    pub(super) fn reply_head(&self) -> ReplyHead {
        let (opener_session, responder_session) = match self.role {
            Role::Opener => (self.local, self.remote),
            Role::Responder => (self.remote, self.local),
        };
        ReplyHead { opener_session, responder_session, ephemeral: self.reply }
    }

    /// Opener: takes the sealed part of a Reply, to be looked at when its turn comes.
    pub(super) fn take_reply(&mut self, head: &ReplyHead, sealed: &[u8]) {
        self.remote = head.responder_session;
        self.reply = head.ephemeral;
        self.packet.clear();
        self.packet.put(sealed);
        self.stage = Stage::Agree;
    }

    /// Responder: decrypts a Finish. True where it was sealed by who agreed on the keys; the proof
    /// in it still has to be verified, and its certificates where they are `asked` for.
    pub(super) fn take_finish(&mut self, head: &[u8], sealed: &[u8], asked: bool) -> bool {
        let Some(keys) = &self.keys else { return false };
        let mut plain = Packet::default();
        let Some((body, tag)) = sealed.split_last_chunk() else { return false };
        plain.put(body);
        if !crypto::open(&keys.finish, 0, head, plain.bytes_mut(), tag) {
            return false;
        }
        let Some(proof) = Proof::read(plain.bytes(), asked) else { return false };
        self.proof = Some(proof);
        self.finish = finish_hash(sealed);
        self.packet = plain;
        self.stage = Stage::Verify;
        true
    }

    /// Responder, after [`Step::Done`]: what follows the proof in the Finish.
    pub(super) fn extensions(&self) -> Extensions<'_> {
        Extensions { rest: self.packet.bytes().get(PROOF_BYTES..).unwrap_or_default() }
    }

    /// What the session is made of.
    pub(super) fn agreed(&self) -> Option<Agreed> {
        let keys = self.keys.as_ref()?;
        let (send, receive) = match self.role {
            Role::Opener => (keys.from_opener, keys.from_responder),
            Role::Responder => (keys.from_responder, keys.from_opener),
        };
        Some(Agreed {
            peer: self.peer,
            key: self.proof.as_ref()?.public,
            address: self.address?,
            local: self.local,
            remote: self.remote,
            opened_here: self.role == Role::Opener,
            send,
            receive,
            finish: self.finish,
            certificates: self.proof.as_ref().map_or_else(Vec::new, |it| it.certificates.clone()),
        })
    }

    /// Does the one public-key operation that the stage asks for.
    pub(super) fn step(
        &mut self,
        now: Instant,
        identity: &Identity,
        network: &NetworkKeys,
        vouching: &mut Vouching,
        rng: &mut Rng,
    ) -> Step {
        match self.stage {
            Stage::Generate => self.generate(rng),
            Stage::Agree => self.agree(identity, vouching.is_asked()),
            Stage::Verify => self.verify(now, vouching),
            Stage::Vouch => self.vouch(now, vouching, network),
            Stage::Sign => self.sign(identity, network, vouching),
            Stage::Await | Stage::Confirm => Step::Failed,
        }
    }

    fn generate(&mut self, rng: &mut Rng) -> Step {
        let secret = Zeroizing::new(rng.bytes());
        let public = MontgomeryPoint::mul_base_clamped(*secret).to_bytes();
        self.secret = Some(secret);
        match self.role {
            Role::Opener => {
                self.hello = public;
                self.stage = Stage::Await;
                Step::Send
            }
            Role::Responder => {
                self.reply = public;
                self.stage = Stage::Agree;
                Step::Again
            }
        }
    }

    fn agree(&mut self, identity: &Identity, asked: bool) -> Step {
        let theirs = if self.role == Role::Opener { self.reply } else { self.hello };
        let Some(secret) = &self.secret else { return Step::Failed };
        let shared = MontgomeryPoint(theirs).mul_clamped(**secret).to_bytes();
        if shared == [0; 32] {
            return self.refuse(); // A point of small order (RFC 7748 s6.1).
        }
        let hello = self.hello_message(identity.id()).core();
        let reply = self.reply_head().core();
        let keys = Secrets::new(&self.network, &hello, &reply, &shared);
        match self.role {
            Role::Opener => self.read_reply(keys, asked),
            Role::Responder => {
                self.keys = Some(keys);
                self.secret = None;
                self.stage = Stage::Sign;
                Step::Again
            }
        }
    }

    /// Opener: decrypts the Reply. A wrong one is forgotten, so that a genuine one still counts.
    fn read_reply(&mut self, keys: Secrets, asked: bool) -> Step {
        self.sealed_reply = *blake3::hash(self.packet.bytes()).as_bytes();
        let head = self.reply_head().core();
        let mut plain = core::mem::take(&mut self.packet);
        let Some((body, tag)) = plain.bytes_mut().split_last_chunk_mut() else {
            return self.refuse();
        };
        if !crypto::open(&keys.reply, 0, &head, body, tag) {
            return self.refuse();
        }
        let Some(proof) = Proof::read(body, asked) else { return self.refuse() };
        self.proof = Some(proof);
        self.keys = Some(keys);
        self.stage = Stage::Verify;
        Step::Again
    }

    fn refuse(&mut self) -> Step {
        match self.role {
            Role::Opener => {
                self.stage = Stage::Await;
                Step::Refused
            }
            Role::Responder => Step::Failed,
        }
    }

    fn verify(&mut self, now: Instant, vouching: &Vouching) -> Step {
        let Some(keys) = &self.keys else { return Step::Failed };
        let by = if self.role == Role::Opener { Role::Responder } else { Role::Opener };
        let message = self.signed(keys, by);
        let Some(proof) = &mut self.proof else { return Step::Failed };
        if let Err(step) = vouching.admits(now, proof, self.peer) {
            self.refuse();
            return step;
        }
        if !key::verify(&proof.public, &message, &proof.signature) {
            return self.refuse();
        }
        if !proof.certificates.is_empty() {
            (self.stage, self.vouched) = (Stage::Vouch, 0);
            return Step::Again;
        }
        self.proven()
    }

    /// Verifies one of the signatures by which others vouch for the peer.
    fn vouch(&mut self, now: Instant, vouching: &mut Vouching, network: &NetworkKeys) -> Step {
        let certificates = self.proof.as_ref().map_or(&[][..], |proof| &proof.certificates);
        let at = self.vouched;
        let Some(certificate) = certificates.get(at) else { return self.refuse() };
        match vouching.verify_one(now, certificate, network.network()) {
            Vouched::All if at + 1 == certificates.len() => self.proven(),
            Vouched::All => {
                self.vouched = at + 1;
                Step::Again
            }
            Vouched::More => Step::Again,
            Vouched::ByNobody => {
                self.refuse();
                Step::Untrusted(Unvouched::Forged)
            }
        }
    }

    fn proven(&mut self) -> Step {
        match self.role {
            Role::Opener => {
                self.stage = Stage::Sign;
                Step::Again
            }
            Role::Responder => Step::Done,
        }
    }

    fn sign(&mut self, identity: &Identity, network: &NetworkKeys, vouching: &Vouching) -> Step {
        let Some(keys) = &self.keys else { return Step::Failed };
        let signature = identity.sign(&self.signed(keys, self.role));
        let shown = vouching.shown(identity);
        match self.role {
            Role::Opener => {
                self.secret = None;
                self.packet = Packet::default();
                self.build_finish(identity, network, &signature, &shown);
                self.stage = Stage::Confirm;
                Step::Done
            }
            Role::Responder => {
                self.build_reply(identity, network, &signature, &shown);
                self.stage = Stage::Await;
                Step::Send
            }
        }
    }
}
