//! `registered-models/…`

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use registry::{Alias, Command, Stage};
use serde_json::{Value, json};

use super::Registrar;
use super::asked::{called, is_free, is_there, model, name, number, stage, tags, text};
use super::entities;
use crate::http::mlflow::{Refusal, Sent};

type Answer = Result<Json<Value>, Refusal>;
type This = State<Arc<Registrar>>;

pub(super) fn router() -> Router<Arc<Registrar>> {
    let at = |route: &str| format!("/2.0/mlflow/registered-models/{route}");
    Router::new()
        .route(&at("create"), post(create))
        .route(&at("rename"), post(rename))
        .route(&at("update"), patch(update))
        .route(&at("delete"), delete(remove))
        .route(&at("get"), get(by_name))
        .route(&at("get-latest-versions"), get(latest_versions).post(latest_versions))
        .route(&at("set-tag"), post(set_tag))
        .route(&at("delete-tag"), delete(delete_tag))
        .route(&at("alias"), get(aliased).post(set_alias).delete(delete_alias))
}

async fn create(State(this): This, Sent(fields): Sent) -> Answer {
    let name = name(&fields, "name")?;
    let description = fields.text("description")?.map(ToOwned::to_owned);
    let command = Command::CreateModel { model: name.clone(), description, tags: tags(&fields)? };
    let catalog = this.execute(command).await?;
    Ok(Json(json!({ "registered_model": entities::model(model(&catalog, &name)?) })))
}

async fn rename(State(this): This, Sent(fields): Sent) -> Answer {
    let (from, to) = (name(&fields, "name")?, name(&fields, "new_name")?);
    is_free(&this, &from, &to).await?;
    let command = Command::RenameModel { model: from.clone(), to: to.clone(), evidence: Value::Null };
    let catalog = this.execute_gated(&from, command).await?;
    Ok(Json(json!({ "registered_model": entities::model(model(&catalog, &to)?) })))
}

async fn update(State(this): This, Sent(fields): Sent) -> Answer {
    let name = name(&fields, "name")?;
    let description = text(&fields, "description")?;
    let catalog = this.execute(Command::Describe { model: name.clone(), version: None, description }).await?;
    Ok(Json(json!({ "registered_model": entities::model(model(&catalog, &name)?) })))
}

async fn remove(State(this): This, Sent(fields): Sent) -> Answer {
    this.execute(Command::DeleteModel { model: name(&fields, "name")? }).await?;
    Ok(Json(json!({})))
}

async fn by_name(State(this): This, Sent(fields): Sent) -> Answer {
    let catalog = this.catalog();
    Ok(Json(json!({ "registered_model": entities::model(model(&catalog, &name(&fields, "name")?)?) })))
}

async fn latest_versions(State(this): This, Sent(fields): Sent) -> Answer {
    let name = name(&fields, "name")?;
    let asked = fields.texts("stages")?.into_iter().map(stage).collect::<Result<Vec<Stage>, _>>()?;
    let stages = if asked.is_empty() {
        Stage::ALL.to_vec()
    } else {
        // Each once, whatever was asked for twice.
        Stage::ALL.into_iter().filter(|stage| asked.contains(stage)).collect()
    };
    let catalog = this.catalog();
    let versions = entities::latest_versions(model(&catalog, &name)?, &stages);
    Ok(Json(if versions.is_empty() { json!({}) } else { json!({ "model_versions": versions }) }))
}

async fn set_tag(State(this): This, Sent(fields): Sent) -> Answer {
    let (model, key) = (name(&fields, "name")?, fields.required("key")?.to_owned());
    let value = Some(text(&fields, "value")?);
    this.execute(Command::Tag { model, version: None, key, value }).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(this): This, Sent(fields): Sent) -> Answer {
    let (model, key) = (name(&fields, "name")?, fields.required("key")?.to_owned());
    this.execute(Command::Tag { model, version: None, key, value: None }).await?;
    Ok(Json(json!({})))
}

async fn set_alias(State(this): This, Sent(fields): Sent) -> Answer {
    let (model, alias) = (name(&fields, "name")?, Alias::new(fields.required("alias")?)?);
    let number = number(&fields)?;
    is_there(&this, &model, number).await?;
    let to = Some(number);
    let command = Command::MoveAlias { model: model.clone(), alias, to, evidence: Value::Null };
    this.execute_gated(&model, command).await?;
    Ok(Json(json!({})))
}

async fn delete_alias(State(this): This, Sent(fields): Sent) -> Answer {
    let (model, alias) = (name(&fields, "name")?, Alias::new(fields.required("alias")?)?);
    this.execute(Command::MoveAlias { model, alias, to: None, evidence: Value::Null }).await?;
    Ok(Json(json!({})))
}

async fn aliased(State(this): This, Sent(fields): Sent) -> Answer {
    let (name, alias) = (name(&fields, "name")?, fields.required("alias")?);
    let catalog = this.catalog();
    let model = model(&catalog, &name)?;
    Ok(Json(json!({ "model_version": entities::version(model, called(model, alias)?) })))
}
