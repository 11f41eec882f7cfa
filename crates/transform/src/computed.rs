//! The computed features of a view: expressions over its stored features, its keys and the request's time.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use schema::FeatureView;
use schema::definitions::{Computed, REQUEST_TIME, View};
use schema::dtype::timestamp_type;

use crate::expr::{CompiledExpr, ExprError};

/// A view's computed features, compiled once.
#[derive(Debug, Clone)]
pub struct ComputedFeatures {
    input: SchemaRef,
    exprs: Vec<CompiledExpr>,
}

impl ComputedFeatures {
    /// Compiles the expressions of a view version.
    ///
    /// # Errors
    /// The first [`ExprError`]; use [`Self::check`] for all of them.
    pub fn compile(view: &FeatureView) -> Result<Self, ExprError> {
        let input = input_of(&view.definition);
        let exprs = view.definition.computed.iter().map(|c| CompiledExpr::compile(&c.expr, &input, c.dtype));
        Ok(Self { exprs: exprs.collect::<Result<_, _>>()?, input })
    }

    /// Every computed feature of a declared view that does not compile.
    pub fn check(view: &View) -> Vec<(&Computed, ExprError)> {
        let input = input_of(view);
        let compile = |c: &Computed| CompiledExpr::compile(&c.expr, &input, c.dtype).err();
        view.computed.iter().filter_map(|c| compile(c).map(|why| (c, why))).collect()
    }

    /// Whether the view has none.
    pub fn is_empty(&self) -> bool {
        self.exprs.is_empty()
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
        if self.exprs.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = stored.to_vec();
        columns.push(Arc::new(request_time.clone()));
        let evaluate_error = |why: arrow::error::ArrowError| ExprError::Evaluate {
            expr: "computed features".to_owned(),
            why: why.to_string(),
        };
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.input), columns).map_err(evaluate_error)?;
        if present.true_count() == present.len() {
            return self.exprs.iter().map(|expr| expr.evaluate(&batch)).collect();
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
        let one = |expr: &CompiledExpr| take(&expr.evaluate(&there)?, &places, None).map_err(evaluate_error);
        self.exprs.iter().map(one).collect()
    }
}

fn input_of(view: &View) -> SchemaRef {
    let stored = view.features.iter().map(|f| Field::new(f.name.as_str(), f.dtype.to_arrow(), true));
    let time = Field::new(REQUEST_TIME, timestamp_type(), true);
    Arc::new(Schema::new(stored.chain([time]).collect::<Vec<_>>()))
}
