//! `plumb features get`: what the server would answer, from the command line.

use std::process::ExitCode;
use std::sync::Arc;

use schema::{Dtype, Value, pii};
use serde_json::Value as Json;

use crate::cli::{FeaturesGetArgs, Format};
use crate::commands::values::lists;
use crate::failure::Failure;
use crate::http::native::entities::Texts;
use crate::http::native::features::{Answer, AnswerColumn, FeaturesBody, compile, resolve};
use crate::output;
use crate::project::Project;

/// Reads and prints features.
///
/// # Errors
/// Unknown features, services or keys; values of another type; a store that cannot be read.
pub async fn get(project: &Project, format: Format, args: &FeaturesGetArgs) -> Result<ExitCode, Failure> {
    let mut entities = serde_json::Map::new();
    for (key, values) in lists(&args.entities, "--entity user_id=1,2,3")? {
        entities.insert(key, values.into_iter().map(Json::String).collect());
    }
    let mut context = serde_json::Map::new();
    for (field, values) in lists(&args.context, "--context amount=12.5")? {
        // One value holds for every row.
        let value = match <[String; 1]>::try_from(values) {
            Ok([one]) => Json::String(one),
            Err(many) => many.into_iter().map(Json::String).collect(),
        };
        context.insert(field, value);
    }
    let mut body = FeaturesBody {
        service: args.service.clone(),
        answer_as: args.answer_as.clone(),
        features: (!args.features.is_empty()).then(|| args.features.clone()),
        entities,
        context,
        as_of: args.as_of.clone(),
        partial: None,
    };
    let reader = project.reader().await?;
    let catalog = project.registry.catalog();
    // On the command line every value is a text; keys take it as their type.
    let asked = Arc::new(compile(&catalog, &body.take_wanted())?);
    let request = resolve(asked, &body, Texts::AreValues)?;
    let answer = request.read(&reader, project.clock()).await?;
    let wrong = |why: serde_json::Error| Failure::invalid(why.to_string());
    let is_hidden = |column: &AnswerColumn<'_>| !args.show_pii && answer.is_personal(column);
    if !answer.columns().iter().any(is_hidden) {
        output::exact_answer(format, &answer.body(), || table(&answer, is_hidden)).map_err(wrong)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut body = serde_json::to_value(answer.body()).map_err(wrong)?;
    for column in answer.columns().iter().filter(|column| is_hidden(column)) {
        mask(&mut body["features"][column.column.name.as_str()]["values"]);
    }
    output::answer(format, &body, || table(&answer, is_hidden));
    Ok(ExitCode::SUCCESS)
}

/// Masks the values of a feature; null says nothing of anybody.
pub(super) fn mask(values: &mut serde_json::Value) {
    for value in values.as_array_mut().into_iter().flatten().filter(|value| !value.is_null()) {
        *value = pii::MASKED.into();
    }
}

fn table(answer: &Answer, is_hidden: impl Fn(&AnswerColumn<'_>) -> bool) -> String {
    let mut rows = Vec::new();
    for row in 0..answer.entities.n {
        for answered in answer.columns() {
            let hidden = is_hidden(&answered);
            let AnswerColumn { column, values, statuses, read } = answered;
            let event_time = read.and_then(|i| answer.rows.event_time(&answer.asked.compiled, i, row));
            rows.push([
                answer.entity_name(row),
                column.name.to_string(),
                pii::shown(shown(&Value::at(values, row), column.dtype), hidden).into_owned(),
                statuses[row].to_string(),
                event_time.map(|t| t.to_string()).unwrap_or_default(),
            ]);
        }
    }
    let table = output::table(["ENTITY", "FEATURE", "VALUE", "STATUS", "EVENT TIME"], rows);
    let fixed = if answer.clock_fixed { " (the project's clock is fixed)" } else { "" };
    format!("{table}as of {}{fixed}; plumb replay {}\n", answer.as_of, answer.replay_token)
}

/// A value for people: JSON is a text that needs no quotes.
fn shown(value: &Value, dtype: Dtype) -> String {
    match (value, dtype) {
        (Value::String(text), Dtype::Json) => text.clone(),
        (value, dtype) => value.shown(dtype),
    }
}
