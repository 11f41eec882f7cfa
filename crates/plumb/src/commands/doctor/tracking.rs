//! Runs of MLflow's clients: they can be read where the registry has them. Of a project that never had any nothing is said.

use std::path::Path;

use registry::tracking::{ExperimentId, PostgresTracking, SqliteTracking, TrackingStore as _};

use super::finding::{Findings, Level};
use crate::config::{Config, RegistryConfig};
use crate::failure::Failure;

const CHECK: &str = "runs";

/// Looks.
pub(super) async fn look(folder: &Path, config: &Config, found: &mut Findings) {
    let file = config.registry.tracking_file(folder);
    let shown = file.display().to_string();
    match &config.registry {
        // To open it would make it.
        RegistryConfig::Sqlite { .. } if !file.exists() => {}
        RegistryConfig::Sqlite { .. } => match opened(&file).await {
            Ok(()) => found.add(Level::Ok, CHECK, shown, "they can be read"),
            Err(why) => found.failed(CHECK, shown, why),
        },
        RegistryConfig::Postgres(postgres) => {
            let place = config.registry.to_string();
            match counted(postgres).await {
                Ok(None) => {}
                Ok(Some(n)) => found.add(Level::Ok, CHECK, place, format!("{n} can be read")),
                Err(why) => found.failed(CHECK, place, why),
            }
            if file.exists() {
                let says = "it has the runs of a time when the registry was a file, and nobody reads them";
                found.advise(Level::Warning, CHECK, shown, says, "delete it when nobody misses them");
            }
        }
    }
}

async fn opened(file: &Path) -> Result<(), Failure> {
    Ok(SqliteTracking::open(file)?.experiment(ExperimentId::DEFAULT).await.map(drop)?)
}

async fn counted(config: &registry::PostgresConfig) -> Result<Option<i64>, Failure> {
    Ok(PostgresTracking::new(config)?.count().await?)
}
