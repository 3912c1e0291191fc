//! Suggestions for mistyped names.

/// Returns the known name with the fewest differences; empty if there is none.
pub fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known.min_by_key(|other| strsim::damerau_levenshtein(name, other)).unwrap_or("")
}

/// As [`nearest`], if at most a third of the name differs.
pub fn similar(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let nearest = nearest(name, known);
    (3 * strsim::damerau_levenshtein(name, nearest) <= nearest.chars().count())
        .then_some(nearest)
        .filter(|nearest| !nearest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_with_few_differences_is_similar() {
        let known = || ["beacon-outage", "crash", "disk-full"].into_iter();
        assert_eq!(similar("becon-outage", known()), Some("beacon-outage"));
        assert_eq!(similar("crsh", known()), Some("crash"));
        assert_eq!((similar("fire", known()), similar("", known()), similar("x", [].into_iter())), (None, None, None));
        assert_eq!(nearest("fire", known()), "crash");
    }
}
