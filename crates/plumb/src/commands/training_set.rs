//! `plumb training-set ...`: a spine joined with a service, what was made, and the same made again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use featurestore::CompiledService;
use featurestore::point_in_time::Watch;
use featurestore::training::lineage::Lineage;
use featurestore::training::spine::{Spine, needed_types};
use featurestore::training::write::{FileSink, Format as FileFormat, read_about, report_path};
use featurestore::training::{Options, Report, build as join, lineage_now, scan_rows};
use registry::{Command, TrainingSet};
use schema::{AppliedDefinitions, Clock, ErrorKind};
use serde_json::json;

use crate::cli::{Format, RebuildArgs, TrainingSetArgs};
use crate::config::actor;
use crate::failure::Failure;
use crate::http::services::service_hint;
use crate::output;
use crate::project::Project;
use crate::recorded::recorded;

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
            "{table}\n{}\n{}{} rows for service `{}` written to {} in {took:.2} s\n",
            profile_table(&json["profile"]),
            report.leakage,
            report.n_rows,
            report.service,
            args.out.display()
        )
    });
    let leaks = args.fail_on_leakage && report.leakage.leaks();
    Ok(if leaks { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The profile for people: a line for each column.
fn profile_table(profile: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |column: &serde_json::Value| {
        let approximate = if column["distinct"]["how"] == "exact" { "" } else { "~" };
        let top = column["top"]["values"].as_array().into_iter().flatten().take(3);
        let top: Vec<String> = top.map(|top| format!("{} ({})", text(&top["value"]), top["rows"])).collect();
        [
            text(&column["column"]),
            text(&column["dtype"]),
            text(&column["nulls"]),
            format!("{approximate}{}", column["distinct"]["value"]),
            text(&column["min"]),
            text(&column["quantiles"]["at"]["p50"]),
            text(&column["max"]),
            text(&column["mean"]),
            top.join(", "),
        ]
    };
    let rows = profile.as_array().into_iter().flatten().map(row);
    output::table(["COLUMN", "TYPE", "NULLS", "DISTINCT", "MIN", "MEDIAN", "MAX", "MEAN", "MOST FREQUENT"], rows)
}

pub(super) async fn run(project: &Project, args: &TrainingSetArgs) -> Result<Report, Failure> {
    let catalog = project.registry.catalog();
    let definitions = catalog.definitions();
    let service = definitions.current_service(&args.service).ok_or_else(|| {
        Failure::new(ErrorKind::NotFound, format!("feature service `{}` is not applied", args.service))
            .hint(service_hint(definitions, &args.service))
    })?;
    let compiled = CompiledService::new(service, definitions)?;
    let path = spine_path(project, &args.spine);
    let format = writable(project, Some(&path), &args.out, definitions)?;
    let spine =
        Spine::read(&path, args.event_time.as_deref(), &project.offline, definitions, &needed_types(&compiled)).await?;
    let (filled, label_time) = (args.filled, args.label_time.clone());
    let options = Options { filled, label_time, memory_bytes: args.memory, ..Options::default() };
    let report = write(project, &compiled, spine, &options, &args.out, format).await?;
    record(project, &compiled, &args.out, &report).await?;
    Ok(report)
}

/// A spine is looked for where the user stands, then in the project.
fn spine_path(project: &Project, spine: &Path) -> PathBuf {
    let inside = project.folder.join(spine);
    if spine.is_file() || !inside.is_file() { spine.to_path_buf() } else { inside }
}

/// That `out` may be written, and how.
fn writable(
    project: &Project,
    spine: Option<&Path>,
    out: &Path,
    definitions: &AppliedDefinitions,
) -> Result<FileFormat, Failure> {
    if let Some(what) = overwritten(project, spine, out, definitions) {
        let message = format!("`{}` would overwrite {what}", out.display());
        return Err(Failure::invalid(message).hint("write the training set to a file of its own"));
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let message = format!("--out names `{}`, but there is no folder `{}`", out.display(), folder.display());
        return Err(Failure::invalid(message).hint("make the folder first"));
    }
    if let Some(other) = out.extension().and_then(|end| end.to_str()).filter(|end| is_text(end)) {
        let message = format!("--out names `{}`, but training sets are Parquet or Arrow, not .{other}", out.display());
        let whole = out.with_extension("parquet");
        return Err(
            Failure::invalid(message).hint(format!("write {} and convert it, if text is needed", whole.display()))
        );
    }
    Ok(FileFormat::of(out).unwrap_or(FileFormat::Parquet))
}

/// Endings of files that rows in Parquet would not be looked for in.
fn is_text(end: &str) -> bool {
    ["csv", "tsv", "txt", "json", "jsonl", "ndjson"].iter().any(|text| end.eq_ignore_ascii_case(text))
}

async fn write(
    project: &Project,
    compiled: &CompiledService,
    spine: Spine,
    options: &Options,
    out: &Path,
    format: FileFormat,
) -> Result<Report, Failure> {
    let (spine, total) = scan_rows(&project.offline, compiled, spine, options).await?;
    let bar = output::progress(total.unwrap_or(0), "history rows");
    let (tell, waits) = (|rows: u64| bar.inc(rows), || true);
    let mut sink = FileSink::new(out, format);
    let built = join(&project.offline, compiled, spine, options, &mut sink, &Watch::new(&tell, &waits)).await;
    bar.finish_and_clear();
    Ok(built?)
}

/// Tells the registry, so that a plan and an erasure can name the file.
async fn record(project: &Project, compiled: &CompiledService, out: &Path, report: &Report) -> Result<(), Failure> {
    let path = out.canonicalize().unwrap_or_else(|_absent| out.to_path_buf()).display().to_string();
    let set = recorded(path, None, compiled, &report.lineage, report.n_rows as u64);
    project.registry.execute(Command::RecordTrainingSet(set), Clock::wall(), &actor()).await?;
    Ok(())
}

/// Prints what a training set says of itself.
///
/// # Errors
/// There is no such file, or it is none of ours.
pub fn show(format: Format, file: &Path) -> Result<ExitCode, Failure> {
    let (lineage, report) = read_about(file)?;
    output::answer(format, &report, || {
        let mut text = format!(
            "{} rows for service `{}` version {} ({}), by plumb {}\n",
            lineage.spine.rows.unwrap_or_default(),
            lineage.service.name,
            lineage.service.version,
            lineage.service.fingerprint.short(),
            lineage.plumb
        );
        let spine = lineage.spine.path.as_deref().unwrap_or("of a request");
        let digest = lineage.spine.digest.map(|digest| digest.short()).unwrap_or_default();
        text += &format!("spine {spine}, rows {digest}\n");
        for view in &lineage.views {
            let (files, pushed) = (view.files.len(), view.n_pushed);
            let data = view.data_version.short();
            text += &format!("{} data {data}: {files} files, {pushed} rows pushed\n", view.view);
        }
        text + "\n" + &profile_table(&report["profile"])
    });
    Ok(ExitCode::SUCCESS)
}

/// Prints the training sets that were built.
pub fn list(project: &Project, format: Format) -> ExitCode {
    let catalog = project.registry.catalog();
    let sets: Vec<&TrainingSet> = catalog.training_sets().collect();
    output::answer(format, &json!({ "training_sets": sets }), || {
        let rows = sets.iter().map(|set| {
            let service = format!("{} v{}", set.service, set.service_version);
            [set.path.clone(), service, set.n_rows.to_string(), set.id.short()]
        });
        output::table(["FILE", "SERVICE", "ROWS", "ID"], rows)
    });
    ExitCode::SUCCESS
}

/// Builds a training set again from its lineage, and says whether it is the same.
///
/// # Errors
/// `changed`, with everything that is no longer as it was.
pub async fn rebuild(project: &Project, format: Format, args: &RebuildArgs) -> Result<ExitCode, Failure> {
    let (was, _) = read_about(&args.file)?;
    // Tables are read as they were: what was appended since changes nothing.
    let project = &project.with_tables_at(was.tables());
    let catalog = project.registry.catalog();
    let definitions = catalog.definitions();
    let service = definitions.service_by_fingerprint(&was.service.name, &was.service.fingerprint).ok_or_else(|| {
        let (name, print) = (&was.service.name, was.service.fingerprint.short());
        changed(&args.file, &[format!("no version of feature service `{name}` means {print} here")])
    })?;
    let compiled = CompiledService::new(service, definitions)?;
    let Some(path) = &was.spine.path else {
        return Err(Failure::invalid(format!("the spine of `{}` came with a request", args.file.display()))
            .hint("send the request again"));
    };
    let (filled, label_time) = (was.options.filled, was.options.label_time.clone());
    let options = Options { filled, label_time, memory_bytes: args.memory, ..Options::default() };
    let spine_file = spine_path(project, Path::new(path));
    let mut spine =
        Spine::read(&spine_file, Some(&was.spine.event_time), &project.offline, definitions, &needed_types(&compiled))
            .await?;
    // The same bytes name the spine as it was named.
    spine.origin.path.clone_from(&was.spine.path);
    let now = lineage_now(&project.offline, &compiled, &spine, &options).await?;
    let changes = was.changes(&now);
    if !changes.is_empty() {
        return Err(changed(&args.file, &changes));
    }
    let out = args.out.as_deref().unwrap_or(&args.file);
    let kind = FileFormat::of(&args.file).unwrap_or(FileFormat::Parquet);
    if let Some(out) = &args.out {
        writable(project, Some(&spine_file), out, definitions)?;
    }
    let beside = Beside::new(out);
    let report = write(project, &compiled, spine, &options, &beside.0, kind).await?;
    let changes = was.changes(&report.lineage);
    if !changes.is_empty() {
        return Err(changed(&args.file, &changes));
    }
    if args.file.is_file() && !same_bytes(&args.file, &beside.0)? {
        return Err(changed(&args.file, &[differs(&was, &report.lineage)]));
    }
    let fail = |why: std::io::Error| {
        Failure::new(ErrorKind::Unavailable, format!("writing `{}`: {why}", out.display())).code("environment")
    };
    if args.out.is_some() || !args.file.is_file() {
        std::fs::rename(&beside.0, out).map_err(fail)?;
        std::fs::rename(report_path(&beside.0), report_path(out)).map_err(fail)?;
        record(project, &compiled, out, &report).await?;
    }
    let rows = report.n_rows;
    let same = json!({ "same": true, "rows": rows, "out": out.display().to_string() });
    output::answer(format, &same, || format!("the same {rows} rows, byte for byte: {}\n", out.display()));
    Ok(ExitCode::SUCCESS)
}

fn differs(was: &Lineage, now: &Lineage) -> String {
    if was.plumb == now.plumb {
        return "everything that it was made of is as it was, but the file itself was changed".to_owned();
    }
    format!("it was built by plumb {}, and this is plumb {}", was.plumb, now.plumb)
}

fn changed(file: &Path, changes: &[String]) -> Failure {
    let message = format!("`{}` cannot be made again: {}", file.display(), changes.join("; "));
    Failure::new(ErrorKind::CheckFailed, message)
        .code("changed")
        .hint("build a new training set, or bring back what it was made of")
}

/// Whether two files hold the same bytes; they may be larger than memory.
fn same_bytes(a: &Path, b: &Path) -> Result<bool, Failure> {
    let open = |path: &Path| -> Result<(File, u64), Failure> {
        let fail = |why: std::io::Error| Failure::invalid(format!("reading `{}`: {why}", path.display()));
        let file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        Ok((file, length))
    };
    let ((a, of_a), (b, of_b)) = (open(a)?, open(b)?);
    if of_a != of_b {
        return Ok(false);
    }
    let (mut a, mut b) = (BufReader::with_capacity(1 << 20, a), BufReader::with_capacity(1 << 20, b));
    loop {
        let fail = |why: std::io::Error| Failure::invalid(format!("comparing training sets: {why}"));
        let (left, right) = (a.fill_buf().map_err(fail)?, b.fill_buf().map_err(fail)?);
        let n = left.len().min(right.len());
        if n == 0 {
            return Ok(left.len() == right.len());
        }
        if left[..n] != right[..n] {
            return Ok(false);
        }
        a.consume(n);
        b.consume(n);
    }
}

/// A file beside another, and its report; removed when done with, unless they were moved.
struct Beside(PathBuf);

impl Beside {
    fn new(out: &Path) -> Self {
        let mut name = out.as_os_str().to_owned();
        name.push(".rebuilt");
        Self(name.into())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
        drop(std::fs::remove_file(report_path(&self.0)));
    }
}

/// What a training set written to `out` would destroy.
fn overwritten(
    project: &Project,
    spine: Option<&Path>,
    out: &Path,
    definitions: &AppliedDefinitions,
) -> Option<String> {
    let out = out.canonicalize().ok()?;
    if spine.is_some_and(|spine| spine.canonicalize().is_ok_and(|spine| spine == out)) {
        return Some("its own spine".to_owned());
    }
    let holds = |source: &&schema::definitions::Source| {
        project.folder.join(&source.path).canonicalize().is_ok_and(|path| out.starts_with(path))
    };
    definitions.sources.values().find(holds).map(|source| format!("data of source `{}`", source.name))
}
