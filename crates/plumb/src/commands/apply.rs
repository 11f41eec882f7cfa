//! `plumb plan` and `plumb apply`: declared against applied.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use featurestore::check::Checked;
use featurestore::online::marks::Marks;
use featurestore::plan::{PinnedModel, PinnedTrainingSet, Plan, Surroundings};
use registry::{Catalog, Command, Seq, TrainingSet, VersionState};
use schema::applied::migrations::MigrationFault;
use schema::definitions::DeclaredModel;
use schema::migration::{MigrateFrom, ServiceVersion};
use schema::yaml::Mistake;
use schema::{AppliedDefinitions, Clock, Definitions, FeatureView, SourceName, ViewId};

use crate::cli::{ApplyArgs, Format};
use crate::commands::view::size;
use crate::config::actor;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Exit status of `plan --detailed-exitcode` when there are changes.
const CHANGES_PENDING: u8 = 8;

async fn make_plan(project: &Project) -> Result<(Plan, Seq), Failure> {
    let catalog = project.registry.catalog();
    let (declared, Checked { mut mistakes, rows }) = project.declared(catalog.definitions()).await?;
    mistakes.extend(faults(&catalog.definitions().after(&declared), &declared));
    if !mistakes.is_empty() {
        mistakes.sort_by(|a, b| a.place.cmp(&b.place));
        return Err(mistakes.into());
    }
    let mut around = surroundings(project, &catalog, rows)?;
    around.online = online_still(project, catalog.definitions(), &declared).await;
    Ok((featurestore::plan::plan(catalog.definitions(), &declared, &around), catalog.definitions_seq()))
}

/// Declared migrations that do not arrive, ways that make a difference, and models that name what is not there.
fn faults(after: &AppliedDefinitions, declared: &Definitions) -> Vec<Mistake> {
    let (migrations, mut faults) = after.migrations();
    faults.extend(migrations.faults());
    let mistake = |fault: &MigrationFault| {
        let service = fault.service().and_then(|service| declared.services.get(service.name.as_str()));
        let place = service.map(|service| service.place.clone()).unwrap_or_default();
        Mistake::new(&place, schema::error::chain(fault)).hint(fault.hint())
    };
    let mut mistakes: Vec<Mistake> = faults.iter().map(mistake).collect();
    mistakes.extend(after.model_faults().iter().map(|fault| {
        let ServiceVersion { name, version } = fault.names();
        // Of a name alone the declared version.
        let said = |version| MigrateFrom { service: name.clone(), version };
        let by = [said(Some(*version)), said(None)];
        let at = |model: &DeclaredModel| {
            let named = by.iter().find_map(|by| model.services().find(|named| named.named == *by));
            named.map_or(&model.place, |named| &named.place).clone()
        };
        let place = declared.models.get(fault.model()).map(at).unwrap_or_default();
        Mistake::new(&place, fault.to_string()).hint(fault.hint())
    }));
    mistakes
}

/// What stands on the definitions and under them: model versions, and the sizes of sources.
fn surroundings(
    project: &Project,
    catalog: &Catalog,
    rows: BTreeMap<SourceName, u64>,
) -> Result<Surroundings, Failure> {
    let pinned = |state: &VersionState| {
        let servable = state.version.servable.as_ref()?;
        Some(PinnedModel {
            model: state.version.name.to_string(),
            version: state.version.version,
            stage: state.stage.to_string(),
            service: servable.service.clone(),
            fingerprint: servable.service_fingerprint,
        })
    };
    let models = catalog.models().flat_map(|(_, model)| model.versions()).filter_map(pinned).collect();
    let built = |set: &TrainingSet| PinnedTrainingSet {
        path: set.path.clone(),
        service: set.service.clone(),
        fingerprint: set.service_fingerprint,
    };
    let training_sets = catalog.training_sets().map(built).collect();
    let current = || catalog.definitions().views.values().filter_map(|versions| versions.current());
    let bytes = current().map(|view| (view.id.clone(), size(&project.offline.folder_of(view)))).collect();
    let pushed = match project.offline.existing_pushes()? {
        Some(log) => current().map(|view| Ok((view.id.clone(), log.n_rows(view)?))).collect::<Result<_, Failure>>()?,
        None => BTreeMap::new(),
    };
    Ok(Surroundings { models, training_sets, rows, bytes, pushed, online: BTreeSet::new() })
}

