//! What type a column of a text has that declares none: the least one that has every value of the whole column.
//!
//! A guess is the set of types that are still possible, so the guesses of several files meet: no order, no sample.

use schema::{Date, Dtype};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use transform::cast::Zone;

/// The types that are still possible for some values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guess {
    /// Whether there was a value.
    seen: bool,
    /// Bits of [`TYPES`].
    types: u16,
    /// Of a list's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<Box<Guess>>,
}

/// The choices, in the order in which the first possible one is taken.
const TYPES: [Option<Dtype>; 9] = [
    Some(Dtype::Bool),
    Some(Dtype::Int64),
    Some(Dtype::Uint64),
    Some(Dtype::Float64),
    Some(Dtype::Date),
    Some(Dtype::Timestamp),
    Some(Dtype::String),
    // Lists have the type of their values.
    None,
    Some(Dtype::Json),
];
const BOOL: u16 = 1;
const INT64: u16 = 1 << 1;
const UINT64: u16 = 1 << 2;
const FLOAT64: u16 = 1 << 3;
const DATE: u16 = 1 << 4;
const TIMESTAMP: u16 = 1 << 5;
const STRING: u16 = 1 << 6;
const LIST: u16 = 1 << 7;
const JSON: u16 = 1 << 8;
const ANY: u16 = (1 << 9) - 1;

/// Integers up to here are floats exactly.
const FLOAT_EXACT: u64 = 1 << 53;

impl Guess {
    pub(super) fn nothing() -> Self {
        Self { seen: false, types: ANY, items: None }
    }

    /// Narrows it by a field of a CSV file.
    pub(super) fn see_text(&mut self, text: &str, zone: Zone) {
        self.seen = true;
        let mut possible = STRING | number(text);
        possible |= u16::from(matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")) * BOOL;
        possible |= u16::from(special(text)) * FLOAT64;
        self.types &= possible | self.time(text, zone);
    }

    /// Narrows it by a JSON value.
    pub(super) fn see_json(&mut self, raw: &str, zone: Zone) {
        let raw = raw.trim();
        if raw == "null" {
            return;
        }
        self.seen = true;
        let possible = match raw.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(raw).unwrap_or_default();
                STRING | self.time(&text, zone)
            }
            Some(b't' | b'f') => BOOL,
            Some(b'{') => 0,
            Some(b'[') => {
                let values: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
                let items = self.items.get_or_insert_with(|| Box::new(Self::nothing()));
                values.iter().for_each(|raw| items.see_json(raw.get(), zone));
                LIST
            }
            _ => number(raw),
        };
        self.types &= possible | JSON;
    }

    fn time(&self, text: &str, zone: Zone) -> u16 {
        // Most columns are no times, and are not asked again.
        let date = self.types & DATE != 0 && Date::parse(text).is_some();
        let time = self.types & TIMESTAMP != 0 && zone.instant_of(text).is_ok();
        (u16::from(date) * DATE) | (u16::from(time) * TIMESTAMP)
    }

    /// What is possible for the values of both.
    pub(super) fn meet(&mut self, other: &Self) {
        self.seen |= other.seen;
        self.types &= other.types;
        match (&mut self.items, &other.items) {
            (Some(items), Some(others)) => items.meet(others),
            (None, Some(others)) => self.items = Some(others.clone()),
            (_, None) => {}
        }
    }

    /// The type; `None` where there was no value.
    pub(super) fn dtype(&self) -> Option<Dtype> {
        if !self.seen {
            return None;
        }
        let first = TYPES.iter().enumerate().find(|(bit, _)| self.types & (1 << bit) != 0);
        let item = || match self.items.as_ref()?.dtype()? {
            Dtype::Json | Dtype::List(_) | Dtype::FixedList(_, _) => None,
            scalar => Some(Dtype::List(scalar.item())),
        };
        match first {
            Some((_, Some(dtype))) => Some(*dtype),
            // Lists of who knows what.
            Some((_, None)) => Some(item().unwrap_or(Dtype::Json)),
            None => Some(Dtype::Json),
        }
    }
}

/// The numbers that a text is. One that another type would write otherwise is none: `007` is a text.
fn number(text: &str) -> u16 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.find(['.', 'e', 'E']).map_or(digits, |end| &digits[..end]);
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return 0;
    }
    if whole.len() < digits.len() {
        return u16::from(text.parse::<f64>().is_ok_and(f64::is_finite)) * FLOAT64;
    }
    let mut possible = 0;
    if text != "-0" {
        possible |= u16::from(text.parse::<i64>().is_ok()) * INT64;
        possible |= u16::from(text.parse::<u64>().is_ok()) * UINT64;
    }
    possible | (u16::from(digits.parse::<u64>().is_ok_and(|size| size <= FLOAT_EXACT)) * FLOAT64)
}

fn special(text: &str) -> bool {
    matches!(text.trim_start_matches('-'), "NaN" | "nan" | "Infinity" | "inf")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str], see: fn(&mut Guess, &str, Zone)) -> String {
        let zone = Zone::named(None).unwrap();
        let mut whole = Guess::nothing();
        values.iter().for_each(|value| see(&mut whole, value, zone));
        // However the values are dealt to files, in whatever order, it is the same.
        let mut met = Guess::nothing();
        for value in values.iter().rev() {
            let mut one = Guess::nothing();
            see(&mut one, value, zone);
            met.meet(&serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap());
        }
        assert_eq!(met.dtype(), whole.dtype(), "{values:?}");
        whole.dtype().map_or("nothing".to_owned(), |dtype| dtype.to_string())
    }

    #[track_caller]
    fn text(values: &[&str], want: &str) {
        assert_eq!(guess(values, Guess::see_text), want, "{values:?}");
    }

    #[track_caller]
    fn json(values: &[&str], want: &str) {
        assert_eq!(guess(values, Guess::see_json), want, "{values:?}");
    }

    #[test]
    fn a_column_is_the_least_type_that_has_all_of_it() {
        text(&[], "nothing");
        text(&["1", "-5", "0"], "int64");
        text(&["1", "18446744073709551615"], "uint64");
        text(&["-1", "18446744073709551615"], "string");
        text(&["1", "1.5"], "float64");
        text(&["9007199254740993", "1.5"], "string");
        text(&["1", "NaN", "-inf"], "float64");
        text(&["-0", "1"], "float64");
        text(&["1e400"], "string");
        text(&["true", "False"], "bool");
        text(&["true", "1"], "string");
        text(&["2024-01-31"], "date");
        text(&["2024-01-31", "2024-01-31T12:00:00Z"], "timestamp");
        text(&["2024-01-31", "soon"], "string");
        text(&[""], "string");
    }

    #[test]
    fn what_a_number_would_lose_stays_a_text() {
        text(&["007"], "string");
        text(&["+5"], "string");
        text(&["123456789012345678901234567890"], "string");
        text(&["1 "], "string");
    }

    #[test]
    fn json_says_more() {
        json(&["null"], "nothing");
        json(&["1", "null"], "int64");
        json(&["1", "\"1\""], "json");
        json(&["1.0"], "float64");
        json(&["\"2024-01-31\""], "date");
        json(&["\"a\"", "\"2024-01-31\""], "string");
        json(&["[1, 2]", "[]", "null"], "list<int64>");
        json(&["[1, 2.5]"], "list<float64>");
        json(&["[]"], "json");
        json(&["[1, \"a\"]"], "json");
        json(&["[[1]]"], "json");
        json(&["{\"a\": 1}", "[1]"], "json");
        json(&["true", "false"], "bool");
        json(&["true", "1"], "json");
    }
}
