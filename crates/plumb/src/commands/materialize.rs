//! `plumb materialize`: history to the online store.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use featurestore::materialize::{MaterializeError, Materialized, Materializer, Progress, Range};
use featurestore::offline::lease::{Lease, Leasing};
use featurestore::{OnlineError, OnlineStore};
use registry::Catalog;
use schema::{ErrorKind, FeatureView};
use serde_json::json;
use tokio::runtime::Handle;

use crate::cli::{Format, MaterializeArgs};
use crate::failure::Failure;
use crate::http::services;
use crate::output;
use crate::project::Project;

/// Materializes the named views, or every view version in use.
///
/// # Errors
/// An unknown view; a source that cannot be read; a store that cannot be written.
pub async fn materialize(project: &Project, format: Format, args: &MaterializeArgs) -> Result<ExitCode, Failure> {
    if args.rollback {
        return roll_back(project, format, &args.views).await;
    }
    let range = Range { from: args.from, to: args.to };
    if let (Some(from), Some(to)) = (range.from, range.to)
        && from >= to
    {
        return Err(Failure::invalid(format!("--from {from} is not before --to {to}")).code("empty_range"));
    }
    let mode = match args.fresh {
        true => Mode::Fresh,
        false if range == Range::default() => Mode::Changes,
        false => Mode::Range(range),
    };
    let catalog = project.registry.catalog();
    let views = wanted(&catalog, &args.views)?;
    if views.is_empty() {
        output::note("every feature view is served from Feast's Redis, which Feast writes: there is nothing to do");
    }
    let online = project.online_to_write().await?;
    let done = bring(project, online.as_ref(), &views, args.jobs.get(), mode).await?;
    output::answer(format, &json!({ "materialized": done }), || {
        let rows = done.iter().map(|d| {
            [
                d.view.clone(),
                d.how.as_str().to_owned(),
                d.n_rows.to_string(),
                d.n_rejected.to_string(),
                d.n_keys.to_string(),
                d.n_written.to_string(),
                d.horizon.to_string(),
            ]
        });
        output::table(["VIEW", "HOW", "ROWS READ", "REJECTED", "KEYS", "KEYS CHANGED", "AS OF"], rows)
    });
    Ok(ExitCode::SUCCESS)
}

/// How one view is brought online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What came since the last time, or a generation if more changed.
    Changes,
    /// A generation, whatever is online.
    Fresh,
    /// Rows of a range of event times, whatever else there is.
    Range(Range),
}

/// Why a view was not brought online.
#[derive(Debug)]
pub struct Ended {
    /// What it failed with.
    pub why: Failure,
    /// Whether the others would fail too: they share a store. Of a view's own history the others do not depend.
    pub of_all: bool,
}

impl Ended {
    /// What materializing failed with.
    pub fn of(why: MaterializeError) -> Self {
        let of_all = match &why {
            // A damaged row is its view's.
            MaterializeError::Online { source, .. } | MaterializeError::Stopped { source, .. } => {
                !matches!(source, OnlineError::Corrupt { .. })
            }
            MaterializeError::Offline { .. } | MaterializeError::Changed { .. } | MaterializeError::Feast { .. } => {
                false
            }
        };
        Self { why: why.into(), of_all }
    }

    /// For a reason of its own.
    pub fn of_one(why: Failure) -> Self {
        Self { why, of_all: false }
    }
}

/// Brings views online in `online`, up to `jobs` at a time; answers are in the order of the views. A view whose history cannot
/// be read holds up no other.
///
/// # Errors
/// The first view's, with how many others are online all the same; what ends others is noted. A store that cannot be written
/// ends all: then those that have begun are completed.
pub async fn bring(
    project: &Project,
    online: &dyn OnlineStore,
    views: &[&FeatureView],
    jobs: usize,
    mode: Mode,
) -> Result<Vec<Materialized>, Failure> {
    let ended = side_by_side(jobs, views, |view| one_of(project, online, view, mode)).await;
    together(ended, |why| output::note(&why.to_string()))
}

/// What came of several views; all failures but the first are told.
///
/// # Errors
/// The first view's, with how many others are online all the same.
pub fn together(
    ended: Vec<Result<Materialized, Ended>>,
    tell: impl Fn(&Failure),
) -> Result<Vec<Materialized>, Failure> {
    let (mut done, mut failed) = (Vec::with_capacity(ended.len()), Vec::new());
    for each in ended {
        match each {
            Ok(one) => done.push(one),
            Err(Ended { why, .. }) => failed.push(why),
        }
    }
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else { return Ok(done) };
    for why in failed {
        tell(&why);
    }
    match done.len() {
        0 => Err(first),
        1 => Err(first.note("1 other view is online")),
        n => Err(first.note(&format!("{n} other views are online"))),
    }
}

