//! A running CoSIP server: an adapter without phones, and the desk and the watch that use it.
//!
//! One core of the driver's, as the adapter alone is: what goes in goes to the adapter; what that
//! has for these is taken out behind each input, and so is what they want. The books are
//! asked in between, on the one thread that there is: a turn waits for them. Where they cannot be
//! used, the overlay goes on, adapters that ask are told to come again, and the books are opened
//! again soon.

mod watching;

use super::desk::{Desk, Wish};
use super::error::{Refusal, ServerError};
use super::folder::{CERTIFICATE, Folder};
use super::metrics::{self, Counts};
use super::office::Office;
use super::watch::Watch;
use super::{Moment, settings};
use crate::adapter::Adapter;
use crate::adapter::desk::{DeskEvent, Sent};
use crate::config::Config;
use crate::identity::certificate::text;
use crate::identity::{Certificate, PublicKey};
use crate::net::{Core, Event, Input, Rejected, Request, Transmit};
use crate::time::{Duration, Instant, earlier};
use std::collections::VecDeque;

/// Who does what is done without an operator, in the audit.
pub(super) const BY: &str = "cosip-server run";

/// When books that could not be used are opened again. That may take seconds in which nothing else
/// is done; who is told to come again meanwhile does so after as long at the earliest.
const REOPEN: Duration = Duration::from_secs(30);
/// When our own certificate, and what metrics tell of the books, are looked at again.
const LOOK: Duration = Duration::from_secs(60);
/// A complaint is not repeated within this time.
const COMPLAIN: Duration = Duration::from_secs(600);

/// See the module.
pub struct Served<'a> {
    adapter: &'a mut Adapter,
    key: PublicKey,
    folder: Folder,
    desk: Desk,
    watch: Watch,
    /// None while the books cannot be used.
    office: Option<Office>,
    reopen_at: Instant,
    look_at: Instant,
    certificate: Option<Certificate>,
    counts: Counts,
    complained: Option<(String, Instant)>,
    /// What keeps the list of revocations from being made, where it was logged.
    unlisted: Option<Refusal>,
    events: VecDeque<Event>,
}

impl<'a> Served<'a> {
    /// A server with this adapter, whose key this is.
    pub fn new(
        adapter: &'a mut Adapter,
        key: PublicKey,
        office: Office,
        (desk, watch): (Desk, Watch),
        now: Instant,
    ) -> Self {
        adapter.open_desk(now);
        // That of the last run will do, for as long as it does.
        let file = office.folder.read(CERTIFICATE).ok();
        let known = file.and_then(|file| text::parse(&file).ok()).unwrap_or_default();
        let certificate = known.into_iter().find(|it| it.key() == key);
        Self {
            adapter,
            key,
            folder: office.folder.clone(),
            desk,
            watch,
            office: Some(office),
            reopen_at: now,
            look_at: now,
            certificate,
            counts: Counts::default(),
            complained: None,
            unlisted: None,
            events: VecDeque::new(),
        }
    }

    /// Does what needs the books, where they can be used; logs what goes wrong with them.
    fn with_office<T>(
        &mut self,
        now: Instant,
        what: impl FnOnce(&mut Desk, Moment<'_>, &mut Office) -> Result<T, ServerError>,
    ) -> Option<T> {
        let now_s = self.adapter.wall_clock(now)?;
        let office = self.office.as_mut()?;
        match what(&mut self.desk, Moment { now_s, by: BY }, office) {
            Ok(done) => Some(done),
            Err(error) => {
                if matches!(error, ServerError::Database(..)) {
                    self.office = None;
                    self.reopen_at = now + REOPEN;
                }
                self.complain(now, &error);
                None
            }
        }
    }

    fn reopen(&mut self, now: Instant) {
        self.reopen_at = now + REOPEN;
        match Office::open(self.folder.clone()) {
            Ok(office) => self.office = Some(office),
            Err(error) => self.complain(now, &error),
        }
    }

    /// Logs what keeps the desk from working, not each time that it does.
    fn complain(&mut self, now: Instant, error: &ServerError) {
        let text = match error {
            ServerError::Refused(Refusal::Undelegated { .. } | Refusal::Dismissed(_)) => {
                format!("nobody is certified: {error}")
            }
            _ => error.to_string(),
        };
        // What it says may have the time in it.
        let kind = text.get(..24).unwrap_or(&text).to_owned();
        let known = self.complained.as_ref();
        if known.is_none_or(|(was, at)| *was != kind || now.since(*at) >= COMPLAIN) {
            log::error!("{text}");
            self.complained = Some((kind, now));
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.adapter.poll_desk() {
            self.hear(now, event);
        }
        if self.office.is_none() && now >= self.reopen_at {
            self.reopen(now);
        }
        if self.desk.poll_timeout().is_some_and(|at| at <= now) {
            self.with_office(now, |desk, moment, office| desk.handle_timeout(now, moment, office));
        }
        while let Some(wish) = self.desk.poll_wish(now) {
            self.grant(now, &wish);
        }
        self.watch(now);
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.keep_secrets(now);
            self.renew(now);
            self.renew_list(now);
            let counts = self.with_office(now, |_, moment, office| office.counts(moment));
            self.counts = counts.unwrap_or(self.counts);
        }
    }

    fn hear(&mut self, now: Instant, event: DeskEvent) {
        match event {
            DeskEvent::Asked { asker, number, aors } => {
                let ask = (&asker, number, aors.as_slice());
                if self.is_usable(now) {
                    let done = |desk: &mut Desk, moment: Moment<'_>, office: &mut Office| {
                        desk.ask(now, moment, office, ask)
                    };
                    self.with_office(now, done);
                } else {
                    self.desk.turn_away(&asker, number);
                }
            }
            DeskEvent::Proven { key, proof } => {
                let proof = (&key, &proof);
                self.with_office(now, |desk, moment, office| desk.proof(moment, office, proof));
            }
            DeskEvent::Reported { key, nonce } => {
                let report = (&key, &nonce);
                self.with_office(now, |desk, moment, office| desk.report(moment, office, report));
            }
            DeskEvent::Answered(number, status) => self.desk.answered(now, number, status),
            DeskEvent::Watched { peer, number, statements } => {
                self.watch_heard(now, (peer, number), &statements);
            }
        }
    }

