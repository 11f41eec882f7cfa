//! Casts that may lose something: a value that the other type cannot hold exactly is an error, for which the step says
//! what to do (natural transformations, section 1).

use std::fmt;

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use serde::{Deserialize, Serialize};

use super::MigrationError;
use crate::decimal::Decimal;
use crate::dtype::{Dtype, Scalar};
use crate::json::{Cell, read};
use crate::name::FeatureName;
use crate::value::Value;

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// What becomes of a value that the other type cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCastError {
    /// The rows are refused.
    Reject,
    /// It is null.
    Null,
    /// It is this one.
    Value(Value),
}

/// One cast of a field on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossyCast {
    /// The type that it is cast to.
    pub to: Dtype,
    /// What becomes of what that cannot hold; a value is one of `to`.
    pub on_error: OnCastError,
    /// Of a cast to a text, the type that it is spelled as: a float is `1.0` where an integer is `1`. None of integers,
    /// which are all spelled alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spelled_as: Option<Dtype>,
}

/// The casts of a field, in order.
///
/// Those that change nothing are not there, so that scripts which mean the same are alike
/// where that can be told from the types; widenings between them are not there either, for they change no value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Casts(Vec<LossyCast>);

impl LossyCast {
    /// A cast of a field from one type to another.
    ///
    /// # Errors
    /// There is none between the types, or nothing could be lost, or the value for errors is not one of the type.
    pub(super) fn new(
        name: &FeatureName,
        from: Dtype,
        to: Dtype,
        on_error: &OnCastError,
    ) -> Result<Self, MigrationError> {
        if from.widens_to(to) {
            return Err(MigrationError::NothingLost { name: name.clone(), from, to });
        }
        if !castable(from, to) {
            return Err(MigrationError::NoCast { name: name.clone(), from, to });
        }
        let on_error = match on_error {
            OnCastError::Value(value) => {
                let fail = |why| MigrationError::Constant { name: name.clone(), why };
                OnCastError::Value(value.canonical(to).map_err(fail)?)
            }
            other => other.clone(),
        };
        let spelled_as = (to == Dtype::String && !is_integer(from)).then_some(from);
        Ok(Self { to, on_error, spelled_as })
    }

    /// The cast of one value, or `None` where its rows are refused.
    fn apply(&self, value: &Value, from: Dtype) -> Option<Value> {
        match (exactly(value, self.spelled_as.unwrap_or(from), self.to), &self.on_error) {
            (Some(value), _) => Some(value),
            (None, OnCastError::Null) => Some(Value::Null),
            (None, OnCastError::Value(value)) => Some(value.clone()),
            (None, OnCastError::Reject) => None,
        }
    }

    /// Whether `next`, which follows, does all that this one does.
    fn is_within(&self, next: &Self) -> bool {
        let same = self.on_error == next.on_error && !matches!(self.on_error, OnCastError::Value(_));
        same && next.to.widens_to(self.to)
    }
}

impl Casts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every value has a cast.
    pub fn are_total(&self) -> bool {
        self.0.iter().all(|cast| cast.on_error != OnCastError::Reject)
    }

    /// With one more; the field is of `source` before the first.
    pub(super) fn push(&mut self, source: Dtype, next: &LossyCast) {
        let before = self.0.last().map_or(source, |last| last.to);
        if before.widens_to(next.to) {
            return;
        }
        while self.0.last().is_some_and(|last| last.is_within(next)) {
            self.0.pop();
        }
        self.0.push(next.clone());
    }

    /// These and then those.
    pub(super) fn then(&self, source: Dtype, next: &Self) -> Self {
        let mut all = self.clone();
        next.0.iter().for_each(|cast| all.push(source, cast));
        all
    }

    /// All of them on one value of `from`.
    fn apply(&self, value: Value, from: Dtype) -> Result<Value, Dtype> {
        let step =
            |(value, from): (Value, Dtype), cast: &LossyCast| Ok((cast.apply(&value, from).ok_or(cast.to)?, cast.to));
        self.0.iter().try_fold((value, from), step).map(|(value, _)| value)
    }

    /// All of them on a constant.
    pub(super) fn constant(&self, name: &FeatureName, value: &Value, from: Dtype) -> Result<Value, MigrationError> {
        let refused = |to| MigrationError::Constant {
            name: name.clone(),
            why: format!("{value} is refused, for it is not a value of {to}"),
        };
        self.apply(value.clone(), from).map_err(refused)
    }

    /// All of them on a column of `from`, which then is of `to`.
    pub(super) fn column(
        &self,
        name: &FeatureName,
        column: &ArrayRef,
        from: Dtype,
        to: Dtype,
    ) -> Result<ArrayRef, MigrationError> {
        let fail = |why: String| MigrationError::Apply { why: format!("field `{name}`: {why}") };
        let cell = |row: usize| {
            let cast = self.apply(Value::at(column, row), from);
            let value = cast.map_err(|to| MigrationError::Refused { name: name.clone(), row, to })?;
            value.to_array(to, 1).map_err(fail)
        };
        let cells = (0..column.len()).map(cell).collect::<Result<Vec<_>, _>>()?;
        if cells.is_empty() {
            return Ok(new_empty_array(&to.to_arrow()));
        }
        concat(&cells.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(|why| fail(why.to_string()))
    }
}

impl fmt::Display for OnCastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reject => f.write_str("reject"),
            Self::Null => f.write_str("null"),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// Whether values of one type can be values of another at all.
