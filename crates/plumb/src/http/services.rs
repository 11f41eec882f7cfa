//! The services that requests ask for: a declared one by its name, or one made of the features that they name.
//!
//! Both are a [`FeatureService`], so that everything behind them is one path. Compiling one takes longer than answering
//! with it: [`Compiled`] keeps them for as long as the definitions stay as they are.

mod compiled;
mod reference;

use std::collections::BTreeMap;

use featurestore::CompiledService;
use featurestore::compiled::CompileError;
use schema::definitions::{Service, ServiceFeature, ViewAlias};
use schema::yaml::{Place, suggest};
use schema::{
    AppliedDefinitions, ErrorKind, FeatureService, FeatureView, Fingerprint, OnDemandView, ServiceColumn, ServiceName,
};

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
    #[error("`{text}` is not the current version, which aliases and on-demand views of the same request read")]
    Versions { text: String },
    #[error("service `{name}` names what is not applied")]
    Unresolved { name: String },
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
            Self::Versions { .. } => Some("ask for the version in a request of its own"),
            Self::Compile { .. } | Self::Unresolved { .. } => None,
        }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoReference { .. } | Self::Versions { .. } | Self::Compile { .. } => ErrorKind::Invalid,
            _ => ErrorKind::NotFound,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoService { .. } => "unknown_service",
            Self::NoView { .. } => "unknown_view",
            Self::NoVersion { .. } => "unknown_view_version",
            Self::NoFeature { .. } => "unknown_feature",
            Self::NoReference { .. } | Self::Versions { .. } => "wrong_reference",
            Self::Unresolved { .. } => "not_found",
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
    let service = definitions.current_service(name).ok_or_else(|| ServiceError::NoService {
        name: name.escape_debug().to_string(),
        hint: service_hint(definitions, name),
    })?;
    compile(service, definitions)
}

/// What to do about a feature service that is not applied.
pub fn service_hint(definitions: &AppliedDefinitions, name: &str) -> String {
    let declared = definitions.services.iter().filter(|(_, versions)| versions.current().is_some());
    match definitions.services.get(name) {
        Some(_) => "nobody declares it any more: declare it again, and apply".to_owned(),
        None => suggest(name, declared.map(|(name, _)| name.as_str())),
    }
}

/// What to do about a feature view of which there is no current version.
pub fn view_hint(definitions: &AppliedDefinitions, name: &str) -> String {
    if definitions.on_demand.contains_key(name) {
        return "it is an on-demand view, computed for every request: name the feature views that it reads".to_owned();
    }
    let Some(gone) = definitions.views.get(name) else {
        let views = definitions.views.iter().filter(|(_, versions)| versions.current().is_some());
        let on_demand = definitions.on_demand.iter().filter(|(_, versions)| versions.current().is_some());
        return suggest(
            name,
            views.map(|(name, _)| name).chain(on_demand.map(|(name, _)| name)).map(schema::ViewName::as_str),
        );
    };
    let kept = gone.all.iter().rfind(|view| !definitions.is_removed(&view.id));
    match kept {
        Some(view) => format!("nobody declares it any more: declare it again, or name a version, such as {}", view.id),
        None => "nobody declares it any more, and its versions were removed: declare it again".to_owned(),
    }
}

/// The version of a declared service that a text names: `name` for the current one, `name@v2` for that one.
///
/// # Errors
/// It is not applied.
pub fn version_named<'d>(definitions: &'d AppliedDefinitions, text: &str) -> Result<&'d FeatureService, ServiceError> {
    let known = || definitions.services.keys().map(ServiceName::as_str);
    let missing = |hint: String| ServiceError::NoService { name: text.escape_debug().to_string(), hint };
    let Some((name, at)) = text.split_once('@') else {
        return definitions.current_service(text).ok_or_else(|| missing(service_hint(definitions, text)));
    };
    let Some(versions) = definitions.services.get(name) else { return Err(missing(suggest(name, known()))) };
    let found = match reference::version(at) {
        None if at.eq_ignore_ascii_case("latest") => versions.current(),
        version => versions.all.iter().find(|service| Some(service.version) == version),
    };
    found.ok_or_else(|| {
        missing(match versions.all.len() {
            1 => "there is version 1: write name@v1".to_owned(),
            n => format!("there are versions 1 to {n}: write name@v{n}"),
        })
    })
}

