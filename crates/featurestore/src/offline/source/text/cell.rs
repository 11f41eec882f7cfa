//! One value of a text as a value of its type: exactly, or not at all.

use schema::date::Date;
use schema::decimal::Decimal;
use schema::duration::Duration;
use schema::json::canonical;
use schema::{Dtype, Value};
use serde_json::value::RawValue;
use transform::cast::Zone;

/// Reads the text of a field; a list is written as JSON.
///
/// # Errors
/// A sentence that names the text and the type.
pub(crate) fn of_text(text: &str, dtype: Dtype, zone: Zone) -> Result<Value, String> {
    match dtype {
        Dtype::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "f" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong(text, dtype)),
        },
        Dtype::Json | Dtype::List(_) | Dtype::FixedList(_, _) => of_json(text, dtype, zone),
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64 => integer(text, dtype),
        Dtype::Uint8 | Dtype::Uint16 | Dtype::Uint32 | Dtype::Uint64 => integer(text, dtype),
        Dtype::Float32 | Dtype::Float64 => float(text, dtype),
        Dtype::String | Dtype::Bytes | Dtype::Date | Dtype::Timestamp | Dtype::Duration | Dtype::Decimal { .. } => {
            text_of(text, dtype, zone)
        }
    }
}

/// Reads the text of a JSON value: numbers by all their digits, what JSON lacks as the text that answers have.
///
/// # Errors
/// A sentence that names the text and the type.
pub(super) fn of_json(raw: &str, dtype: Dtype, zone: Zone) -> Result<Value, String> {
    let raw = raw.trim();
    let is_text = raw.starts_with('"');
    match dtype {
        _ if raw == "null" => Ok(Value::Null),
        Dtype::Json => canonical(raw).map(Value::String).map_err(|why| format!("`{}` is {why}", shown(raw))),
        Dtype::List(_) | Dtype::FixedList(_, _) => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_no_list| wrong(raw, dtype))?;
            if let Dtype::FixedList(_, n) = dtype
                && u32::try_from(items.len()) != Ok(n)
            {
                return Err(format!("a list of {} values, declared {dtype}", items.len()));
            }
            let item = dtype.item().into();
            items.iter().map(|raw| of_json(raw.get(), item, zone)).collect::<Result<_, _>>().map(Value::List)
        }
        Dtype::Bool => match raw {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong(raw, dtype)),
        },
        Dtype::Float32 | Dtype::Float64 => match raw {
            r#""NaN""# | r#""Infinity""# | r#""-Infinity""# => float(raw.trim_matches('"'), dtype),
            _ if is_text => Err(wrong(raw, dtype)),
            _ => float(raw, dtype),
        },
        Dtype::Decimal { .. } if !is_text => text_of(raw, dtype, zone),
        Dtype::String | Dtype::Bytes | Dtype::Date | Dtype::Timestamp | Dtype::Duration | Dtype::Decimal { .. } => {
            let text: String = serde_json::from_str(raw).map_err(|_no_text| wrong(raw, dtype))?;
            text_of(&text, dtype, zone)
        }
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64 => integer(raw, dtype),
        Dtype::Uint8 | Dtype::Uint16 | Dtype::Uint32 | Dtype::Uint64 => integer(raw, dtype),
    }
}

/// What is a text in JSON too.
fn text_of(text: &str, dtype: Dtype, zone: Zone) -> Result<Value, String> {
    let refuse = || wrong(text, dtype);
    match dtype {
        Dtype::String => Ok(Value::String(text.to_owned())),
        Dtype::Bytes => hex_of(text).map(Value::Bytes).ok_or_else(|| format!("{}: write hexadecimal digits", refuse())),
        Dtype::Date => match Date::parse(text) {
            Some(day) => Ok(Value::Int(day.0.into())),
            None => Err(format!("{}: write YYYY-MM-DD", refuse())),
        },
        Dtype::Timestamp => zone.instant_of(text).map(Value::Timestamp).map_err(|why| why.to_string()),
        Dtype::Duration => Duration::parse(text).map(Value::Duration).map_err(|why| why.to_string()),
        Dtype::Decimal { precision, scale } => {
            let number = Decimal::parse(text).map_err(|_no_number| refuse())?;
            let unscaled = number.rescaled(precision, scale).ok_or_else(refuse)?;
            Ok(Value::Decimal(Decimal { unscaled, scale }))
        }
        _ => Err(refuse()),
    }
}

