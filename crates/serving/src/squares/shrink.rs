//! The smallest row on which two routes still differ: fields are put back to those of a row that is known, by delta
//! debugging, then numbers are brought near to theirs by bisection (natural transformations, section 10).

use schema::{Dtype, Value};

/// Steps of a bisection: a double has 53 bits, and the last ones say nothing to a person.
const BISECTIONS: usize = 40;
/// Digits up to which a number is tried shorter.
const DIGITS_MAX: usize = 15;

/// The row `start`, which fails, as near to `base` as it still fails: of each field either the one's value or the other's,
/// numbers between the two. `fails` answers for many rows at once.
pub(crate) fn smallest(
    dtypes: &[Dtype],
    start: Vec<Value>,
    base: &[Value],
    fails: &mut dyn FnMut(&[Vec<Value>]) -> Vec<bool>,
) -> Vec<Value> {
    let mut row = fewest_fields(start, base, fails);
    for at in 0..row.len() {
        if row[at] != base[at] {
            row[at] = nearest(dtypes[at], &row, base, at, fails);
        }
    }
    row
}

/// The places where two rows differ.
pub(crate) fn differing(row: &[Value], base: &[Value]) -> Vec<usize> {
    (0..row.len()).filter(|at| row[*at] != base[*at]).collect()
}

/// Puts back as many fields as can be: halves first, then ever smaller groups, until no single one can go.
fn fewest_fields(start: Vec<Value>, base: &[Value], fails: &mut dyn FnMut(&[Vec<Value>]) -> Vec<bool>) -> Vec<Value> {
    let mut row = start;
    let mut n_groups = 1;
    loop {
        let left = differing(&row, base);
        if left.is_empty() {
            return row;
        }
        n_groups = n_groups.min(left.len());
        let without: Vec<Vec<Value>> = left
            .chunks(left.len().div_ceil(n_groups))
            .map(|group| {
                let mut put_back = row.clone();
                group.iter().for_each(|at| put_back[*at] = base[*at].clone());
                put_back
            })
            .collect();
        let failing = fails(&without).into_iter().position(|fails| fails);
        match failing {
            Some(at) => {
                row.clone_from(&without[at]);
                n_groups = (n_groups - 1).max(1);
            }
            None if n_groups >= left.len() => return row,
            None => n_groups *= 2,
        }
    }
}

/// The value nearest to the base's with which the row still fails, written with as few digits as it can.
fn nearest(
    dtype: Dtype,
    row: &[Value],
    base: &[Value],
    at: usize,
    fails: &mut dyn FnMut(&[Vec<Value>]) -> Vec<bool>,
) -> Value {
    let with = |value: Value| {
        let mut tried = row.to_vec();
        tried[at] = value;
        tried
    };
    match (&row[at], &base[at]) {
        (Value::Float(bad), Value::Float(good)) if bad.is_finite() && good.is_finite() => {
            let (start, mut bad, mut good) = (*bad, *bad, *good);
            for _ in 0..BISECTIONS {
                let middle = stored(dtype, good + (bad - good) / 2.0);
                if middle.total_cmp(&bad).is_eq() || middle.total_cmp(&good).is_eq() {
                    break;
                }
                let still = fails(&[with(Value::Float(middle))]).first() == Some(&true);
                *if still { &mut bad } else { &mut good } = middle;
            }
            // Written shorter, but no farther from the base than it was; from three digits on the next one outwards too.
            let shorter = (0..DIGITS_MAX).flat_map(|digits| {
                let near = rounded(bad, digits);
                let unit = 10.0_f64.powi(exponent(bad) - i32::try_from(digits).unwrap_or(0));
                let outwards = rounded(near + unit.copysign(bad - good), digits);
                [Some(near), (digits >= 2).then_some(outwards)]
            });
            let is_near = |value: &f64| (value - good).abs() <= (start - good).abs();
            let short: Vec<f64> = shorter.flatten().map(|value| stored(dtype, value)).filter(is_near).collect();
            let tried: Vec<Vec<Value>> = short.iter().map(|value| with(Value::Float(*value))).collect();
            let shortest = fails(&tried).into_iter().position(|fails| fails);
            Value::Float(shortest.map_or(bad, |at| short[at]))
        }
        (Value::Int(bad), Value::Int(good)) => {
            let (mut bad, mut good) = (*bad, *good);
            while bad.abs_diff(good) > 1 {
                // Both are in range, so their middle is.
                let middle = i64::try_from(i128::midpoint(bad.into(), good.into())).unwrap_or(bad);
                if middle == bad || middle == good {
                    break;
                }
                let still = fails(&[with(Value::Int(middle))]).first() == Some(&true);
                *if still { &mut bad } else { &mut good } = middle;
            }
            Value::Int(bad)
        }
        _ => row[at].clone(),
    }
}

