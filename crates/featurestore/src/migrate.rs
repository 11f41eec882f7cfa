//! Features of one service version as features of another: the rows are read or sent as the older one has them, and a
//! declared migration makes rows of the newer one of them.
//!
//! A missing row stays missing, whatever values it is given (natural transformations, section 4): which rows of a view are
//! there is told by the statuses of its features, view by view, and the status of a filled value of a missing row is the
//! row's.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::compute::kernels::zip::zip;
use schema::migration::{Migration, MigrationError, Origin, Presence};
use schema::{FeatureService, Status};

use crate::assemble::Statuses;

/// Features of `n` rows, in a service's order.
#[derive(Debug, Clone)]
pub struct Migrated {
    /// One column per feature.
    pub columns: Vec<ArrayRef>,
    /// For each feature, the status of each row.
    pub statuses: Vec<Statuses>,
}

/// Migrates features of `older`, in its order, by a migration that starts at it.
///
/// # Errors
/// [`MigrationError::Refused`] where a cast says so; no other for columns of the service's types.
pub fn migrate(
    older: &FeatureService,
    columns: &[ArrayRef],
    statuses: &[Statuses],
    migration: &Migration,
) -> Result<Migrated, MigrationError> {
    let n = statuses.first().map_or(0, Statuses::len);
    let rows = rows_of(older, statuses);
    let whole = vec![Status::Present; n];
    let of = |view: &Option<String>| view.as_ref().and_then(|view| rows.get(view.as_str())).unwrap_or(&whole);
    let present: BTreeMap<&str, BooleanArray> = rows
        .iter()
        .map(|(view, statuses)| (*view, statuses.iter().map(|status| Some(*status == Status::Present)).collect()))
        .collect();
    let mut migrated = migration.apply(columns, &Presence::by_view(n, &present))?;
    let mut all = Vec::with_capacity(migrated.len());
    for (column, origin) in migrated.iter_mut().zip(migration.origins()) {
        all.push(match origin {
            Origin::Copy { from, casts } if !casts.is_empty() => {
                // What a cast made null is a null of a row that is there.
                let status = |(row, status): (usize, &Status)| match status {
                    Status::Present if column.is_null(row) => Status::NullValue,
                    other => *other,
                };
                statuses[*from].iter().enumerate().map(status).collect()
            }
            Origin::Copy { from, .. } => statuses[*from].clone(),
            Origin::Const { of: view, .. } => {
                let rows = of(view);
                *column = without_unknown(column, rows)?;
                let is_null = |row: usize| column.is_null(row);
                let status = |(row, status): (usize, &Status)| match status {
                    Status::Present if is_null(row) => Status::NullValue,
                    other => *other,
                };
                rows.iter().enumerate().map(status).collect()
            }
        });
    }
    Ok(Migrated { columns: migrated, statuses: all })
}

/// For each view that the service reads, by the name that it uses, whether it has a row: `Present`, or why not. A feature
/// on demand is of no row; it is always there, but where its inputs are unknown.
fn rows_of<'s>(service: &'s FeatureService, statuses: &[Statuses]) -> BTreeMap<&'s str, Vec<Status>> {
    let mut rows: BTreeMap<&str, Vec<Status>> = BTreeMap::new();
    for (column, statuses) in service.columns.iter().zip(statuses) {
        let on_demand = service.on_demand.iter().any(|used| used.name == column.use_name());
        let row = |status: &Status| match status {
            Status::Present | Status::NullValue => Status::Present,
            Status::Unavailable => Status::Unavailable,
            Status::NotFound | Status::OutsideMaxAge if on_demand => Status::Present,
            other => *other,
        };
        match rows.get_mut(column.use_name()) {
            None => drop(rows.insert(column.use_name(), statuses.iter().map(row).collect())),
            // A store that keeps features apart may lack one of a row that it has.
            Some(known) => {
                for (known, status) in known.iter_mut().zip(statuses) {
                    if row(status) == Status::Present {
                        *known = Status::Present;
                    }
                }
            }
        }
    }
    rows
}

/// What is unknown is not the constant of a missing row.
fn without_unknown(column: &ArrayRef, rows: &[Status]) -> Result<ArrayRef, MigrationError> {
    if !rows.contains(&Status::Unavailable) {
        return Ok(ArrayRef::clone(column));
    }
    let known: BooleanArray = rows.iter().map(|status| Some(*status != Status::Unavailable)).collect();
    let nulls = new_null_array(column.data_type(), column.len());
    zip(&known, column, &nulls).map_err(|why| MigrationError::Apply { why: why.to_string() })
}

#[cfg(test)]
mod tests;
