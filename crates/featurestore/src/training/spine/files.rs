//! Spines in files, and as queries.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use futures::stream::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{AppliedDefinitions, Dtype};
use transform::expr;

use super::super::MEMORY_DEFAULT;
use super::super::chunks::CHUNK_ROWS;
use super::super::lineage::SourceState;
use super::shape::TIME_COLUMNS;
use super::{Origin, Shape, Spine};
use crate::ipc::{IpcFile, Limits};
use crate::offline::query::QueryLimits;
use crate::offline::source::text::Streamed;
use crate::offline::source::{self, read_error};
use crate::offline::{OfflineError, OfflineStore, batches, query};

pub(super) fn parquet(path: &Path, name: &str, time_column: Option<&str>) -> Result<Spine, OfflineError> {
    let opened = source::open_file(Path::new(""), path.to_path_buf(), 0)?;
    let file = opened.reopen().map_err(|why| read_error(name, why))?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.metadata.clone());
    let reader = batches::build(reader.with_batch_size(CHUNK_ROWS)).map_err(|why| read_error(name, why))?;
    let shape = Shape::new(name, SchemaRef::clone(opened.metadata.schema()), time_column)?;
    Ok(of_reader(shape, Some(opened.n_rows), reader))
}

/// An Arrow IPC file, as training sets are written.
pub(super) fn arrow(path: &Path, name: &str, time_column: Option<&str>) -> Result<Spine, OfflineError> {
    let limits = Limits { plain_bytes: MEMORY_DEFAULT as u64, compressed: true };
    let reader = IpcFile::open(path, limits).map_err(|why| read_error(name, why))?;
    let shape = Shape::new(name, reader.schema(), time_column)?;
    Ok(of_reader(shape, None, reader))
}

fn of_reader(
    shape: Shape,
    n_rows: Option<u64>,
    reader: impl Iterator<Item = Result<RecordBatch, impl Into<schema::BoxError>>> + Send + 'static,
) -> Spine {
    let name = shape.name().to_owned();
    let rows = futures::stream::iter(reader.map(move |batch| batch.map_err(|why| read_error(&name, why)))).boxed();
    Spine { shape, origin: Origin::default(), n_rows, rows }
}

/// Keys and request fields are read in the types in which they are declared, as a source's are.
pub(super) fn csv(
    path: &Path,
    name: &str,
    time_column: Option<&str>,
    known: &BTreeMap<String, Dtype>,
) -> Result<Spine, OfflineError> {
    let times = time_column.map_or_else(|| TIME_COLUMNS.to_vec(), |column| vec![column]);
    let rows = Streamed::open(path, known, &times)?;
    let shape = Shape::new(name, SchemaRef::clone(rows.schema()), time_column)?;
    Ok(Spine { shape, origin: Origin::default(), n_rows: None, rows: futures::stream::iter(rows).boxed() })
}

pub(super) async fn query(
    name: &str,
    sql: &str,
    time_column: Option<&str>,
    store: &OfflineStore,
    definitions: &AppliedDefinitions,
) -> Result<Spine, OfflineError> {
    let fail = |why: DataFusionError| OfflineError::Spine {
        what: format!("spine `{name}`"),
        why: expr::plain(&why),
        hint: "a spine query reads the applied sources by name; `_row` is a row's arrival number".to_owned(),
    };
    let mut sources = Vec::with_capacity(definitions.sources.len());
    for source in definitions.sources.values() {
        sources.push(source::open(store, source).await?);
    }
    let context = query::context(&sources).map_err(fail)?;
    // A training set that is built twice is the same one: nothing that changes from run to run.
    let frame = query::plan_view(&context, sql).await.map_err(fail)?;
    let mut spine = of_frame(name, time_column, frame, store.limits()).await?;
    spine.origin.sql = Some(sql.to_owned());
    let state = |files: &source::SourceFiles| SourceState {
        source: files.source.name.to_string(),
        data_version: files.version(),
        table_version: files.table_version(),
    };
    spine.origin.sources = sources.iter().map(state).collect();
    Ok(spine)
}

async fn of_frame(
    name: &str,
    time_column: Option<&str>,
    frame: DataFrame,
    limits: QueryLimits,
) -> Result<Spine, OfflineError> {
    let fail = |why: DataFusionError| read_error(name, expr::plain(&why));
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let rows = query::run(frame, limits).await.map_err(fail)?;
    let shape = Shape::new(name, Arc::new(zoned(&schema)), time_column)?;
    let (name, zoned) = (name.to_owned(), Arc::new(zoned(&schema)));
    let rows = rows.map(move |batch| {
        let batch = batch.map_err(|why| read_error(&name, expr::plain(&why)))?;
        // The engine reads zoned texts as seconds in UTC, and forgets the zone.
        let columns = batch.columns().iter().zip(zoned.fields());
        let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|why| read_error(&name, why))?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(SchemaRef::clone(&zoned), columns, &options)
            .map_err(|why| read_error(&name, why))
    });
    Ok(Spine { shape, origin: Origin::default(), n_rows: None, rows: rows.boxed() })
}

/// Seconds as microseconds in UTC.
fn zoned(schema: &Schema) -> Schema {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            let zone = zone.clone().unwrap_or_else(|| "UTC".into());
            field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, Some(zone)))
        }
        _ => field.as_ref().clone().with_nullable(true),
    };
    Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
}
