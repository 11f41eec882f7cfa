//! The spine: the rows to be joined, with keys, a time and whatever else, from Parquet, CSV or SQL over the sources.
//!
//! It is a stream, so it may be larger than memory. What its columns are is known before its first row is read, and
//! whether they fit a service is checked then.

mod files;
mod shape;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{BoxStream, StreamExt};
use schema::{AppliedDefinitions, Dtype, Fingerprint};

use super::chunks::{Chunks, Digest};
use super::lineage::SourceState;
use crate::offline::personal::Personal;
use crate::offline::{OfflineError, OfflineStore};
pub use shape::{Block, Shape, needed_types};

/// A stream of rows, and what its columns are.
pub struct Spine {
    /// What its columns are.
    pub shape: Shape,
    /// Where it comes from, as lineage tells it.
    pub origin: Origin,
    /// Rows, where they can be counted without reading them.
    pub n_rows: Option<u64>,
    pub(super) rows: BoxStream<'static, Result<RecordBatch, OfflineError>>,
}

/// Where the rows of a spine come from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The file, as the user named it.
    pub path: Option<String>,
    /// The query, where it is one.
    pub sql: Option<String>,
    /// What the query could read.
    pub sources: Vec<SourceState>,
    /// Digest of all rows, where they are in memory already.
    pub digest: Option<Fingerprint>,
}

impl Spine {
    /// Opens `path`: a `.parquet`, `.arrow` or `.csv` file, or a `.sql` file with a query over the applied sources.
    ///
    /// Columns of a text are read in the types that `known` has for them, by name ([`needed_types`]); a text says no types.
    /// `time_column` names the column of the instants; `event_time` or `event_timestamp` unless given.
    ///
    /// # Errors
    /// [`OfflineError`] naming the file and what is wrong with it.
    pub async fn read(
        path: &Path,
        time_column: Option<&str>,
        store: &OfflineStore,
        definitions: &AppliedDefinitions,
        known: &BTreeMap<String, Dtype>,
    ) -> Result<Self, OfflineError> {
        let read = Self::read_in(path, time_column, store, definitions, known).await;
        read.map_err(|why| Personal::of_all(definitions).hide(why))
    }

    async fn read_in(
        path: &Path,
        time_column: Option<&str>,
        store: &OfflineStore,
        definitions: &AppliedDefinitions,
        known: &BTreeMap<String, Dtype>,
    ) -> Result<Self, OfflineError> {
        let name = path.display().to_string();
        if !path.is_file() {
            return Err(OfflineError::NoFile { context: "the spine".to_owned(), path: name });
        }
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
        let mut spine = match end.as_str() {
            "parquet" => files::parquet(path, &name, time_column)?,
            "arrow" => files::arrow(path, &name, time_column)?,
            "csv" => files::csv(path, &name, time_column, known)?,
            "sql" => {
                let sql =
                    std::fs::read_to_string(path).map_err(|why| crate::offline::source::read_error(&name, why))?;
                Self::query(&name, &sql, time_column, store, definitions).await?
            }
            _ => {
                return Err(OfflineError::Spine {
                    what: format!("spine `{name}`"),
                    why: "its name ends in neither .parquet, .arrow, .csv nor .sql".to_owned(),
                    hint: "write the spine as Parquet, or as a query over the sources".to_owned(),
                });
            }
        };
        spine.origin.path = Some(name);
        Ok(spine)
    }

    /// The rows of a query over the applied sources.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] with what the engine says of it.
    pub async fn query(
        name: &str,
        sql: &str,
        time_column: Option<&str>,
        store: &OfflineStore,
        definitions: &AppliedDefinitions,
    ) -> Result<Self, OfflineError> {
        let asked = files::query(name, sql, time_column, store, definitions).await;
        asked.map_err(|why| Personal::of_all(definitions).hide(why))
    }

    /// Rows that are in memory.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] without a usable time column.
    pub fn of_batches(
        name: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        time_column: Option<&str>,
    ) -> Result<Self, OfflineError> {
        let shape = Shape::new(name, schema, time_column)?;
        let batches = batches.iter().map(|batch| shape.plain(batch)).collect::<Result<Vec<_>, _>>()?;
        let n_rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let (mut chunks, mut digest) = (Chunks::new(shape.schema()), Digest::default());
        for batch in &batches {
            chunks.push(batch, |chunk| digest.add(chunk))?;
        }
        chunks.finish(|chunk| digest.add(chunk))?;
        let origin = Origin { digest: Some(digest.end()), ..Origin::default() };
        let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        Ok(Self { shape, origin, n_rows: Some(n_rows), rows })
    }

    /// The next rows.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch, OfflineError>> {
        let batch = self.rows.next().await?;
        Some(batch.and_then(|batch| self.shape.plain(&batch)))
    }
}

impl fmt::Debug for Spine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spine").field("shape", &self.shape).field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}
