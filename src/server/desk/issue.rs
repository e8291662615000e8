//! What becomes of an ask: looked at when it comes, settled challenge by challenge, and closed with
//! one certificate for what was proven.

use super::allowance::Limited;
use super::seconds::Standing;
use super::{
    AGAIN_MUCH_LATER_S, AGAIN_S, ASK_LIFE, ASKS_PER_KEY_MAX, Answer, Ask, Desk, Open, Purpose,
    Refusal, State, spelling,
};
use crate::adapter::desk::Asker;
use crate::channel::EnrolRefusal;
use crate::identity::Certificate;
use crate::identity::enrolment::CHALLENGE_LIFE;
use crate::server::Moment;
use crate::server::books::{Held, Selector};
use crate::server::error::ServerError;
use crate::server::office::{CERTIFICATE_DAYS_MAX, Office};
use crate::server::text::from_hex;
use crate::time::Instant;

impl Desk {
    /// An ask, with what its AORs alone tell.
    pub(super) fn read(
        &mut self,
        now: Instant,
        office: &Office,
        (asker, number, aors): (&Asker, u32, &[String]),
    ) -> Ask {
        let state = |(at, aor): (usize, &String)| {
            let is_ours = || office.spell(&spelling::uri(aor)).is_ok_and(|spelled| spelled == *aor);
            let state = if aor.is_empty() || aors.iter().take(at).any(|it| it == aor) {
                State::Unused
            } else if is_ours() {
                State::Open
            } else {
                State::Refused(EnrolRefusal::Foreign)
            };
            (aor.clone(), state)
        };
        let aors = aors.iter().enumerate().map(state).collect();
        Ask { asker: *asker, number, aors, ends: now + ASK_LIFE }
    }

    /// Answers an ask from the books, or has it challenged.
    pub(super) fn look(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        office: &mut Office,
        mut ask: Ask,
    ) -> Result<(), ServerError> {
        let key = ask.asker.key;
        if office.books().blocked_since(&key)?.is_some() {
            self.refuse_open(&mut ask, EnrolRefusal::Blocked);
            return self.close(moment, office, ask);
        }
        if !ask.is_open() {
            return self.close(moment, office, ask);
        }
        office.authority(moment)?;
        let own = office.books().certificates(&Selector::Adapter(key), Some(moment.now_s))?;
        let mut waits = false;
        for at in 0..ask.aors.len() {
            let Some((aor, state)) = ask.aors.get_mut(at).filter(|it| it.1 == State::Open) else {
                continue;
            };
            *state = match self.standing(moment, office, (&key, &own), aor)? {
                Standing::Free | Standing::Taken(None) => State::Open,
                Standing::Crowded => State::Refused(EnrolRefusal::Crowded),
                Standing::Taken(Some(true)) => State::ProvenTwice,
                Standing::Taken(Some(false)) => State::Second,
            };
            waits |= *state == State::Second;
        }
        if waits {
            let server = self.server;
            office.books().move_seconds(&key, &server)?;
        }
        let open = ask.those(|state| state == State::Open);
        let proven = ask.those(|state| state == State::ProvenTwice);
        if proven.is_empty()
            && let Some(certificate) = repeated(moment, office, &own, &open)?
        {
            return self.answer_again(office, ask, certificate);
        }
        if open.is_empty() {
            return self.close(moment, office, ask);
        }
        self.challenge(now, ask, &open);
        Ok(())
    }

    /// All of it is certified for a good while yet, but for what waits.
    fn answer_again(
        &mut self,
        office: &Office,
        ask: Ask,
        certificate: Certificate,
    ) -> Result<(), ServerError> {
        if ask.aors.iter().any(|(_, state)| *state == State::Second) {
            self.wait_for_second(&ask);
            return Ok(());
        }
        self.counters.certified_again += 1;
        self.say_refused(&ask);
        self.hand_out(office, &ask, certificate);
        Ok(())
    }

