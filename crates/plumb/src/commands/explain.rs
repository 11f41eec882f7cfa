//! `plumb features explain`: why a view answers what it answers.

use std::process::ExitCode;

use featurestore::explain::{Explanation, OnlineSays, explain as why};
use schema::json::read_column;
use schema::yaml::{list, suggest};
use schema::{Dtype, EntityKey, FeatureView};
use serde_json::Value as Json;

use crate::cli::{FeaturesExplainArgs, Format};
use crate::failure::Failure;
use crate::http::native::entities::{from_command_line, instant};
use crate::http::services;
use crate::output;
use crate::project::Project;

/// Prints the rows of one entity and which of them counts.
///
/// # Errors
/// An unknown view or key; history or the online store cannot be read.
pub async fn explain(project: &Project, format: Format, args: &FeaturesExplainArgs) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let view = services::view_named(catalog.definitions(), &args.view)?;
    let key = key(view, &args.entities)?;
    let as_of = instant(args.as_of.as_deref())?.unwrap_or_else(|| project.clock().now());
    let online = project.online().await?;
    let history = project.offline.history(view).await?;
    let found = why(view, &history, online.as_ref(), &key, as_of).await?;
    let json = serde_json::to_value(&found).map_err(|why| Failure::invalid(why.to_string()))?;
    output::answer(format, &json, || table(&found));
    Ok(if found.online.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn key(view: &FeatureView, entities: &[String]) -> Result<EntityKey, Failure> {
    let mut columns = Vec::with_capacity(view.keys().len());
    let said: Vec<(&str, &str)> = entities
        .iter()
        .map(|pair| pair.split_once('=').ok_or_else(|| Failure::invalid(format!("`{pair}` names no key"))))
        .collect::<Result<_, _>>()?;
    let names = || view.keys().iter().map(|key| key.name.as_str());
    if let Some((stranger, _)) = said.iter().find(|(name, _)| !names().any(|known| known == *name)) {
        let message = format!("`{stranger}` is no join key of feature view `{}`", view.id);
        return Err(Failure::invalid(message).code("unknown_join_key").hint(suggest(stranger, names())));
    }
    for key in view.keys() {
        let name = key.name.as_str();
        let Some((_, text)) = said.iter().find(|(known, _)| *known == name) else {
            let message = format!("join key `{name}` is missing");
            return Err(Failure::invalid(message).code("missing_join_key").hint(format!("add --entity {name}=VALUE")));
        };
        let value = from_command_line(&Json::String((*text).to_owned()), key.dtype);
        let column = read_column(&[value], key.dtype).map_err(|_row| {
            let failure =
                Failure::invalid(format!("`{name}={text}`: the join key is {}", key.dtype)).code("wrong_key_type");
            if key.dtype == Dtype::Bytes {
                failure.hint("write hexadecimal digits, two for each byte")
            } else {
                failure
            }
        })?;
        columns.push(column);
    }
    let none = || Failure::invalid("a null key matches nothing");
    EntityKey::from_columns(&columns, 1).into_iter().next().flatten().ok_or_else(none)
}

fn table(found: &Explanation) -> String {
    let rows = found.rows.iter().map(|row| {
        [
            row.event_time.to_string(),
            row.created_time.map(|time| time.to_string()).unwrap_or_default(),
            row.sequence.to_string(),
            row.verdict.as_str().to_owned(),
            format!("{} row {}", row.file, row.row),
        ]
    });
    let rows = output::table(["EVENT TIME", "CREATED", "SEQUENCE", "VERDICT", "WHERE"], rows);
    let online = &found.online;
    let generation = online.generation.map(|number| format!(" in generation {number}")).unwrap_or_default();
    let verdict = match online.differing.as_slice() {
        _ if online.says == OnlineSays::Feast => "not compared: Feast writes it".to_owned(),
        [] if online.agrees => "as history says".to_owned(),
        [] => "not what history says: run `plumb materialize`".to_owned(),
        names => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("with other values of {} than history has: run `plumb materialize`", list(&names))
        }
    };
    format!(
        "{rows}{}: {} as of {} ({} rows of this entity in history)\nonline{generation}: {} ({verdict})\n",
        found.view, found.status, found.as_of, found.n_rows, online.says
    )
}
