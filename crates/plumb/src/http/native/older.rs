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
    /// `no_migration`: none is declared; the hint says where to, and what would have to be in it, if one can be.
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
                if definitions.current_service(end.name.as_str()).is_none_or(|current| current.id() != end) {
                    return Err(to_no_current(&start, &end));
                }
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

/// Of a version that is not current nobody can declare any more what leads to it.
fn to_no_current(from: &ServiceVersion, to: &ServiceVersion) -> Failure {
    let message = format!("no migration leads from `{from}` to `{to}`");
    Failure::invalid(message).code("no_migration").hint(format!(
        "none can be declared either, for `{to}` is not the current version of its service: speak `{to}`, or another that \
         leads to it"
    ))
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

#[cfg(test)]
mod tests {
    use schema::Definitions;
    use schema::definitions::File;

    use super::*;

    /// A service that had feature `a` and then has `b` as well, and one of another name.
    fn applied() -> AppliedDefinitions {
        let text = |features: &str| {
            format!(
                "{{kind: entity, name: e, join_key: k, type: int64}}\n---\n\
                 {{kind: source, name: rows, path: rows.parquet, event_time: ts}}\n---\n\
                 {{kind: feature_view, name: v, entity: e, source: rows, \
                 features: [{{name: a, type: int64}}, {{name: b, type: int64}}]}}\n---\n\
                 {{kind: feature_service, name: s, features: [{features}]}}\n---\n\
                 {{kind: feature_service, name: t, features: ['v:b']}}\n"
            )
        };
        let read = |text: String| Definitions::read(&[File { path: "f.yaml".to_owned(), text }]).unwrap();
        AppliedDefinitions::default().after(&read(text("'v:a'"))).after(&read(text("'v:a', 'v:b'")))
    }

    #[test]
    fn only_what_can_be_declared_is_suggested() {
        let applied = applied();
        let versions = &applied.services["s"].all;
        let other = applied.current_service("t").unwrap();
        let hint = |from: &FeatureService, to: &FeatureService| {
            let failure = Way::find(&applied, from, to).unwrap_err();
            assert_eq!(failure.code, "no_migration");
            failure.hint.unwrap()
        };
        let declare = |from: &FeatureService, to: &FeatureService| hint(from, to).contains("migrate_from: {");
        assert!(declare(&versions[0], &versions[1]));
        assert!(declare(&versions[1], other));
        assert_eq!(
            hint(&versions[1], &versions[0]),
            "none can be declared either, for `s@v1` is not the current version of its service: speak `s@v1`, or another \
             that leads to it"
        );
        assert!(!declare(other, &versions[0]));
    }
}
