//! `plumb training-set build`: a spine joined with a service.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use featurestore::CompiledService;
use featurestore::training::spine::Spine;
use featurestore::training::{Report, build as join, write};
use schema::AppliedDefinitions;
use schema::yaml::suggest;

use crate::cli::{Format, TrainingSetArgs};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Builds a training set and writes it.
///
/// # Errors
/// An unknown service; a spine that does not fit; a source that cannot be read.
pub async fn build(project: &Project, format: Format, args: &TrainingSetArgs) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let report = run(project, args).await?;
    for warning in &report.warnings {
        output::note(&format!("warning: {warning}"));
    }
    let mut json = serde_json::to_value(&report).map_err(|why| Failure::invalid(why.to_string()))?;
    json["out"] = args.out.display().to_string().into();
    json["took_ms"] = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).into();
    output::answer(format, &json, || {
        let rows = report.features.iter().map(|f| {
            [
                f.name.clone(),
                f.present.to_string(),
                f.null_value.to_string(),
                f.outside_max_age.to_string(),
                f.not_found.to_string(),
            ]
        });
        let table = output::table(["FEATURE", "PRESENT", "NULL", "TOO OLD", "NOT FOUND"], rows);
        let took = started.elapsed().as_secs_f64();
        format!(
            "{table}{} rows for service `{}` written to {} in {took:.2} s\n",
            report.n_rows,
            report.service,
            args.out.display()
        )
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn run(project: &Project, args: &TrainingSetArgs) -> Result<Report, Failure> {
    let catalog = project.registry.catalog();
    let definitions = catalog.definitions();
    let service = definitions.current_service(&args.service).ok_or_else(|| {
        let applied = definitions.services.keys().map(schema::ServiceName::as_str);
        Failure::new(schema::ErrorKind::NotFound, format!("feature service `{}` is not applied", args.service))
            .hint(suggest(&args.service, applied))
    })?;
    let compiled = CompiledService::new(service, definitions)?;
    // A spine is looked for where the user stands, then in the project.
    let inside = project.folder.join(&args.spine);
    let path = if args.spine.is_file() || !inside.is_file() { args.spine.clone() } else { inside };
    if let Some(what) = overwritten(project, &path, &args.out, definitions) {
        let message = format!("`{}` would overwrite {what}", args.out.display());
        return Err(Failure::invalid(message).hint("write the training set to a file of its own"));
    }
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let message = format!("--out names `{}`, but there is no folder `{}`", args.out.display(), folder.display());
        return Err(Failure::invalid(message).hint("make the folder first"));
    }
    let spine = Spine::read(&path, args.event_time.as_deref(), &project.offline, definitions).await?;
    let set = join(&project.offline, &compiled, &spine, args.filled).await?;
    write::parquet(&set, &args.out)?;
    Ok(set.report)
}

/// What a training set written to `out` would destroy.
fn overwritten(project: &Project, spine: &Path, out: &Path, definitions: &AppliedDefinitions) -> Option<String> {
    let out = out.canonicalize().ok()?;
    if spine.canonicalize().is_ok_and(|spine| spine == out) {
        return Some("its own spine".to_owned());
    }
    let holds = |source: &&schema::definitions::Source| {
        project.folder.join(&source.path).canonicalize().is_ok_and(|path| out.starts_with(path))
    };
    definitions.sources.values().find(holds).map(|source| format!("data of source `{}`", source.name))
}
