//! Entity keys: names and values of the join keys, each behind its type and length, and the project.
//!
//! The type is the declared one: `int32` and `int64` of one number are two keys.

use schema::{Dtype, Timestamp, Value};

use super::FeastLayoutError;

const STRING: u32 = 2;
const NANOS: i64 = 1_000_000_000;

/// Numbers of the types in Feast's `ValueType`, and ours.
const TYPES: [(Dtype, u32); 5] =
    [(Dtype::Bytes, 1), (Dtype::String, STRING), (Dtype::Int32, 3), (Dtype::Int64, 4), (Dtype::Timestamp, 8)];

/// A join key: its name, declared type and value.
pub type KeyPart = (String, Dtype, Value);

/// The Redis key of an entity in `project`; join keys in any order.
///
/// # Errors
/// A type that Feast has no keys of, or a value of another type.
pub fn entity_key(project: &str, parts: &[(&str, Dtype, Value)]) -> Result<Vec<u8>, FeastLayoutError> {
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|(name, _, _)| *name);
    let mut key = Vec::with_capacity(64);
    key.extend(length(sorted.len()));
    for (name, _, _) in &sorted {
        push(&mut key, STRING, name.as_bytes());
    }
    for (name, dtype, value) in sorted {
        let number = TYPES.iter().find(|(known, _)| known == dtype).map(|(_, number)| *number);
        let number = number.ok_or(FeastLayoutError::KeyType { dtype: *dtype })?;
        let wrong = || FeastLayoutError::KeyValue { key: (*name).to_owned(), value: value.to_string(), dtype: *dtype };
        match (dtype, value) {
            (Dtype::Bytes, Value::Bytes(bytes)) => push(&mut key, number, bytes),
            (Dtype::String, Value::String(text)) => push(&mut key, number, text.as_bytes()),
            (Dtype::Int32, Value::Int(v)) => {
                push(&mut key, number, &i32::try_from(*v).map_err(|_out_of_range| wrong())?.to_le_bytes());
            }
            (Dtype::Int64, Value::Int(v)) => push(&mut key, number, &v.to_le_bytes()),
            // Feast keeps whole seconds: an instant between them is no key of its.
            (Dtype::Timestamp, Value::Timestamp(t)) if t.as_nanos() % NANOS == 0 => {
                push(&mut key, number, &(t.as_nanos() / NANOS).to_le_bytes());
            }
            _ => return Err(wrong()),
        }
    }
    key.extend(project.as_bytes());
    Ok(key)
}

/// The inverse of [`entity_key`]: join keys in order of their names, and the project.
///
/// # Errors
/// [`FeastLayoutError::Key`] for other bytes.
pub fn parse_entity_key(bytes: &[u8]) -> Result<(Vec<KeyPart>, String), FeastLayoutError> {
    let fail = |why| FeastLayoutError::Key { why };
    let mut rest = bytes;
    let n = take_u32(&mut rest).ok_or(fail("it is too short"))?;
    let mut names = Vec::new();
    for _ in 0..n {
        let (number, name) = take(&mut rest).ok_or(fail("a name is cut off"))?;
        if number != STRING {
            return Err(fail("a name is no text"));
        }
        names.push(text(name).ok_or(fail("a name is not UTF-8"))?);
    }
    let mut parts = Vec::new();
    for name in names {
        let (number, value) = take(&mut rest).ok_or(fail("a value is cut off"))?;
        let dtype = TYPES.iter().find(|(_, known)| *known == number).map(|(dtype, _)| *dtype);
        let dtype = dtype.ok_or(fail("a value has a type that Feast has no keys of"))?;
        let value = parse(dtype, value).ok_or(fail("a value does not fit its type"))?;
        parts.push((name, dtype, value));
    }
    Ok((parts, text(rest).ok_or(fail("the project is not UTF-8"))?))
}