fn integer(text: &str, dtype: Dtype) -> Result<Value, String> {
    let signed = |min: i64, max: i64| text.parse().ok().filter(|v| (min..=max).contains(v)).map(Value::Int);
    let unsigned = |max: u64| text.parse().ok().filter(|v| *v <= max).map(Value::Uint);
    let value = match dtype {
        Dtype::Int8 => signed(i8::MIN.into(), i8::MAX.into()),
        Dtype::Int16 => signed(i16::MIN.into(), i16::MAX.into()),
        Dtype::Int32 => signed(i32::MIN.into(), i32::MAX.into()),
        Dtype::Int64 => signed(i64::MIN, i64::MAX),
        Dtype::Uint8 => unsigned(u8::MAX.into()),
        Dtype::Uint16 => unsigned(u16::MAX.into()),
        Dtype::Uint32 => unsigned(u32::MAX.into()),
        Dtype::Uint64 => unsigned(u64::MAX),
        _ => None,
    };
    value.ok_or_else(|| wrong(text, dtype))
}

/// The nearest float of the width: of a number so large that it would be infinite there is none.
fn float(text: &str, dtype: Dtype) -> Result<Value, String> {
    let value = match dtype {
        Dtype::Float32 => text.parse::<f32>().ok().map(f64::from),
        _ => text.parse::<f64>().ok(),
    };
    let named = text.contains(['i', 'I']);
    value.filter(|v| named || !v.is_infinite()).map(Value::Float).ok_or_else(|| wrong(text, dtype))
}