/// The service that a text names, as [`version_named`], ready to run.
///
/// # Errors
/// It is not applied.
pub fn compiled_named(definitions: &AppliedDefinitions, text: &str) -> Result<CompiledService, ServiceError> {
    compile(version_named(definitions, text)?, definitions)
}

/// A version of a declared service, ready to run, whether or not it is the current one.
///
/// # Errors
/// It is not applied.
pub fn versioned(definitions: &AppliedDefinitions, name: &str, version: u32) -> Result<CompiledService, ServiceError> {
    let versions = definitions.services.get(name).map(|versions| versions.all.as_slice()).unwrap_or_default();
    let service = versions.iter().find(|service| service.version == version).ok_or_else(|| {
        let known = definitions.services.keys().map(ServiceName::as_str);
        ServiceError::NoService { name: format!("{name}@v{version}"), hint: suggest(name, known) }
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
pub fn named(definitions: &AppliedDefinitions, references: &[Reference]) -> Result<CompiledService, ServiceError> {
    named_as(definitions, references, &[])
}

/// As [`named`], where references may name views by aliases, which are of current versions.
///
/// # Errors
/// It names what is not applied.
///
/// # Panics
/// Never: the service's name is a constant.
pub fn named_as(
    definitions: &AppliedDefinitions,
    references: &[Reference],
    aliases: &[ViewAlias],
) -> Result<CompiledService, ServiceError> {
    let name: ServiceName = "features".parse().expect("`features` is a name");
    let mut definition = Service {
        name: name.clone(),
        views: aliases.to_vec(),
        features: Vec::new(),
        fill: BTreeMap::new(),
        migrate_from: BTreeMap::new(),
        description: None,
        owner: None,
        tags: BTreeMap::new(),
        place: Place::default(),
    };
    if !aliases.is_empty() || references.iter().any(|reference| on_demand(definitions, reference).is_some()) {
        for reference in references {
            definition.features.push(feature(definitions, reference, aliases)?);
        }
        let unresolved = || ServiceError::Unresolved { name: name.to_string() };
        return compile(&definitions.ad_hoc(&definition).ok_or_else(unresolved)?, definitions);
    }
    let columns = references.iter().map(|reference| column(definitions, reference)).collect::<Result<_, _>>()?;
    let fingerprint = Fingerprint::of_bytes(b"");
    let (uses, on_demand) = (Vec::new(), Vec::new());
    let service = FeatureService { name, version: 0, fingerprint, definition, columns, uses, on_demand };
    compile(&service, definitions)
}

/// Answers are by name, so two features of one name cannot both be in one.
///
/// # Errors
/// `name_collision`.
pub fn no_collision(compiled: &CompiledService) -> Result<(), Failure> {
    let columns = &compiled.service.columns;
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|other| other.name == column.name) {
            return Err(Failure::invalid(format!("two features are called `{}`", column.name))
                .code("name_collision")
                .hint("ask for a feature service that renames one"));
        }
    }
    Ok(())
}

/// The on-demand view that a reference names.
fn on_demand<'a>(definitions: &'a AppliedDefinitions, reference: &Reference) -> Option<&'a OnDemandView> {
    definitions.current_on_demand(&reference.view).filter(|_| reference.version.is_none())
}

/// A reference beside an alias or an on-demand view, which read current versions: one view cannot be there in two.
fn feature(
    definitions: &AppliedDefinitions,
    reference: &Reference,
    aliases: &[ViewAlias],
) -> Result<ServiceFeature, ServiceError> {
    let alias = aliases.iter().find(|alias| alias.name.as_str() == reference.view);
    let renamed = alias.map(|alias| Reference { view: alias.view.to_string(), ..reference.clone() });
    let reference = renamed.as_ref().unwrap_or(reference);
    let (view, feature) = match on_demand(definitions, reference) {
        Some(found) => {
            let names = || found.definition.features.iter().map(|feature| &feature.name);
            let name = names().find(|name| name.as_str() == reference.feature);
            let name = name.ok_or_else(|| no_feature(reference, names().map(schema::FeatureName::as_str)))?;
            (found.id.name.clone(), name.clone())
        }
        None => {
            let found = column(definitions, reference)?;
            let current = definitions.current_view(&reference.view).is_some_and(|view| view.id == found.view);
            if !current {
                let text = format!("{}@v{}:{}", reference.view, found.view.version, reference.feature);
                return Err(ServiceError::Versions { text });
            }
            (found.view.name, found.feature)
        }
    };
    let view = alias.map_or(view, |alias| alias.name.clone());
    Ok(ServiceFeature { view, name: feature.clone(), feature, place: Place::default() })
}

