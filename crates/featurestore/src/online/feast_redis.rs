//! Redis as Feast fills it: keys, fields and values, both ways. Pure; [`FeastRedis`](super::FeastRedis) reads by it.
//!
//! One hash per (entity key, project). A feature's field is a hash of its name, so fields do not tell what they are: who
//! reads must know the views. A view's rows have one time, in the field `_ts:<view>`. The layout is Feast 0.67's, with
//! entity keys of serialization version 3.

mod key;
mod murmur3;
mod value;

use schema::{Dtype, Status, Timestamp, Ttl, Value};

use crate::assemble::status_at;
pub use key::{KeyPart, entity_key, parse_entity_key};
pub use value::{decode_time, decode_value, encode_time, encode_value};

/// What does not fit Feast's layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FeastLayoutError {
    #[error("Feast has no join keys of type {dtype}; it has bytes, string, int32, int64 and timestamp")]
    KeyType { dtype: Dtype },
    #[error("join key `{key}` is {value}, which is not a value of {dtype}")]
    KeyValue { key: String, value: String, dtype: Dtype },
    #[error("the bytes are no entity key of Feast: {why}")]
    Key { why: &'static str },
    #[error("{value} is not a value that Feast has in type {dtype}")]
    Value { value: String, dtype: Dtype },
    #[error("the value has Feast's type {number}, which has no dtype here")]
    ValueType { number: u32 },
    #[error("the bytes are no value of Feast: {why}")]
    Malformed { why: String },
    #[error("the time lies outside the years 1677 to 2262")]
    Range,
}

/// The field that holds a feature. Two names may have one field: at some ten thousand features, one pair in a hundred
/// stores does.
pub fn field(view: &str, feature: &str) -> [u8; 4] {
    murmur3::x86_32(format!("{view}:{feature}").as_bytes()).to_le_bytes()
}

/// The field that holds a view's time.
pub fn time_field(view: &str) -> String {
    format!("_ts:{view}")
}

/// The name of a view version in fields, where Feast keeps versions online; its versions begin at 0.
pub fn versioned(view: &str, version: u32) -> String {
    if version == 0 { view.to_owned() } else { format!("{view}_v{version}") }
}

/// What a hash says of one feature as of an instant: `time` is the view's time field, `value` the feature's.
///
/// Feast itself reads every one of these as present; the TTL counts here as everywhere.
///
/// # Errors
/// [`FeastLayoutError`] for bytes that Feast did not write, or a value of a type that we lack.
pub fn answer(
    time: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<Ttl>,
    as_of: Timestamp,
) -> Result<(Status, Value), FeastLayoutError> {
    let Some(time) = time else { return Ok((Status::NotFound, Value::Null)) };
    let status = status_at(decode_time(time)?, ttl, as_of);
    if status != Status::Present {
        return Ok((status, Value::Null));
    }
    let Some(value) = value else { return Ok((Status::NotFound, Value::Null)) };
    Ok(match decode_value(value)? {
        Value::Null => (Status::NullValue, Value::Null),
        value => (Status::Present, value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_feast_looks() {
        for (view, feature, want) in [
            ("ds", "conv", "45efe8ee"),
            ("ds", "trips", "9d0255c7"),
            ("ds", "tag", "0b3842bc"),
            ("ds_v2", "conv", "029884c3"),
            ("é", "ü", "88c59959"),
        ] {
            assert_eq!(hex::encode(field(view, feature)), want, "{view}:{feature}");
        }
        assert_eq!(time_field("ds"), "_ts:ds");
        assert_eq!((versioned("ds", 0), versioned("ds", 2)), ("ds".to_owned(), "ds_v2".to_owned()));
    }

    #[track_caller]
    fn check(time: Option<&str>, value: Option<&str>, want: (Status, Value)) {
        let as_of = Timestamp::parse("2026-11-22T18:58:24Z").unwrap();
        let bytes = |text: Option<&str>| text.map(|text| hex::decode(text).unwrap());
        let ttl = Some(Ttl::parse("1h").unwrap());
        assert_eq!(answer(bytes(time).as_deref(), bytes(value).as_deref(), ttl, as_of), Ok(want));
    }

    #[test]
    fn a_hash_answers_with_a_status() {
        let now = Some("08c0da8cd806");
        let old = Some("08bfda8cd806");
        let half = "29000000000000e03f";
        check(None, Some(half), (Status::NotFound, Value::Null));
        check(old, Some(half), (Status::OutsideMaxAge, Value::Null));
        check(now, None, (Status::NotFound, Value::Null));
        check(now, Some(""), (Status::NullValue, Value::Null));
        check(now, Some("980100"), (Status::NullValue, Value::Null));
        check(now, Some(half), (Status::Present, Value::Float(0.5)));
    }
}
