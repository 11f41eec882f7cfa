//! Training sets: a spine joined with a feature service. Exactly one row per spine row, in spine order, always.
//!
//! The spine streams: it is joined in blocks that fit into memory ([`blocks`]) and leaves in chunks of one size
//! ([`chunks`]), so what is written does not depend on the memory there was. While rows pass, the [`profile`] and the
//! [`leakage`] report are made; [`lineage`] says what it was all made of.

mod blocks;
mod chunks;
mod hashes;
pub mod join;
pub mod leakage;
pub mod lineage;
pub mod profile;
pub mod spine;
pub mod write;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use schema::{Fingerprint, Status, Timestamp};
use transform::cast;
use transform::fill::fill;

use crate::assemble::FeatureRows;
use crate::compiled::CompiledService;
use crate::offline::history::Rejected;
use crate::offline::source::read_error;
use crate::offline::{OfflineError, OfflineStore};
use crate::point_in_time::Watch;
use crate::retrieve::EntityRows;
use blocks::Blocks;
pub use chunks::canonical;
use chunks::{Chunks, Digest};
use join::Join;
use leakage::{Finder, Leakage};
use lineage::{FORMAT, Lineage, LineageOptions, ServiceLineage, SpineLineage, ViewLineage};
use profile::{ColumnProfile, Profiler, Role};
use spine::Spine;

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

/// What a training set was made of and what it holds.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// The service.
    pub service: String,
    /// Its version.
    pub service_version: u32,
    /// Its meaning.
    pub service_fingerprint: Fingerprint,
    /// Rows.
    pub n_rows: usize,
    /// Whether nulls were replaced by the service's `fill`.
    pub filled: bool,
    /// What the service fills with, by feature.
    pub fill: serde_json::Map<String, serde_json::Value>,
    /// The view versions, with the data version and the rows read.
    pub views: Vec<ViewReport>,
    /// Per feature, how many rows have each status.
    pub features: Vec<FeatureReport>,
    /// What each column holds.
    pub profile: Vec<ColumnProfile>,
    /// Signs that rows know what serving will not.
    pub leakage: Leakage,
    /// What it was made of.
    pub lineage: Lineage,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// One view of a training set.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ViewReport {
    /// The view version.
    pub view: String,
    /// What the service calls it, if not by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Digest of the state of its data.
    pub data_version: Fingerprint,
    /// The version of the Delta table that its source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_version: Option<u64>,
    /// History rows read, in one scan.
    pub n_scanned: u64,
    /// Of these, rows without a key or an event time: they match nothing.
    pub n_rejected: u64,
    /// Of these, rows of texts that do not parse.
    #[serde(skip)]
    pub rejected: Vec<Rejected>,
}

/// One feature of a training set.
#[derive(Debug, Clone, serde::Serialize)]
pub struct FeatureReport {
    /// Its name in the service.
    pub name: String,
    /// Rows that have a value.
    pub present: usize,
    /// Rows whose value is null.
    pub null_value: usize,
    /// Rows whose newest row is too old.
    pub outside_max_age: usize,
    /// Rows without any row.
    pub not_found: usize,
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

fn view_reports(join: &Join<'_>, scanned: &[(u64, u64)]) -> Vec<ViewReport> {
    let report =
        |(i, (used, history)): (usize, (&crate::compiled::CompiledView, &crate::offline::history::History))| {
            let id = &used.view.id;
            let (n_scanned, n_rejected) = scanned.get(i).copied().unwrap_or_default();
            ViewReport {
                view: id.to_string(),
                alias: (used.name != id.name.as_str()).then(|| used.name.clone()),
                data_version: history.data_version(),
                table_version: history.table_version(),
                n_scanned,
                n_rejected,
                rejected: history.rejected().to_vec(),
            }
        };
    join.views().enumerate().map(report).collect()
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

/// A training set while its rows pass.
struct Stream<'o> {
    out: &'o mut dyn Sink,
    schema: SchemaRef,
    lineage: Lineage,
    n_spine_columns: usize,
    chunks: Chunks,
    seen: Observers,
    n_rows: usize,
    null_times: usize,
    counts: Vec<[usize; 4]>,
    scanned: Option<Vec<(u64, u64)>>,
}

/// What looks at the rows beside the writer.
struct Observers {
    n_spine_columns: usize,
    digest: Option<Digest>,
    profiler: Profiler,
    finder: Finder,
}

impl<'o> Stream<'o> {
    fn begin(
        compiled: &CompiledService,
        spine: &Spine,
        lineage: Lineage,
        label_time: Option<usize>,
        options: &Options,
        out: &'o mut dyn Sink,
    ) -> Result<Self, OfflineError> {
        let service = &compiled.service;
        let own = spine.shape.schema();
        let names = options.names(compiled);
        let added = names.iter().zip(&service.columns);
        let added = added.map(|(name, c)| Arc::new(Field::new(name, c.dtype.to_arrow(), true)));
        let schema: SchemaRef = Arc::new(Schema::new(own.fields().iter().cloned().chain(added).collect::<Vec<_>>()));
        out.begin(&schema, &lineage)?;
        let roles = roles(compiled, spine, label_time);
        let seen = Observers {
            n_spine_columns: own.fields().len(),
            digest: lineage.spine.digest.is_none().then(Digest::default),
            profiler: Profiler::new(&schema, &roles),
            finder: Finder::new(compiled, &roles),
        };
        Ok(Self {
            out,
            lineage,
            n_spine_columns: own.fields().len(),
            chunks: Chunks::new(&schema),
            schema,
            seen,
            n_rows: 0,
            null_times: 0,
            counts: vec![[0; 4]; service.columns.len()],
            scanned: None,
        })
    }

