//! What requests name: models, versions, stages.

use registry::alias::LATEST;
use registry::{Catalog, Model, RegistryError, Stage, Tags, VersionState};
use schema::ModelName;

use super::Registrar;
use super::errors::{no_model, no_version};
use crate::http::mlflow::{Fields, Refusal};

/// A name, whether or not there is a model of it.
pub(super) fn name(fields: &Fields, field: &str) -> Result<ModelName, Refusal> {
    let text = fields.required(field)?;
    ModelName::new(text)
        .map_err(|why| Refusal::invalid(format!("Invalid model name: '{}'. {why}", text.escape_debug())))
}

/// The number of a version, as text or as number.
pub(super) fn number(fields: &Fields) -> Result<u32, Refusal> {
    if !fields.has("version") {
        return Err(fields.missing("version"));
    }
    let wrong = |said: &str| {
        let said = said.escape_debug();
        Refusal::invalid(format!("Parameter 'version' must be an integer, got '{said}'."))
    };
    let said = match fields.text("version") {
        Ok(text) => text.unwrap_or_default().to_owned(),
        Err(_) => fields.required_int("version").map_err(|_what| wrong("another type"))?.to_string(),
    };
    if said.is_empty() {
        return Err(fields.missing("version"));
    }
    let whole = said.trim();
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(wrong(&said));
    }
    // A number beyond those that versions have names none.
    whole.parse().map_err(|_beyond| no_version(fields.text("name").ok().flatten().unwrap_or_default(), whole))
}

pub(super) fn model<'c>(catalog: &'c Catalog, name: &ModelName) -> Result<&'c Model, Refusal> {
    catalog.model(name.as_str()).ok_or_else(|| no_model(name.as_str()))
}

pub(super) fn version<'c>(
    catalog: &'c Catalog,
    name: &ModelName,
    number: u32,
) -> Result<(&'c Model, &'c VersionState), Refusal> {
    // MLflow's server says it so also where there is no model.
    let missing = || no_version(name.as_str(), number);
    let model = catalog.model(name.as_str()).ok_or_else(missing)?;
    Ok((model, model.version(number).ok_or_else(missing)?))
}

/// That another name for a model is not taken: of one that is, the gate would speak in its own words.
pub(super) async fn is_free(this: &Registrar, from: &ModelName, to: &ModelName) -> Result<(), Refusal> {
    let catalog = this.registry.refresh().await?;
    model(&catalog, from)?;
    if from != to && catalog.model(to.as_str()).is_some() {
        return Err(RegistryError::ModelExists { model: to.clone() }.into());
    }
    Ok(())
}

/// That a version is there which the gate is to be asked about: of one that is not, it would speak in its own words.
pub(super) async fn is_there(this: &Registrar, name: &ModelName, number: u32) -> Result<(), Refusal> {
    if version(&this.catalog(), name, number).is_ok() {
        return Ok(());
    }
    // Another server may have made it a moment ago.
    let catalog = this.registry.refresh().await?;
    version(&catalog, name, number).map(|_| ())
}

/// The version that a model has under an alias, of which `latest` is the highest number.
pub(super) fn called<'m>(model: &'m Model, alias: &str) -> Result<&'m VersionState, Refusal> {
    if alias.eq_ignore_ascii_case(LATEST) {
        let none = || Refusal::not_found(format!("Latest version not found for model {}.", model.name));
        return model.latest().ok_or_else(none);
    }
    model.aliased(alias).ok_or_else(|| Refusal::invalid(format!("Registered model alias {alias} not found.")))
}

pub(super) fn stage(text: &str) -> Result<Stage, Refusal> {
    text.parse().map_err(|_what| {
        let said = text.escape_debug();
        Refusal::invalid(format!(
            "Invalid Model Version stage: {said}. Value must be one of None, Staging, Production, Archived."
        ))
    })
}

/// Tags as they are sent with what is made; of a key that comes twice the last one counts.
pub(super) fn tags(fields: &Fields) -> Result<Tags, Refusal> {
    Ok(fields.pairs("tags")?.into_iter().collect())
}

/// A text, empty where none was sent.
pub(super) fn text(fields: &Fields, name: &str) -> Result<String, Refusal> {
    Ok(fields.text(name)?.unwrap_or_default().to_owned())
}
