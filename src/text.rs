//! Looking for one text in another. Both are short: a plain loop does, where the standard library's
//! search, made for long ones, is more than a kilobyte of flash.

/// Where `part`, which is not empty, stands first.
pub fn find(text: &str, part: &str) -> Option<usize> {
    let mut windows = text.as_bytes().windows(part.len().max(1));
    windows.position(|window| window == part.as_bytes())
}

/// Whether `part` stands anywhere.
pub fn has(text: &str, part: &str) -> bool {
    find(text, part).is_some()
}

/// What stands before and behind the first `part`.
pub fn split_once<'t>(text: &'t str, part: &str) -> Option<(&'t str, &'t str)> {
    let (before, rest) = text.split_at(find(text, part)?);
    Some((before, rest.strip_prefix(part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_the_standard_library_does() {
        let mut rng = crate::rng::Rng::new([8; 32]);
        let mut draw = |most| -> String {
            let length = rng.below(most);
            (0..length).map(|_| ['a', 'b', 'ä'][rng.below(3) as usize]).collect()
        };
        for _ in 0..5_000 {
            let (text, part) = (draw(12), draw(3) + "b");
            assert_eq!(find(&text, &part), text.find(&part));
            assert_eq!(split_once(&text, &part), text.split_once(&part));
            assert_eq!(has(&text, &part), text.contains(&part));
        }
    }
}
