//! `plumb doctor`: looks at everything a project stands on, says what is wrong and what to do. Changes nothing.
//!
//! Each check is a file that adds its findings; one that fails stops none of the others. Of a registry that cannot be
//! read the checks that need it say nothing.

mod clock;
mod definitions;
mod disk;
mod finding;
mod offline;
mod online;
mod registry;
mod runtime;
mod sources;
mod tracking;
mod views;

pub(super) use offline::unnamed;

use std::path::Path;
use std::process::ExitCode;

use featurestore::OfflineStore;

use crate::cli::{DoctorArgs, Format};
use crate::config::Config;
use crate::failure::Failure;
use crate::output;
use finding::{Findings, Level};

/// Looks, and prints what it found; exit status 1 when a check failed.
///
/// # Errors
/// None: what is wrong is what it prints.
pub async fn doctor(folder: &Path, config: &Config, format: Format, args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let offline =
        OfflineStore::new(folder, &config.offline).with_storage(config.storage.clone()).with_limits(config.limits);
    let mut found = Findings::default();

    let registry = registry::look(config, args.deep, &mut found).await;
    tracking::look(folder, config, &mut found).await;
    let catalog = registry.as_ref().map(|registry| registry.catalog.as_ref());
    let declared = definitions::look(folder, catalog, &mut found);
    offline::look(&offline, &mut found);
    disk::look(config, &mut found);
    runtime::look(catalog, &mut found);
    let unreadable = sources::look(&offline, declared.as_ref(), catalog, args.deep, &mut found).await;
    let online = online::look(config, &mut found).await;
    if let Some(catalog) = catalog {
        views::look(&offline, catalog, &online, &unreadable, &mut found).await;
    }
    clock::look(config, registry.as_ref(), &online, &mut found);

    output::answer(format, &found.to_json(), || found.to_string());
    Ok(if found.n(Level::Failed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
