//! Declared expressions over one row type: what computed features and on-demand views have in common.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use schema::Dtype;
use schema::definitions::{Computed, REQUEST_TIME};

use crate::expr::{CompiledExpr, ExprError};

/// Expressions compiled once against named columns and, as the last one, the request's time.
#[derive(Debug, Clone)]
pub(crate) struct Exprs {
    input: SchemaRef,
    exprs: Vec<CompiledExpr>,
}

impl Exprs {
    /// Compiles all; the first [`ExprError`] otherwise.
    pub(crate) fn compile<'a>(
        columns: impl IntoIterator<Item = (&'a str, Dtype)>,
        declared: &[Computed],
    ) -> Result<Self, ExprError> {
        let input = input_of(columns);
        let compile =
            |c: &Computed| CompiledExpr::compile(&c.expr, &input, c.dtype).map(|e| e.of_feature(c.name.as_str()));
        let exprs = declared.iter().map(compile);
        Ok(Self { exprs: exprs.collect::<Result<_, _>>()?, input })
    }

    /// Every one that does not compile.
    pub(crate) fn check<'a, 'd>(
        columns: impl IntoIterator<Item = (&'a str, Dtype)>,
        declared: &'d [Computed],
    ) -> Vec<(&'d Computed, ExprError)> {
        let input = input_of(columns);
        let compile = |c: &Computed| CompiledExpr::compile(&c.expr, &input, c.dtype).err();
        declared.iter().filter_map(|c| compile(c).map(|why| (c, why))).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exprs.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CompiledExpr> {
        self.exprs.iter()
    }

    /// The columns that an expression reads, by place; the request's time stands after the declared ones.
    pub(crate) fn reads(&self, expr: usize) -> Vec<usize> {
        self.exprs.get(expr).map(CompiledExpr::reads).unwrap_or_default()
    }

    /// Rows to evaluate on: the declared columns in order, then the request's time.
    pub(crate) fn rows(&self, columns: Vec<ArrayRef>, what: &str) -> Result<RecordBatch, ExprError> {
        RecordBatch::try_new(SchemaRef::clone(&self.input), columns).map_err(|why| ExprError::of_rows(what, why))
    }
}

fn input_of<'a>(columns: impl IntoIterator<Item = (&'a str, Dtype)>) -> SchemaRef {
    let time = (REQUEST_TIME, Dtype::Timestamp);
    let field = |(name, dtype): (&str, Dtype)| Field::new(name, dtype.to_arrow(), true);
    Arc::new(Schema::new(columns.into_iter().chain([time]).map(field).collect::<Vec<_>>()))
}
