//! What of the filters of searches is understood here: equalities that all must hold. The rest is refused, for a filter that
//! is not looked at would be an answer to another question.

use crate::http::mlflow::{Fields, Refusal};

/// No filter at all.
///
/// # Errors
/// There is one.
pub(super) fn none(fields: &Fields) -> Result<(), Refusal> {
    match fields.text("filter")?.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(()),
        Some(text) => Err(unsupported(text)),
    }
}

/// `name = 'x' AND source_run_id = "y"`: the values of some names, each at most once.
///
/// # Errors
/// Anything else.
pub(super) fn equalities<const N: usize>(fields: &Fields, names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut found = [const { None }; N];
    let Some(filter) = fields.text("filter")?.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(found) };
    let mut rest = filter;
    loop {
        let (name, value, behind) = equality(rest).ok_or_else(|| unsupported(filter))?;
        let place = names.iter().position(|known| *known == name).ok_or_else(|| unsupported(filter))?;
        if found[place].replace(value.to_owned()).is_some_and(|before| before != value) {
            return Err(unsupported(filter));
        }
        rest = behind.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        let and = rest.get(..3).filter(|word| word.eq_ignore_ascii_case("and"));
        rest = and.map(|_| &rest[3..]).filter(|rest| rest.starts_with(' ')).ok_or_else(|| unsupported(filter))?;
    }
}

/// A name, its value, and what stands behind.
fn equality(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("attributes.").or_else(|| name.strip_prefix("attribute.")).unwrap_or(name);
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (value, behind) = rest[1..].split_once(quote)?;
    Some((name.trim_matches('`'), value, behind))
}

fn unsupported(filter: &str) -> Refusal {
    let shown: String = filter.chars().take(200).collect();
    Refusal::invalid(format!("Invalid clause(s) in filter string: {} is not supported here", shown.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filter: &str) -> Result<[Option<String>; 2], Refusal> {
        let body = serde_json::json!({ "filter": filter }).to_string();
        equalities(&Fields::of_json(body.as_bytes()).unwrap(), ["name", "source_run_id"])
    }

    #[test]
    fn equalities_of_known_names_are_understood() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("").unwrap(), [None, None]);
        assert_eq!(read("name = 'it is \"so\"'").unwrap(), [some("it is \"so\""), None]);
        assert_eq!(read("attributes.name=\"a\" AND source_run_id = 'r'").unwrap(), [some("a"), some("r")]);
        assert_eq!(read(" name = 'a and b' and name = 'a and b' ").unwrap(), [some("a and b"), None]);
    }

    #[test]
    fn everything_else_is_refused() {
        for filter in [
            "name",
            "name = a",
            "name != 'a'",
            "name = 'a",
            "name = 'a' OR name = 'b'",
            "x = 'a'",
            "name = 'a' AND",
            "name = 'a' ANDname = 'a'",
            "name = 'a' AND name = 'b'",
            "name LIKE 'a'",
            "é = 'a' ünd",
        ] {
            assert!(read(filter).unwrap_err().message.contains("not supported here"), "{filter}");
        }
    }
}
