//! `plumb predict`: the rows of a file, scored as a server scores them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{StreamExt, iter};
use registry::{Catalog, ModelVersion, Stage};
use schema::{ErrorKind, Status};
use serde::Serialize;
use serving::scorer::Older;
use serving::{Fleet, LoadedModel, Prediction, PredictionLog, Scorer};

use super::model::{model_named, version_named};
use crate::cli::{Format, PredictArgs};
use crate::config::onnxruntime_library;
use crate::failure::Failure;
use crate::http::native::predict::Predictor;
use crate::output;
use crate::predicting::answers::beside;
use crate::predicting::file::{Input, Sink};
use crate::predicting::table::{Asked, By, Layout};
use crate::project::Project;

/// The part of the log's room after which it is waited for: it drops what it has no room for, and nobody is kept waiting here.
const ROOM_PART: usize = 8;

/// What was done.
#[derive(Debug, Serialize)]
struct Scored {
    model: String,
    version: u32,
    digest: String,
    rows: usize,
    /// Where the features came from.
    by: &'static str,
    output: String,
    seconds: f64,
    /// Rows that are not in the prediction log and should be.
    not_logged: u64,
    /// Values that were not there, by feature and by what was there in their place.
    absent: BTreeMap<String, BTreeMap<&'static str, usize>>,
}

/// Scores `args.input` into `to`.
///
/// # Errors
/// No such model; a file that cannot be read, or whose columns do not do; a row that the model does not take. Nothing is
/// written then.
pub async fn predict(project: &Project, format: Format, args: &PredictArgs, to: &Path) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let input = Input::open(&args.input, args.rows.get())?;
    let mut sink = Sink::begin(Some(&args.input), to)?;
    let catalog = project.registry.catalog();
    let version = version(&catalog, args)?;
    let sessions = std::thread::available_parallelism().map_or(1, usize::from);
    let fleet = Arc::new(Fleet::new(onnxruntime_library(), project.artifacts()?, sessions));
    let model = tokio::task::block_in_place(|| fleet.load(version, &catalog).map_err(Failure::from))?;
    let model = Arc::new(model);
    let online = Arc::new(project.reader().await?);
    let log = if args.no_log { PredictionLog::off() } else { project.prediction_log()? };
    let scorer = Arc::new(Scorer::new(fleet, online, project.clock(), log));
    let older = args.service.as_ref().map(|service| {
        let predictor = Predictor::new(Arc::clone(&scorer), Arc::clone(&project.registry));
        predictor.older(service, &model)
    });
    let older = older.transpose()?;
    let compiled = older.as_ref().map_or(&model.compiled, |older| &older.compiled);
    let layout = Layout::find(&input.schema, compiled, args.by).map_err(|why| input.named(why))?;
    if layout.by() == By::Features && args.as_of.is_some() {
        return Err(Failure::invalid("--as-of changes nothing: the features stand in the file")
            .code("unused_fields")
            .hint("leave it out, or say --by keys"));
    }

    let mut done = Scored {
        model: model.version.name.to_string(),
        version: model.version.version,
        digest: model.servable.digest.to_string(),
        rows: 0,
        by: if layout.by() == By::Keys { "keys" } else { "features" },
        output: to.display().to_string(),
        seconds: 0.0,
        not_logged: 0,
        absent: BTreeMap::new(),
    };
    let bar = output::progress(input.n_rows, &done.model);
    let name = input.name.clone();
    let asking = iter(input.rows()).map(|batch| {
        let (scorer, model, older, layout) = (Arc::clone(&scorer), Arc::clone(&model), older.clone(), &layout);
        async move {
            let batch = batch?;
            let said = ask(&scorer, model, older, layout.asked(&batch)?, args).await?;
            Ok::<_, Failure>((batch, said))
        }
    });
    // As many as there are sessions are answered while the next are read.
    let mut answers = std::pin::pin!(asking.buffered(2 * sessions));
    let mut waiting = 0;
    let room = project.config.prediction_log.bytes_max / ROOM_PART;
    while let Some(answer) = answers.next().await {
        let within = |why: Failure, from: usize| {
            bar.finish_and_clear();
            Failure { message: format!("`{name}`, in the rows from {from} on: {}", why.message), ..why }
        };
        let (batch, said) = answer.map_err(|why| within(why, done.rows))?;
        sink.write(&beside(&batch, &said).map_err(|why| within(why, done.rows))?)?;
        done.count(&said);
        bar.set_position(done.rows as u64);
        waiting += said.n_bytes();
        if waiting >= room {
            flush(&scorer)?;
            waiting = 0;
        }
    }
    flush(&scorer)?;
    bar.finish_and_clear();
    sink.finish()?;
    done.seconds = began.elapsed().as_secs_f64();
    done.not_logged = scorer.log().lost();
    let json = serde_json::to_value(&done).map_err(|why| Failure::new(ErrorKind::Internal, why.to_string()))?;
    output::answer(format, &json, || done.table());
    Ok(if done.not_logged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(
    scorer: &Scorer,
    model: Arc<LoadedModel>,
    older: Option<Arc<Older>>,
    asked: Asked,
    args: &PredictArgs,
) -> Result<Arc<Prediction>, Failure> {
    Ok(match asked {
        Asked::Entities(entities) => scorer.predict_older(model, older, entities, args.as_of).await?,
        Asked::Features(features) => scorer.predict_sent(model, older, features).await?,
    })
}

fn flush(scorer: &Scorer) -> Result<(), Failure> {
    tokio::task::block_in_place(|| scorer.log().flush()).map_err(|why| Failure::new(ErrorKind::Unavailable, why))
}

/// The version that is meant.
fn version<'c>(catalog: &'c Catalog, args: &PredictArgs) -> Result<&'c ModelVersion, Failure> {
    let model = match &args.model {
        Some(name) => model_named(catalog, name)?,
        None => {
            let mut all = catalog.models().filter(|(_, model)| model.holder(Stage::Production).is_some());
            match (all.next(), all.next()) {
                (Some((_, model)), None) => model,
                (None, _) => {
                    return Err(Failure::new(ErrorKind::NotFound, "no model has a version in Production")
                        .hint("name a model and a version: plumb predict churn 3 ..."));
                }
                (Some((first, _)), Some((second, _))) => {
                    let message = format!("several models are in Production, `{first}` and `{second}` among them");
                    return Err(Failure::invalid(message).hint(format!("name one: plumb predict {first} ...")));
                }
            }
        }
    };
    let text = args.version.as_deref().unwrap_or(Stage::Production.as_str());
    Ok(&version_named(model, text)?.version)
}

