//! Training sets: a spine joined with a feature service. Exactly one row per spine row, in spine order, always.
//!
//! The spine streams: it is joined in blocks that fit into memory ([`blocks`]) and leaves in chunks of one size
//! ([`chunks`]), so what is written does not depend on the memory there was. While rows pass, the [`profile`] and the
//! [`leakage`] report are made; [`lineage`] says what it was all made of.

mod blocks;
mod chunks;
mod filled;
mod hashes;
pub mod join;
pub mod leakage;
pub mod lineage;
pub mod profile;
mod report;
pub mod spine;
mod stream;
pub mod write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use schema::Timestamp;

use crate::assemble::FeatureRows;
use crate::compiled::CompiledService;
use crate::offline::{OfflineError, OfflineStore};
use crate::point_in_time::Watch;
use crate::retrieve::EntityRows;
use blocks::Blocks;
pub use chunks::canonical;
pub use filled::fill_all;
use join::Join;
use lineage::{FORMAT, Lineage, LineageOptions, ServiceLineage, SpineLineage, ViewLineage};
use report::view_reports;
pub use report::{FeatureReport, Report, ViewReport};
use spine::Spine;
use stream::Stream;

/// Memory that a build takes unless the caller says: about four million rows of a block, with ten numbers each.
pub const MEMORY_DEFAULT: usize = 2 << 30;

/// How a training set is built.
#[derive(Debug, Clone)]
pub struct Options {
    /// Replace nulls as the service's `fill` says: what the model will see.
    pub filled: bool,
    /// The column that says when each row's label became known.
    pub label_time: Option<String>,
    /// What the features are called, in the service's order; as the service calls them unless given.
    pub names: Option<Vec<String>>,
    /// About how much memory the process may take. It changes how often history is scanned, and nothing of what is
    /// built.
    pub memory_bytes: usize,
}

impl Options {
    fn names(&self, compiled: &CompiledService) -> Vec<String> {
        let own = || compiled.service.columns.iter().map(|column| column.name.to_string()).collect();
        self.names.clone().unwrap_or_else(own)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { filled: false, label_time: None, names: None, memory_bytes: MEMORY_DEFAULT }
    }
}

/// Where the rows of a training set go, chunk by chunk.
pub trait Sink {
    /// What the columns are, and what it is made of; rows and digest of the spine may be missing yet.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    fn begin(&mut self, schema: &SchemaRef, lineage: &Lineage) -> Result<(), OfflineError>;

    /// The next rows.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    fn write(&mut self, chunk: &RecordBatch) -> Result<(), OfflineError>;

    /// All rows were written; only now it is a training set.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    fn finish(&mut self, report: &Report) -> Result<(), OfflineError>;
}

/// The features of a service for given rows and instants, from history: the offline half of every comparison.
///
/// `rows` holds what a request would say, keys and fields, in the declared dtypes; `times[i]` is the instant of row `i`.
///
/// # Errors
/// [`OfflineError`] if `rows` lacks a column or history cannot be read.
pub async fn features_at(
    store: &OfflineStore,
    compiled: &CompiledService,
    rows: &EntityRows,
    times: &[Option<Timestamp>],
) -> Result<(FeatureRows, Vec<ViewReport>), OfflineError> {
    let join = Join::open(store, compiled).await?;
    let joined = join.rows(rows, times, &Watch::nobody())?;
    let reports = view_reports(&join, &joined.scanned);
    Ok((joined.features, reports))
}

/// What a training set of this spine and service would be made of now, without building it.
///
/// # Errors
/// [`OfflineError`] if the spine does not fit or history cannot be read.
pub async fn lineage_now(
    store: &OfflineStore,
    compiled: &CompiledService,
    spine: &Spine,
    options: &Options,
) -> Result<Lineage, OfflineError> {
    spine.shape.check(compiled, &options.names(compiled))?;
    Ok(lineage(&Join::open(store, compiled).await?, compiled, spine, options))
}

