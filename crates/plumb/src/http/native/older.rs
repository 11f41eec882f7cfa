//! Clients of older service versions: their rows are migrated along the declared chain, or they are told which is missing.

use featurestore::migrate::{Migrated, migrate};
use featurestore::{CompiledService, FeatureRows};
use schema::applied::migrations::Chain;
use schema::migration::{FeatureSchema, Migration, MigrationError, ServiceVersion};
use schema::{AppliedDefinitions, ErrorKind, FeatureService};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::columns::Feature;
use crate::failure::Failure;

/// The way from the service version that a client speaks to the one that it is answered in.
#[derive(Debug, Clone)]
pub struct Way {
    /// What it is answered in.
    pub to: FeatureService,
    chain: Chain,
}

impl Way {
    /// The declared chain from one service version to another, composed.
    ///
    /// # Errors
    /// `no_migration`: none is declared; the hint says where to, and what would have to be in it.
    pub fn find(definitions: &AppliedDefinitions, from: &FeatureService, to: &FeatureService) -> Result<Self, Failure> {
        let internal = |why: MigrationError| Failure::new(ErrorKind::Internal, why.to_string());
        let (start, end) = (from.id(), to.id());
        if start == end {
            let migration = Migration::none(&from.schema().map_err(internal)?);
            return Ok(Self { to: to.clone(), chain: Chain { through: vec![start], migration } });
        }
        let (migrations, _) = definitions.migrations();
        match migrations.between(&start, &end).map_err(internal)? {
            Some(chain) => Ok(Self { to: to.clone(), chain }),
            None => {
                let (older, newer) = (from.schema().map_err(internal)?, to.schema().map_err(internal)?);
                Err(missing(&start, &end, &migrations.leading_to(&end), &older, &newer))
            }
        }
    }

    /// Rows of the older version as rows of the newer one.
    ///
    /// # Errors
    /// A value that a cast of the migration refuses; no other for rows of the older version.
    pub fn migrate(&self, older: &FeatureService, rows: &FeatureRows) -> Result<Migrated, Failure> {
        migrate(older, &rows.columns, &rows.statuses, &self.chain.migration).map_err(|why| match &why {
            MigrationError::Refused { .. } => Failure::invalid(why.to_string())
                .code("cannot_migrate")
                .hint("leave the row out, or let the migration say `on_error: null` or a value"),
            _ => Failure::new(ErrorKind::Internal, schema::error::chain(&why)),
        })
    }

    /// The composed migration.
    pub fn migration(&self) -> &Migration {
        &self.chain.migration
    }

    /// The way itself.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The versions that it goes through, both ends included.
    pub fn through(&self) -> Vec<String> {
        self.chain.through.iter().map(ToString::to_string).collect()
    }
}

fn missing(
    from: &ServiceVersion,
    to: &ServiceVersion,
    known: &[&ServiceVersion],
    older: &FeatureSchema,
    newer: &FeatureSchema,
) -> Failure {
    let message = format!("no migration is declared that leads from `{from}` to `{to}`");
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let some = if known.is_empty() { String::new() } else { format!("; there are some from {}", known.join(", ")) };
    let hint = format!(
        "declare it in feature service `{}`: migrate_from: {{{from}: [{}]}}, and apply{some}",
        to.name,
        steps(older, newer).join(", ")
    );
    Failure::invalid(message).code("no_migration").hint(hint)
}

/// Steps that would arrive, for a person to correct: names that both have may still not mean the same.
fn steps(older: &FeatureSchema, newer: &FeatureSchema) -> Vec<String> {
    let find = |schema: &FeatureSchema, name: &schema::FeatureName| {
        schema.fields().iter().find(|field| &field.name == name).map(|field| field.dtype)
    };
    let gone = older.fields().iter().filter(|field| find(newer, &field.name).is_none());
    let mut steps: Vec<String> = gone.map(|field| format!("{{drop: {}}}", field.name)).collect();
    for field in newer.fields() {
        match find(older, &field.name) {
            None => steps.push(format!("{{add: {}, default: ..., when_missing: null}}", field.name)),
            Some(dtype) if !dtype.widens_to(field.dtype) => {
                steps.push(format!("{{cast: {{{}: {}}}, on_error: reject}}", field.name, field.dtype));
            }
            Some(dtype) if dtype != field.dtype => {
                steps.push(format!("{{widen: {{{}: {}}}}}", field.name, field.dtype));
            }
            Some(_) => {}
        }
    }
    steps
}

/// Migrated features of an answer: `{name: {values, statuses, view}}`.
#[derive(Debug)]
pub struct MigratedFeatures<'a>(pub &'a FeatureService, pub &'a Migrated);

impl Serialize for MigratedFeatures<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.0.columns.len()))?;
        for (i, column) in self.0.columns.iter().enumerate() {
            let feature = Feature::new(&self.1.columns[i], column.dtype, &self.1.statuses[i], Some(column.use_name()));
            map.serialize_entry(column.name.as_str(), &feature)?;
        }
        map.end()
    }
}

/// What an answer says of the migration that it went through.
#[derive(Debug, Serialize)]
pub struct Said {
    from: String,
    to: String,
    through: Vec<String>,
}

impl Said {
    /// For an answer in `way.to` of rows of `older`.
    pub fn of(older: &CompiledService, way: &Way) -> Self {
        Self { from: older.service.id().to_string(), to: way.to.id().to_string(), through: way.through() }
    }
}