    fn block(
        &mut self,
        compiled: &CompiledService,
        block: &spine::Block,
        joined: join::Joined,
        label_time: Option<usize>,
        filled: bool,
    ) -> Result<(), OfflineError> {
        let first_row = self.n_rows as u64;
        let labels = label_time.map(|at| label_times(block, at)).transpose()?;
        self.null_times += block.times.iter().filter(|time| time.is_none()).count();
        self.seen.finder.times(first_row, &block.times, labels.as_deref(), &joined.features);
        if let Some((rows, other)) = &joined.hindsight {
            self.seen.finder.differences().add(first_row, rows, &joined.features, other);
        }
        for (counts, statuses) in self.counts.iter_mut().zip(&joined.features.statuses) {
            statuses.iter().for_each(|status| counts[*status as usize] += 1);
        }
        self.scanned.get_or_insert(joined.scanned);
        let columns = joined.features.columns;
        let columns = if filled { fill_all(compiled, &columns)? } else { columns };
        let all = block.rows.columns().iter().cloned().chain(columns).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(block.rows.num_rows()));
        let whole = RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), all, &options)
            .map_err(|why| read_error("the joined rows", why))?;
        self.n_rows += whole.num_rows();
        let Self { chunks, seen, out, .. } = self;
        chunks.push(&whole, |chunk| pass(chunk, seen, *out))
    }

    fn end(
        mut self,
        compiled: &CompiledService,
        join: &Join<'_>,
        spine: &Spine,
        options: &Options,
    ) -> Result<Report, OfflineError> {
        let Self { chunks, seen, out, .. } = &mut self;
        chunks.finish(|chunk| pass(chunk, seen, *out))?;
        let service = &compiled.service;
        let Observers { digest, profiler, finder, .. } = self.seen;
        let mut lineage = self.lineage;
        lineage.spine.rows = Some(self.n_rows as u64);
        lineage.spine.digest = digest.map(|digest| digest.end()).or(lineage.spine.digest);
        let names: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        debug_assert_eq!(names.len(), self.n_spine_columns + service.columns.len());
        let views = view_reports(join, self.scanned.as_deref().unwrap_or_default());

        let mut warnings = Vec::new();
        let name = spine.shape.name();
        if spine.shape.is_naive() {
            warnings.push(format!("times of `{name}` carry no zone and were read as UTC"));
        }
        if self.null_times > 0 {
            warnings.push(format!("{} rows of `{name}` have no time: their features are null", self.null_times));
        }
        let unparsed = |view: &ViewReport| view.rejected.iter().map(|file| file.n_rows).sum::<u64>();
        let texts = views.iter().flat_map(|view| view.rejected.iter().map(move |file| (&view.view, file)));
        warnings.extend(texts.map(|(view, rejected)| {
            let (n, file, reasons) = (rejected.n_rows, &rejected.file, rejected.reasons.display());
            format!("{n} rows of `{file}` do not parse, so `{view}` lacks them; why: `{reasons}`")
        }));
        let rejected = views.iter().filter(|view| view.n_rejected > unparsed(view));
        warnings.extend(rejected.map(|view| {
            let (n, view) = (view.n_rejected - unparsed(view), &view.view);
            format!("{n} rows of feature view `{view}` have no key or no event time: they match nothing")
        }));
        warnings.extend(never_found(compiled, &self.counts, self.n_rows));
        let report = Report {
            service: service.name.to_string(),
            service_version: service.version,
            service_fingerprint: service.fingerprint,
            n_rows: self.n_rows,
            filled: options.filled,
            fill: fill_map(compiled),
            views,
            features: feature_reports(&options.names(compiled), &self.counts),
            leakage: finder.end(&names, &profiler),
            profile: profiler.end(),
            lineage,
            warnings,
        };
        self.out.finish(&report)?;
        Ok(report)
    }
}

