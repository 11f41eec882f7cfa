//! Columns in the names of folders: `day=2024-01-31/shop=Caf%C3%A9/part-0.parquet`.

use schema::definitions::Column;
use schema::{Dtype, Value};
use transform::cast::Zone;

use super::text::of_text;

/// What Hive writes for null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A column that has one value in all of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Constant {
    pub(crate) column: String,
    pub(crate) dtype: Dtype,
    pub(crate) value: Value,
}

/// The values of the declared partitions in a file's path.
///
/// # Errors
/// A sentence: a folder of that name is missing, there twice, or holds no value of the type.
pub(crate) fn constants(path: &str, partitions: &[Column], zone: Zone) -> Result<Vec<Constant>, String> {
    let folders: Vec<&str> = path.split('/').rev().skip(1).collect();
    let constant = |column: &Column| {
        let values = folders.iter().filter_map(|folder| {
            let (name, value) = folder.split_once('=')?;
            (decoded(name) == column.name).then_some(value)
        });
        let name = &column.name;
        let value = match values.collect::<Vec<_>>().as_slice() {
            [NULL] => Value::Null,
            [text] => {
                let text = decoded(text);
                of_text(&text, column.dtype, zone).map_err(|why| format!("partition `{name}`: {why}"))?
            }
            [] => return Err(format!("it is in no folder `{name}=...`, and `{name}` is declared as a partition")),
            _ => return Err(format!("two of its folders are called `{name}=...`")),
        };
        Ok(Constant { column: name.clone(), dtype: column.dtype, value })
    };
    partitions.iter().map(constant).collect()
}

/// A text without its `%20`; what is no escape stays as it is.
pub(super) fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|d| *byte == b'%' && d.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|d| u8::from_str_radix(str::from_utf8(d).ok()?, 16).ok());
        plain.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_no_text| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, name: &str, dtype: &str, want: &str) {
        let column = Column { name: name.to_owned(), dtype: Dtype::parse(dtype).unwrap() };
        let found = constants(path, &[column], Zone::named(Some("America/New_York")).unwrap());
        assert_eq!(found.map_or_else(|why| format!("! {why}"), |found| found[0].value.to_string()), want);
    }

    #[test]
    fn a_folders_name_is_a_value_of_the_declared_type() {
        check("data/day=2024-01-31/x.parquet", "day", "date", "19753");
        check("day=2024-01-31/x.parquet", "day", "timestamp", "2024-01-31T05:00:00Z");
        check("a/year=2024/month=01/x", "month", "int32", "1");
        check("shop=Caf%C3%A9%2F1/x", "shop", "string", "\"Café/1\"");
        check("at=2024-01-31 12%3A00%3A00/x", "at", "timestamp", "2024-01-31T17:00:00Z");
        check("shop=__HIVE_DEFAULT_PARTITION__/x", "shop", "string", "null");
        check("shop=/x", "shop", "string", "\"\"");
        check("odd%20name=1/x", "odd name", "int64", "1");
        check("p=100%/x", "p", "string", "\"100%\"");
        check("p=a=b/x", "p", "string", "\"a=b\"");
    }

    #[test]
    fn a_folder_that_is_missing_double_or_wrong_is_told() {
        check("data/x", "day", "date", "! it is in no folder `day=...`, and `day` is declared as a partition");
        check("day=1", "day", "date", "! it is in no folder `day=...`, and `day` is declared as a partition");
        check("a=1/a=2/x", "a", "int64", "! two of its folders are called `a=...`");
        check("day=soon/x", "day", "date", "! partition `day`: `soon` is no date: write YYYY-MM-DD");
        check("n=/x", "n", "int64", "! partition `n`: `` is no int64");
    }
}
