//! Widening, asked of values instead of a table: a type widens to another if and only if every value of the one is a value
//! of the other. The values are exact numbers and what is no number; each type is told by what it can hold, from its width
//! alone. No table of pairs is used here: `Scalar::widens_to` is the only one that there is.

use super::*;

/// `units * 2^two / 10^ten`, exactly; or what is no number.
#[derive(Debug, Clone, Copy)]
enum Exact {
    Number {
        units: i128,
        two: i32,
        ten: u32,
    },
    /// NaN, the infinities, and zero below zero.
    OfFloats,
    /// A value of the type alone: a truth, a text, a day.
    Of(Scalar),
}

/// Significant bits, least and greatest exponent of two of the last bit.
#[derive(Debug, Clone, Copy)]
struct Binary {
    bits: u32,
    least: i32,
    greatest: i32,
}

const FLOAT32: Binary = Binary { bits: 24, least: -149, greatest: 104 };
const FLOAT64: Binary = Binary { bits: 53, least: -1074, greatest: 971 };

fn integer(units: i128) -> Exact {
    Exact::Number { units, two: 0, ten: 0 }
}

/// The least and the greatest of an integer type.
fn bounds(of: Scalar) -> Option<(i128, i128)> {
    Some(match of {
        Scalar::Int8 => (i8::MIN.into(), i8::MAX.into()),
        Scalar::Int16 => (i16::MIN.into(), i16::MAX.into()),
        Scalar::Int32 => (i32::MIN.into(), i32::MAX.into()),
        Scalar::Int64 => (i64::MIN.into(), i64::MAX.into()),
        Scalar::Uint8 => (0, u8::MAX.into()),
        Scalar::Uint16 => (0, u16::MAX.into()),
        Scalar::Uint32 => (0, u32::MAX.into()),
        Scalar::Uint64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn binary(of: Scalar) -> Option<Binary> {
    match of {
        Scalar::Float32 => Some(FLOAT32),
        Scalar::Float64 => Some(FLOAT64),
        _ => None,
    }
}

/// The values of a type that ask most of another: its ends, its finest, its longest.
fn values(of: Scalar) -> Vec<Exact> {
    if let Some((least, greatest)) = bounds(of) {
        return [least, least + 1, 0, 1, greatest - 1, greatest].map(integer).to_vec();
    }
    if let Some(Binary { bits, least, greatest }) = binary(of) {
        let longest = (1 << bits) - 1;
        let number = |units, two| Exact::Number { units, two, ten: 0 };
        return vec![
            number(1, least),
            number(-1, -1),
            number(longest, -1),
            number(longest, 0),
            number(-longest, greatest),
            Exact::OfFloats,
        ];
    }
    match of {
        Scalar::Decimal { precision, scale } => {
            let longest = 10_i128.pow(precision.into()) - 1;
            [0, 1, -1, longest, -longest].map(|units| Exact::Number { units, two: 0, ten: scale.into() }).to_vec()
        }
        alone => vec![Exact::Of(alone)],
    }
}

/// Whether a type has the value, by what the type is.
fn has(of: Scalar, value: Exact) -> bool {
    let (units, two, ten) = match value {
        Exact::Number { units, two, ten } => (units, two, ten),
        Exact::OfFloats => return binary(of).is_some(),
        Exact::Of(alone) => return of == alone,
    };
    if units == 0 {
        return bounds(of).is_some() || binary(of).is_some() || matches!(of, Scalar::Decimal { .. });
    }
    // Without twos and fives on both sides of the line: `units * 2^two / (2^ten * 5^ten)`.
    let (mut units, mut two, mut fives) = (units, two - i32::try_from(ten).unwrap(), ten);
    while units % 2 == 0 {
        (units, two) = (units / 2, two + 1);
    }
    while fives > 0 && units % 5 == 0 {
        (units, fives) = (units / 5, fives - 1);
    }
    let whole = || {
        let n_twos = u32::try_from(two).ok().filter(|n| *n < 127)?;
        (fives == 0).then_some(())?;
        units.checked_mul(1_i128.checked_shl(n_twos)?)
    };
    if let Some((least, greatest)) = bounds(of) {
        return whole().is_some_and(|whole| (least..=greatest).contains(&whole));
    }
    if let Some(Binary { bits, least, greatest }) = binary(of) {
        let length = 128 - units.unsigned_abs().leading_zeros();
        // Its last bit may stand lower than the greatest exponent allows: what counts is where its first one is.
        let first = two + i32::try_from(length).unwrap();
        let bits_there = i32::try_from(bits).unwrap();
        return fives == 0 && length <= bits && two >= least && first <= greatest + bits_there;
    }
    match of {
        Scalar::Decimal { precision, scale } => {
            // Times `10^scale` it must be whole, and not too long.
            let scale = u32::from(scale);
            let two = two + i32::try_from(scale).unwrap();
            if two < 0 || fives > scale {
                return false;
            }
            let scaled = u32::try_from(two).ok().filter(|n| *n < 127).and_then(|n| 1_i128.checked_shl(n));
            let scaled = scaled.and_then(|twos| units.checked_mul(twos)?.checked_mul(5_i128.pow(scale - fives)));
            scaled.is_some_and(|scaled| scaled.abs() < 10_i128.pow(precision.into()))
        }
        _ => false,
    }
}

fn scalars() -> Vec<Scalar> {
    let digits = [1_u8, 2, 3, 4, 5, 9, 10, 11, 18, 19, 20, 21, 38];
    let decimals = digits.into_iter().flat_map(|precision| {
        let scales = [0, 1, 2, precision / 2, precision];
        scales.into_iter().filter(move |scale| *scale <= precision).map(move |scale| (precision, scale))
    });
    let decimals = decimals.map(|(precision, scale)| Scalar::Decimal { precision, scale });
    let mut all: Vec<Scalar> = Scalar::all().chain(decimals).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn a_type_widens_to_another_if_and_only_if_it_has_all_its_values() {
    let mut n_widenings = 0;
    for from in scalars() {
        assert!(values(from).into_iter().all(|value| has(from, value)), "{from} has its own values");
        for to in scalars() {
            let is_widening = Dtype::from(from).widens_to(to.into());
            n_widenings += usize::from(is_widening);
            let decimal = |scalar| matches!(scalar, Scalar::Decimal { .. });
            if decimal(from) && !decimal(to) {
                // Not even a short one: that it has no fraction is one declaration's choice, and an answer in JSON tells
                // decimals, which are texts, from numbers.
                assert!(!is_widening, "{from} to {to}");
                continue;
            }
            let lost = values(from).into_iter().find(|value| !has(to, *value));
            assert_eq!(is_widening, lost.is_none(), "{from} to {to}: {lost:?}");
        }
    }
    assert!(n_widenings > 500, "{n_widenings}");
}

#[test]
fn lists_widen_as_their_values_do_and_never_to_single_values() {
    for from in scalars() {
        for to in scalars() {
            let items = Dtype::from(from).widens_to(to.into());
            let lists = |from: Dtype, to: Dtype| from.widens_to(to);
            assert_eq!(lists(Dtype::List(from), Dtype::List(to)), items, "{from} to {to}");
            assert_eq!(lists(Dtype::FixedList(from, 3), Dtype::FixedList(to, 3)), items, "{from} to {to}");
            assert_eq!(lists(Dtype::FixedList(from, 3), Dtype::List(to)), items, "{from} to {to}");
            assert!(!lists(Dtype::FixedList(from, 3), Dtype::FixedList(to, 4)), "{from} to {to}");
            assert!(!lists(Dtype::List(from), Dtype::FixedList(to, 3)), "{from} to {to}");
            for list in [Dtype::List(to), Dtype::FixedList(to, 3)] {
                assert!(!lists(from.into(), list) && !lists(list, from.into()), "{from} and {list}");
            }
        }
    }
}

/// What the reference tables name.
#[test]
fn the_widenings_that_people_mean() {
    for (from, to, want) in [
        (Dtype::Int32, Dtype::Int64, true),
        (Dtype::Int32, Dtype::Float64, true),
        (Dtype::Float32, Dtype::Float64, true),
        (Dtype::Int64, Dtype::Float64, false),
        (Dtype::Uint64, Dtype::Float64, false),
        (Dtype::Int32, Dtype::Float32, false),
        (Dtype::Float64, Dtype::Float32, false),
        (Dtype::Float32, Dtype::Int64, false),
        (Dtype::Bool, Dtype::Int8, false),
        (Dtype::Date, Dtype::Timestamp, false),
    ] {
        assert_eq!(from.widens_to(to), want, "{from} to {to}");
    }
}
