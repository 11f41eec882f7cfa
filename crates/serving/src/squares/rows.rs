//! Rows of one schema version, of three sorts that are judged differently.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::{concat, take};
use featurestore::migrate::{Migrated, migrate};
use featurestore::{FeatureRows, Statuses};
use schema::migration::{Migration, MigrationError};
use schema::{FeatureService, ServiceColumn, Status, Value};
use serde::{Deserialize, Serialize};

use super::strata::StratumOf;
use crate::batch_check::ProbeSet;
use crate::onnx::OnnxError;

/// Where a row comes from, and so how strictly it is judged (natural transformations, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Pinned with the version: every one must pass.
    Golden,
    /// Made of the edges of every type: both sides must agree in kind.
    Boundary,
    /// Of history or of logged requests: a share of them may exceed the tolerance.
    Sampled,
}

/// What is known of a row beside its features.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// What it turned out to be, by the name of the label: of golden rows.
    pub labels: BTreeMap<String, bool>,
    /// What it is judged with: of sampled rows, where the model's policy tells them apart.
    pub stratum: Option<StratumOf>,
}

/// Rows of a service version, before `fill`. Every column and every list of statuses has one entry a row.
#[derive(Debug, Clone)]
pub struct ProbeRows {
    /// The features, in the service's order.
    pub columns: Vec<ArrayRef>,
    /// For each feature, the status of each row.
    pub statuses: Vec<Statuses>,
    /// The sort of each row.
    pub sorts: Vec<Sort>,
    /// What is known of each row besides.
    pub beside: Vec<Option<Arc<Beside>>>,
}

