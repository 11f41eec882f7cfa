//! `--entity name=Smith`: what options say of rows by name. A list is written as CSV has it, a value of whoever is erased is
//! taken whole, and a name that comes again adds to its values.

use crate::failure::Failure;

/// For each name, in the order in which they first come, its values: one a row.
pub(super) type Lists = Vec<(String, Vec<String>)>;

/// Lists of values: `user_id=1,2` and `name="Smith, Anna",Smith`. Spaces count.
pub(super) fn lists(words: &[String], example: &str) -> Result<Lists, Failure> {
    let values = |pair: &str, text: &str| {
        csv(text).map_err(|why| {
            let hint =
                r#"write name="Smith, Anna",Smith: quotes around a value with commas, and "" for a quote inside"#;
            Failure::invalid(format!("`{pair}`: {why}")).code("usage").hint(hint)
        })
    };
    read(words, example, values)
}

/// One value a word, with all its commas and quotes.
pub(super) fn whole(words: &[String], example: &str) -> Result<Lists, Failure> {
    read(words, example, |_, text| Ok(vec![text.to_owned()]))
}

fn read(
    words: &[String],
    example: &str,
    values: impl Fn(&str, &str) -> Result<Vec<String>, Failure>,
) -> Result<Lists, Failure> {
    let mut lists = Lists::with_capacity(words.len());
    for pair in words {
        let Some((name, text)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::invalid(format!("`{pair}` names no key and value")).hint(format!("write {example}")));
        };
        let values = values(pair, text)?;
        match lists.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.extend(values),
            None => lists.push((name.to_owned(), values)),
        }
    }
    Ok(lists)
}

/// The values of a line of CSV; the error says what is wrong with a quote.
fn csv(text: &str) -> Result<Vec<String>, &'static str> {
    let mut values = Vec::new();
    let mut rest = text;
    loop {
        let (value, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        values.push(value);
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.is_empty() => return Ok(values),
            None => return Err("after a closing quote comes a comma, or nothing"),
        };
    }
}

/// A value up to its closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (inside, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        value.push_str(inside);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Ok((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&[&str], &'static str>) {
        let want = want.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
        assert_eq!(csv(text), want, "{text}");
    }

    #[test]
    fn a_list_is_written_as_csv_has_it() {
        check("1,2,3", Ok(&["1", "2", "3"]));
        check("", Ok(&[""]));
        check("a,", Ok(&["a", ""]));
        check(r#""Smith, Anna",Smith"#, Ok(&["Smith, Anna", "Smith"]));
        check(r#"say "hi",b"#, Ok(&[r#"say "hi""#, "b"]));
        check(r#""say ""hi"", Anna",b"#, Ok(&[r#"say "hi", Anna"#, "b"]));
        check(r#"""",""","#, Ok(&[r#"",""#, ""]));
        check(r#"""",b""#, Ok(&[r#"",b"#]));
        check(r#""a,b"#, Err("a quote is not closed"));
        check(r#""a"b"#, Err("after a closing quote comes a comma, or nothing"));
    }

    #[test]
    fn spaces_are_of_the_value() {
        check("Smith, Anna ", Ok(&["Smith", " Anna "]));
        check(r#"a, "b""#, Ok(&["a", r#" "b""#]));
    }

    #[test]
    fn a_value_that_is_taken_whole_keeps_its_commas_and_quotes() {
        let words = [r#"name=Smith, "Anna""#.to_owned(), "shop=7".to_owned(), "name=a=b".to_owned()];
        let want = vec![
            ("name".to_owned(), vec![r#"Smith, "Anna""#.to_owned(), "a=b".to_owned()]),
            ("shop".to_owned(), vec!["7".to_owned()]),
        ];
        assert_eq!(whole(&words, "--entity user_id=42").unwrap(), want);
    }

    #[test]
    fn a_name_that_comes_again_adds_to_its_values() {
        let words = ["a=1,2".to_owned(), "b=x".to_owned(), "a=3".to_owned()];
        let want: Lists =
            vec![("a".to_owned(), ["1", "2", "3"].map(str::to_owned).to_vec()), ("b".to_owned(), vec!["x".to_owned()])];
        assert_eq!(lists(&words, "--entity a=1").unwrap(), want);
        assert!(lists(&["=1".to_owned()], "--entity a=1").is_err());
    }
}
