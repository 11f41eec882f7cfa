//! `NaN`, `Infinity` and `-Infinity` in JSON that is none: Python writes them, and Triton takes them.
//!
//! They become texts that nothing else writes, so that what follows is read by a parser that knows the rules.

use std::borrow::Cow;

/// The tokens, and what stands for them: a text that begins with NUL, which no text for a model can have.
pub(super) const TOKENS: [(&str, &str, f64); 3] = [
    ("-Infinity", "\"\\u0000-Infinity\"", f64::NEG_INFINITY),
    ("Infinity", "\"\\u0000Infinity\"", f64::INFINITY),
    ("NaN", "\"\\u0000NaN\"", f64::NAN),
];

/// The text with each token outside of a string replaced.
pub(super) fn strict(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let (mut rest, mut in_string) = (text, false);
    while !rest.is_empty() {
        // Up to what may change something; all of it is ASCII.
        let special = |c: char| if in_string { c == '"' || c == '\\' } else { matches!(c, '"' | '-' | 'I' | 'N') };
        let at = rest.find(special).unwrap_or(rest.len());
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let token = TOKENS.iter().find(|(token, _, _)| !in_string && rest.starts_with(token));
        if let Some((token, stands, _)) = token {
            out.push_str(stands);
            rest = &rest[token.len()..];
            continue;
        }
        let mut letters = rest.chars();
        let Some(letter) = letters.next() else { break };
        out.push(letter);
        match letter {
            '"' => in_string = !in_string,
            '\\' => out.extend(letters.next()),
            _ => {}
        }
        rest = letters.as_str();
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_become_texts_and_strings_stay() {
        assert_eq!(strict("[1, -2]"), "[1, -2]");
        assert_eq!(strict("[NaN,Infinity, -Infinity,-1]"), r#"["\u0000NaN","\u0000Infinity", "\u0000-Infinity",-1]"#);
        for text in [r#"["NaN", "a\"NaN", "\\", "ä-Infinity"]"#, r#"{"Infinity": "NaN\\"}"#] {
            assert_eq!(strict(text), text);
        }
        assert_eq!(strict(r#"["\\",NaN]"#), r#"["\\","\u0000NaN"]"#);
        // What is no JSON stays none.
        assert_eq!(strict("\"NaN"), "\"NaN");
        assert_eq!(strict("NaN\\"), "\"\\u0000NaN\"\\");
    }
}
