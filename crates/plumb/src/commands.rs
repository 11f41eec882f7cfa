//! What each command does. A command opens the project, makes one plan or one call, and prints the answer.

pub mod apply;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod erase;
pub mod explain;
pub mod features;
pub mod import;
pub mod ingest;
pub mod init;
pub mod label;
pub mod materialize;
pub mod model;
pub mod predict;
pub mod predicted;
pub mod registry;
pub mod replay;
pub mod serve;
pub mod skew;
pub mod table;
pub mod training_set;
pub mod tuner;
mod values;
pub mod view;
pub mod webhook;

use std::process::ExitCode;

use crate::cli::{Cli, Command, FeaturesCommand, Format, ImportCommand, ModelCommand, TrainingSetCommand, ViewCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::project::{Project, existing_log};
use crate::registering::worker;

/// Runs the command.
///
/// # Errors
/// Why it could not be done; the exit code is the failure's.
pub fn run(cli: Cli, output: Format) -> Result<ExitCode, Failure> {
    if let Command::InspectModel(args) = &cli.command {
        return worker::work(args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::new(schema::ErrorKind::Unavailable, format!("starting the runtime: {why}")))?;
    let scores = matches!(cli.command, Command::Predict(_)).then(|| cli.output_file()).transpose()?;
    let (folder, named) = (cli.project, cli.registry);
    let done = runtime.block_on(async move {
        let config = || Config::read_with(&folder, named.as_deref());
        let open = async || Project::of(&folder, config()?).await;
        // A name on the command line may be mistyped: only what begins a registry makes one there.
        let there = async || {
            let config = config()?;
            if named.is_some() && existing_log(&config.registry).await?.is_none() {
                return Err(registry::missing(&config));
            }
            Project::of(&folder, config).await
        };
        match cli.command {
            Command::Init(args) => init::init(&args.dir, output),
            Command::Plan(args) => apply::plan(&there().await?, output, args.detailed_exitcode).await,
            Command::Apply(args) => apply::apply(&open().await?, output, &args).await,
            Command::Materialize(args) => materialize::materialize(&there().await?, output, &args).await,
            Command::Ingest(args) => ingest::ingest(&there().await?, output, &args).await,
            Command::Table(command) => table::table(&there().await?, output, &command),
            Command::Features(FeaturesCommand::Get(args)) => features::get(&there().await?, output, &args).await,
            Command::Features(FeaturesCommand::Explain(args)) => explain::explain(&there().await?, output, &args).await,
            Command::TrainingSet(TrainingSetCommand::Build(args)) => {
                training_set::build(&there().await?, output, &args).await
            }
            Command::TrainingSet(TrainingSetCommand::Show(args)) => training_set::show(output, &args.file),
            Command::TrainingSet(TrainingSetCommand::Rebuild(args)) => {
                training_set::rebuild(&there().await?, output, &args).await
            }
            Command::TrainingSet(TrainingSetCommand::List) => Ok(training_set::list(&there().await?, output)),
            Command::Model(command) => {
                let project =
                    if matches!(command, ModelCommand::Register(_)) { open().await? } else { there().await? };
                model::run(&project, output, command).await
            }
            Command::Registry(command) => Box::pin(registry::registry(&config()?, output, &command)).await,
            Command::Webhook(command) => Box::pin(webhook::webhook(&there().await?, output, command)).await,
            Command::Import(ImportCommand::Feast(args)) => import::feast(output, &args),
            Command::Predict(args) => {
                Box::pin(predict::predict(&there().await?, output, &args, &scores.unwrap_or_default())).await
            }
            Command::Label(command) => Box::pin(label::label(&there().await?, output, &command)).await,
            Command::Tuner(command) => tuner::tuner(&there().await?, output, &command),
            Command::Serve(args) => serve::serve(&open().await?, output, args.http, args.grpc).await,
            Command::Explain(args) => predicted::explain(&there().await?, output, &args.id, args.show_pii).await,
            Command::Replay(args) if predicted::is_id(&args.token) => {
                Box::pin(predicted::replay(&there().await?, output, &args.token, args.show_pii)).await
            }
            Command::Replay(args) => replay::replay(&there().await?, output, &args).await,
            Command::Skew(args) => skew::skew(&there().await?, output, &args).await,
            Command::View(ViewCommand::Remove(args)) => view::remove(&there().await?, output, &args).await,
            Command::Erase(args) => Box::pin(erase::erase(&there().await?, output, &args)).await,
            Command::Doctor(args) => Box::pin(doctor::doctor(&folder, &config()?, output, &args)).await,
            Command::Demo(args) => Box::pin(demo::demo(&args, output)).await,
            Command::Completions { shell } => Ok(completions::completions(shell, output)),
            Command::InspectModel(args) => worker::work(&args),
        }
    });
    // A reader of stdin or a slow disk must not hold up the exit.
    runtime.shutdown_background();
    done
}
