//! Migrations between feature-service versions: pure, total functions on rows, kept in a normal form.
//!
//! A user writes steps; the normal form says for every field of the target where it comes from. Two scripts that mean
//! the same have the same normal form, so equality is decidable (natural transformations, sections 1 and 4). Fields are
//! followed along declared paths, never by name, so a dropped column cannot be resurrected (section 5).

mod cast;
mod from;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::kernels::zip::zip;
use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;
use crate::name::FeatureName;
use crate::value::Value;
pub use cast::{Casts, LossyCast, OnCastError};
pub use from::{MigrateFrom, ServiceVersion};

/// One field of a row type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: FeatureName,
    /// Its type; every field may be null.
    pub dtype: Dtype,
}

/// The row type that one feature service hands to a model: an ordered list of fields with distinct names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSchema {
    fields: Vec<Field>,
}

/// One step of a migration as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationStep {
    /// A new last field.
    Add {
        /// Its name.
        name: FeatureName,
        /// Its type; the new service's where the step does not say.
        dtype: Option<Dtype>,
        /// Its value in rows written before it existed.
        default: Value,
        /// Its value where the row itself is missing.
        when_missing: Value,
        /// Whether it is a field that was dropped before, and means what it meant.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restore: bool,
    },
    /// Takes a field away.
    Drop {
        /// Which.
        name: FeatureName,
    },
    /// Another name, same place and values.
    Rename {
        /// The old name.
        from: FeatureName,
        /// The new name.
        to: FeatureName,
    },
    /// Another order of all fields.
    Reorder {
        /// All names, in the new order.
        names: Vec<FeatureName>,
    },
    /// A wider type, exact for every value.
    Widen {
        /// Which field.
        name: FeatureName,
        /// The wider type.
        to: Dtype,
    },
    /// Another type that cannot hold every value.
    LossyCast {
        /// Which field.
        name: FeatureName,
        /// The other type.
        to: Dtype,
        /// What becomes of values that it cannot hold exactly.
        on_error: OnCastError,
    },
}

/// Where a field of the target comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A field of the source schema, widened to the target's type.
    Copy {
        /// Position in the source schema.
        from: usize,
        /// The casts on its way that may lose something.
        #[serde(default, skip_serializing_if = "Casts::is_empty")]
        casts: Casts,
    },
    /// A constant.
    Const {
        /// Where the row is present.
        value: Value,
        /// Where it is missing.
        when_missing: Value,
        /// The view, as the service that brought the field calls it, whose row it is; none where all is one row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
}

/// Which rows are there. A row that several views were joined into is there view by view.
#[derive(Debug)]
pub struct Presence<'a> {
    n: usize,
    whole: Option<&'a BooleanArray>,
    views: Option<&'a BTreeMap<&'a str, BooleanArray>>,
}

impl<'a> Presence<'a> {
    /// Of rows that are one thing.
    pub fn whole(present: &'a BooleanArray) -> Self {
        Self { n: present.len(), whole: Some(present), views: None }
    }

    /// Of `n` joined rows, by the views' names. A view that is not named was not joined: its fields did not exist when
    /// the rows were made, so the rows count as there.
    pub fn by_view(n: usize, views: &'a BTreeMap<&'a str, BooleanArray>) -> Self {
        Self { n, whole: None, views: Some(views) }
    }

    fn of(&self, view: Option<&str>) -> Option<&'a BooleanArray> {
        let by_view = || self.views.and_then(|views| views.get(view?));
        self.whole.or_else(by_view)
    }
}

/// A migration in normal form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    source: FeatureSchema,
    target: FeatureSchema,
    origins: Vec<Origin>,
}

/// Why steps are no migration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MigrationError {
    #[error("there is no field `{name}` to {verb} in {schema}")]
    NoField { name: FeatureName, verb: &'static str, schema: FeatureSchema },
    #[error("field `{name}` exists twice")]
    Twice { name: FeatureName },
    #[error("field `{name}` was dropped and may not come back under its old name with other values")]
    Resurrected { name: FeatureName },
    #[error(
        "field `{name}` cannot be widened from {from} to {to}: values would change; say `cast`, and what becomes of those"
    )]
    Lossy { name: FeatureName, from: Dtype, to: Dtype },
    #[error("field `{name}` is cast from {from} to {to}, and nothing can be lost: say `widen`")]
    NothingLost { name: FeatureName, from: Dtype, to: Dtype },
    #[error("there is no cast of field `{name}` from {from} to {to}")]
    NoCast { name: FeatureName, from: Dtype, to: Dtype },
    #[error("row {row} of field `{name}` has a value that is none of {to}, and the migration says `on_error: reject`")]
    Refused { name: FeatureName, row: usize, to: Dtype },
    #[error("field `{name}`: {why}")]
    Constant { name: FeatureName, why: String },
    #[error("the step that adds `{name}` needs its `type`, for the new service has no field of that name")]
    NoType { name: FeatureName },
    #[error("`reorder` must name each of {schema} once")]
    Order { schema: FeatureSchema },
    #[error("migrating rows: {why}")]
    Apply { why: String },
    #[error("one ends at {ends}, the other starts at {starts}")]
    Apart { ends: FeatureSchema, starts: FeatureSchema },
}