fn lineage(join: &Join<'_>, compiled: &CompiledService, spine: &Spine, options: &Options) -> Lineage {
    let service = &compiled.service;
    let column = |(name, c): (&String, &schema::ServiceColumn)| format!("{name} = {}:{}", c.view, c.feature);
    let view = |(used, history): (&crate::compiled::CompiledView, &crate::offline::history::History)| ViewLineage {
        name: used.name.clone(),
        view: used.view.id.to_string(),
        fingerprint: used.view.fingerprint,
        data_version: history.data_version(),
        files: history.files().to_vec(),
        n_pushed: history.n_pushed(),
        table: history.table_version().map(|version| (used.view.source.name.to_string(), version)),
    };
    Lineage {
        format: FORMAT,
        plumb: env!("CARGO_PKG_VERSION").to_owned(),
        spine: SpineLineage {
            path: spine.origin.path.clone(),
            sql: spine.origin.sql.clone(),
            sources: spine.origin.sources.clone(),
            event_time: spine.shape.time_column().to_owned(),
            rows: spine.n_rows,
            digest: spine.origin.digest,
        },
        service: ServiceLineage {
            name: service.name.to_string(),
            version: service.version,
            fingerprint: service.fingerprint,
            columns: options.names(compiled).iter().zip(&service.columns).map(column).collect(),
        },
        views: join.views().map(view).collect(),
        options: LineageOptions { filled: options.filled, label_time: options.label_time.clone() },
    }
}

/// Joins a spine with a service, and writes the rows to `out` as they are joined.
///
/// Everything that can be wrong with the names and types of the spine is found before its first row is read.
///
/// # Errors
/// [`OfflineError::Spine`] if the spine lacks a join key or a request field, has it in another type, or already has a
/// column with a feature's name; [`OfflineError::Write`]; otherwise as [`features_at`].
pub async fn build(
    store: &OfflineStore,
    compiled: &CompiledService,
    spine: Spine,
    options: &Options,
    out: &mut dyn Sink,
    watch: &Watch<'_>,
) -> Result<Report, OfflineError> {
    spine.shape.check(compiled, &options.names(compiled))?;
    let label_time = options.label_time.as_deref().map(|name| label_time(&spine, name)).transpose()?;
    let join = Join::open(store, compiled).await?.with_hindsight();
    let made_of = lineage(&join, compiled, &spine, options);
    let mut stream = Stream::begin(compiled, &spine, made_of, label_time, options, out)?;
    let mut blocks = Blocks::new(spine, options.memory_bytes, join.bytes_a_row());
    while let Some(rows) = blocks.next().await? {
        let block = blocks.spine.shape.block(rows, compiled)?;
        let joined = join.rows(&block.entities, &block.times, watch)?;
        stream.block(compiled, &block, joined, label_time, options.filled)?;
    }
    stream.end(compiled, &join, &blocks.spine, options)
}

/// How many history rows a build will read, if that can be known.
///
/// # Errors
/// As [`Join::open`].
pub async fn scan_rows(
    store: &OfflineStore,
    compiled: &CompiledService,
    spine: Spine,
    options: &Options,
) -> Result<(Spine, Option<u64>), OfflineError> {
    spine.shape.check(compiled, &options.names(compiled))?;
    let join = Join::open(store, compiled).await?.with_hindsight();
    let blocks = Blocks::new(spine, options.memory_bytes, join.bytes_a_row());
    let n = blocks.count().map(|blocks| blocks * join.n_history_rows());
    Ok((blocks.spine, n))
}

fn label_time(spine: &Spine, name: &str) -> Result<usize, OfflineError> {
    let schema = spine.shape.schema();
    schema.index_of(name).map_err(|_absent| OfflineError::Spine {
        what: format!("spine `{}`", spine.shape.name()),
        why: format!("it has no column `{name}`, the labels' time"),
        hint: schema::yaml::suggest(name, schema.fields().iter().map(|f| f.name().as_str())),
    })
}

#[cfg(test)]
pub(crate) mod tests;
