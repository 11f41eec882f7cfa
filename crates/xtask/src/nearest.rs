//! The command that a misspelt one was meant to be.

/// The candidate at most two edits away from `name`, if any: fewest edits first, then in the order given.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let by_distance = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
    by_distance
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's: insertions, deletions and substitutions of one character each.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_edits_are_near_and_three_are_not() {
        let commands = ["demo", "test", "bench"];
        assert_eq!(nearest("tset", commands), Some("test"));
        assert_eq!(nearest("bnch", commands), Some("bench"));
        assert_eq!(nearest("demos", commands), Some("demo"));
        assert_eq!(nearest("deploy", commands), None);
        assert_eq!(nearest("", commands), None);
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("demo", "demo", 0)] {
            assert_eq!(distance(a, b), expected, "{a} to {b}");
        }
    }
}
