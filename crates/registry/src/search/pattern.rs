//! `LIKE`: `%` stands for any text and `_` for one character.

/// Whether all of `text` is of the pattern.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    // Where to go on when the rest does not match: after the last `%`, one character of text further.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                p += 1;
                again = Some((p, t));
            }
            Some(c) if *c == '_' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut again {
                None => return false,
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the words of the rule say it, slowly.
    fn slowly(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|n| slowly(&text[n..], rest)),
            ['_', rest @ ..] => text.split_first().is_some_and(|(_, text)| slowly(text, rest)),
            [c, rest @ ..] => text.split_first().is_some_and(|(first, text)| first == c && slowly(text, rest)),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_rule_says(text in "[ab%_ü]{0,8}", pattern in "[ab%_ü]{0,6}") {
            let (t, p): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
            prop_assert_eq!(is_like(&text, &pattern), slowly(&t, &p));
        }
    }
}
