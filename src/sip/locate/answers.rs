//! The answers of DNS, kept: what is known, what is being asked.
//!
//! At most [`limits::LOCATE_ANSWERS_MAX`] names; the one that expires first gives way. Kept within
//! bounds of its own whatever the TTL says. When DNS fails, what was known before stays good.

use super::{LocateError, Question};
use crate::limits;
use crate::net::{Failure, Record, RecordKind};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// What is known about one question.
struct Known {
    name: String,
    kind: RecordKind,
    /// The question's number while DNS is asked.
    asked: Option<u32>,
    /// Good until then; what a search that began earlier has seen stays good for it.
    until: Instant,
    records: Vec<Record>,
    /// DNS failed, and nothing was known from before.
    silent: bool,
}

/// What the answers say about a name.
pub(super) enum Lookup {
    Records(Vec<Record>),
    /// DNS has been asked and did not answer.
    Silent,
    /// DNS is being asked.
    Asked,
    /// Nothing, or nothing that is still good.
    Unknown,
}

/// All answers, and the questions that wait to be put.
pub(super) struct Answers {
    known: Vec<Known>,
    questions: VecDeque<Question>,
    next_id: u32,
}

impl Answers {
    pub(super) fn new() -> Self {
        let known = Vec::with_capacity(limits::LOCATE_ANSWERS_MAX);
        Self { known, questions: VecDeque::new(), next_id: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn poll_question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    /// What is known for a search that began at `started`.
    pub(super) fn look_up(&self, started: Instant, name: &str, kind: RecordKind) -> Lookup {
        let mut known = self.known.iter();
        match known.find(|known| known.kind == kind && known.name == name) {
            Some(known) if known.asked.is_some() => Lookup::Asked,
            Some(known) if known.until < started => Lookup::Unknown,
            Some(known) if known.silent => Lookup::Silent,
            Some(known) => Lookup::Records(known.records.clone()),
            None => Lookup::Unknown,
        }
    }

    /// Puts a question to DNS.
    ///
    /// # Errors
    /// [`LocateError::Full`] where every place waits for an answer.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        name: &str,
        kind: RecordKind,
    ) -> Result<(), LocateError> {
        let id = self.next_id;
        let same = |known: &&mut Known| known.kind == kind && known.name == name;
        if let Some(known) = self.known.iter_mut().find(same) {
            known.asked = Some(id);
        } else {
            if self.known.len() >= limits::LOCATE_ANSWERS_MAX {
                self.make_room()?;
            }
            let (records, asked) = (Vec::new(), Some(id));
            let name = name.into();
            self.known.push(Known { name, kind, asked, until: now, records, silent: false });
        }
        self.next_id = id.wrapping_add(1);
        self.questions.push_back(Question { id, name: name.into(), kind });
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), LocateError> {
        let kept = self.known.iter().enumerate().filter(|(_, known)| known.asked.is_none());
        let (oldest, _) = kept.min_by_key(|(_, known)| known.until).ok_or(LocateError::Full)?;
        self.known.swap_remove(oldest);
        Ok(())
    }

    /// Takes an answer. False where nobody asked.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        id: u32,
        answer: Result<(&[Record], u32), Failure>,
    ) -> bool {
        let Some(known) = self.known.iter_mut().find(|known| known.asked == Some(id)) else {
            return false;
        };
        known.asked = None;
        let (seconds, silent) = match answer {
            Ok((records, ttl)) => {
                known.records.clear();
                known.records.extend(records.iter().take(limits::LOCATE_RECORDS_MAX).cloned());
                (ttl.clamp(limits::LOCATE_TTL_S.0, limits::LOCATE_TTL_S.1), false)
            }
            Err(Failure::Absent) => {
                known.records.clear();
                (limits::LOCATE_RETRY_S, false)
            }
            Err(_) => (limits::LOCATE_RETRY_S, known.records.is_empty()),
        };
        known.silent = silent;
        known.until = now + Duration::from_secs(u64::from(seconds));
        true
    }
}
