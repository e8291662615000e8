//! Putting short lists in order.
//!
//! The standard library's sorts are made for long lists, and are some kilobytes of flash for each
//! type that is sorted.

/// Orders `list` by `rank`, and leaves those of the same rank as they were. Quick for some hundred
/// entries.
pub fn order<T, K: Ord>(list: &mut [T], rank: impl Fn(&T) -> K) {
    for new in 1..list.len() {
        let mut at = new;
        while at > 0 && rank(&list[at]) < rank(&list[at - 1]) {
            list.swap(at, at - 1);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_orders_as_the_standard_library_does() {
        let mut rng = crate::rng::Rng::new([3; 32]);
        for length in 0..60 {
            let mut list: Vec<(u32, u32)> = (0..length).map(|at| (rng.below(9), at)).collect();
            let mut expected = list.clone();
            expected.sort_by_key(|(key, _)| *key);
            order(&mut list, |(key, _)| *key);
            assert_eq!(list, expected);
        }
    }
}
