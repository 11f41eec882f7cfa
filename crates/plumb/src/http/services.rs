//! The services that requests ask for: a declared one by its name, or one made of the features that they name.
//!
//! Both are a [`FeatureService`], so that everything behind them is one path. Compiling one takes longer than answering
//! with it: [`Compiled`] keeps them for as long as the definitions stay as they are.

mod compiled;
mod reference;

use std::collections::BTreeMap;

use featurestore::compiled::CompileError;
use featurestore::materialize::is_materialized;
use featurestore::{CompiledService, OnlineStore};
use schema::definitions::{Service, ServiceFeature};
use schema::yaml::{Place, suggest};
use schema::{AppliedDefinitions, ErrorKind, FeatureService, FeatureView, Fingerprint, ServiceColumn, ServiceName};

use crate::failure::Failure;

pub use compiled::Compiled;
pub use reference::Reference;

/// Why a request's service or features cannot be answered: it names what is not there.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ServiceError {
    #[error("feature service `{name}` is not applied")]
    NoService { name: String, hint: String },
    #[error("feature view `{name}` is not applied")]
    NoView { name: String, hint: String },
    #[error("feature view `{name}` has no version {version}")]
    NoVersion { name: String, version: u32, hint: String },
    #[error("feature view `{view}` has no feature `{feature}`")]
    NoFeature { view: String, feature: String, hint: String },
    #[error("`{text}` does not name a feature")]
    NoReference { text: String },
    #[error("feature service `{name}` does not run")]
    Compile {
        name: String,
        #[source]
        source: CompileError,
    },
}

impl ServiceError {
    /// What to do.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoService { hint, .. }
            | Self::NoView { hint, .. }
            | Self::NoVersion { hint, .. }
            | Self::NoFeature { hint, .. } => Some(hint),
            Self::NoReference { .. } => Some("write view:feature, such as user_features:total_orders"),
            Self::Compile { .. } => None,
        }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoReference { .. } | Self::Compile { .. } => ErrorKind::Invalid,
            _ => ErrorKind::NotFound,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoService { .. } => "unknown_service",
            Self::NoView { .. } => "unknown_view",
            Self::NoVersion { .. } => "unknown_view_version",
            Self::NoFeature { .. } => "unknown_feature",
            Self::NoReference { .. } => "wrong_reference",
            Self::Compile { .. } => "invalid_input",
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let hint = error.hint().map(str::to_owned);
        let failure = Self::new(error.kind(), schema::error::chain(&error)).code(error.code());
        Self { hint, ..failure }
    }
}

/// The current version of a declared service, ready to run.
///
/// # Errors
/// It is not applied.
pub fn declared(definitions: &AppliedDefinitions, name: &str) -> Result<CompiledService, ServiceError> {
    let service = definitions.current_service(name).ok_or_else(|| {
        let known = definitions.services.keys().map(ServiceName::as_str);
        ServiceError::NoService { name: name.escape_debug().to_string(), hint: suggest(name, known) }
    })?;
    compile(service, definitions)
}

/// A service of the features that somebody names, ready to run.
///
/// It has a column per reference, in their order, each called as the feature is. Two columns may have one name: whether
/// that is a collision depends on what the caller calls them.
///
/// # Errors
/// It names what is not applied.
///
/// # Panics
/// Never: the service's name is a constant.
pub fn named(definitions: &AppliedDefinitions, references: &[Reference]) -> Result<CompiledService, ServiceError> {
    let columns = references.iter().map(|reference| column(definitions, reference)).collect::<Result<_, _>>()?;
    let name: ServiceName = "features".parse().expect("`features` is a name");
    let definition = Service {
        name: name.clone(),
        features: Vec::<ServiceFeature>::new(),
        fill: BTreeMap::new(),
        migrate_from: BTreeMap::new(),
        description: None,
        owner: None,
        tags: BTreeMap::new(),
        place: Place::default(),
    };
    let service = FeatureService { name, version: 0, fingerprint: Fingerprint::of_bytes(b""), definition, columns };
    compile(&service, definitions)
}

fn compile(service: &FeatureService, definitions: &AppliedDefinitions) -> Result<CompiledService, ServiceError> {
    CompiledService::new(service, definitions)
        .map_err(|source| ServiceError::Compile { name: service.name.to_string(), source })
}

fn column(definitions: &AppliedDefinitions, reference: &Reference) -> Result<ServiceColumn, ServiceError> {
    let view = view(definitions, reference)?;
    let feature = reference.feature.as_str();
    let name = view.definition.feature_names().find(|name| name.as_str() == feature);
    let (Some(name), Some(dtype)) = (name, view.definition.dtype_of(feature)) else {
        let hint = suggest(feature, view.definition.feature_names().map(schema::FeatureName::as_str));
        let feature = feature.escape_debug().to_string();
        return Err(ServiceError::NoFeature { view: reference.view.clone(), feature, hint });
    };
    Ok(ServiceColumn { name: name.clone(), view: view.id.clone(), feature: name.clone(), dtype, fill: None })
}

/// The current version of the view, or the one that the reference pins.
fn view<'a>(definitions: &'a AppliedDefinitions, reference: &Reference) -> Result<&'a FeatureView, ServiceError> {
    let name = reference.view.as_str();
    let missing = || {
        let known = definitions.views.keys().map(schema::ViewName::as_str);
        ServiceError::NoView { name: name.escape_debug().to_string(), hint: suggest(name, known) }
    };
    let Some(version) = reference.version else { return definitions.current_view(name).ok_or_else(missing) };
    let versions = &definitions.views.get(name).ok_or_else(missing)?.all;
    versions.iter().find(|view| view.id.version == version).ok_or_else(|| {
        let hint = match versions.len() {
            1 => "there is version 1".to_owned(),
            n => format!("there are versions 1 to {n}"),
        };
        ServiceError::NoVersion { name: name.to_owned(), version, hint }
    })
}

/// Refuses views that were never brought online: their rows are not missing but not there yet.
///
/// # Errors
/// `not_materialized`, or the store cannot be read.
pub async fn all_online(compiled: &CompiledService, online: &dyn OnlineStore) -> Result<(), Failure> {
    for view in &compiled.views {
        let id = &view.view.id;
        if !is_materialized(id, online).await? {
            return Err(Failure::new(ErrorKind::Conflict, format!("feature view `{id}` is not materialized"))
                .code("not_materialized")
                .hint(format!("run plumb materialize {}", id.name)));
        }
    }
    Ok(())
}