impl Scored {
    fn count(&mut self, said: &Prediction) {
        self.rows += said.entities.n;
        let names = said.read().service.columns.iter().map(|column| &column.name);
        for (name, statuses) in names.zip(&said.features.statuses) {
            for status in statuses.iter().filter(|status| **status != Status::Present) {
                *self.absent.entry(name.to_string()).or_default().entry(status.as_str()).or_default() += 1;
            }
        }
    }

    fn table(&self) -> String {
        let rows = self.absent.iter().flat_map(|(feature, by)| {
            by.iter().map(|(status, n)| [feature.clone(), (*status).to_owned(), n.to_string()])
        });
        let rows: Vec<_> = rows.collect();
        let absent = if rows.is_empty() { String::new() } else { output::table(["FEATURE", "STATUS", "ROWS"], rows) };
        #[expect(clippy::cast_precision_loss, reason = "a speed needs no more bits")]
        let speed = self.rows as f64 / self.seconds.max(1e-9);
        let not_logged = match self.not_logged {
            0 => String::new(),
            n => format!("{n} of them are NOT in the prediction log, which had no room: ask for fewer with --rows\n"),
        };
        format!(
            "{absent}{not_logged}{} rows by `{}` version {} from {}, to `{}` in {:.2} s ({speed:.0} rows/s)\n",
            self.rows, self.model, self.version, self.by, self.output, self.seconds
        )
    }
}
