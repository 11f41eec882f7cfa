//! `plumb explain ID` and `plumb replay ID`: a prediction of the log, told, and made again.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use featurestore::CompiledService;
use registry::{Catalog, ModelVersion};
use schema::error::chain;
use schema::json::Cell;
use schema::{ErrorKind, Timestamp, pii};
use serde::Serialize;
use serde_json::Value as Json;
use serving::onnx::rows::row_json;
use serving::prediction_log::find::{Logged, find};
use serving::prediction_log::read::{LogReadError, LoggedRows};
use serving::{Fleet, PredictionLog, Scorer, skew};
use uuid::Uuid;

use crate::cli::Format;
use crate::config::onnxruntime_library;
use crate::failure::{Failure, GONE};
use crate::http::native::predict::Predictor;
use crate::output;
use crate::project::Project;

/// What a prediction was made of.
#[derive(Debug, Serialize)]
struct Explained {
    id: String,
    model: String,
    version: u32,
    digest: String,
    service: String,
    answered_at: Option<Timestamp>,
    as_of: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'static str>,
    entities: serde_json::Map<String, Json>,
    features: Vec<ExplainedFeature>,
    /// Why history was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_compared: Option<String>,
    outputs: serde_json::Map<String, Json>,
}

#[derive(Debug, Serialize)]
struct ExplainedFeature {
    feature: String,
    /// As `view@version:feature`.
    of: String,
    value: Json,
    status: &'static str,
    event_time: Option<Timestamp>,
    history: History,
}

/// What history says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum History {
    /// The same.
    Equal,
    /// The same by what had arrived when it was answered; more came since.
    Late,
    /// Something else.
    Differs,
    /// The store could not be asked then, or history cannot be now.
    NotCompared,
}

/// A prediction, made again.
#[derive(Debug, Serialize)]
struct Replayed {
    #[serde(flatten)]
    explained: Explained,
    /// Whether the model says the same, and history too; `None` where history could not be asked.
    equal: Option<bool>,
    /// What the model says now, where it is not what it said.
    differing_outputs: serde_json::Map<String, Json>,
}

/// A prediction that was found.
struct Known {
    logged: Logged,
    rows: LoggedRows,
    compiled: CompiledService,
}

/// Whether a text is the id of a prediction.
pub fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// Prints what a prediction was made of, and whether history says so.
///
/// # Errors
/// It is not in the log, or of a service that is not applied any more.
pub async fn explain(project: &Project, format: Format, id: &str, show_pii: bool) -> Result<ExitCode, Failure> {
    let explained = told(project, &known(project, id)?, show_pii).await;
    let json = json_of(&explained)?;
    output::answer(format, &json, || explained.table());
    Ok(ExitCode::SUCCESS)
}

/// Runs the version that answered on the features that are logged, and asks history for these. Exit status 1 where either says
/// something else, 6 where history cannot be asked.
///
/// # Errors
/// As [`explain`]; the version that answered is gone.
pub async fn replay(project: &Project, format: Format, id: &str, show_pii: bool) -> Result<ExitCode, Failure> {
    let known = known(project, id)?;
    let catalog = project.registry.catalog();
    let again = again(project, &catalog, &known).await?;
    let explained = told(project, &known, show_pii).await;
    let mut differing = serde_json::Map::new();
    for (name, said) in &known.logged.outputs {
        let now = again.get(name);
        if now.map(Json::to_string).as_ref() != Some(said) {
            differing.insert(name.clone(), now.cloned().unwrap_or(Json::Null));
        }
    }
    let is_other = |feature: &ExplainedFeature| feature.history == History::Differs;
    let equal = match differing.is_empty() && !explained.features.iter().any(is_other) {
        true if explained.not_compared.is_some() => None,
        equal => Some(equal),
    };
    let replayed = Replayed { explained, equal, differing_outputs: differing };
    let json = json_of(&replayed)?;
    output::answer(format, &json, || replayed.table());
    Ok(match replayed.equal {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        // As whatever cannot be read now.
        None => ExitCode::from(Failure::new(ErrorKind::Unavailable, "").exit_code()),
    })
}