    /// With the secret that takes over, which nobody else is told.
    fn hand_out(&mut self, office: &Office, ask: &Ask, certificate: Certificate) {
        let secret = office.newest_secret();
        self.counters.secrets += u64::from(secret.is_some());
        let answer = Answer::Certified(Box::new(certificate), secret);
        self.answer(&ask.asker, ask.number, answer);
    }

    /// Queues the challenges of an ask, where its limits allow that and there is room.
    fn challenge(&mut self, now: Instant, mut ask: Ask, open: &[String]) {
        let Asker { key, address, .. } = ask.asker;
        let same = self.asks.values().filter(|other| other.asker.key == key).count();
        if same >= ASKS_PER_KEY_MAX {
            self.counters.limited_key += 1;
            return self.wait(&ask.asker, ask.number, CHALLENGE_LIFE.as_secs() as u32);
        }
        if !self.pace.has_room(self.queue.len(), open.len()) {
            self.counters.limited_pace += 1;
            let (queued, more) = (self.queue.len(), open.len());
            let seconds = self.pace.book(now, queued, more, &mut self.rng);
            return self.wait(&ask.asker, ask.number, seconds);
        }
        let names: Vec<&str> = open.iter().map(String::as_str).collect();
        if let Err(limited) = self.allowances.take(now, (&key, address), &names) {
            let (counter, after) = match limited {
                Limited::Aor(after) => (&mut self.counters.limited_aor, after),
                Limited::Key(after) => (&mut self.counters.limited_key, after),
                Limited::Address(after) => (&mut self.counters.limited_address, after),
            };
            *counter += 1;
            let seconds = after.as_secs() as u32 + 1;
            let seconds = seconds + self.rng.below(seconds.min(60));
            return self.wait(&ask.asker, ask.number, seconds);
        }
        self.ask_count += 1;
        let id = self.ask_count;
        for (at, (aor, _)) in ask.aors.iter().enumerate().filter(|(_, it)| it.1 == State::Open) {
            let (aor, purpose) = (aor.clone(), Purpose::Ask(id, at));
            self.queue.push_back(Open { key, aor, purpose });
        }
        let turn = self.pace.time_of(self.queue.len());
        ask.ends = now + turn + ASK_LIFE;
        let seconds = (turn + CHALLENGE_LIFE).as_secs() as u32 + 2;
        self.wait(&ask.asker, ask.number, seconds);
        self.asks.insert(id, ask);
    }

    /// A challenge of an ask is over.
    pub(super) fn settle(
        &mut self,
        moment: Moment<'_>,
        office: &mut Office,
        (id, at): (u64, usize),
        becomes: State,
    ) -> Result<(), ServerError> {
        let Some(ask) = self.asks.get_mut(&id) else { return Ok(()) };
        if let Some((_, state)) = ask.aors.get_mut(at) {
            *state = becomes;
        }
        if ask.is_open() {
            return Ok(());
        }
        let Some(ask) = self.asks.remove(&id) else { return Ok(()) };
        let (asker, number) = (ask.asker, ask.number);
        self.close(moment, office, ask).inspect_err(|_| self.turn_away(&asker, number))
    }

    /// Ends asks whose challenges could not be sent: the SIP server is not found.
    pub(super) fn give_up_old(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        office: &mut Office,
    ) -> Result<(), ServerError> {
        let old = |(id, ask): (&u64, &Ask)| (ask.ends <= now).then_some(*id);
        let old: Vec<u64> = self.asks.iter().filter_map(old).collect();
        let mut done = Ok(());
        for mut ask in old.iter().filter_map(|id| self.asks.remove(id)).collect::<Vec<_>>() {
            self.refuse_open(&mut ask, EnrolRefusal::Server);
            let (asker, number) = (ask.asker, ask.number);
            let closed = self.close(moment, office, ask);
            let closed = closed.inspect_err(|_| self.turn_away(&asker, number));
            done = done.and(closed);
        }
        done
    }

    fn refuse_open(&mut self, ask: &mut Ask, why: EnrolRefusal) {
        for (_, state) in ask.aors.iter_mut().filter(|(_, state)| *state == State::Open) {
            *state = State::Refused(why);
        }
    }

