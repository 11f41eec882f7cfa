//! The registry: it opens, its hash chain holds from the first event to the last, and the files of models are what it says.

use std::sync::Arc;

use registry::{Catalog, Model, Registry, Seq, Stage, VersionState};
use schema::Timestamp;

use super::finding::{Findings, Level};
use crate::config::Config;
use crate::failure::Failure;
use crate::project::{artifacts_as_they_are, existing_log};

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
pub(super) async fn look(config: &Config, deep: bool, found: &mut Findings) -> Option<Found> {
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
    model_files(config, catalog, deep, found);
    Some(opened)
}

async fn open(config: &Config) -> Result<Option<Found>, Failure> {
    let Some(log) = existing_log(&config.registry).await? else { return Ok(None) };
    let registry = Registry::open_whole(Arc::clone(&log)).await?;
    let catalog = registry.catalog();
    let last = log.read_after(Seq(catalog.seq().0.saturating_sub(1))).await?;
    Ok(Some(Found { catalog, last: last.last().map(|event| event.at) }))
}

/// The files of registered model versions: read one by one, or in a bucket looked for.
fn model_files(config: &Config, catalog: &Catalog, deep: bool, found: &mut Findings) {
    let versions: Vec<_> =
        catalog.models().flat_map(|(_, model)| model.versions().map(move |state| (model, state))).collect();
    let artifacts = match artifacts_as_they_are(config) {
        Ok(artifacts) => artifacts,
        Err(why) => return found.failed(FILES, config.artifacts.path.display().to_string(), why),
    };
    let place = artifacts.location();
    let is_far = config.artifacts.bucket.is_some();
    if is_far && let Err(why) = artifacts.reach() {
        return found.failed(FILES, place, why);
    }
    if versions.is_empty() {
        return;
    }
    if !is_far && !artifacts.root().join("sha256").is_dir() {
        let says = format!("it is not there, and {} model versions have their files in it", versions.len());
        found.advise(Level::Failed, FILES, place, says, "restore it from a backup, or register the files again");
        return;
    }
    let reads = deep || !is_far;
    let mut n_well = 0;
    for (model, state) in versions {
        let version = &state.version;
        if !reads && !is_live(model, state) {
            continue;
        }
        for file in version.pinned() {
            let looked =
                if reads { artifacts.check(&file.digest) } else { artifacts.is_there(&file.digest, file.size_bytes) };
            match looked {
                Ok(()) => n_well += 1,
                Err(why) => found.failed(FILES, format!("{} version {}", version.name, version.version), why),
            }
        }
    }
    let says = match reads {
        true => format!("{n_well} are what was registered, byte for byte"),
        false => {
            format!("{n_well} of versions with a stage or an alias are there, in their lengths; --deep reads them all")
        }
    };
    found.add(Level::Ok, FILES, place, says);
}

/// Whether a name resolves to a version.
fn is_live(model: &Model, state: &VersionState) -> bool {
    matches!(state.stage, Stage::Staging | Stage::Production)
        || model.aliases.values().any(|version| *version == state.version.version)
}