/// As a column of the type keeps it.
fn stored(dtype: Dtype, value: f64) -> f64 {
    match dtype {
        #[expect(clippy::cast_possible_truncation, reason = "that is what the column does")]
        Dtype::Float32 => f64::from(value as f32),
        _ => value,
    }
}

/// The power of ten of the first digit.
fn exponent(value: f64) -> i32 {
    format!("{value:e}").split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0)
}

fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const F: Dtype = Dtype::Float64;

    fn floats(values: &[f64]) -> Vec<Value> {
        values.iter().map(|value| Value::Float(*value)).collect()
    }

    fn number(value: &Value) -> f64 {
        match value {
            Value::Float(value) => *value,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn only_the_fields_that_matter_are_left_with_the_plainest_values() {
        let (start, base) = (floats(&[7.31, 9.0, -4.0, 12.6, 1.0]), floats(&[0.0; 5]));
        let mut n = 0;
        let mut fails = |rows: &[Vec<Value>]| {
            n += rows.len();
            rows.iter().map(|row| number(&row[1]) + number(&row[3]) > 20.0).collect()
        };
        let row = smallest(&[F; 5], start, &base, &mut fails);
        assert_eq!(differing(&row, &base), [1, 3]);
        assert!(number(&row[1]) + number(&row[3]) > 20.0);
        let digits: usize = [1, 3].map(|at| row[at].to_string().len()).iter().sum();
        assert!(digits <= 8, "{row:?}");
        assert!(n < 250, "{n} rows were tried");
    }

    #[test]
    fn where_the_known_row_fails_too_nothing_is_left() {
        let base = floats(&[0.0, 0.0]);
        let row = smallest(&[F; 2], floats(&[1.0, 2.0]), &base, &mut |rows| vec![true; rows.len()]);
        assert_eq!(row, base);
    }

    #[test]
    fn integers_are_brought_to_the_very_edge() {
        let at_least = |least: i64| {
            move |rows: &[Vec<Value>]| -> Vec<bool> {
                rows.iter().map(|row| matches!(row[0], Value::Int(v) if v >= least)).collect()
            }
        };
        let row = |start: i64, least: i64| {
            smallest(&[Dtype::Int64], vec![Value::Int(start)], &[Value::Int(i64::MIN)], &mut at_least(least))
        };
        assert_eq!(row(i64::MAX, 17), [Value::Int(17)]);
        assert_eq!(row(5, 5), [Value::Int(5)]);
    }

    proptest! {
        #[test]
        fn what_is_left_still_fails_and_no_field_of_it_can_go(
            weights in prop::collection::vec(-4.0..4.0_f64, 1..9),
            start in prop::collection::vec(-9.0..9.0_f64, 9),
        ) {
            let n = weights.len();
            let fails_one = |row: &[Value]| {
                row.iter().zip(&weights).map(|(value, weight)| number(value) * weight).sum::<f64>() > 6.0
            };
            let start = floats(&start[..n]);
            prop_assume!(fails_one(&start));
            let base = floats(&vec![0.0; n]);
            let mut fails = |rows: &[Vec<Value>]| rows.iter().map(|row| fails_one(row)).collect::<Vec<_>>();
            let fewest = fewest_fields(start.clone(), &base, &mut fails);
            for at in differing(&fewest, &base) {
                let mut less = fewest.clone();
                less[at] = base[at].clone();
                prop_assert!(!fails_one(&less), "{at} could go of {fewest:?}");
            }
            let row = smallest(&vec![F; n], start, &base, &mut fails);
            prop_assert!(fails_one(&row), "{row:?}");
            prop_assert!(differing(&row, &base).len() <= differing(&fewest, &base).len());
        }
    }
}
