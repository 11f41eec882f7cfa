//! The computed features of a view: expressions over its stored features, its keys and the request's time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use schema::definitions::{Computed, View};
use schema::{Dtype, FeatureView};

use crate::expr::{CompiledExpr, ExprError};
use crate::exprs::Exprs;

/// What messages call a failure that is no single expression's.
const WHAT: &str = "computed features";

/// A view's computed features, compiled once.
#[derive(Debug, Clone)]
pub struct ComputedFeatures(Exprs);

impl ComputedFeatures {
    /// Compiles the expressions of a view version.
    ///
    /// # Errors
    /// The first [`ExprError`]; use [`Self::check`] for all of them.
    pub fn compile(view: &FeatureView) -> Result<Self, ExprError> {
        Exprs::compile(stored(&view.definition), &view.definition.computed).map(Self)
    }

    /// Every computed feature of a declared view that does not compile.
    pub fn check(view: &View) -> Vec<(&Computed, ExprError)> {
        Exprs::check(stored(view), &view.computed)
    }

    /// Whether the view has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stored features, by place, that a computed one reads; the request's time has the place after them.
    pub fn reads(&self, feature: usize) -> Vec<usize> {
        self.0.reads(feature)
    }

    /// The computed columns for rows of stored features.
    ///
    /// `stored` are the view's stored features in order; `present` says which rows were found in time: every other row
    /// is null, whatever its expression would make of nulls.
    ///
    /// # Errors
    /// [`ExprError::Evaluate`] when an expression fails on a row.
    pub fn evaluate(
        &self,
        stored: &[ArrayRef],
        request_time: &TimestampNanosecondArray,
        present: &BooleanArray,
    ) -> Result<Vec<ArrayRef>, ExprError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = stored.to_vec();
        columns.push(Arc::new(request_time.clone()));
        let evaluate_error = |why: arrow::error::ArrowError| ExprError::of_rows(WHAT, why);
        let batch = self.0.rows(columns, WHAT)?;
        if present.true_count() == present.len() {
            return self.0.iter().map(|expr| expr.evaluate(&batch)).collect();
        }
        // An expression may fail on the nulls of a row that is not there: only those that are there are evaluated.
        let there = filter_record_batch(&batch, present).map_err(evaluate_error)?;
        let mut next = 0;
        let places: UInt32Array = present
            .iter()
            .map(|here| {
                next += u32::from(here == Some(true));
                here.filter(|here| *here).map(|_| next - 1)
            })
            .collect();
        let is_there = |row: &usize| !present.is_null(*row) && present.value(*row);
        let as_asked = |row: usize| (0..present.len()).filter(is_there).nth(row);
        let one = |expr: &CompiledExpr| {
            let values = expr.evaluate(&there).map_err(|why| why.in_row(as_asked))?;
            take(&values, &places, None).map_err(evaluate_error)
        };
        self.0.iter().map(one).collect()
    }
}

fn stored(view: &View) -> impl Iterator<Item = (&str, Dtype)> {
    view.features.iter().map(|f| (f.name.as_str(), f.dtype))
}
