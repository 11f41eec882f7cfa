//! The rows of a training set on their way to the sink, in chunks, each looked at while it is written.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use schema::Timestamp;
use transform::cast;

use super::chunks::{Chunks, Digest};
use super::filled::{fill_all, fill_map};
use super::join::{Join, Joined};
use super::leakage::Finder;
use super::lineage::Lineage;
use super::profile::{Profiler, Role};
use super::report::{feature_reports, view_reports, warnings};
use super::spine::{Block, Spine};
use super::{Options, Report, Sink};
use crate::compiled::CompiledService;
use crate::offline::OfflineError;
use crate::offline::source::read_error;

/// A training set while its rows pass.
pub(super) struct Stream<'o> {
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
    pub(super) fn begin(
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
            profiler: Profiler::new(&schema, &roles, &personal(compiled, spine)),
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

    pub(super) fn block(
        &mut self,
        compiled: &CompiledService,
        block: &Block,
        joined: Joined,
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

    pub(super) fn end(
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

        let warnings = warnings(compiled, spine, self.null_times, self.n_rows, &views, &self.counts);
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

/// Which columns the definitions mark as personal: keys and fields of the spine, and features.
fn personal(compiled: &CompiledService, spine: &Spine) -> Vec<bool> {
    let own = spine.shape.schema().fields().iter().map(|field| compiled.is_personal_input(field.name()));
    own.chain((0..compiled.service.columns.len()).map(|i| compiled.is_personal(i))).collect()
}

fn label_times(block: &Block, at: usize) -> Result<Vec<Option<Timestamp>>, OfflineError> {
    let times = cast::times(block.rows.column(at), None).map_err(|why| OfflineError::Spine {
        what: "the spine".to_owned(),
        why: format!("column `{}`: {why}", block.rows.schema().field(at).name()),
        hint: "use timestamps, or texts in RFC 3339".to_owned(),
    })?;
    Ok(times.iter().map(|time| time.map(Timestamp::from_nanos)).collect())
}
