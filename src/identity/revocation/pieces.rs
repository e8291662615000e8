//! The entries of a list on their way: they come in pieces, behind the head that signs them all.

use super::{ENTRIES_MAX, HEAD_BYTES, RevocationError, RevocationHead, Revoked};

/// Entries of a list that come in pieces.
#[derive(Debug)]
pub struct Pieces {
    head: RevocationHead,
    entries: Vec<Revoked>,
}

impl Pieces {
    /// None yet, of the list with this head.
    pub fn new(head: RevocationHead) -> Self {
        Self { head, entries: Vec::new() }
    }

    /// Reads what [`super::Revocations::to_bytes`] has written.
    ///
    /// # Errors
    /// [`RevocationError`], of the shape alone.
    pub fn parse(data: &[u8]) -> Result<Self, RevocationError> {
        let len = data.get(1..HEAD_BYTES).ok_or(RevocationError::Length)?;
        let end = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)) + HEAD_BYTES;
        let (head, entries) = data.split_at_checked(end).ok_or(RevocationError::Length)?;
        let mut pieces = Self::new(RevocationHead::parse(head)?);
        pieces.take(entries)?;
        Ok(pieces)
    }

    /// Whose entries they are.
    pub fn head(&self) -> &RevocationHead {
        &self.head
    }

    /// What has come so far.
    pub fn entries(&self) -> &[Revoked] {
        &self.entries
    }

    /// The serial behind which the next piece begins.
    pub fn after(&self) -> Option<u64> {
        self.entries.last().map(|entry| entry.serial)
    }

    /// Takes the next piece in.
    ///
    /// # Errors
    /// [`RevocationError::Entries`] where they are in no order, or too many.
    pub fn take(&mut self, mut piece: &[u8]) -> Result<(), RevocationError> {
        while !piece.is_empty() {
            let wrong = RevocationError::Entries;
            let ((step, ago, days), rest) =
                postcard::take_from_bytes::<(u64, u32, u8)>(piece).map_err(|_| wrong)?;
            let serial = match self.after() {
                Some(before) if step > 0 => before.checked_add(step).ok_or(wrong)?,
                Some(_) => return Err(wrong),
                None => step,
            };
            let number = self.head.number().checked_sub(ago).ok_or(wrong)?;
            let ends_day = self.head.today().saturating_add(u16::from(days));
            if self.entries.len() >= ENTRIES_MAX {
                return Err(wrong);
            }
            self.entries.push(Revoked { serial, ends_day, number });
            piece = rest;
        }
        Ok(())
    }
}
