//! `plumb materialize`: history to the online store.

use std::process::ExitCode;

use featurestore::OnlineStore;
use featurestore::materialize::{Materialized, Progress};
use registry::Catalog;
use schema::FeatureView;
use schema::yaml::suggest;

use crate::cli::Format;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Materializes the named views, or every view version in use.
///
/// # Errors
/// An unknown view; a source that cannot be read; a store that cannot be written.
pub async fn materialize(project: &Project, format: Format, names: &[String]) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let views = wanted(&catalog, names)?;
    let online = project.online().await?;
    let mut done = Vec::with_capacity(views.len());
    for view in views {
        done.push(one(project, online.as_ref(), view).await?);
    }
    output::answer(format, &serde_json::json!({ "materialized": done }), || {
        let rows = done.iter().map(|d| {
            [
                d.view.clone(),
                d.n_rows.to_string(),
                d.n_rejected.to_string(),
                d.n_keys.to_string(),
                d.n_written.to_string(),
                d.horizon.to_string(),
            ]
        });
        output::table(["VIEW", "ROWS READ", "REJECTED", "KEYS", "KEYS CHANGED", "AS OF"], rows)
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn one(
    project: &Project,
    online: &dyn OnlineStore,
    view: &FeatureView,
) -> Result<Materialized, Failure> {
    let history = project.offline.history(view).await?;
    let bar = output::progress(history.n_rows(), &view.id.to_string());
    let progress = |step: Progress| match step {
        Progress::Scanned(done, _) => bar.set_position(done),
        Progress::Written(done, total) => {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    };
    let done = featurestore::materialize::materialize(view, &history, online, project.clock().now(), &progress).await;
    bar.finish_and_clear();
    Ok(done?)
}

/// Every view version that is current, or pinned by any model version: one that waits for its promotion needs its
/// features, and so does one that a rollback brings back. Or the current versions of the named views.
fn wanted<'c>(catalog: &'c Catalog, names: &[String]) -> Result<Vec<&'c FeatureView>, Failure> {
    let definitions = catalog.definitions();
    if names.is_empty() {
        let mut views: Vec<&FeatureView> = definitions.views.values().filter_map(|v| v.current()).collect();
        for (_, model) in catalog.models() {
            for state in model.versions() {
                let version = &state.version;
                let service =
                    definitions.service_by_fingerprint(version.service.as_str(), &version.service_fingerprint);
                let pinned = service.into_iter().flat_map(|s| s.views()).filter_map(|id| definitions.view(id));
                for view in pinned {
                    if !views.iter().any(|known| known.id == view.id) {
                        views.push(view);
                    }
                }
            }
        }
        if views.is_empty() {
            return Err(Failure::invalid("no feature view is applied").hint("run `plumb apply` first"));
        }
        return Ok(views);
    }
    let find = |name: &String| {
        definitions.current_view(name).ok_or_else(|| {
            let applied = definitions.views.keys().map(schema::ViewName::as_str);
            Failure::new(schema::ErrorKind::NotFound, format!("feature view `{name}` is not applied"))
                .hint(suggest(name, applied))
        })
    };
    names.iter().map(find).collect()
}
