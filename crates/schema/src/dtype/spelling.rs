//! How types are written: `int64`, `decimal(10,2)`, `list<float32>`, `list<float32, 384>`; and what was meant by what
//! is not one.

use std::str::FromStr;

use super::scalar::DIGITS_MAX;
use super::{Dtype, FIXED_MAX, Scalar};
use crate::yaml::suggest;

/// A text that is no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a type")]
pub struct TypeError {
    text: String,
    hint: String,
}

impl TypeError {
    fn new(text: &str, hint: impl Into<String>) -> Self {
        Self { text: text.to_owned(), hint: hint.into() }
    }

    /// What was meant, or what there is.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// What other systems call our types.
const ALIASES: [(&str, &str); 22] = [
    ("array", "list<...>"),
    ("bigint", "int64"),
    ("binary", "bytes"),
    ("blob", "bytes"),
    ("boolean", "bool"),
    ("char", "string"),
    ("datetime", "timestamp"),
    ("double", "float64"),
    ("float", "float64"),
    ("int", "int64"),
    ("integer", "int64"),
    ("interval", "duration"),
    ("long", "int64"),
    ("map", "json"),
    ("numeric", "decimal(precision,scale)"),
    ("real", "float32"),
    ("smallint", "int16"),
    ("str", "string"),
    ("struct", "json"),
    ("text", "string"),
    ("timedelta", "duration"),
    ("varchar", "string"),
];

impl Dtype {
    /// Reads the spelling that [`Display`](std::fmt::Display) writes; spaces inside do not matter.
    ///
    /// # Errors
    /// [`TypeError`], whose hint says what may have been meant.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let fail = |hint: String| Err(TypeError::new(text, hint));
        let Some(inner) = text.trim().strip_prefix("list<") else {
            return scalar(text.trim()).map(Self::from).map_err(|hint| TypeError::new(text, hint));
        };
        let Some(inner) = inner.strip_suffix('>') else {
            return fail(unclosed("list<float32, 3>"));
        };
        // The comma of a decimal stands inside its parentheses.
        let comma = inner.rfind(',').filter(|comma| inner.rfind(')').is_none_or(|closed| closed < *comma));
        let (item, n) = match comma {
            Some(comma) => (&inner[..comma], Some(&inner[comma + 1..])),
            None => (inner, None),
        };
        let tail = n.map(|n| format!(", {}", n.trim())).unwrap_or_default();
        let item = match scalar(item.trim()) {
            Ok(item) => item,
            Err(_) if item.trim_start().starts_with("list<") => {
                return fail("lists of lists are kept as `json`".to_owned());
            }
            Err(hint) => {
                let meant = hint.strip_prefix("did you mean `").and_then(|hint| hint.strip_suffix("`?"));
                let meant = meant.map(|item| format!("did you mean `list<{item}{tail}>`?"));
                return fail(meant.unwrap_or(hint));
            }
        };
        match n.map(|n| n.trim().parse::<u32>()) {
            None => Ok(Self::List(item)),
            Some(Ok(n)) if (1..=FIXED_MAX).contains(&n) => Ok(Self::FixedList(item, n)),
            Some(_) => fail(format!("a fixed list has 1 to {FIXED_MAX} values: `list<{item}, 384>`")),
        }
    }
}

/// A type without lists; the error is a hint.
fn scalar(text: &str) -> Result<Scalar, String> {
    if let Some(plain) = Scalar::plain(text) {
        return Ok(plain);
    }
    if let Some(inner) = text.strip_prefix("decimal(") {
        let Some(inner) = inner.strip_suffix(')') else { return Err(unclosed("decimal(10,2)")) };
        let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
        return match (precision.trim().parse(), scale.trim().parse()) {
            (Ok(precision), Ok(scale)) if (1..=DIGITS_MAX).contains(&precision) && scale <= precision => {
                Ok(Scalar::Decimal { precision, scale })
            }
            _ => Err(format!(
                "a decimal has 1 to {DIGITS_MAX} digits, some of them after the point: `decimal(10,2)` has 10 and 2"
            )),
        };
    }
    let lower = text.to_ascii_lowercase();
    let word = lower.split(['(', '<', '[']).next().unwrap_or_default();
    if word == "decimal" {
        return Err("say how many digits, and how many after the point: `decimal(10,2)`".to_owned());
    }
    if word == "list" {
        return Err("say of what: `list<float32>`, or `list<float32, 384>` for a fixed number of values".to_owned());
    }
    if let Some((_, ours)) = ALIASES.iter().find(|(theirs, _)| *theirs == word) {
        return Err(format!("did you mean `{ours}`?"));
    }
    let known: Vec<String> =
        Scalar::all().filter(|s| !matches!(s, Scalar::Decimal { .. })).map(|s| s.to_string()).collect();
    if known.contains(&lower) {
        return Err(format!("did you mean `{lower}`?"));
    }
    let more = ["decimal(10,2)", "list<float32>", "list<float32, 3>"];
    Err(suggest(&lower, known.iter().map(String::as_str).chain(more)))
}

fn unclosed(example: &str) -> String {
    format!("inside {{...}} a comma ends the value: quote the type, as in `type: \"{example}\"`")
}

impl FromStr for Dtype {
    type Err = TypeError;
    fn from_str(text: &str) -> Result<Self, TypeError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Dtype {
    type Error = TypeError;
    fn try_from(text: String) -> Result<Self, TypeError> {
        Self::parse(&text)
    }
}

impl From<Dtype> for String {
    fn from(dtype: Dtype) -> Self {
        dtype.to_string()
    }
}
