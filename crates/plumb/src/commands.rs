//! What each command does. A command opens the project, makes one plan or one call, and prints the answer.

pub mod apply;
pub mod demo;
pub mod doctor;
pub mod erase;
pub mod explain;
pub mod features;
pub mod import;
pub mod ingest;
pub mod init;
pub mod materialize;
pub mod model;
pub mod registry;
pub mod replay;
pub mod serve;
pub mod skew;
pub mod table;
pub mod training_set;
pub mod view;

use std::process::ExitCode;

use crate::cli::{Cli, Command, FeaturesCommand, ImportCommand, TrainingSetCommand, ViewCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::project::Project;

/// Runs the command.
///
/// # Errors
/// Why it could not be done; the exit code is the failure's.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::new(schema::ErrorKind::Unavailable, format!("starting the runtime: {why}")))?;
    let output = cli.output;
    let (folder, named) = (cli.project, cli.registry);
    let done = runtime.block_on(async move {
        let config = || Config::read_with(&folder, named.as_deref());
        let open = async || Project::of(&folder, config()?).await;
        match cli.command {
            Command::Init(args) => init::init(&args.dir, output),
            Command::Plan(args) => apply::plan(&open().await?, output, args.detailed_exitcode).await,
            Command::Apply(args) => apply::apply(&open().await?, output, &args).await,
            Command::Materialize(args) => materialize::materialize(&open().await?, output, &args).await,
            Command::Ingest(args) => ingest::ingest(&open().await?, output, &args).await,
            Command::Table(command) => table::table(&open().await?, output, &command),
            Command::Features(FeaturesCommand::Get(args)) => features::get(&open().await?, output, &args).await,
            Command::Features(FeaturesCommand::Explain(args)) => explain::explain(&open().await?, output, &args).await,
            Command::TrainingSet(TrainingSetCommand::Build(args)) => {
                training_set::build(&open().await?, output, &args).await
            }
            Command::TrainingSet(TrainingSetCommand::Show(args)) => training_set::show(output, &args.file),
            Command::TrainingSet(TrainingSetCommand::Rebuild(args)) => {
                training_set::rebuild(&open().await?, output, &args).await
            }
            Command::TrainingSet(TrainingSetCommand::List) => Ok(training_set::list(&open().await?, output)),
            Command::Model(command) => model::run(&open().await?, output, command).await,
            Command::Registry(command) => Box::pin(registry::registry(&config()?, output, &command)).await,
            Command::Import(ImportCommand::Feast(args)) => import::feast(output, &args),
            Command::Serve(args) => serve::serve(&open().await?, output, args.http, args.grpc).await,
            Command::Replay(args) => replay::replay(&open().await?, output, &args).await,
            Command::Skew(args) => skew::skew(&open().await?, output, &args).await,
            Command::View(ViewCommand::Remove(args)) => view::remove(&open().await?, output, &args).await,
            Command::Erase(args) => Box::pin(erase::erase(&open().await?, output, &args)).await,
            Command::Doctor(args) => Box::pin(doctor::doctor(&folder, &config()?, output, &args)).await,
            Command::Demo(args) => Box::pin(demo::demo(&args, output)).await,
        }
    });
    // A reader of stdin or a slow disk must not hold up the exit.
    runtime.shutdown_background();
    done
}
