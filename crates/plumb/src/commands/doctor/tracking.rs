//! Runs of MLflow's clients: they can be read where the registry has them. Of a project that never had any nothing is said.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use registry::tracking::PostgresTracking;
use schema::ErrorKind;

use super::finding::{Findings, Level};
use crate::config::{Config, RegistryConfig};
use crate::failure::Failure;

const CHECK: &str = "runs";
/// How every SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Looks.
pub(super) async fn look(folder: &Path, config: &Config, found: &mut Findings) {
    let file = config.registry.tracking_file(folder);
    let shown = file.display().to_string();
    match &config.registry {
        // To open it would make it.
        RegistryConfig::Sqlite { .. } if !file.exists() => {}
        RegistryConfig::Sqlite { .. } => match header(&file) {
            Ok(header) if header.is_empty() || header == SQLITE => {
                found.add(Level::Ok, CHECK, shown, "it is a SQLite file; what is in it is not looked at");
            }
            Ok(_) => found.failed(CHECK, shown, Failure::new(ErrorKind::Internal, "it is not a SQLite file")),
            Err(why) => found.failed(CHECK, shown, Failure::new(ErrorKind::Unavailable, why.to_string())),
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

/// The beginning of a file, as far as it has one. To open the database would move what its log holds into it, and whoever
/// looks changes nothing.
fn header(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(file)?.take(SQLITE.len() as u64).read_to_end(&mut header)?;
    Ok(header)
}

async fn counted(config: &registry::PostgresConfig) -> Result<Option<i64>, Failure> {
    Ok(PostgresTracking::new(config)?.count().await?)
}