fn no_feature<'n>(reference: &Reference, known: impl Iterator<Item = &'n str>) -> ServiceError {
    let (view, feature) = (reference.view.clone(), reference.feature.escape_debug().to_string());
    ServiceError::NoFeature { view, feature, hint: suggest(&reference.feature, known) }
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
        return Err(no_feature(reference, view.definition.feature_names().map(schema::FeatureName::as_str)));
    };
    let (view, feature, name) = (view.id.clone(), name.clone(), name.clone());
    Ok(ServiceColumn { name, view, alias: None, feature, dtype, fill: None })
}

/// A feature view by name, or one of its versions by `name@v2`.
///
/// # Errors
/// It is not applied.
pub fn view_named<'a>(definitions: &'a AppliedDefinitions, name: &str) -> Result<&'a FeatureView, ServiceError> {
    view(definitions, &Reference::whole(name))
}

/// The current version of the view, or the one that the reference pins.
fn view<'a>(definitions: &'a AppliedDefinitions, reference: &Reference) -> Result<&'a FeatureView, ServiceError> {
    let name = reference.view.as_str();
    let missing = || ServiceError::NoView { name: name.escape_debug().to_string(), hint: view_hint(definitions, name) };
    let Some(version) = reference.version else { return definitions.current_view(name).ok_or_else(missing) };
    let versions = &definitions.views.get(name).ok_or_else(missing)?.all;
    let found = versions.iter().find(|view| view.id.version == version);
    found.filter(|view| !definitions.is_removed(&view.id)).ok_or_else(|| {
        let hint = match versions.len() {
            _ if found.is_some() => "it was removed".to_owned(),
            1 => "there is version 1".to_owned(),
            n => format!("there are versions 1 to {n}"),
        };
        ServiceError::NoVersion { name: name.to_owned(), version, hint }
    })
}

#[cfg(test)]
mod tests {
    use schema::Definitions;
    use schema::definitions::File;

    use super::*;

    const TEXT: &str = "{kind: entity, name: e, join_key: k, type: int64}
---
{kind: source, name: rows, path: rows.parquet, event_time: ts}
---
{kind: feature_view, name: v, entity: e, source: rows, features: [{name: a, type: int64}]}
---
{kind: feature_view, name: w, entity: e, source: rows, features: [{name: a, type: int64}]}
---
{kind: on_demand_view, name: od, inputs: ['v:a'], features: [{name: b, type: int64, expr: a + 1}]}
---
{kind: feature_service, name: s, features: ['w:a']}
---
{kind: feature_service, name: t, features: ['v:a']}
";

    /// All of `TEXT`, and then without view `w` and service `s`.
    fn applied() -> AppliedDefinitions {
        let read = |text: String| Definitions::read(&[File { path: "f.yaml".to_owned(), text }]).unwrap();
        let kept = |document: &&str| !document.contains("name: w") && !document.contains("name: s,");
        let fewer: Vec<&str> = TEXT.split("---\n").filter(kept).collect();
        AppliedDefinitions::default().after(&read(TEXT.to_owned())).after(&read(fewer.join("---\n")))
    }

    #[track_caller]
    fn hints(found: Result<impl Sized, ServiceError>, want: &str) {
        let why = found.err().unwrap();
        assert_eq!(why.hint(), Some(want), "{why}");
    }

    #[test]
    fn nobody_is_told_to_write_what_they_wrote() {
        let applied = applied();
        let on_demand = "it is an on-demand view, computed for every request: name the feature views that it reads";
        hints(view_named(&applied, "od"), on_demand);
        hints(
            view_named(&applied, "w"),
            "nobody declares it any more: declare it again, or name a version, such as w@v1",
        );
        hints(view_named(&applied, "x"), "did you mean `v`?");
        hints(declared(&applied, "s"), "nobody declares it any more: declare it again, and apply");
        hints(version_named(&applied, "s"), "nobody declares it any more: declare it again, and apply");
        assert!(view_named(&applied, "w@v1").is_ok() && version_named(&applied, "s@v1").is_ok());
        hints(declared(&applied, "service"), "there is `t`");
    }
}
