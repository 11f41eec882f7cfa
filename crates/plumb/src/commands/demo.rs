//! `plumb demo`: the whole line on real data, every answer checked against what was computed elsewhere.

mod client;
mod files;
mod golden;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use featurestore::materialize::How;
use registry::Stage;
use schema::ErrorKind;
use serde_json::{Value as Json, json};
use serving::prediction_log::sample::KeySample;
use tokio::runtime::Handle;

use super::serve::{Server, interrupted};
use super::{apply, materialize, model, serve, skew, training_set};
use crate::cli::{DemoArgs, Format, RegisterArgs, RollbackArgs, TrainingSetArgs};
use crate::failure::Failure;
use crate::output::{self, say};
use crate::project::Project;
use golden::Golden;

/// The demo's model.
const MODEL: &str = "repeat_purchase";
/// A version promoted elsewhere is served within this.
const SWITCH_WITHIN: Duration = Duration::from_secs(1);

/// Runs the demo; without `once` the server stays up.
///
/// # Errors
/// A step failed, or its answer was not what it should be.
pub async fn demo(args: &DemoArgs, format: Format) -> Result<ExitCode, Failure> {
    let folder = &args.dir;
    let mut steps = Steps { format, done: Vec::new() };
    steps.run("project", async { files::write(folder) }).await?;
    let project = Project::open(folder).await?;
    steps.run("apply", apply_step(&project)).await?;
    steps.run("training set", training_step(&project)).await?;
    steps.run("materialize", materialize_step(&project)).await?;
    steps.run("register", register_step(&project)).await?;
    Box::pin(steps.run("promote version 1", promote_step(&project, 1))).await?;

    let server = serve::start(&project, args.http, args.grpc).await?;
    let url = format!("http://{}", server.address);
    steps.run("serve", async { ready(&server, &url) }).await?;
    steps.run("predict", async { predict_step(&url, 1) }).await?;
    steps.run("promote version 2 under load", async { switch_step(&project, &url) }).await?;
    steps.run("predict", async { predict_step(&url, 2) }).await?;
    Box::pin(steps.run("roll back", rollback_step(&project, &url))).await?;
    steps.run("skew", skew_step(&project, &server)).await?;
    let json = json!({ "steps": steps.done, "all_checked": true, "address": url, "project": folder });
    let text = || match args.once {
        true => "\nall answers were checked.\n".to_owned(),
        false => format!("\nall answers were checked.\n{}", next(folder, &url)),
    };
    output::answer(format, &json, text);
    match args.once {
        true => server.stop().await?,
        false => server.run(interrupted()).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The steps so far: told one by one to people, all at the end to programs.
struct Steps {
    format: Format,
    done: Vec<Step>,
}

/// A step that was done and checked.
#[derive(serde::Serialize)]
struct Step {
    step: usize,
    name: String,
    took_ms: u64,
    result: String,
}

impl Steps {
    /// Runs a step and keeps its number, time and what it says.
    async fn run(&mut self, name: &str, step: impl Future<Output = Result<String, Failure>>) -> Result<(), Failure> {
        let number = self.done.len() + 1;
        let started = Instant::now();
        let result = step.await.map_err(|failure| Failure {
            message: format!("step {number} ({name}): {}", failure.message),
            ..failure
        })?;
        let took = started.elapsed();
        if self.format == Format::Table {
            say(&format!("{number:2}. {name:29} {:6.2} s  {result}", took.as_secs_f64()));
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.done.push(Step { step: number, name: name.to_owned(), took_ms, result });
        Ok(())
    }
}

/// A step whose answer is not what it should be.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<(), Failure> {
    if got == want {
        return Ok(());
    }
    Err(Failure::new(ErrorKind::CheckFailed, format!("{what}: {got:?}, expected {want:?}")))
}

async fn apply_step(project: &Project) -> Result<String, Failure> {
    let plan = apply::apply_declared(project).await?;
    let definitions = project.registry.catalog();
    let definitions = definitions.definitions();
    expect("feature views", &definitions.views.len(), &1)?;
    expect("feature services", &definitions.services.len(), &2)?;
    Ok(match plan.changes.len() {
        0 => "nothing to do: applied already".to_owned(),
        n => format!("{n} definitions: entity, source, feature view, two feature services"),
    })
}

async fn training_step(project: &Project) -> Result<String, Failure> {
    let args = TrainingSetArgs {
        service: "repeat_purchase_v1".to_owned(),
        spine: project.folder.join("spine.sql"),
        out: project.folder.join("train_v1.parquet"),
        event_time: None,
        filled: false,
        label_time: None,
        memory: featurestore::training::MEMORY_DEFAULT,
        fail_on_leakage: false,
    };
    let report = training_set::run(project, &args).await?;
    expect("rows of the training set", &report.n_rows, &282_840)?;
    let scanned: u64 = report.views.iter().map(|view| view.n_scanned).sum();
    expect("orders read", &scanned, &69_659)?;
    let old = report.features.first().map_or(0, |feature| feature.outside_max_age);
    Ok(format!("{} rows joined with {scanned} orders as of each row's time; {old} are outside the TTL", report.n_rows))
}

async fn materialize_step(project: &Project) -> Result<String, Failure> {
    let catalog = project.registry.catalog();
    let view = catalog
        .definitions()
        .current_view("user_features")
        .ok_or_else(|| Failure::new(ErrorKind::CheckFailed, "feature view `user_features` is not applied"))?;
    let online = project.online().await?;
    let done = materialize::one(project, online.as_ref(), view, materialize::Mode::Changes).await?;
    if done.how == How::Unchanged {
        return Ok("nothing to do: online already".to_owned());
    }
    expect("users online", &done.n_keys, &23_570)?;
    expect("orders read", &done.n_rows, &69_659)?;
    Ok(format!("{} orders to the current state of {} users", done.n_rows, done.n_keys))
}

async fn register_step(project: &Project) -> Result<String, Failure> {
    for version in 1..=2_u32 {
        let args = RegisterArgs {
            name: MODEL.to_owned(),
            file: project.folder.join(format!("models/{MODEL}_v{version}.onnx")),
            golden: None,
            service: None,
            without_service: false,
            description: None,
        };
        let registered = model::register_file(project, &args).await?.version;
        expect("the version's number", &registered.version, &version)?;
        expect(
            "its feature service",
            &registered.servable.map(|it| it.service.to_string()).unwrap_or_default(),
            &format!("{MODEL}_v{version}"),
        )?;
    }
    Ok("versions 1 and 2, each on the feature service it was trained on".to_owned())
}

async fn promote_step(project: &Project, version: u32) -> Result<String, Failure> {
    let promoted =
        model::promote_version(project, MODEL, version, Stage::Production, model::How::Checked, None).await?;
    let Some(evidence) = promoted.evidence else {
        return Err(Failure::new(ErrorKind::CheckFailed, "the promotion left no evidence"));
    };
    if !evidence.passed {
        return Err(Failure::new(ErrorKind::CheckFailed, format!("the promotion was refused:\n{evidence}")));
    }
    let values: usize = evidence.features.features.iter().map(|feature| feature.equal).sum();
    Ok(format!("{values} values equal online and offline; {}", evidence.batches))
}

fn ready(server: &Server, url: &str) -> Result<String, Failure> {
    let ready = client::get(&format!("{url}/readyz"))?;
    expect("ready", &ready["ready"], &Json::Bool(true))?;
    Ok(format!("{url}, ready in {} ms", server.ready_after.as_millis()))
}

/// Asks for the golden users, and compares with what the training script computed for them.
fn predict_step(url: &str, version: u32) -> Result<String, Failure> {
    let golden = Golden::of(version)?;
    let answer = blocking(|| client::predict(url, MODEL, &golden.users()))?;
    expect("the version that answered", &answer["version"], &Json::from(version))?;
    let worst = golden.compare(&answer)?;
    let first = golden.describe(&answer);
    Ok(format!(
        "{} users, answers as the training script's (largest difference {worst:.1e}); {first}",
        golden.users().len()
    ))
}

/// Promotes version 2 while requests go on: none may fail, and the new version answers within a second.
fn switch_step(project: &Project, url: &str) -> Result<String, Failure> {
    let users = Golden::of(1)?.users();
    let promoted = AtomicBool::new(false);
    let before = blocking(|| {
        std::thread::scope(|threads| {
            // Asks on its own thread while the promotion's checks run on this one.
            let asking = threads.spawn(|| client::while_not(&promoted, url, MODEL, &users));
            let made = Handle::current().block_on(promote_step(project, 2));
            promoted.store(true, Ordering::SeqCst);
            let asked = asking.join().map_err(|_panic| Failure::new(ErrorKind::Internal, "the asking thread died"))?;
            made.and(asked)
        })
    })?;
    let (after, took) = blocking(|| client::until_version(url, MODEL, &users, 2, SWITCH_WITHIN))?;
    let (asked, took) = (before + after, took.as_millis());
    Ok(format!("served {took} ms after it was promoted; {asked} requests meanwhile, none failed"))
}

async fn rollback_step(project: &Project, url: &str) -> Result<String, Failure> {
    let users = Golden::of(1)?.users();
    let args = RollbackArgs { name: MODEL.to_owned(), stage: "production".to_owned() };
    model::roll_back(project, &args).await?;
    let (_, took) = blocking(|| client::until_version(url, MODEL, &users, 1, SWITCH_WITHIN))?;
    model::promote_version(project, MODEL, 2, Stage::Production, model::How::Checked, None).await?;
    blocking(|| client::until_version(url, MODEL, &users, 2, SWITCH_WITHIN))?;
    Ok(format!("version 1 again after {} ms; then version 2 once more", took.as_millis()))
}

async fn skew_step(project: &Project, server: &Server) -> Result<String, Failure> {
    server.flush()?;
    let report = skew::run(project, KeySample::ALL).await?;
    if report.predictions == 0 {
        return Err(Failure::new(ErrorKind::CheckFailed, "no predictions were logged"));
    }
    if !report.in_plumb {
        return Err(Failure::new(ErrorKind::CheckFailed, format!("out of plumb:\n{}", skew::table(&report))));
    }
    let values: usize = report.services.iter().flat_map(|s| &s.features).map(|f| f.equal).sum();
    Ok(format!("{} predictions replayed from history: {values} of {values} values equal", report.predictions))
}

/// The demo's client waits for answers; the server's other workers give them.
fn blocking<T>(ask: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    tokio::task::block_in_place(ask)
}

fn next(folder: &std::path::Path, url: &str) -> String {
    let dir = folder.display();
    format!(
        "\nThe server is running. In another terminal, try:\n\n  \
         # a prediction for three users, an active one among them\n  \
         curl -s {url}/v1/models/{MODEL}/predict -d '{{\"entities\": {{\"user_id\": [4, 7592, 6]}}}}'\n\n  \
         # their features\n  \
         curl -s {url}/v1/features -d '{{\"service\": \"repeat_purchase_v2\", \"entities\": {{\"user_id\": [4, 7592, 6]}}}}'\n\n  \
         # is what was served what history says?\n  \
         plumb skew --project {dir}\n\n  \
         # change a definition, and see what it would mean\n  \
         sed -i 's/ttl: 365d/ttl: 180d/' {dir}/features/user_features.yaml && plumb plan --project {dir}\n\n\
         Ctrl-C ends the server; `plumb serve --project {dir}` starts it again."
    )
}
