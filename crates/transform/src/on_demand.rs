//! The features of an on-demand view: expressions over features of other views, fields of the request and its time.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use schema::definitions::{Computed, OnDemand};
use schema::{Dtype, OnDemandView};

use crate::expr::ExprError;
use crate::exprs::Exprs;

/// An on-demand view's features, compiled once; training and serving evaluate the same ones.
#[derive(Debug, Clone)]
pub struct OnDemandFeatures(Exprs);

impl OnDemandFeatures {
    /// Compiles the expressions of an on-demand view version.
    ///
    /// # Errors
    /// The first [`ExprError`]; use [`Self::check`] for all of them.
    pub fn compile(view: &OnDemandView) -> Result<Self, ExprError> {
        let inputs = view.inputs.iter().map(|input| (input.name.as_str(), input.dtype));
        Exprs::compile(inputs.chain(fields(&view.definition)), &view.definition.features).map(Self)
    }

    /// Every feature of a declared on-demand view that does not compile; `inputs` are the dtypes of its inputs.
    pub fn check<'d>(view: &'d OnDemand, inputs: &[Dtype]) -> Vec<(&'d Computed, ExprError)> {
        let inputs = view.inputs.iter().zip(inputs).map(|(input, dtype)| (input.name.as_str(), *dtype));
        Exprs::check(inputs.chain(fields(view)), &view.features)
    }

    /// The inputs, by place, that a feature reads; fields of the request have the places after them.
    pub fn reads(&self, feature: usize) -> Vec<usize> {
        self.0.reads(feature)
    }

    /// The features for rows of inputs and request fields, in declared order, each null where it is not known.
    ///
    /// # Errors
    /// [`ExprError::Evaluate`] when an expression fails on a row.
    pub fn evaluate(
        &self,
        inputs_and_fields: Vec<ArrayRef>,
        request_time: &TimestampNanosecondArray,
    ) -> Result<Vec<ArrayRef>, ExprError> {
        let mut columns = inputs_and_fields;
        columns.push(Arc::new(request_time.clone()));
        let rows = self.0.rows(columns, "an on-demand view")?;
        self.0.iter().map(|expr| expr.evaluate(&rows)).collect()
    }
}

fn fields(view: &OnDemand) -> impl Iterator<Item = (&str, Dtype)> {
    view.request.iter().map(|field| (field.name.as_str(), field.dtype))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use arrow::array::{Float64Array, Int64Array};
    use schema::definitions::File;
    use schema::{AppliedDefinitions, Definitions};

    use super::*;

    const TEN: &str = r#"
kind: on_demand_view
name: ten
request: [{name: a, type: float64}, {name: b, type: float64}, {name: n, type: int64}]
features:
  - {name: f0, type: float64, expr: a + b}
  - {name: f1, type: float64, expr: "a / nullif(b, 0.0)"}
  - {name: f2, type: float64, expr: "coalesce(a, 0.0) * 2.0"}
  - {name: f3, type: bool, expr: a > b}
  - {name: f4, type: float64, expr: case when n > 3 then a else b end}
  - {name: f5, type: int64, expr: n * 2 + 1}
  - {name: f6, type: float64, expr: sqrt(abs(a - b))}
  - {name: f7, type: float64, expr: "date_part('epoch', request_time) / 3600.0"}
  - {name: f8, type: bool, expr: a is null or n between 1 and 9}
  - {name: f9, type: float64, expr: ln(1.0 + a * a)}
"#;

    fn ten() -> OnDemandFeatures {
        let file = File { path: "ten.yaml".to_owned(), text: TEN.to_owned() };
        let applied = AppliedDefinitions::default().after(&Definitions::read(&[file]).unwrap());
        OnDemandFeatures::compile(applied.current_on_demand("ten").unwrap()).unwrap()
    }

    fn rows(a: &[Option<f64>]) -> (Vec<ArrayRef>, TimestampNanosecondArray) {
        let b = Float64Array::from(vec![0.5; a.len()]);
        let n = Int64Array::from(vec![4; a.len()]);
        let columns: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(a.to_vec())), Arc::new(b), Arc::new(n)];
        (columns, TimestampNanosecondArray::from(vec![7_200_000_000_000; a.len()]).with_timezone("UTC"))
    }

    #[test]
    fn a_row_that_fails_is_named_with_its_feature() {
        let text = "kind: on_demand_view\nname: v\nrequest: [{name: n, type: int64}]\nfeatures:\n  \
                    - {name: part, type: int64, expr: 10 / n}\n";
        let file = File { path: "v.yaml".to_owned(), text: text.to_owned() };
        let applied = AppliedDefinitions::default().after(&Definitions::read(&[file]).unwrap());
        let view = OnDemandFeatures::compile(applied.current_on_demand("v").unwrap()).unwrap();
        for n in 1..20 {
            for bad in 0..n {
                let column = (0..n).map(|row| if row < bad { 5 } else { 0 }).collect::<Int64Array>();
                let at = TimestampNanosecondArray::from(vec![0; column.len()]).with_timezone("UTC");
                let why = view.evaluate(vec![Arc::new(column)], &at).unwrap_err().to_string();
                let want = format!("of feature `part` in row {bad}: ");
                assert!(why.contains(&want) && why.to_lowercase().contains("zero"), "{why}");
            }
        }
    }

    /// What is evaluated for many rows at once in training is what one request gets.
    #[test]
    fn a_row_alone_is_the_row_among_others() {
        let ten = ten();
        let all = [Some(1.5), None, Some(f64::NAN), Some(-0.0), Some(f64::INFINITY)];
        let (columns, at) = rows(&all);
        let together = ten.evaluate(columns, &at).unwrap();
        for (row, a) in all.into_iter().enumerate() {
            let (columns, at) = rows(&[a]);
            let alone = ten.evaluate(columns, &at).unwrap();
            for (one, many) in alone.iter().zip(&together) {
                assert_eq!(schema::Value::at(one, 0), schema::Value::at(many, row), "row {row}");
            }
        }
    }

    /// NaNs have payloads, and arithmetic picks one of two: the same one for a row alone and in a loop over many.
    #[test]
    fn which_nan_a_sum_is_does_not_depend_on_company() {
        let ten = ten();
        let nan = |payload: u64| f64::from_bits(0x7ff8_0000_0000_0000 | payload);
        let (a, b) = (|row: u64| nan(row), |row: u64| -nan(1_000 + row));
        let answer = |rows: Range<u64>| {
            let n = usize::try_from(rows.end - rows.start).unwrap();
            let one = |of: &dyn Fn(u64) -> f64| Arc::new(rows.clone().map(of).collect::<Float64Array>()) as ArrayRef;
            let columns = vec![one(&a), one(&b), Arc::new(Int64Array::from(vec![4; n]))];
            let time = TimestampNanosecondArray::from(vec![0; n]).with_timezone("UTC");
            ten.evaluate(columns, &time).unwrap()
        };
        let together = answer(0..67);
        for row in 0..67 {
            for (one, many) in answer(row..row + 1).iter().zip(&together) {
                let row = usize::try_from(row).unwrap();
                assert_eq!(schema::Value::at(one, 0), schema::Value::at(many, row), "row {row}");
            }
        }
    }
}