fn castable(from: Dtype, to: Dtype) -> bool {
    if from.is_list() || to.is_list() {
        let items = (Dtype::from(from.item()), Dtype::from(to.item()));
        let both = from.is_list() && to.is_list();
        return from == Dtype::String
            || to == Dtype::String
            || both && (items.0.widens_to(items.1) || castable(items.0, items.1));
    }
    let is_number = |dtype: Dtype| is_number(dtype.item());
    match (from, to) {
        (_, Dtype::String) | (Dtype::String, _) => true,
        (Dtype::Timestamp, Dtype::Date) | (Dtype::Date, Dtype::Timestamp) => true,
        (from, to) => is_number(from) && is_number(to),
    }
}

fn is_number(scalar: Scalar) -> bool {
    use Scalar::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(
        scalar,
        Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64 | Float32 | Float64 | Decimal { .. }
    )
}

fn is_integer(dtype: Dtype) -> bool {
    use Dtype::{Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(dtype, Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64)
}

/// The value of another type that is this one, if there is exactly one. Texts are read as answers spell values, and any
/// value is spelled so.
fn exactly(value: &Value, from: Dtype, to: Dtype) -> Option<Value> {
    match (value, from, to) {
        (Value::Null, ..) => Some(Value::Null),
        (_, from, Dtype::String) if from != Dtype::String => spelled(value, from),
        (Value::String(text), Dtype::String, to) if to != Dtype::String => read_text(text, to),
        (Value::List(items), from, to) if to.is_list() => {
            let (from, item) = (from.item().into(), to.item().into());
            let items = items.iter().map(|value| exactly(value, from, item)).collect::<Option<Vec<_>>>()?;
            fits(Value::List(items), to)
        }
        (Value::Timestamp(time), _, Dtype::Date) => {
            (time.as_nanos() % DAY == 0).then(|| Value::Int(time.as_nanos() / DAY))
        }
        (Value::Int(day), Dtype::Date, Dtype::Timestamp) => {
            day.checked_mul(DAY).map(|nanos| Value::Timestamp(crate::Timestamp::from_nanos(nanos)))
        }
        (value, _, to) if is_number(to.item()) => number(value, to),
        (value, ..) => fits(value.clone(), to),
    }
}

fn fits(value: Value, dtype: Dtype) -> Option<Value> {
    value.canonical(dtype).ok()
}

/// As the answer of a server spells it.
fn spelled(value: &Value, from: Dtype) -> Option<Value> {
    let column = value.to_array(from, 1).ok()?;
    match serde_json::to_value(Cell::new(&column, 0, from)).ok()? {
        serde_json::Value::String(text) => Some(Value::String(text)),
        other => Some(Value::String(other.to_string())),
    }
}

fn read_text(text: &str, to: Dtype) -> Option<Value> {
    if to == Dtype::Json {
        return fits(Value::String(text.to_owned()), to);
    }
    let as_text = read(&serde_json::Value::String(text.to_owned()), to);
    let found = as_text
        .or_else(|| read(&serde_json::from_str(text).ok().filter(|json: &serde_json::Value| !json.is_null())?, to));
    fits(found?, to)
}

fn number(value: &Value, to: Dtype) -> Option<Value> {
    match to {
        Dtype::Float32 | Dtype::Float64 => {
            let exact = match value {
                Value::Float(float) => *float,
                Value::Decimal(decimal) => float_of(*decimal)?,
                Value::Int(int) => float_of(Decimal { unscaled: (*int).into(), scale: 0 })?,
                Value::Uint(int) => float_of(Decimal { unscaled: (*int).into(), scale: 0 })?,
                _ => return None,
            };
            #[expect(clippy::cast_possible_truncation, reason = "what does not come back the same is refused")]
            let back = if to == Dtype::Float32 { f64::from(exact as f32) } else { exact };
            (exact.is_nan() || back.to_bits() == exact.to_bits()).then_some(Value::Float(back))
        }
        _ => {
            let exact = match value {
                Value::Float(float) => Value::Decimal(decimal_of(*float)?),
                other => other.clone(),
            };
            match (to, exact) {
                (Dtype::Decimal { .. }, exact) => fits(exact, to),
                (_, Value::Decimal(decimal)) => {
                    let whole = decimal.rescaled(38, 0)?;
                    let int =
                        i64::try_from(whole).map(Value::Int).or_else(|_large| u64::try_from(whole).map(Value::Uint));
                    fits(int.ok()?, to)
                }
                (_, exact) => fits(exact, to),
            }
        }
    }
}

/// A decimal as a float, if it is one: its denominator is a power of two, and its odd part has at most 53 bits.
fn float_of(decimal: Decimal) -> Option<f64> {
    let float = decimal.to_f64();
    let back = decimal_of(float)?;
    (back.normal() == decimal.normal()).then_some(float)
}

/// A float as a decimal, if it is one of at most 38 digits; -0.0 is none, for it would come back as another.
fn decimal_of(float: f64) -> Option<Decimal> {
    if !float.is_finite() || float.to_bits() == (-0.0_f64).to_bits() {
        return None;
    }
    if float == 0.0 {
        return Some(Decimal { unscaled: 0, scale: 0 });
    }
    let bits = float.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).ok()?;
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (whole, power) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let zeros = whole.trailing_zeros();
    let (odd, power) = (whole >> zeros, power + i32::try_from(zeros).ok()?);
    let (size, scale) = match u32::try_from(-power) {
        // odd / 2^k is odd * 5^k / 10^k.
        Ok(k) => (odd.checked_mul(5_i128.checked_pow(k)?)?, u8::try_from(k).ok().filter(|k| *k <= 38)?),
        Err(_) => (odd.checked_mul(2_i128.checked_pow(u32::try_from(power).ok()?)?)?, 0),
    };
    Some(Decimal { unscaled: if float < 0.0 { -size } else { size }, scale })
}

#[cfg(test)]
mod tests;