/// Does something with views, up to `jobs` at a time; answers are in the order of the views. After what ends all, those that
/// have begun are completed.
async fn side_by_side<'v, F: Future<Output = Result<Materialized, Ended>>>(
    jobs: usize,
    views: &[&'v FeatureView],
    one: impl Fn(&'v FeatureView) -> F + Sync,
) -> Vec<Result<Materialized, Ended>> {
    let jobs = jobs.clamp(1, views.len().max(1));
    if jobs == 1 {
        let mut all = Vec::with_capacity(views.len());
        for view in views {
            all.push(one(view).await);
            if all.last().is_some_and(ends_all) {
                break;
            }
        }
        return all;
    }
    let (here, next, failed) = (Handle::current(), AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(view) = views.get(at) else { break };
            // Scans and packs on this thread: a thread a view is what makes them go side by side.
            let answer = here.block_on(one(view));
            failed.fetch_or(ends_all(&answer), Ordering::Relaxed);
            done.push((at, answer));
        }
        done
    };
    let mut all: Vec<(usize, Result<Materialized, Ended>)> = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, answer)| answer).collect()
}

/// Whether what ended one view ends all.
pub fn ends_all(answer: &Result<Materialized, Ended>) -> bool {
    answer.as_ref().is_err_and(|ended| ended.of_all)
}

pub(super) async fn one(
    project: &Project,
    online: &dyn OnlineStore,
    view: &FeatureView,
    mode: Mode,
) -> Result<Materialized, Failure> {
    one_of(project, online, view, mode).await.map_err(|ended| ended.why)
}

async fn one_of(
    project: &Project,
    online: &dyn OnlineStore,
    view: &FeatureView,
    mode: Mode,
) -> Result<Materialized, Ended> {
    let _lease = lease(project, view).map_err(Ended::of_one)?;
    let history = project.offline.history(view).await.map_err(|why| Ended::of_one(why.into()))?;
    for rejected in history.rejected() {
        let (n, file, reasons) = (rejected.n_rows, &rejected.file, rejected.reasons.display());
        output::note(&format!("{n} rows of `{file}` do not parse and are left out; why: `{reasons}`"));
    }
    let bar = output::progress(history.n_rows(), &view.id.to_string());
    let progress = |step: Progress| match step {
        Progress::Scanned(done, total) => {
            bar.set_length(total);
            bar.set_position(done);
        }
        Progress::Written(done, total) => {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    };
    let materializer = Materializer::new(view, &history, online, project.clock().now());
    let done = match mode {
        Mode::Changes => materializer.run(false, &progress).await,
        Mode::Fresh => materializer.run(true, &progress).await,
        Mode::Range(range) => materializer.run_range(range, &progress).await,
    };
    bar.finish_and_clear();
    done.map_err(Ended::of)
}

/// The lease of a view version; waits for it.
///
/// # Errors
/// Its file cannot be made.
pub(super) fn lease(project: &Project, view: &FeatureView) -> Result<Lease, Failure> {
    match project.offline.lease(view)? {
        Leasing::Held(lease) => Ok(lease),
        Leasing::Taken(waiting) => {
            output::note(&format!("another process is materializing `{}`; waiting for it", view.id));
            Ok(tokio::task::block_in_place(|| waiting.wait())?)
        }
    }
}

/// Makes the generation before the current one answer again, for each of the named views.
///
/// # Errors
/// An unknown view; no generation to go back to; a store that cannot be written.
pub async fn roll_back(project: &Project, format: Format, names: &[String]) -> Result<ExitCode, Failure> {
    if names.is_empty() {
        return Err(Failure::invalid("--rollback needs the names of feature views").hint("name them"));
    }
    let catalog = project.registry.catalog();
    let online = project.online().await?;
    let mut done = Vec::new();
    for view in wanted(&catalog, names)? {
        let _lease = lease(project, view)?;
        let Some(generation) = featurestore::materialize::roll_back(view, online.as_ref()).await? else {
            let message = format!("feature view `{}` has no generation to go back to", view.id);
            return Err(Failure::new(ErrorKind::Conflict, message).hint("only the last one before is kept"));
        };
        done.push((view.id.to_string(), generation));
    }
    let json = done.iter().map(|(view, generation)| json!({ "view": view, "generation": generation }));
    output::answer(format, &json!({ "rolled_back": json.collect::<Vec<_>>() }), || {
        done.iter().map(|(view, generation)| format!("{view}: generation {generation} answers again\n")).collect()
    });
    Ok(ExitCode::SUCCESS)
}

/// Every view version that answers are made of and is written here, or the named views: by `name` their current versions, by `name@v1` one
/// that is kept.
///
/// # Errors
/// A name that is not applied; nothing is.
pub fn wanted<'c>(catalog: &'c Catalog, names: &[String]) -> Result<Vec<&'c FeatureView>, Failure> {
    let definitions = catalog.definitions();
    if names.is_empty() {
        let mut views = catalog.served_views();
        let n_applied = views.len();
        // Those are Feast's to write.
        views.retain(|view| view.definition.online.feast().is_none());
        if n_applied == 0 {
            return Err(Failure::invalid("no feature view is applied").hint("run `plumb apply` first"));
        }
        return Ok(views);
    }
    let find = |name: &String| {
        if name.contains('@') {
            return Ok(services::view_named(definitions, name)?);
        }
        definitions.current_view(name).ok_or_else(|| {
            if definitions.current_on_demand(name).is_some() {
                let message =
                    format!("`{name}` is an on-demand view: it is computed for every request, and stored nowhere");
                return Failure::invalid(message).hint("materialize the feature views that it reads");
            }
            Failure::new(ErrorKind::NotFound, format!("feature view `{name}` is not applied"))
                .hint(services::view_hint(definitions, name))
        })
    };
    names.iter().map(find).collect()
}
