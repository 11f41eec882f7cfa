//! What a table's rows ask of a model: its features by entity keys, or for values of features that stand in the table.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use clap::ValueEnum;
use featurestore::retrieve::EntityRows;
use featurestore::{CompiledService, FeatureRows, Statuses};
use schema::definitions::JoinKey;
use schema::yaml::{list, suggest};
use schema::{Dtype, Status};
use transform::cast::{self, CastError};

use crate::failure::Failure;

/// Where the features of a table's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The online store, by the table's keys.
    Keys,
    /// The table's own columns.
    Features,
}

/// What some rows ask.
#[derive(Debug)]
pub enum Asked {
    /// For answers by these keys and request fields.
    Entities(EntityRows),
    /// For answers for these values.
    Features(FeatureRows),
}

/// Which columns of a table are used, and as what.
#[derive(Debug)]
pub struct Layout {
    by: By,
    columns: Vec<Needed>,
    constants: Vec<String>,
}

#[derive(Debug)]
struct Needed {
    name: String,
    dtype: Dtype,
    at: usize,
}

impl Layout {
    /// How a table of `schema` asks for `compiled`. Unless `by` says, a table that has all features of the service gives them,
    /// and any other one is of keys. Columns that are not needed do no harm.
    ///
    /// # Errors
    /// Of kind `Invalid`: a column that is needed is not there or there twice, or is of a type that does not widen to the
    /// declared one.
    pub fn find(schema: &Schema, compiled: &CompiledService, by: Option<By>) -> Result<Self, Failure> {
        let features: Vec<(&str, Dtype)> =
            compiled.service.columns.iter().map(|column| (column.name.as_str(), column.dtype)).collect();
        let is_there = |name: &str| schema.column_with_name(name).is_some();
        let lacks: Vec<&str> = features.iter().map(|(name, _)| *name).filter(|name| !is_there(name)).collect();
        let by = by.unwrap_or(if lacks.is_empty() { By::Features } else { By::Keys });
        let service = compiled.service.id();
        let named = match by {
            By::Features => features,
            By::Keys => {
                let keys = compiled.keys().into_iter().filter(|key| !key.is_constant() || is_there(key.name.as_str()));
                let fields = compiled.fields.iter().map(|field| (field.name.as_str(), field.dtype));
                keys.map(|key| (key.name.as_str(), key.dtype)).chain(fields).collect()
            }
        };
        let mut columns = Vec::with_capacity(named.len());
        for (name, dtype) in named {
            let mut found = schema.fields().iter().enumerate().filter(|(_, field)| field.name() == name);
            let Some((at, field)) = found.next() else {
                return Err(missing(name, dtype, by, schema, &lacks, &service.to_string()));
            };
            if found.next().is_some() {
                return Err(Failure::invalid(format!("two columns are called `{name}`")).hint("rename one of them"));
            }
            if !cast::conforms(field.data_type(), dtype) {
                return Err(misfit(field, dtype, &service.to_string()));
            }
            columns.push(Needed { name: name.to_owned(), dtype, at });
        }
        let constants = compiled.keys().into_iter().filter(|key| key.is_constant() && !is_there(key.name.as_str()));
        Ok(Self { by, columns, constants: constants.map(|key| key.name.to_string()).collect() })
    }

    /// Where the features come from.
    pub fn by(&self) -> By {
        self.by
    }

    /// What the rows of a batch of the table ask.
    ///
    /// # Errors
    /// Of kind `Invalid`: a single value that is none of the declared type.
    pub fn asked(&self, batch: &RecordBatch) -> Result<Asked, Failure> {
        let n = batch.num_rows();
        let conformed = self.columns.iter().map(|needed| {
            let column = batch.column(needed.at);
            let conformed = cast::conform(column, needed.dtype, None).map_err(|why| match why {
                CastError::Value { why } => Failure::invalid(format!("column `{}`: {why}", needed.name)),
                CastError::Type { .. } => misfit(batch.schema_ref().field(needed.at), needed.dtype, "the model"),
            });
            conformed.map(|column| (needed.name.clone(), column))
        });
        let conformed = conformed.collect::<Result<Vec<(String, ArrayRef)>, _>>()?;
        Ok(match self.by {
            By::Keys => {
                let mut columns: std::collections::HashMap<_, _> = conformed.into_iter().collect();
                columns.extend(self.constants.iter().map(|name| (name.clone(), JoinKey::constants(n))));
                Asked::Entities(EntityRows { n, columns })
            }
            By::Features => {
                let columns: Vec<ArrayRef> = conformed.into_iter().map(|(_, column)| column).collect();
                let statuses = columns.iter().map(|column| (0..n).map(|row| said(column, row)).collect::<Statuses>());
                let statuses = statuses.collect();
                Asked::Features(FeatureRows { columns, statuses, event_times: Vec::new() })
            }
        })
    }
}

/// A null says that the row has no value, not that there is no row.
fn said(column: &ArrayRef, row: usize) -> Status {
    if column.is_null(row) { Status::NullValue } else { Status::Present }
}

fn missing(name: &str, dtype: Dtype, by: By, schema: &Schema, lacks: &[&str], service: &str) -> Failure {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    match by {
        By::Features => Failure::invalid(format!("there is no column `{name}` ({dtype}), a feature of service `{service}`"))
            .code("missing_feature")
            .hint(suggest(name, names())),
        By::Keys => Failure::invalid(format!(
            "there is no column `{name}` ({dtype}), by which the features of service `{service}` are found, and the rows are not \
             features either: they lack {}",
            list(lacks)
        ))
        .code("missing_join_key")
        .hint(suggest(name, names())),
    }
}

fn misfit(field: &Field, dtype: Dtype, service: &str) -> Failure {
    let found = cast::describe(field.data_type());
    let name = field.name();
    Failure::invalid(format!("column `{name}` is {found}, and `{service}` needs {dtype}"))
        .hint(format!("write the column as {dtype}"))
}
