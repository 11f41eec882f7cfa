//! `plumb features get`: what the server would answer, from the command line.

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::{FeaturesGetArgs, Format};
use crate::failure::Failure;
use crate::http::native::entities::Texts;
use crate::http::native::features::{Answer, FeaturesBody, compile, resolve};
use crate::http::services::all_online;
use crate::output;
use crate::project::Project;

/// Reads and prints features.
///
/// # Errors
/// Unknown features, services or keys; values of another type; a store that cannot be read.
pub async fn get(project: &Project, format: Format, args: &FeaturesGetArgs) -> Result<ExitCode, Failure> {
    let mut entities = serde_json::Map::new();
    for pair in &args.entities {
        let Some((key, values)) = pair.split_once('=') else {
            return Err(Failure::invalid(format!("`{pair}` names no key")).hint("write --entity user_id=1,2,3"));
        };
        let values = values.split(',').map(|text| serde_json::Value::String(text.to_owned())).collect();
        entities.insert(key.to_owned(), values);
    }
    let body = FeaturesBody {
        service: args.service.clone(),
        features: (!args.features.is_empty()).then(|| args.features.clone()),
        entities,
        as_of: args.as_of.clone(),
    };
    let online = project.online().await?;
    let catalog = project.registry.catalog();
    // On the command line every value is a text; keys take it as their type.
    let compiled = Arc::new(compile(catalog.definitions(), &body)?);
    let request = resolve(Arc::clone(&compiled), &body, Texts::AreValues)?;
    all_online(&compiled, online.as_ref()).await?;
    let answer = request.read(online.as_ref(), project.clock()).await?;
    let body = serde_json::to_value(answer.body()).map_err(|why| Failure::invalid(why.to_string()))?;
    output::answer(format, &body, || table(&answer));
    Ok(ExitCode::SUCCESS)
}

fn table(answer: &Answer) -> String {
    let mut rows = Vec::new();
    for row in 0..answer.entities.n {
        for (i, column) in answer.compiled.service.columns.iter().enumerate() {
            let (view, _) = answer.compiled.sources[i];
            let status = answer.rows.statuses[i][row];
            let event_time = answer.rows.event_times[view][row];
            rows.push([
                answer.entity_name(row),
                column.name.to_string(),
                schema::Value::at(&answer.rows.columns[i], row).to_string(),
                status.to_string(),
                event_time.map(|t| t.to_string()).unwrap_or_default(),
            ]);
        }
    }
    let table = output::table(["ENTITY", "FEATURE", "VALUE", "STATUS", "EVENT TIME"], rows);
    let fixed = if answer.clock_fixed { " (the project's clock is fixed)" } else { "" };
    format!("{table}as of {}{fixed}\n", answer.as_of)
}
