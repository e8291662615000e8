//! What later versions add to what is signed: kind 1, length 2, data. Unknown kinds are skipped,
//! and covered by the signature all the same.

/// What the first extension of a kind holds; `Some(None)` where there is none of it, and `None`
/// where `rest` is no row of extensions.
pub(super) fn find(mut rest: &[u8], kind: u8) -> Option<Option<&[u8]>> {
    let mut found = None;
    while let [known, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (data, behind) = tail.split_at_checked(len)?;
        if *known == kind && found.is_none() {
            found = Some(data);
        }
        rest = behind;
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_is_found_among_others_and_what_is_cut_is_none() {
        let row = [5, 0, 1, 7, 3, 0, 0, 5, 0, 1, 8];
        assert_eq!(find(&row, 5), Some(Some(&[7][..])));
        assert_eq!(find(&row, 3), Some(Some(&[][..])));
        assert_eq!(find(&row, 4), Some(None));
        assert_eq!(find(&[], 5), Some(None));
        for len in [1, 2, 3, 5, 6, 8, 9, 10] {
            assert_eq!(find(&row[..len], 5), None, "{len}");
        }
    }
}
