//! The registry: it opens, its hash chain holds from the first event to the last, and the files of models are what it says.

use std::sync::Arc;

use registry::{Artifacts, Catalog, Registry, Seq};
use schema::Timestamp;

use super::finding::{Findings, Level};
use crate::config::Config;
use crate::failure::Failure;
use crate::project::existing_log;

const CHECK: &str = "registry";
const FILES: &str = "model files";

/// A registry that holds.
pub(super) struct Found {
    /// What it says.
    pub(super) catalog: Arc<Catalog>,
    /// When its last event was written; `None` where there is none.
    pub(super) last: Option<Timestamp>,
}

/// Looks; `None` where nothing can be said that stands in it.
pub(super) async fn look(config: &Config, found: &mut Findings) -> Option<Found> {
    let path = config.registry.to_string();
    let opened = match open(config).await {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            found.advise(Level::Warning, CHECK, path, "there is none yet", "plumb apply");
            return None;
        }
        Err(why) => {
            found.failed(CHECK, path, why);
            return None;
        }
    };
    let catalog = &opened.catalog;
    let says = format!(
        "{} events, each follows the one before; head `{}` (a copy of it elsewhere tells whether later ones were cut off)",
        catalog.seq().0,
        catalog.head().short()
    );
    found.add(Level::Ok, CHECK, path, says);
    artifacts(config, catalog, found);
    Some(opened)
}

async fn open(config: &Config) -> Result<Option<Found>, Failure> {
    let Some(log) = existing_log(&config.registry).await? else { return Ok(None) };
    let registry = Registry::open_whole(Arc::clone(&log)).await?;
    let catalog = registry.catalog();
    let last = log.read_after(Seq(catalog.seq().0.saturating_sub(1))).await?;
    Ok(Some(Found { catalog, last: last.last().map(|event| event.at) }))
}

/// The file of every registered model version, byte for byte.
fn artifacts(config: &Config, catalog: &Catalog, found: &mut Findings) {
    let versions: Vec<_> = catalog.models().flat_map(|(_, model)| model.versions()).collect();
    if versions.is_empty() {
        return;
    }
    let folder = config.artifacts.display().to_string();
    // To open it would make it.
    if !config.artifacts.join("sha256").is_dir() {
        let says = format!("it is not there, and {} model versions have their files in it", versions.len());
        found.advise(Level::Failed, FILES, folder, says, "restore it from a backup, or register the files again");
        return;
    }
    let artifacts = match Artifacts::open(&config.artifacts) {
        Ok(artifacts) => artifacts,
        Err(why) => return found.failed(FILES, folder, why),
    };
    let mut n_well = 0;
    for state in versions {
        let version = &state.version;
        for file in version.pinned() {
            match artifacts.get(&file.digest) {
                Ok(_) => n_well += 1,
                Err(why) => found.failed(FILES, format!("{} version {}", version.name, version.version), why),
            }
        }
    }
    found.add(Level::Ok, FILES, folder, format!("{n_well} are what was registered, byte for byte"));
}