/// View versions of before that become current again and are online. A store that cannot be asked is not waited for: a plan
/// is of definitions, and says what is to be done where nobody knows.
async fn online_still(project: &Project, applied: &AppliedDefinitions, declared: &Definitions) -> BTreeSet<ViewId> {
    let after = applied.after(declared);
    let comes_again = |now: &&FeatureView| {
        let current = applied.current_view(now.id.name.as_str());
        current.is_none_or(|current| current.id != now.id)
            && applied.view(&now.id).is_some()
            && now.definition.online.feast().is_none()
    };
    let back: Vec<&FeatureView> =
        after.views.values().filter_map(|versions| versions.current()).filter(comes_again).collect();
    let mut online = BTreeSet::new();
    if back.is_empty() {
        return online;
    }
    let Ok(store) = project.online().await else { return online };
    for view in back {
        match Marks::read(store.as_ref(), view).await {
            Ok(marks) if marks.current.is_some() => _ = online.insert(view.id.clone()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    online
}

/// Prints the plan.
///
/// # Errors
/// Every mistake of the definitions.
pub async fn plan(project: &Project, format: Format, detailed_exitcode: bool) -> Result<ExitCode, Failure> {
    project.note_foreign()?;
    let (plan, based_on) = make_plan(project).await?;
    output::answer(format, &to_json(&plan, based_on), || plan.to_string());
    let pending = detailed_exitcode && !plan.is_empty();
    Ok(if pending { ExitCode::from(CHANGES_PENDING) } else { ExitCode::SUCCESS })
}

/// Applies the plan, all or nothing; of two appliers one wins and the other is told.
///
/// # Errors
/// Every mistake of the definitions; a conflict if somebody applied meanwhile.
pub async fn apply(project: &Project, format: Format, args: &ApplyArgs) -> Result<ExitCode, Failure> {
    let (plan, made_on) = make_plan(project).await?;
    // A plan that somebody looked at holds for the definitions that it was made on.
    let based_on = args.based_on.map_or(made_on, Seq);
    if !plan.is_empty() && !args.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::invalid(
                "`apply` asks before it changes anything, and there is no terminal to ask on",
            )
            .hint("look with `plumb plan`, then run `plumb apply --yes`"));
        }
        output::note(&plan.to_string());
        output::note("apply these changes? [y/N]");
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        if read.is_err() || !matches!(line.trim(), "y" | "Y" | "yes") {
            output::note("nothing was changed");
            return Ok(ExitCode::SUCCESS);
        }
    }
    apply_plan(project, &plan, based_on).await?;
    output::answer(format, &to_json(&plan, based_on), || {
        let text = plan.to_string();
        if plan.is_empty() { text } else { format!("{text}applied\n") }
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn apply_declared(project: &Project) -> Result<Plan, Failure> {
    let (plan, based_on) = make_plan(project).await?;
    apply_plan(project, &plan, based_on).await?;
    Ok(plan)
}

async fn apply_plan(project: &Project, plan: &Plan, based_on: Seq) -> Result<(), Failure> {
    let command = Command::ApplyDefinitions { based_on, definitions: plan.after.clone(), summary: plan.summary() };
    project.registry.execute(command, Clock::wall(), &actor()).await?;
    Ok(())
}

fn to_json(plan: &Plan, based_on: Seq) -> serde_json::Value {
    serde_json::json!({
        "changes": plan.changes, "recompute": plan.recompute, "unserved": plan.unserved,
        "downstream": plan.downstream, "unused": plan.unused,
        "unused_bytes": plan.unused_bytes,
        "pending": plan.changes.len(), "based_on": based_on.0,
    })
}
