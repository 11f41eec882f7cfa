//! `model-versions/…`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use registry::Command;
use schema::ModelName;
use serde_json::{Value, json};

use super::asked::{is_there, name, number, stage, tags, text, version};
use super::{Registrar, entities, registration, sources};
use crate::http::mlflow::registered;
use crate::http::mlflow::{Fields, Refusal, Sent};

type Answer = Result<Json<Value>, Refusal>;
type This = State<Arc<Registrar>>;

pub(super) fn router() -> Router<Arc<Registrar>> {
    let at = |route: &str| format!("/2.0/mlflow/model-versions/{route}");
    Router::new()
        .route(&at("create"), post(create))
        .route(&at("get"), get(by_number))
        .route(&at("update"), patch(update))
        .route(&at("delete"), delete(remove))
        .route(&at("transition-stage"), post(transition))
        .route(&at("get-download-uri"), get(download_uri))
        .route(&at("set-tag"), post(set_tag))
        .route(&at("delete-tag"), delete(delete_tag))
}

/// Both names of a version.
fn named(fields: &Fields) -> Result<(ModelName, u32), Refusal> {
    Ok((name(fields, "name")?, number(fields)?))
}

async fn create(State(this): This, headers: HeaderMap, Sent(fields): Sent) -> Answer {
    let name = name(&fields, "name")?;
    let wanted = sources::Wanted {
        source: fields.required("source")?.to_owned(),
        run_id: text(&fields, "run_id")?,
        model_id: text(&fields, "model_id")?,
        run_link: text(&fields, "run_link")?,
        tags: tags(&fields)?,
    };
    let description = fields.text("description")?.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    let catalog = this.registry.refresh().await?;
    super::asked::model(&catalog, &name)?;
    let located = sources::locate(&this, &catalog, wanted, &headers).await?;
    let (catalog, made) = registration::register(&this, catalog, &name, description, located).await?;
    let (model, state) = version(&catalog, &name, made)?;
    Ok(Json(json!({ "model_version": entities::version(model, state) })))
}

async fn by_number(State(this): This, Sent(fields): Sent) -> Answer {
    let (name, number) = named(&fields)?;
    let catalog = this.catalog();
    let (model, state) = version(&catalog, &name, number)?;
    Ok(Json(json!({ "model_version": entities::version(model, state) })))
}

async fn update(State(this): This, Sent(fields): Sent) -> Answer {
    let (name, number) = named(&fields)?;
    let description = text(&fields, "description")?;
    let command = Command::Describe { model: name.clone(), version: Some(number), description };
    let catalog = this.execute(command).await?;
    let (model, state) = version(&catalog, &name, number)?;
    Ok(Json(json!({ "model_version": entities::version(model, state) })))
}

async fn remove(State(this): This, Sent(fields): Sent) -> Answer {
    let (name, number) = named(&fields)?;
    is_there(&this, &name, number).await?;
    this.execute_gated(&name, Command::DeleteVersion { model: name.clone(), version: number, evidence: Value::Null })
        .await?;
    Ok(Json(json!({})))
}

async fn transition(State(this): This, Sent(fields): Sent) -> Answer {
    let (name, number) = named(&fields)?;
    let to = stage(fields.required("stage")?)?;
    let archive_existing = fields.flag("archive_existing_versions")?.unwrap_or(false);
    if archive_existing && !to.has_one_holder() {
        return Err(Refusal::invalid(format!(
            "Invalid Model Version stage transition: archive_existing_versions is for Staging and Production only, not for {to}."
        )));
    }
    is_there(&this, &name, number).await?;
    let command =
        Command::Transition { model: name.clone(), version: number, to, archive_existing, evidence: Value::Null };
    let catalog = this.execute_gated(&name, command).await?;
    let (model, state) = version(&catalog, &name, number)?;
    Ok(Json(json!({ "model_version": entities::version(model, state) })))
}

async fn download_uri(State(this): This, Sent(fields): Sent) -> Answer {
    let (name, number) = named(&fields)?;
    let catalog = this.catalog();
    let (model, state) = version(&catalog, &name, number)?;
    let uri = match state.version.pinned().is_empty() {
        true => sources::elsewhere(&catalog, state).to_owned(),
        false => registered::uri(model, number),
    };
    Ok(Json(json!({ "artifact_uri": uri })))
}

async fn set_tag(State(this): This, Sent(fields): Sent) -> Answer {
    let ((model, number), key) = (named(&fields)?, fields.required("key")?.to_owned());
    let value = Some(text(&fields, "value")?);
    this.execute(Command::Tag { model, version: Some(number), key, value }).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(this): This, Sent(fields): Sent) -> Answer {
    let ((model, number), key) = (named(&fields)?, fields.required("key")?.to_owned());
    this.execute(Command::Tag { model, version: Some(number), key, value: None }).await?;
    Ok(Json(json!({})))
}