fn parse(dtype: Dtype, bytes: &[u8]) -> Option<Value> {
    Some(match dtype {
        Dtype::Bytes => Value::Bytes(bytes.to_vec()),
        Dtype::String => Value::String(text(bytes)?),
        Dtype::Int32 => Value::Int(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
        Dtype::Int64 => Value::Int(i64::from_le_bytes(bytes.try_into().ok()?)),
        _ => {
            let seconds = i64::from_le_bytes(bytes.try_into().ok()?);
            Value::Timestamp(Timestamp::from_nanos(seconds.checked_mul(NANOS)?))
        }
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

fn push(key: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    key.extend(number.to_le_bytes());
    key.extend(length(bytes.len()));
    key.extend(bytes);
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let number = take_u32(rest)?;
    let length = usize::try_from(take_u32(rest)?).ok()?;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some((number, head))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(project: &str, parts: &[(&str, Dtype, Value)], want: &str) {
        let key = entity_key(project, parts).unwrap();
        assert_eq!(hex::encode(&key), want.replace(' ', ""));
        let (read, found) = parse_entity_key(&key).unwrap();
        let mut parts: Vec<_> = parts.iter().map(|(name, dtype, v)| ((*name).to_owned(), *dtype, v.clone())).collect();
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!((read, found.as_str()), (parts, project));
    }

    /// As Feast 0.67 writes them.
    #[test]
    fn keys_are_feasts_byte_for_byte() {
        let driver = |dtype, v| ("driver_id", dtype, Value::Int(v));
        let name = "01000000 02000000 09000000 6472697665725f6964";
        check("proj", &[driver(Dtype::Int64, 1)], &format!("{name} 04000000 08000000 0100000000000000 70726f6a"));
        check("proj", &[driver(Dtype::Int64, -2)], &format!("{name} 04000000 08000000 feffffffffffffff 70726f6a"));
        check("proj", &[driver(Dtype::Int32, 1)], &format!("{name} 03000000 04000000 01000000 70726f6a"));
        check(
            "proj",
            &[driver(Dtype::Int64, 1), ("customer_id", Dtype::Int64, Value::Int(23))],
            "02000000 02000000 0b000000 637573746f6d65725f6964 02000000 09000000 6472697665725f6964 \
             04000000 08000000 1700000000000000 04000000 08000000 0100000000000000 70726f6a",
        );
        let no_key = ("__dummy_id", Dtype::String, Value::String(String::new()));
        check("proj", &[no_key], "01000000 02000000 0a000000 5f5f64756d6d795f6964 02000000 00000000 70726f6a");
        let text = ("name", Dtype::String, Value::String("é".to_owned()));
        check("proj", &[text], "01000000 02000000 04000000 6e616d65 02000000 02000000 c3a9 70726f6a");
        let bytes = ("b", Dtype::Bytes, Value::Bytes(vec![0xff, 0]));
        check("proj", &[bytes], "01000000 02000000 01000000 62 01000000 02000000 ff00 70726f6a");
        let time = ("t", Dtype::Timestamp, Value::Timestamp(Timestamp::from_nanos(-NANOS)));
        check("p2", &[time], "01000000 02000000 01000000 74 08000000 08000000 ffffffffffffffff 7032");
    }

    #[test]
    fn what_feast_has_no_keys_of_is_refused() {
        let refused = |dtype, value| entity_key("p", &[("k", dtype, value)]).unwrap_err();
        assert!(matches!(refused(Dtype::Bool, Value::Bool(true)), FeastLayoutError::KeyType { .. }));
        assert!(matches!(refused(Dtype::Int32, Value::Int(1 << 40)), FeastLayoutError::KeyValue { .. }));
        assert!(matches!(refused(Dtype::Int64, Value::Null), FeastLayoutError::KeyValue { .. }));
        let between = Value::Timestamp(Timestamp::from_nanos(1));
        assert!(matches!(refused(Dtype::Timestamp, between), FeastLayoutError::KeyValue { .. }));
    }

    proptest! {
        #[test]
        fn other_bytes_are_refused_not_misread(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((parts, project)) = parse_entity_key(&bytes) {
                let sorted = parts.windows(2).all(|two| two[0].0 < two[1].0);
                let parts: Vec<_> = parts.iter().map(|(name, dtype, v)| (name.as_str(), *dtype, v.clone())).collect();
                if sorted {
                    prop_assert_eq!(entity_key(&project, &parts).unwrap(), bytes);
                }
            }
        }

        #[test]
        fn keys_come_back(number in any::<i64>(), text in ".{0,8}", project in "[a-z_]{1,8}") {
            let parts = [("a", Dtype::Int64, Value::Int(number)), ("b", Dtype::String, Value::String(text))];
            let key = entity_key(&project, &parts).unwrap();
            let (read, found) = parse_entity_key(&key).unwrap();
            let read: Vec<_> = read.iter().map(|(name, dtype, v)| (name.as_str(), *dtype, v.clone())).collect();
            prop_assert_eq!((read, found), (parts.to_vec(), project));
        }
    }
}
