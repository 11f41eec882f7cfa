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
