//! What a request asks for.

use featurestore::CompiledService;
use registry::Catalog;
use schema::{AppliedDefinitions, ErrorKind, ServiceColumn};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Refusal;
use super::{Asked, validation};
use crate::feast::{Class, FeastError};
use crate::http::services::{self, Reference};
use crate::replay::Replayable;

/// The body of `/get-online-features`.
#[derive(Debug)]
pub(super) struct Request {
    /// Which features, under which names.
    pub wanted: Wanted,
    /// Lists of values by join key or entity name, in the order of the body.
    pub entities: Map<String, Value>,
    /// Whether the answer names the view versions as Feast does.
    pub with_versions: bool,
}

/// Which features, under which names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// A feature service, which wins over features.
    service: Option<String>,
    features: Vec<String>,
    full_names: bool,
}

/// The body as its names have it.
#[derive(Debug, Deserialize)]
pub(super) struct Wire {
    pub entities: Map<String, Value>,
    #[serde(default)]
    pub feature_service: Option<String>,
    #[serde(default)]
    pub features: Vec<String>,
    #[serde(default)]
    pub full_feature_names: bool,
    #[serde(default)]
    pub include_feature_view_version_metadata: bool,
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::Shape`] with all that is wrong with it.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        // Bodies that are not of the very types are rare: they are read again, with all of Feast's leniency.
        let wire = match serde_json::from_slice::<Wire>(body) {
            Ok(wire) if wire.entities.values().all(Value::is_array) => wire,
            _ => validation::read(body).map_err(Refusal::Shape)?,
        };
        let service = wire.feature_service.filter(|name| !name.is_empty());
        let features = if service.is_some() { Vec::new() } else { wire.features };
        let wanted = Wanted { service, features, full_names: wire.full_feature_names };
        Ok(Self { wanted, entities: wire.entities, with_versions: wire.include_feature_view_version_metadata })
    }
}

impl Wanted {
    /// The features, ready to run, and their names in the answer.
    ///
    /// # Errors
    /// What is not applied; two features of one name; nothing asked for.
    pub(super) fn resolve(&self, catalog: &Catalog, project: &str) -> Result<Asked, FeastError> {
        let definitions = catalog.definitions();
        let unknown = |error| FeastError::unknown(&error, project);
        let (compiled, full_names): (CompiledService, Vec<String>) = match &self.service {
            Some(name) => {
                let compiled = services::compiled_named(definitions, name).map_err(unknown)?;
                let full = compiled.service.columns.iter().map(|column| full_name(column, definitions)).collect();
                (compiled, full)
            }
            None if self.features.is_empty() => {
                let message = "No features specified for retrieval: send `feature_service` or `features`".to_owned();
                return Err(FeastError { kind: ErrorKind::Invalid, class: Class::FeastError, message });
            }
            None => {
                let references = self.features.iter().map(|text| Reference::parse(text)).collect::<Result<Vec<_>, _>>();
                let references = references.map_err(unknown)?;
                let compiled = services::named(definitions, &references).map_err(unknown)?;
                (compiled, references.iter().map(Reference::full_name).collect())
            }
        };
        let names = if self.full_names {
            full_names
        } else {
            compiled.service.columns.iter().map(|column| column.name.to_string()).collect()
        };
        self.no_collision(&names, &compiled)?;
        let replay = Replayable::new(&compiled, catalog.definitions_seq());
        Ok(Asked { compiled, names, replay })
    }

    /// Answers are read by name.
    fn no_collision(&self, names: &[String], compiled: &CompiledService) -> Result<(), FeastError> {
        let keys = compiled.keys();
        let twice =
            |(i, name): (usize, &String)| names[..i].contains(name) || keys.iter().any(|key| key.name.as_str() == name);
        let Some((_, name)) = names.iter().enumerate().find(|(i, name)| twice((*i, *name))) else { return Ok(()) };
        Err(FeastError::collision(name, self.full_names))
    }
}

/// What Feast calls a service's column where names are full: the service's name for the view, the view's version if that is
/// not the current one, and the view's name of the feature. A training set by Feast's client has the same names.
fn full_name(column: &ServiceColumn, definitions: &AppliedDefinitions) -> String {
    let (id, name) = (&column.view, column.view.name.as_str());
    let stored = definitions.current_view(name).is_some_and(|view| view.id == *id);
    let current = stored || definitions.current_on_demand(name).is_some_and(|view| view.id == *id);
    match current {
        true => format!("{}__{}", column.use_name(), column.feature),
        false => format!("{}@v{}__{}", column.use_name(), id.version, column.feature),
    }
}
