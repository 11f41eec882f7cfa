//! How deep the tree of a text in SQL can become, told before it is parsed: what is too deep would overflow the stack of
//! whoever plans it, which ends the process.
//!
//! The parser bounds what is nested, not what is chained: `1 + 1 + …` is a tree as deep as it is long. A comma begins
//! another tree beside it, so lists of any length are fine.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Operators one upon the other.
const DEPTH_MAX: usize = 500;
/// Words that chain whole queries or tables: no comma begins anew.
const CHAINING: [&str; 4] = ["UNION", "EXCEPT", "INTERSECT", "JOIN"];
/// Words that are operators.
const OPERATORS: [&str; 12] =
    ["AND", "OR", "NOT", "IS", "IN", "LIKE", "ILIKE", "BETWEEN", "CASE", "WHEN", "DIV", "COLLATE"];

/// Refuses a text whose tree may be too deep.
///
/// # Errors
/// Says so, and how deep it may be. What is no SQL at all is left to the parser.
pub fn check(text: &str) -> Result<(), String> {
    let dialect = GenericDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, text).tokenize() else { return Ok(()) };
    // Operators since the last comma, for each bracket that is open; and of all, those that a comma does not end.
    let mut levels = vec![0_usize];
    let (mut sum, mut n_chained) = (0, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket => levels.push(0),
            Token::RParen | Token::RBracket => {
                if levels.len() > 1 {
                    sum -= levels.pop().unwrap_or_default();
                }
            }
            Token::Comma => sum -= levels.last_mut().map(std::mem::take).unwrap_or_default(),
            Token::Word(word) if word.quote_style.is_some() => {}
            Token::Word(word) if CHAINING.iter().any(|known| word.value.eq_ignore_ascii_case(known)) => n_chained += 1,
            Token::Word(word) if !OPERATORS.iter().any(|known| word.value.eq_ignore_ascii_case(known)) => {}
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => {}
            Token::EOF | Token::SemiColon => {}
            _operator => {
                if let Some(level) = levels.last_mut() {
                    *level += 1;
                    sum += 1;
                }
            }
        }
        if sum + n_chained > DEPTH_MAX {
            return Err(format!(
                "it chains more than {DEPTH_MAX} operators: compute parts of it in features or queries of their own"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chained_has_an_end() {
        for (part, before, after) in [
            (" + 1", "1", ""),
            (" OR a = 1", "a", ""),
            (" UNION ALL SELECT 1, 2", "SELECT 1, 2", ""),
            (" JOIN t ON true", "SELECT 1 FROM t", ""),
            ("- ", "", "1"),
            ("not ", "", "a"),
            ("::bigint", "a", ""),
            (" || 'x'", "f(a, b", ")"),
            (" - (1)", "a, b", ""),
            ("[1]", "a", " + 1"),
        ] {
            let of = |n: usize| check(&format!("{before}{}{after}", part.repeat(n)));
            of(100).unwrap_or_else(|why| panic!("{part}: {why}"));
            if part != "[1]" {
                assert!(of(2_000).is_err(), "{part}");
            }
        }
    }

    #[test]
    fn lists_have_none() {
        check(&format!("SELECT {} FROM t", vec!["a + b * c AS d"; 5_000].join(", "))).unwrap();
        check(&format!("a IN ({})", vec!["-1"; 5_000].join(", "))).unwrap();
        check("no 'sql").unwrap();
        check(")))").unwrap();
    }
}