impl FeatureSchema {
    /// A row type of these fields.
    ///
    /// # Errors
    /// [`MigrationError::Twice`] if two share a name.
    pub fn new(fields: Vec<Field>) -> Result<Self, MigrationError> {
        let mut seen = BTreeSet::new();
        match fields.iter().find(|f| !seen.insert(&f.name)) {
            Some(field) => Err(MigrationError::Twice { name: field.name.clone() }),
            None => Ok(Self { fields }),
        }
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn position(&self, name: &FeatureName, verb: &'static str) -> Result<usize, MigrationError> {
        self.fields.iter().position(|f| &f.name == name).ok_or_else(|| MigrationError::NoField {
            name: name.clone(),
            verb,
            schema: self.clone(),
        })
    }
}

impl fmt::Display for FeatureSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> = self.fields.iter().map(|f| format!("{}: {}", f.name, f.dtype)).collect();
        write!(f, "{{{}}}", fields.join(", "))
    }
}

impl MigrationStep {
    /// With the type of an added field taken from the schema that the migration ends at.
    ///
    /// # Errors
    /// [`MigrationError::NoType`] if neither says it.
    pub fn typed(&self, end: &FeatureSchema) -> Result<Self, MigrationError> {
        let Self::Add { name, dtype: None, default, when_missing, restore } = self else { return Ok(self.clone()) };
        let dtype = end.fields.iter().find(|f| &f.name == name).map(|f| f.dtype);
        let dtype = Some(dtype.ok_or_else(|| MigrationError::NoType { name: name.clone() })?);
        let (default, when_missing) = (default.clone(), when_missing.clone());
        Ok(Self::Add { name: name.clone(), dtype, default, when_missing, restore: *restore })
    }
}

impl Migration {
    /// The migration that changes nothing.
    pub fn none(schema: &FeatureSchema) -> Self {
        let origins = (0..schema.fields.len()).map(|from| Origin::Copy { from, casts: Casts::default() }).collect();
        Self { source: schema.clone(), target: schema.clone(), origins }
    }

    /// The composition of steps, starting at `source`.
    ///
    /// # Errors
    /// [`MigrationError`] names the step's field and what is wrong.
    pub fn from_steps(source: &FeatureSchema, steps: &[MigrationStep]) -> Result<Self, MigrationError> {
        let mut whole = Self::none(source);
        let mut dropped = BTreeSet::new();
        for step in steps {
            match step {
                MigrationStep::Drop { name } => drop(dropped.insert(name.clone())),
                MigrationStep::Add { restore: true, .. } => {}
                MigrationStep::Add { name, .. } | MigrationStep::Rename { to: name, .. } if dropped.contains(name) => {
                    return Err(MigrationError::Resurrected { name: name.clone() });
                }
                _ => {}
            }
            whole = whole.then(&Self::of_step(&whole.target, step)?)?;
        }
        Ok(whole)
    }

    fn of_step(source: &FeatureSchema, step: &MigrationStep) -> Result<Self, MigrationError> {
        let mut next = Self::none(source);
        match step {
            MigrationStep::Add { name, dtype, default, when_missing, restore: _ } => {
                let dtype = dtype.ok_or_else(|| MigrationError::NoType { name: name.clone() })?;
                let canonical = |value: &Value| {
                    value.canonical(dtype).map_err(|why| MigrationError::Constant { name: name.clone(), why })
                };
                let (value, when_missing) = (canonical(default)?, canonical(when_missing)?);
                next.origins.push(Origin::Const { value, when_missing, of: None });
                next.target.fields.push(Field { name: name.clone(), dtype });
            }
            MigrationStep::Drop { name } => {
                let at = source.position(name, "drop")?;
                next.origins.remove(at);
                next.target.fields.remove(at);
            }
            MigrationStep::Rename { from, to } => {
                let at = source.position(from, "rename")?;
                next.target.fields[at].name = to.clone();
            }
            MigrationStep::Widen { name, to } => {
                let at = source.position(name, "widen")?;
                let from = source.fields[at].dtype;
                if !from.widens_to(*to) {
                    return Err(MigrationError::Lossy { name: name.clone(), from, to: *to });
                }
                next.target.fields[at].dtype = *to;
            }
            MigrationStep::LossyCast { name, to, on_error } => {
                let at = source.position(name, "cast")?;
                let from = source.fields[at].dtype;
                let cast = LossyCast::new(name, from, *to, on_error)?;
                if let Origin::Copy { casts, .. } = &mut next.origins[at] {
                    casts.push(from, &cast);
                }
                next.target.fields[at].dtype = *to;
            }
            MigrationStep::Reorder { names } => {
                let wrong = || MigrationError::Order { schema: source.clone() };
                if names.len() != source.fields.len() {
                    return Err(wrong());
                }
                let order = names.iter().map(|n| source.position(n, "reorder").map_err(|_unknown| wrong()));
                let order = order.collect::<Result<Vec<_>, _>>()?;
                next.target.fields = order.iter().map(|at| source.fields[*at].clone()).collect();
                next.origins = order.into_iter().map(|from| Origin::Copy { from, casts: Casts::default() }).collect();
            }
        }
        // Names stay distinct whatever the step was.
        FeatureSchema::new(next.target.fields.clone())?;
        Ok(next)
    }