fn json_of(answer: &impl Serialize) -> Result<Json, Failure> {
    serde_json::to_value(answer).map_err(|why| Failure::new(ErrorKind::Internal, why.to_string()))
}

fn known(project: &Project, id: &str) -> Result<Known, Failure> {
    let id = Uuid::try_parse(id).map_err(|why| {
        Failure::invalid(format!("`{}` is no prediction id: {why}", id.escape_debug()))
            .hint("copy one of `prediction_ids` of an answer")
    })?;
    let unreadable = |why: LogReadError| Failure::new(ErrorKind::Unavailable, chain(&why));
    let logged = find(&project.config.predictions, id).map_err(unreadable)?.ok_or_else(|| {
        let message = format!("prediction {id} is not in the log");
        Failure::new(ErrorKind::NotFound, message).code(GONE).hint(
            "a server writes its log each second; a prediction is not in it that was for features that were sent, was dropped \
             (plumb_prediction_log_dropped_total), or is of somebody who was erased",
        )
    })?;
    let catalog = project.registry.catalog();
    let definitions = catalog.definitions();
    let service = definitions.service_by_fingerprint("", &logged.service).ok_or_else(|| {
        let fingerprint = logged.service.short();
        let message =
            format!("prediction {id} is of a feature service with fingerprint {fingerprint}, which is not applied");
        Failure::new(ErrorKind::NotFound, message).code(GONE)
    })?;
    let compiled = CompiledService::new(service, definitions)?;
    let rows = logged.rows(&compiled).map_err(unreadable)?;
    Ok(Known { logged, rows, compiled })
}

/// What the version that answered says to the features that are logged.
async fn again(project: &Project, catalog: &Catalog, known: &Known) -> Result<HashMap<String, Json>, Failure> {
    let version = answered(catalog, &known.logged)?;
    let fleet = Arc::new(Fleet::new(onnxruntime_library(), project.artifacts()?, 1));
    let model = Arc::new(tokio::task::block_in_place(|| fleet.load(version, catalog).map_err(Failure::from))?);
    // The features are there: nothing is read from the store, which may be away.
    let online = Arc::new(project.reader_to_serve().await?);
    let scorer = Arc::new(Scorer::new(fleet, online, project.clock(), PredictionLog::off()));
    let older = match known.logged.service == model.compiled.service.fingerprint {
        true => None,
        false => {
            let predictor = Predictor::new(Arc::clone(&scorer), Arc::clone(&project.registry));
            Some(predictor.older(&known.compiled.service.id().to_string(), &model)?)
        }
    };
    let said = scorer.predict_sent(model, older, known.rows.features.clone()).await?;
    Ok(said.outputs.columns.iter().map(|output| (output.name.to_string(), row_json(output, 0))).collect())
}

/// The version that answered, if it is still what it was.
fn answered<'c>(catalog: &'c Catalog, logged: &Logged) -> Result<&'c ModelVersion, Failure> {
    let model = catalog.model(&logged.model);
    let found = model.and_then(|model| model.version(logged.version)).map(|state| &state.version);
    let is_it = |version: &&ModelVersion| {
        version.servable.as_ref().is_some_and(|servable| servable.digest.to_string() == logged.digest)
    };
    found.filter(is_it).ok_or_else(|| {
        let Logged { id, model, version, digest, .. } = logged;
        let message =
            format!("version {version} of model `{model}`, of file {digest}, which answered prediction {id}, is gone");
        Failure::new(ErrorKind::NotFound, message)
            .code(GONE)
            .hint("what is deleted can be restored, and a model that was renamed be named back: plumb registry log")
    })
}

