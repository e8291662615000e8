//! Where in a table the entries of a key or an id are.

/// Slots by the first bytes of a key or an id, sorted: small where few records are kept, and the
/// few of one place, or those that somebody has found keys for, are told apart by their records.
pub(super) struct SlotsById(Vec<(u32, u32)>);

impl SlotsById {
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        crate::queue::fit_list(&mut self.0);
    }

    pub(super) fn insert(&mut self, id: &[u8; 16], slot: u32) {
        let entry = (begin(id), slot);
        let at = self.0.partition_point(|other| *other < entry);
        self.0.insert(at, entry);
    }

    pub(super) fn remove(&mut self, id: &[u8; 16], slot: u32) {
        if let Ok(at) = self.0.binary_search(&(begin(id), slot)) {
            self.0.remove(at);
        }
    }

    /// The slots of those whose id begins so.
    pub(super) fn find(&self, id: &[u8; 16]) -> impl Iterator<Item = u32> + '_ {
        self.find_from(id, 0)
    }

    /// The same, from a slot on.
    pub(super) fn find_from(&self, id: &[u8; 16], slot: u32) -> impl Iterator<Item = u32> + '_ {
        let begin = begin(id);
        let from = self.0.partition_point(|other| *other < (begin, slot));
        let rest = self.0.iter().skip(from).take_while(move |(other, _)| *other == begin);
        rest.map(|(_, slot)| *slot)
    }
}

fn begin(id: &[u8; 16]) -> u32 {
    u32::from_be_bytes([id[0], id[1], id[2], id[3]])
}