impl ProbeRows {
    /// No rows of these columns.
    pub fn none(columns: &[ServiceColumn]) -> Self {
        let empty = |column: &ServiceColumn| arrow::array::new_empty_array(&column.dtype.to_arrow());
        Self {
            columns: columns.iter().map(empty).collect(),
            statuses: vec![Statuses::new(); columns.len()],
            sorts: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// Rows that were found somewhere, all of one sort.
    pub fn found(rows: FeatureRows, sort: Sort) -> Self {
        let n = rows.statuses.first().map_or(0, Statuses::len);
        Self { columns: rows.columns, statuses: rows.statuses, sorts: vec![sort; n], beside: vec![None; n] }
    }

    /// The edges of every type, one column at a time and all at once; a row without any value; an entity that nobody
    /// knows.
    ///
    /// # Errors
    /// Arrow's; never for the columns of a service.
    pub fn boundary(columns: &[ServiceColumn]) -> Result<Self, OnnxError> {
        let edges = ProbeSet::new(columns, &[])?;
        let n = edges.rows();
        let status = |value: &ArrayRef, row| if value.is_null(row) { Status::NullValue } else { Status::Present };
        let mut all = Vec::with_capacity(columns.len());
        let mut statuses: Vec<Statuses> = Vec::with_capacity(columns.len());
        for column in edges.columns() {
            let nulls = arrow::array::new_null_array(column.data_type(), 2);
            all.push(concat(&[column.as_ref(), nulls.as_ref()]).map_err(unmade)?);
            let mut of: Statuses = (0..n).map(|row| status(column, row)).collect();
            of.extend([Status::NullValue, Status::NotFound]);
            statuses.push(of);
        }
        let n = if columns.is_empty() { 0 } else { n + 2 };
        Ok(Self { columns: all, statuses, sorts: vec![Sort::Boundary; n], beside: vec![None; n] })
    }

    /// One row of each list of values, which are of the service's columns; the statuses are those of `like`, but of a value
    /// that is not null.
    ///
    /// # Errors
    /// A value that is not of its column's type.
    pub fn of_values(
        columns: &[ServiceColumn],
        rows: &[Vec<Value>],
        like: &[Status],
        sort: Sort,
    ) -> Result<Self, OnnxError> {
        let mut made = Vec::with_capacity(columns.len());
        let mut statuses = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let empty = arrow::array::new_empty_array(&column.dtype.to_arrow());
            let cells = rows.iter().map(|row| row[at].to_array(column.dtype, 1)).collect::<Result<Vec<_>, _>>();
            let cells = cells.map_err(unmade)?;
            let parts: Vec<&dyn Array> = std::iter::once(&empty).chain(&cells).map(AsRef::as_ref).collect();
            made.push(concat(&parts).map_err(unmade)?);
            let status = |row: &Vec<Value>| match (&row[at], like[at]) {
                (Value::Null, Status::Present) => Status::NullValue,
                (Value::Null, absent) => absent,
                _ => Status::Present,
            };
            statuses.push(rows.iter().map(status).collect());
        }
        Ok(Self { columns: made, statuses, sorts: vec![sort; rows.len()], beside: vec![None; rows.len()] })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorts.is_empty()
    }

    /// The values of a row.
    pub fn values(&self, row: usize) -> Vec<Value> {
        self.columns.iter().map(|column| Value::at(column, row)).collect()
    }

    /// The statuses of a row.
    pub fn statuses_of(&self, row: usize) -> Vec<Status> {
        self.statuses.iter().map(|of| of[row]).collect()
    }

    /// Adds rows of the same columns.
    ///
    /// # Errors
    /// Arrow's: rows of other columns.
    pub fn append(&mut self, more: Self) -> Result<(), OnnxError> {
        for (column, more) in self.columns.iter_mut().zip(&more.columns) {
            *column = concat(&[column.as_ref(), more.as_ref()]).map_err(unmade)?;
        }
        for (statuses, more) in self.statuses.iter_mut().zip(more.statuses) {
            statuses.extend(more);
        }
        self.sorts.extend(more.sorts);
        self.beside.extend(more.beside);
        Ok(())
    }

    /// Some of the rows, in the order asked for.
    ///
    /// # Errors
    /// Arrow's: a row that is not there.
    pub fn take(&self, rows: &[usize]) -> Result<Self, OnnxError> {
        let places: UInt64Array = rows.iter().filter_map(|row| u64::try_from(*row).ok()).collect();
        let columns = self.columns.iter().map(|column| take(column, &places, None).map_err(unmade));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            statuses: self.statuses.iter().map(|of| rows.iter().map(|row| of[*row]).collect()).collect(),
            sorts: rows.iter().map(|row| self.sorts[*row]).collect(),
            beside: rows.iter().map(|row| self.beside[*row].clone()).collect(),
        })
    }

    /// The rows as a newer service version has them, and which of them those are: what a cast refuses is not among them.
    ///
    /// # Errors
    /// Arrow's; never for rows of the service where the migration starts.
    pub fn migrated(&self, older: &FeatureService, way: &Migration) -> Result<(Self, Vec<usize>), OnnxError> {
        let all = |rows: &Self| migrate(older, &rows.columns, &rows.statuses, way);
        match all(self) {
            Ok(Migrated { columns, statuses }) => {
                let (sorts, beside) = (self.sorts.clone(), self.beside.clone());
                Ok((Self { columns, statuses, sorts, beside }, (0..self.len()).collect()))
            }
            Err(MigrationError::Refused { .. }) => {
                let mut kept = Vec::new();
                for row in 0..self.len() {
                    match all(&self.take(&[row])?) {
                        Ok(_) => kept.push(row),
                        Err(MigrationError::Refused { .. }) => {}
                        Err(why) => return Err(unmade(why)),
                    }
                }
                let rows = self.take(&kept)?;
                let Migrated { columns, statuses } = all(&rows).map_err(unmade)?;
                Ok((Self { columns, statuses, sorts: rows.sorts, beside: rows.beside }, kept))
            }
            Err(why) => Err(unmade(why)),
        }
    }
}

pub(crate) fn unmade(why: impl ToString) -> OnnxError {
    OnnxError::Columns { reason: format!("making probe rows: {}", why.to_string()) }
}
