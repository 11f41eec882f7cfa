//! The tables of a schema: whether they are ours.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::fault::Place;
use crate::store::StoreError;

/// Tables of which any one, beside `meta`, says that a schema is ours: the log's, that of the runs and that of the hooks. Any
/// may be made first.
const OURS: [&str; 3] = ["events", "tracked_runs", "webhooks"];

/// Names of the tables and views of a schema.
#[derive(Debug)]
pub(crate) struct Tables(Vec<String>);

/// The tables of `schema`; none for one that is not there. Reads only.
pub(crate) async fn of(client: &Client, schema: &String) -> Result<Tables, tokio_postgres::Error> {
    const TABLES: &str = "SELECT c.relname::text FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') LIMIT 100";
    let schema: [&(dyn ToSql + Sync); 1] = [schema];
    let rows = client.query(TABLES, &schema).await?;
    Ok(Tables(rows.iter().map(|row| row.get(0)).collect()))
}

impl Tables {
    /// Whether all of `needed` are there; `false` where they can be made.
    ///
    /// # Errors
    /// [`StoreError::NotARegistry`] if the schema is somebody else's.
    pub(crate) fn hold(&self, needed: &[&str], place: &Place) -> Result<bool, StoreError> {
        if needed.iter().all(|name| self.has(name)) {
            return Ok(true);
        }
        let ours = self.has("meta") && OURS.iter().any(|name| self.has(name));
        if ours || self.0.is_empty() {
            return Ok(false);
        }
        Err(place.not_a_registry("its schema has tables of something else"))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|found| found == name)
    }
}