/// Writes a chunk, and looks at it meanwhile.
fn pass(chunk: &RecordBatch, seen: &mut Observers, out: &mut dyn Sink) -> Result<(), OfflineError> {
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| seen.look(chunk));
        let written = out.write(chunk);
        match looking.join() {
            Ok(looked) => written.and(looked),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl Observers {
    fn look(&mut self, chunk: &RecordBatch) -> Result<(), OfflineError> {
        if let Some(digest) = &mut self.digest {
            let own: Vec<usize> = (0..self.n_spine_columns).collect();
            digest.add(&chunk.project(&own).map_err(|why| read_error("the joined rows", why))?)?;
        }
        let seen = self.profiler.add(chunk);
        self.finder.chunk(chunk, &seen);
        Ok(())
    }
}

/// What each column of a training set is for.
fn roles(compiled: &CompiledService, spine: &Spine, label_time: Option<usize>) -> Vec<Role> {
    let keys = compiled.keys();
    let own = spine.shape.schema().fields().iter().enumerate().map(|(i, field)| {
        let name = field.name().as_str();
        match () {
            () if name == spine.shape.time_column() || label_time == Some(i) => Role::Time,
            () if keys.iter().any(|key| key.name.as_str() == name) => Role::Key,
            () if compiled.fields.iter().any(|field| field.name.as_str() == name) => Role::Field,
            () => Role::Label,
        }
    });
    own.chain(compiled.service.columns.iter().map(|_| Role::Feature)).collect()
}

fn label_times(block: &spine::Block, at: usize) -> Result<Vec<Option<Timestamp>>, OfflineError> {
    let times = cast::times(block.rows.column(at), None).map_err(|why| OfflineError::Spine {
        what: "the spine".to_owned(),
        why: format!("column `{}`: {why}", block.rows.schema().field(at).name()),
        hint: "use timestamps, or texts in RFC 3339".to_owned(),
    })?;
    Ok(times.iter().map(|time| time.map(Timestamp::from_nanos)).collect())
}

/// A service's columns as its model sees them.
///
/// # Errors
/// [`OfflineError::Spine`] never for checked definitions.
pub fn fill_all(compiled: &CompiledService, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, OfflineError> {
    let filled = compiled.service.columns.iter().zip(columns).map(|(service, column)| fill(column, service));
    filled.collect::<Result<_, _>>().map_err(|why| OfflineError::Spine {
        what: compiled.service.name.to_string(),
        why,
        hint: "check `fill` of the service".to_owned(),
    })
}

fn fill_map(compiled: &CompiledService) -> serde_json::Map<String, serde_json::Value> {
    let constant = |value: &schema::Value| match value {
        schema::Value::Int(v) => serde_json::json!(v),
        schema::Value::Uint(v) => serde_json::json!(v),
        schema::Value::Float(v) => serde_json::json!(v),
        schema::Value::Bool(v) => serde_json::json!(v),
        other => serde_json::json!(other.to_string()),
    };
    let columns = compiled.service.columns.iter();
    columns.filter_map(|c| Some((c.name.to_string(), constant(c.fill.as_ref()?)))).collect()
}

fn feature_reports(names: &[String], counts: &[[usize; 4]]) -> Vec<FeatureReport> {
    let report = |(name, counts): (&String, &[usize; 4])| FeatureReport {
        name: name.clone(),
        present: counts[Status::Present as usize],
        null_value: counts[Status::NullValue as usize],
        outside_max_age: counts[Status::OutsideMaxAge as usize],
        not_found: counts[Status::NotFound as usize],
    };
    names.iter().zip(counts).map(report).collect()
}

fn never_found(compiled: &CompiledService, counts: &[[usize; 4]], n: usize) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for (column, counts) in compiled.service.columns.iter().zip(counts) {
        let none = n > 0 && counts[Status::NotFound as usize] == n;
        let named = column.alias.as_ref().map(|alias| format!(" (`{alias}`)")).unwrap_or_default();
        let view = &column.view;
        let warning = format!("no spine row finds a row of feature view `{view}`{named}: do keys and times overlap?");
        if none && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

#[cfg(test)]
pub(crate) mod tests;