    /// No challenge is open: issues the certificate, and says what was refused.
    fn close(
        &mut self,
        moment: Moment<'_>,
        office: &mut Office,
        mut ask: Ask,
    ) -> Result<(), ServerError> {
        let key = ask.asker.key;
        let own = office.books().certificates(&Selector::Adapter(key), Some(moment.now_s))?;
        let mut beside = ask.those(|state| state == State::ProvenTwice);
        beside.extend(own.iter().flat_map(|held| held.aors.iter().cloned()));
        for (aor, state) in ask.aors.iter_mut().filter(|(_, state)| *state == State::Proven) {
            match self.standing(moment, office, (&key, &own), aor)? {
                Standing::Free => {}
                Standing::Crowded => *state = State::Refused(EnrolRefusal::Crowded),
                // Another was certified meanwhile, and so was this one's second challenge.
                Standing::Taken(Some(true)) => beside.push(aor.clone()),
                Standing::Taken(second) => {
                    if second.is_none() {
                        self.begin_second(moment, office, (&key, aor))?;
                    }
                    *state = State::Second;
                }
            }
        }
        let aors = ask.those(|state| matches!(state, State::Proven | State::ProvenTwice));
        if aors.is_empty() {
            self.say_nothing_issued(&ask);
            return Ok(());
        }
        let order = (&key, CERTIFICATE_DAYS_MAX);
        let issued = office.certify(moment, order, aors, &|aor| beside.iter().any(|it| it == aor));
        match issued {
            Ok(issued) => {
                for aor in ask.those(|state| state == State::ProvenTwice) {
                    office.books().drop_second(&aor, &key)?;
                }
                self.counters.certified += 1;
                self.say_refused(&ask);
                self.hand_out(office, &ask, issued.certificate);
                Ok(())
            }
            // Another server was faster.
            Err(ServerError::Refused(Refusal::Held { .. } | Refusal::Crowded(..))) => {
                let seconds = self.jittered(AGAIN_S);
                self.wait(&ask.asker, ask.number, seconds);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn say_nothing_issued(&mut self, ask: &Ask) {
        if ask.aors.iter().any(|(_, state)| *state == State::Second) {
            return self.wait_for_second(ask);
        }
        self.say_refused(ask);
    }

    /// Names what is not certified, where that is something.
    fn say_refused(&mut self, ask: &Ask) {
        for (_, state) in &ask.aors {
            let State::Refused(why) = state else { continue };
            *match why {
                EnrolRefusal::Unanswered => &mut self.counters.refused_unanswered,
                EnrolRefusal::Server => &mut self.counters.refused_server,
                EnrolRefusal::Foreign => &mut self.counters.refused_foreign,
                EnrolRefusal::Crowded => &mut self.counters.refused_crowded,
                EnrolRefusal::Blocked => &mut self.counters.refused_blocked,
            } += 1;
        }
        let Some((which, why)) = ask.refused() else { return };
        let again_s = match why {
            EnrolRefusal::Unanswered | EnrolRefusal::Server => AGAIN_S,
            _ => AGAIN_MUCH_LATER_S,
        };
        let again_s = self.jittered(again_s);
        self.answer(&ask.asker, ask.number, Answer::Refused { which, why, again_s });
    }
}

/// A certificate of those that are held which says what a new one for `aors` would, and has more
/// than half of its life before it.
fn repeated(
    moment: Moment<'_>,
    office: &mut Office,
    own: &[Held],
    aors: &[String],
) -> Result<Option<Certificate>, ServerError> {
    let covers = |held: &&Held| aors.iter().all(|aor| held.aors.contains(aor));
    if aors.is_empty() {
        return Ok(None);
    }
    for held in own.iter().rev().filter(covers) {
        let bytes = office.books().bytes_of(held.serial)?.and_then(|text| from_hex(&text));
        let parsed = bytes.and_then(|bytes| Certificate::parse(&bytes).ok());
        let Some(certificate) = parsed else { continue };
        if office.vouches_for(moment, &certificate, aors)? {
            return Ok(Some(certificate));
        }
    }
    Ok(None)
}