async fn told(project: &Project, known: &Known, show_pii: bool) -> Explained {
    let Known { logged, rows, compiled } = known;
    let service = &compiled.service;
    let hidden = |json: Json, is_personal: bool| match is_personal && !show_pii && !json.is_null() {
        true => Json::from(pii::MASKED),
        false => json,
    };
    let compared = skew::of_rows(&project.offline, compiled, rows.clone()).await.map_err(|why| chain(&why));
    let history = |feature: usize| match compared.as_ref().map(|all| &all[feature]) {
        Ok(one) if one.equal == 1 => History::Equal,
        Ok(one) if one.stale == 1 => History::Late,
        Ok(one) if one.compared == 1 => History::Differs,
        Ok(_) | Err(_) => History::NotCompared,
    };
    let features = service.columns.iter().enumerate().map(|(at, column)| {
        let value = serde_json::json!(Cell::new(&rows.features.columns[at], 0, column.dtype));
        ExplainedFeature {
            feature: column.name.to_string(),
            of: format!("{}:{}", column.view, column.feature),
            value: hidden(value, compiled.is_personal(at)),
            status: rows.features.statuses[at][0].as_str(),
            event_time: rows.features.event_time(compiled, at, 0),
            history: history(at),
        }
    });
    let keys = compiled.keys().into_iter().map(|key| (key.name.as_str(), key.dtype));
    let fields = compiled.fields.iter().map(|field| (field.name.as_str(), field.dtype));
    let entities = keys.chain(fields).filter_map(|(name, dtype)| {
        let value = serde_json::json!(Cell::new(rows.entities.columns.get(name)?, 0, dtype));
        Some((name.to_owned(), hidden(value, compiled.is_personal_input(name))))
    });
    let outputs = logged.outputs.iter().map(|(name, said)| {
        let said = serde_json::from_str(said).unwrap_or_else(|_no_json| Json::from(said.clone()));
        (name.clone(), said)
    });
    Explained {
        id: logged.id.to_string(),
        model: logged.model.clone(),
        version: logged.version,
        digest: logged.digest.clone(),
        service: service.id().to_string(),
        answered_at: logged.answered_at,
        as_of: logged.as_of,
        clock: logged.clock_fixed.then_some(crate::http::native::features::FIXED_CLOCK),
        entities: entities.collect(),
        features: features.collect(),
        not_compared: compared.as_ref().err().cloned(),
        outputs: outputs.collect(),
    }
}

impl History {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Late => "equal to what had arrived then",
            Self::Differs => "DIFFERS",
            Self::NotCompared => "not compared",
        }
    }
}

impl Explained {
    fn table(&self) -> String {
        let time = |time: Option<Timestamp>| time.map_or_else(String::new, |time| time.to_string());
        let pairs = |map: &serde_json::Map<String, Json>| {
            map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
        };
        let rows = self.features.iter().map(|one| {
            let history = one.history.as_str().to_owned();
            let (name, value) = (one.feature.clone(), one.value.to_string());
            [name, value, one.status.to_owned(), time(one.event_time), one.of.clone(), history]
        });
        let features = output::table(["FEATURE", "VALUE", "STATUS", "EVENT TIME", "OF", "HISTORY"], rows);
        let not_compared =
            self.not_compared.as_ref().map(|why| format!("history was not asked: {why}\n")).unwrap_or_default();
        format!(
            "prediction {} by `{}` version {} ({})\nanswered at {}, features of {} as of {}{}\nfor {}\n{features}{not_compared}said \
             {}\n",
            self.id,
            self.model,
            self.version,
            self.digest,
            time(self.answered_at),
            self.service,
            time(self.as_of),
            self.clock.map(|clock| format!(" ({clock})")).unwrap_or_default(),
            pairs(&self.entities),
            pairs(&self.outputs),
        )
    }
}

impl Replayed {
    fn table(&self) -> String {
        let verdict = match (self.equal, self.differing_outputs.is_empty()) {
            (Some(true), _) => "the version says what it said, and history too\n".to_owned(),
            (None, _) => "the version says what it said; what history says is not known\n".to_owned(),
            (Some(false), true) => "the version says what it said; history says something else\n".to_owned(),
            (Some(false), false) => {
                let one = |(name, now): (&String, &Json)| {
                    let then = self.explained.outputs.get(name).cloned().unwrap_or_default();
                    format!("`{name}`: it said {then}, and says {now}\n")
                };
                self.differing_outputs.iter().map(one).collect()
            }
        };
        format!("{}{verdict}", self.explained.table())
    }
}
