//! The words of a filter.

use super::SearchError;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) kind: Kind,
    /// As written but for quotes.
    pub(super) text: String,
    /// Whether it follows the word before without a blank.
    pub(super) glued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, a keyword or a number.
    Bare,
    /// In single or in double quotes. Of a value they mean the same; a name may have double ones.
    Quoted,
    /// In backticks.
    Backticked,
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`.
    Operator,
    /// A bracket or a comma.
    Punctuation,
}

impl Word {
    /// Whether it is this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Bare && self.text.eq_ignore_ascii_case(keyword)
    }

    pub(super) fn is_punctuation(&self, sign: &str) -> bool {
        self.kind == Kind::Punctuation && self.text == sign
    }
}

/// Cuts a filter into words.
pub(super) fn words(filter: &str) -> Result<Vec<Word>, SearchError> {
    let wrong = |why: String| SearchError::Filter { why };
    let mut words = Vec::new();
    let mut rest = filter;
    let mut glued = false;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            (rest, glued) = (&rest[first.len_utf8()..], false);
            continue;
        }
        let (kind, text, length) = match first {
            '\'' | '"' | '`' => {
                let kind = if first == '`' { Kind::Backticked } else { Kind::Quoted };
                let (text, length) =
                    quoted(rest, first).ok_or_else(|| wrong(format!("a {first} is not closed in {}", shown(rest))))?;
                (kind, text, length)
            }
            '(' | ')' | ',' => (Kind::Punctuation, first.to_string(), 1),
            '=' | '!' | '<' | '>' => {
                let two = rest.get(..2).filter(|two| ["!=", "<=", ">=", "=="].contains(two));
                let text = two.unwrap_or(&rest[..1]);
                if text == "!" {
                    return Err(wrong(format!("`!` stands alone in {}", shown(rest))));
                }
                (Kind::Operator, text.to_owned(), text.len())
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "'\"`(),=!<>".contains(c);
                let end = rest.find(ends).unwrap_or(rest.len());
                (Kind::Bare, rest[..end].to_owned(), end)
            }
        };
        words.push(Word { kind, text, glued });
        (rest, glued) = (&rest[length..], true);
    }
    Ok(words)
}

/// What stands between the quotes at the start of `text`, and how long it is with them. Two quotes are one.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inside = String::new();
    let mut rest = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c != quote {
            inside.push(c);
        } else if rest.peek().is_some_and(|(_, next)| *next == quote) {
            inside.push(quote);
            rest.next();
        } else {
            return Some((inside, at + 1));
        }
    }
    None
}

pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}
