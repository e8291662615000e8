//! Queues whose room is reserved once: no more of it is touched than ever waited at once.

use std::collections::VecDeque;

/// Takes the oldest out. A queue that is empty then begins anew where its memory begins; one that
/// went round would come to touch all that is reserved.
pub fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let oldest = queue.pop_front();
    if queue.is_empty() {
        queue.clear();
    }
    oldest
}

/// Gives back what a queue has reserved far beyond what waits in it. Only the simulator does so:
/// what is reserved once on a router is allocated again there when it is needed.
#[cfg(feature = "lab")]
pub fn fit<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() / 4 > queue.len() {
        queue.shrink_to(2 * queue.len());
    }
}

/// The same for a list.
#[cfg(feature = "lab")]
pub fn fit_list<T>(list: &mut Vec<T>) {
    if list.capacity() / 4 > list.len() {
        list.shrink_to(2 * list.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_an_empty_queue_is_where_its_memory_begins() {
        let mut queue = VecDeque::with_capacity(8);
        queue.push_back(0);
        let begins = queue.as_slices().0.as_ptr();
        for n in 1..20 {
            assert_eq!(pop(&mut queue), Some(n - 1));
            queue.push_back(n);
            assert_eq!(queue.as_slices().0.as_ptr(), begins);
        }
    }

    #[cfg(feature = "lab")]
    #[test]
    fn room_far_beyond_what_waits_is_given_back_and_what_waits_stays() {
        let (mut queue, mut list) = (VecDeque::with_capacity(64), Vec::with_capacity(64));
        for n in 0..8 {
            queue.push_back(n);
            list.push(n);
        }
        fit(&mut queue);
        fit_list(&mut list);
        assert!((8..64).contains(&queue.capacity()) && (8..64).contains(&list.capacity()));
        assert!(queue.iter().eq(&list) && list == (0..8).collect::<Vec<_>>());
        // What is used to a quarter is left as it is.
        let mut used = Vec::with_capacity(16);
        used.extend(0..4);
        fit_list(&mut used);
        assert_eq!(used.capacity(), 16);
    }
}
