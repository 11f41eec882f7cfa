//! What a request says, from JSON to columns in their declared types: entity keys here, its fields in `context`.

use std::collections::HashMap;
use std::fmt;

use arrow::array::ArrayRef;
use featurestore::CompiledService;
use featurestore::retrieve::EntityRows;
use schema::definitions::JoinKey;
use schema::json::{read as read_json, read_column};
use schema::yaml::suggest;
use schema::{Dtype, Timestamp};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use super::context;
use crate::failure::Failure;

/// Rows that one request may ask for.
pub const ROWS_MAX: usize = 10_000;

/// Whether texts may stand for keys of other types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// A text is a string: JSON bodies.
    AreTexts,
    /// A text is read as its key's type: the command line.
    AreValues,
}

/// Reads `entities` of a body. A key that comes twice is a mistake: one of the two lists would silently not count.
///
/// # Errors
/// The key that comes twice; no object.
pub fn unique_keys<'de, D: Deserializer<'de>>(input: D) -> Result<serde_json::Map<String, Json>, D::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = serde_json::Map<String, Json>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of lists by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Self::Value, A::Error> {
            let mut map = serde_json::Map::new();
            while let Some((key, value)) = input.next_entry::<String, Json>()? {
                if map.contains_key(&key) {
                    return Err(serde::de::Error::custom(format!("`{key}` is named twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    input.deserialize_map(Keys)
}

/// As [`unique_keys`], where the field may be absent.
///
/// # Errors
/// As [`unique_keys`].
pub fn unique_keys_if_any<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<serde_json::Map<String, Json>>, D::Error> {
    unique_keys(input).map(Some)
}

/// What a service needs of a request: key columns from `{"user_id": [1, 2]}`, request fields from `{"amount": 12.5}`.
///
/// # Errors
/// A missing or unknown key or field, lists of different lengths, no rows, too many, or a value of another type.
pub fn read(
    entities: &serde_json::Map<String, Json>,
    context: &serde_json::Map<String, Json>,
    compiled: &CompiledService,
    texts: Texts,
) -> Result<EntityRows, Failure> {
    let keys = compiled.keys();
    let names = || keys.iter().map(|key| key.name.as_str());
    for name in entities.keys() {
        if !names().any(|known| known == name) {
            let message =
                format!("`entities` names `{name}`, which is no join key of service `{}`", compiled.service.name);
            return Err(Failure::invalid(message).code("unknown_join_key").hint(suggest(name, names())));
        }
    }
    context::no_unknown(context, compiled)?;
    let mut rows = columns(entities, &keys, texts)?;
    if keys.iter().all(|key| key.is_constant()) && entities.is_empty() {
        // A service without entities has as many rows as its request fields say, or just one.
        rows.n = context::n_rows(context).max(usize::from(!keys.is_empty()));
        at_most(rows.n)?;
        fill_constants(&mut rows, &keys);
    }
    if rows.n == 0 {
        return Err(Failure::invalid("`entities` lists no rows")
            .code("empty_entities")
            .hint("send at least one value"));
    }
    rows.columns.extend(context::columns(context, compiled, rows.n, texts)?);
    Ok(rows)
}

fn at_most(n: usize) -> Result<(), Failure> {
    if n <= ROWS_MAX {
        return Ok(());
    }
    let message = format!("`entities` lists {n} rows; one request takes at most {ROWS_MAX}");
    Err(Failure::invalid(message).code("too_many_rows").hint("split the request"))
}

/// The columns of `keys`, from lists of one length by join key; any number of rows, none included.
///
/// # Errors
/// A missing key, lists of different lengths, too many rows, or a value of another type.
pub fn columns(
    entities: &serde_json::Map<String, Json>,
    keys: &[&JoinKey],
    texts: Texts,
) -> Result<EntityRows, Failure> {
    let mut columns = HashMap::new();
    let mut rows: Option<(usize, &str)> = None;
    for key in keys.iter().copied() {
        let name = key.name.as_str();
        if key.is_constant() && !entities.contains_key(name) {
            continue;
        }
        let Some(values) = entities.get(name) else {
            let message = format!("`entities` lacks join key `{name}`");
            return Err(Failure::invalid(message).code("missing_join_key").hint(format!("send \"{name}\": [...]")));
        };
        let Json::Array(values) = values else {
            let message = format!("`entities.{name}` is {}, not a list", kind(values));
            return Err(Failure::invalid(message).code("wrong_json").hint(format!("send \"{name}\": [value, ...]")));
        };
        match rows {
            Some((n, first)) if n != values.len() => {
                let message = format!("`entities.{name}` has {} values and `entities.{first}` {n}", values.len());
                return Err(Failure::invalid(message).code("unequal_lists"));
            }
            _ => rows = Some((values.len(), name)),
        }
        columns.insert(name.to_owned(), column(key, values, texts)?);
    }
    let n = rows.map_or(0, |(n, _)| n);
    at_most(n)?;
    let mut rows = EntityRows { n, columns };
    fill_constants(&mut rows, keys);
    Ok(rows)
}

/// Gives the keys of entities without keys, which nobody need send, their one value in every row.
pub fn fill_constants(rows: &mut EntityRows, keys: &[&JoinKey]) {
    for key in keys.iter().filter(|key| key.is_constant()) {
        rows.columns.insert(key.name.to_string(), JoinKey::constants(rows.n));
    }
}

fn column(key: &JoinKey, values: &[Json], texts: Texts) -> Result<ArrayRef, Failure> {
    let read = match texts {
        Texts::AreTexts => read_column(values, key.dtype),
        Texts::AreValues => {
            let values: Vec<Json> = values.iter().map(|json| from_command_line(json, key.dtype)).collect();
            read_column(&values, key.dtype)
        }
    };
    read.map_err(|row| wrong(key, row, &values[row]))
}

/// A word of the command line as the JSON that a request would have: what is no text there is written as JSON writes it.
pub fn from_command_line(word: &Json, dtype: Dtype) -> Json {
    match (word, dtype) {
        (Json::String(text), dtype) if read_json(word, dtype).is_none() => {
            serde_json::from_str(text).unwrap_or_else(|_no_json| word.clone())
        }
        (word, _) => word.clone(),
    }
}

fn wrong(key: &JoinKey, row: usize, value: &Json) -> Failure {
    let message = format!("`entities.{}[{row}]` is {}, but the join key is {}", key.name, kind(value), key.dtype);
    let failure = Failure::invalid(message).code("wrong_key_type");
    if key.dtype == Dtype::Bytes { failure.hint("write hexadecimal digits, two for each byte") } else { failure }
}

/// A value as messages name it.
pub fn kind(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(v) => format!("the truth value {v}"),
        Json::Number(v) => format!("the number {v}"),
        Json::String(v) => format!("the text {v:?}"),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// Reads an instant of a request.
///
/// # Errors
/// It is no time.
pub fn instant(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let parse =
        |text| Timestamp::parse(text).map_err(|why| Failure::invalid(format!("`as_of`: {why}")).code("wrong_time"));
    text.map(parse).transpose()
}
