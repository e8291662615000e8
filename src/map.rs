//! The one map for few things: their keys in order in one piece of memory, found by halving.
//! Adding or taking one moves those behind it; what is many is a [`crate::table::Table`]. The
//! standard library's trees are for more than that, and each costs as much code as a module.

/// Values by their keys.
#[derive(Clone, Debug)]
pub struct Map<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Map<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of this key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    /// The value of this key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Gives a key its value, in place of another that it had.
    pub fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// Takes the value of this key out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Keeps what `keeps` says.
    pub fn retain(&mut self, mut keeps: impl FnMut(&V) -> bool) {
        self.0.retain(|(_, value)| keeps(value));
    }

    /// The least key.
    pub fn first(&self) -> Option<&K> {
        self.0.first().map(|(key, _)| key)
    }

    /// All values, by their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// All values, by their keys, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Where the key is, or belongs.
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(key))
    }
}

impl<K: Ord, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_tree_under_random_insertions_and_removals() {
        let mut rng = Rng::new([5; 32]);
        let (mut map, mut tree) = (Map::new(), BTreeMap::new());
        for round in 0..5_000u32 {
            let key = rng.below(24);
            match rng.below(3) {
                0 => assert_eq!(map.remove(&key), tree.remove(&key)),
                1 => assert_eq!(map.get_mut(&key), tree.get_mut(&key)),
                _ => {
                    map.insert(key, round);
                    tree.insert(key, round);
                }
            }
            assert_eq!((map.get(&key), map.first()), (tree.get(&key), tree.keys().next()));
            assert!(map.values().eq(tree.values()) && map.len() == tree.len());
        }
    }
}