pub(super) fn hex_of(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

fn wrong(text: &str, dtype: Dtype) -> String {
    format!("`{}` is no {dtype}", shown(text))
}

/// A text as messages show it: what does not show itself is escaped, and nothing else, for a message may be escaped again.
pub(super) fn shown(text: &str) -> String {
    const LETTERS: usize = 60;
    let short: String = text.chars().take(LETTERS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    let shown = short.chars().flat_map(|letter| {
        let (itself, escaped) = match letter {
            '"' | '\'' | '\\' => (Some(letter), None),
            _ => (None, Some(letter.escape_debug())),
        };
        itself.into_iter().chain(escaped.into_iter().flatten())
    });
    format!("{}{more}", shown.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, dtype: &str, how: fn(&str, Dtype, Zone) -> Result<Value, String>) -> String {
        let zone = Zone::named(Some("America/New_York")).unwrap();
        how(text, Dtype::parse(dtype).unwrap(), zone).map_or_else(|why| format!("! {why}"), |value| value.to_string())
    }

    #[track_caller]
    fn field(text: &str, dtype: &str, want: &str) {
        assert_eq!(read(text, dtype, of_text), want);
    }

    #[track_caller]
    fn json(text: &str, dtype: &str, want: &str) {
        assert_eq!(read(text, dtype, of_json), want);
    }

    #[test]
    fn integers_keep_all_their_digits() {
        field("9007199254740993", "int64", "9007199254740993");
        field("-9223372036854775808", "int64", "-9223372036854775808");
        field("9223372036854775808", "int64", "! `9223372036854775808` is no int64");
        field("18446744073709551615", "uint64", "18446744073709551615");
        field("-1", "uint8", "! `-1` is no uint8");
        field("128", "int8", "! `128` is no int8");
        field("007", "int32", "7");
        field("1.0", "int64", "! `1.0` is no int64");
        field(" 1", "int64", "! ` 1` is no int64");
        json("9007199254740993", "int64", "9007199254740993");
        json("1e3", "int64", "! `1e3` is no int64");
        json("\"1\"", "int64", "! `\"1\"` is no int64");
    }

    #[test]
    fn floats_are_the_nearest_of_their_width() {
        field("0.1", "float64", "0.1");
        field("0.1", "float32", "0.10000000149011612");
        field("-0", "float64", "-0.0");
        field("NaN", "float32", "NaN");
        field("-inf", "float64", "-inf");
        field("1e999", "float64", "! `1e999` is no float64");
        field("1e39", "float32", "! `1e39` is no float32");
        // Rounded once, not to 64 bits first.
        field("1.00000005960464477540", "float32", "1.0000001192092896");
        field("abc", "float64", "! `abc` is no float64");
        field("NULL", "float64", "! `NULL` is no float64");
        json("1", "float64", "1.0");
        json("\"-Infinity\"", "float32", "-inf");
        json("\"1.5\"", "float64", "! `\"1.5\"` is no float64");
        json("true", "float64", "! `true` is no float64");
    }

    #[test]
    fn decimals_lose_nothing() {
        field("12.5", "decimal(10,2)", "12.50");
        field("12.505", "decimal(10,2)", "! `12.505` is no decimal(10,2)");
        field("99999999999999999999999999999999999999", "decimal(38,0)", "99999999999999999999999999999999999999");
        json("0.1", "decimal(3,1)", "0.1");
        json("\"12.50\"", "decimal(10,2)", "12.50");
        json("1e2", "decimal(10,2)", "! `1e2` is no decimal(10,2)");
    }

    #[test]
    fn times_are_read_in_the_sources_zone() {
        field("2024-01-01T12:00:00.000000001Z", "timestamp", "2024-01-01T12:00:00.000000001Z");
        field("2024-01-01 12:00:00", "timestamp", "2024-01-01T17:00:00Z");
        field("2024-01-01", "timestamp", "2024-01-01T05:00:00Z");
        field(
            "yesterday",
            "timestamp",
            "! `yesterday` is not a time: it has another form; write RFC 3339, such as 1998-07-01T00:00:00Z",
        );
        field("2024-02-30", "date", "! `2024-02-30` is no date: write YYYY-MM-DD");
        json("\"1969-12-31\"", "date", "-1");
        field("PT1.5S", "duration", "PT1.5S");
        json("0", "timestamp", "! `0` is no timestamp");
    }

    #[test]
    fn truth_texts_and_bytes() {
        for (text, want) in [("true", "true"), ("False", "false"), ("t", "true"), ("0", "false")] {
            field(text, "bool", want);
        }
        field("yes", "bool", "! `yes` is no bool");
        field("", "string", "\"\"");
        field("00fF", "bytes", "2 bytes");
        field("0", "bytes", "! `0` is no bytes: write hexadecimal digits");
        json("\"é\\n\"", "string", "\"é\\n\"");
        json("1", "string", "! `1` is no string");
        json("1", "bool", "! `1` is no bool");
    }

    #[test]
    fn lists_and_json_are_json_in_both() {
        field("[1, null, 9007199254740993]", "list<int64>", "[1, null, 9007199254740993]");
        field("[]", "list<float32>", "[]");
        field("[0.5,\"NaN\"]", "list<float32, 2>", "[0.5, NaN]");
        field("[1]", "list<float32, 2>", "! a list of 1 values, declared list<float32, 2>");
        field("[1,", "list<int8>", "! `[1,` is no list<int8>");
        field("{\"b\":1,\"a\":1e2}", "json", "\"{\\\"a\\\":100.0,\\\"b\\\":1}\"");
        field("{", "json", "! `{` is not JSON at byte 1: expected a name in quotes");
        json("{\"a\": 123456789012345678901}", "json", "\"{\\\"a\\\":123456789012345678901}\"");
        json("null", "list<int64>", "null");
        json("[[1]]", "list<int64>", "! `[1]` is no int64");
    }
}