    /// First this, then `next`, as one migration in normal form.
    ///
    /// # Errors
    /// [`MigrationError::Apart`] unless `next` starts where this ends.
    pub fn then(&self, next: &Self) -> Result<Self, MigrationError> {
        if self.target != next.source {
            return Err(MigrationError::Apart { ends: self.target.clone(), starts: next.source.clone() });
        }
        let substitute = |(origin, field): (&Origin, &Field)| match origin {
            Origin::Const { .. } => Ok(origin.clone()),
            Origin::Copy { from: between, casts: later } => match &self.origins[*between] {
                Origin::Copy { from, casts } => {
                    let casts = casts.then(self.source.fields[*from].dtype, later);
                    Ok(Origin::Copy { from: *from, casts })
                }
                Origin::Const { value, when_missing, of } => {
                    let widen = |value: &Value| {
                        let value = later.constant(&field.name, value, self.target.fields[*between].dtype)?;
                        value
                            .canonical(field.dtype)
                            .map_err(|why| MigrationError::Constant { name: field.name.clone(), why })
                    };
                    let (value, when_missing) = (widen(value)?, widen(when_missing)?);
                    Ok(Origin::Const { value, when_missing, of: of.clone() })
                }
            },
        };
        let origins = next.origins.iter().zip(&next.target.fields).map(substitute).collect::<Result<_, _>>()?;
        Ok(Self { source: self.source.clone(), target: next.target.clone(), origins })
    }

    /// With the views that its constants are of, by the names of fields of the target; those that have one keep it.
    #[must_use]
    pub fn in_views(mut self, view: impl Fn(&FeatureName) -> Option<String>) -> Self {
        for (origin, field) in self.origins.iter_mut().zip(&self.target.fields) {
            if let Origin::Const { of: of @ None, .. } = origin {
                *of = view(&field.name);
            }
        }
        self
    }

    /// Whether it takes every row: no cast of it refuses any.
    pub fn is_total(&self) -> bool {
        self.origins.iter().all(|origin| match origin {
            Origin::Copy { casts, .. } => casts.are_total(),
            Origin::Const { .. } => true,
        })
    }

    /// Where it starts.
    pub fn source(&self) -> &FeatureSchema {
        &self.source
    }

    /// Where it ends.
    pub fn target(&self) -> &FeatureSchema {
        &self.target
    }

    /// For each field of the target, where it comes from.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Applies it to the columns of `source`, in order; `presence` says which rows exist at all: a missing row stays
    /// missing, whatever values it is given.
    ///
    /// # Errors
    /// [`MigrationError::Refused`] where a cast says so; no other for columns of the source's types.
    pub fn apply(&self, columns: &[ArrayRef], presence: &Presence<'_>) -> Result<Vec<ArrayRef>, MigrationError> {
        let column = |(origin, field): (&Origin, &Field)| {
            let fail = |why: String| MigrationError::Constant { name: field.name.clone(), why };
            match origin {
                Origin::Copy { from, casts } if !casts.is_empty() => {
                    casts.column(&field.name, &columns[*from], self.source.fields[*from].dtype, field.dtype)
                }
                Origin::Copy { from, .. } => {
                    arrow::compute::cast(&columns[*from], &field.dtype.to_arrow()).map_err(|why| fail(why.to_string()))
                }
                Origin::Const { value, when_missing, of } => {
                    let value = value.to_array(field.dtype, presence.n).map_err(fail)?;
                    let Some(present) = presence.of(of.as_deref()) else { return Ok(value) };
                    let missing = when_missing.to_array(field.dtype, presence.n).map_err(fail)?;
                    zip(present, &value, &missing).map_err(|why| fail(why.to_string()))
                }
            }
        };
        self.origins.iter().zip(&self.target.fields).map(column).collect()
    }
}

#[cfg(test)]
mod tests;