    /// Whether there is an office, and a clock to go by.
    fn is_usable(&mut self, now: Instant) -> bool {
        self.with_office(now, |_, _, _| Ok(())).is_some()
    }

    fn grant(&mut self, now: Instant, wish: &Wish) {
        match wish {
            Wish::Challenge { number, aor, challenge } => {
                match self.adapter.send_challenge(now, *number, aor, challenge) {
                    Sent::Yes => {}
                    Sent::NotNow => self.desk.not_sent(now, *number),
                    Sent::No => self.desk.answered(now, *number, None),
                }
            }
            Wish::Answer { peer, number, answer } => {
                self.adapter.answer_enrolment(now, *peer, *number, answer.payload());
            }
        }
    }

    /// Another server, or an operator, may have made a secret, or one takes over.
    fn keep_secrets(&mut self, now: Instant) {
        self.with_office(now, |_, moment, office| office.keep_secrets(moment));
        if let Some(office) = &self.office {
            self.adapter.take_secrets(now, office.keys.secrets(), office.rolled.clone());
        }
    }

    /// Certifies ourselves, where that was not done or half of the time is over.
    fn renew(&mut self, now: Instant) {
        let (key, known) = (self.key, self.certificate.take());
        let certified = self.with_office(now, |_, moment, office| {
            if let Some(known) = &known
                && office.does_for_server(moment, known)?
            {
                return Ok(None);
            }
            office.issue_own(moment, &key).map(|issued| Some(issued.certificate))
        });
        let Some(Some(renewed)) = certified else {
            self.certificate = known;
            return;
        };
        let file = text::write(core::slice::from_ref(&renewed));
        if let Err(error) = self.folder.write(CERTIFICATE, &file) {
            self.complain(now, &error);
        }
        self.adapter.take_certificates(now, &file);
        self.certificate = Some(renewed);
    }

    /// Makes the next list of revocations where it is due, and hands the newest one, whichever
    /// machine or command has made it, to the overlay.
    fn renew_list(&mut self, now: Instant) {
        let held = self.adapter.list_number();
        let unlisted =
            self.with_office(now, |_, moment, office| match office.renew_list(moment, held) {
                Err(ServerError::Refused(it @ (Refusal::Many { .. } | Refusal::Ahead(..)))) => {
                    Ok(Some(it))
                }
                made => made.map(|_| None),
            });
        let Some(unlisted) = unlisted else { return };
        if let Some(refusal) = unlisted.as_ref().filter(|_| unlisted != self.unlisted) {
            log::error!("routers do not hear of what is revoked: {refusal}");
        }
        self.unlisted = unlisted;
        let list = self.with_office(now, |_, _, office| office.books.newest_list(held.into()));
        if let Some(Some(list)) = list {
            self.adapter.take_list(now, &list);
        }
    }

    /// The operator has changed `server.config`, or something else, and says so.
    fn reload(&mut self, now: Instant, own: &Config) -> Result<(), Rejected> {
        // Its settings and secrets may be others, too.
        self.reopen(now);
        self.look_at = now;
        let Some(office) = &self.office else { return Ok(()) };
        let config = settings::combined(&office.config, own.clone(), office.anchor);
        self.adapter.handle_input(now, Input::Config(&config))
    }

    fn reply(&mut self, now: Instant, words: &[&str]) -> Option<Vec<u8>> {
        let text = match words {
            ["metrics"] => {
                let status = self.adapter.status_of_server(now);
                let dropped = self.adapter.desk_dropped();
                metrics::write(&status, (&self.desk, dropped), &self.watch, &self.counts)
            }
            ["desk"] => metrics::desk(&self.desk).to_string(),
            ["watch"] => metrics::watch(&self.watch).to_string(),
            _ => return None,
        };
        Some(text.into_bytes())
    }
}

impl Core for Served<'_> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let result = match input {
            Input::Config(own) => self.reload(now, own),
            Input::Command(ticket, words) => match self.reply(now, words) {
                Some(reply) => {
                    self.events.push_back(Event::Request(ticket, Request::Reply(reply)));
                    Ok(())
                }
                None => self.adapter.handle_input(now, Input::Command(ticket, words)),
            },
            other => self.adapter.handle_input(now, other),
        };
        self.settle(now);
        result
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.adapter.poll_transmit(now, buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| self.adapter.poll_event())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let desk = match &self.office {
            Some(_) if self.adapter.wall_clock(Instant::ZERO).is_some() => self.desk.poll_timeout(),
            // The clock is told when it is set.
            Some(_) => None,
            None => Some(self.reopen_at),
        };
        let own = earlier(Some(self.look_at), self.watch.poll_timeout());
        earlier(earlier(self.adapter.poll_timeout(), desk), own)
    }
}
