//! The sampled and pinned rows of a promotion, kept under the digest that its report cites, so that they can be asked again.
//!
//! A set is a folder named by its digest, with a Parquet file for each service version. The columns have the names of the
//! prediction log's, so that an erasure finds and rewrites them as it does there; the digest is another one then, and the
//! set is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt8Array, UInt64Array, new_null_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{Field, Schema, UInt8Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::migration::ServiceVersion;
use schema::{BoxError, FeatureService, Fingerprint, Hashing, Status};

use super::golden::LABEL;
use super::rows::{Beside, ProbeRows, Sort};
use crate::prediction_log::{FEATURE, KEY, STATUS};

const SORT: &str = "sort";

/// Rows of one service version with the keys of whom they are of.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The rows.
    pub rows: ProbeRows,
    /// The join keys, by the names of the service's requests; null for rows of nobody.
    pub keys: BTreeMap<String, ArrayRef>,
}

/// Why a set cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeSetError {
    /// A file fails.
    #[error("{doing} the probe set `{path}`")]
    Io {
        /// Reading or writing.
        doing: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is none.
    #[error("there is no probe set {digest}")]
    Unknown {
        /// What was asked for.
        digest: String,
    },
    /// It is of other service versions.
    #[error("probe set {digest} has no rows of `{service}`, which the version answers")]
    Other {
        /// What was asked for.
        digest: String,
        /// The service version.
        service: ServiceVersion,
    },
    /// It is not what it was.
    #[error("probe set {digest} is not what it was: somebody whose rows were in it was erased, or it is damaged")]
    Changed {
        /// What was asked for.
        digest: String,
    },
}

impl Gathered {
    /// No rows of a service.
    pub fn none(service: &FeatureService) -> Self {
        Self { rows: ProbeRows::none(&service.columns), keys: BTreeMap::new() }
    }

    /// Some of the rows, in the order asked for.
    ///
    /// # Errors
    /// Arrow's: a row that is not there.
    pub fn take(&self, rows: &[usize]) -> Result<Self, crate::onnx::OnnxError> {
        let places: UInt64Array = rows.iter().filter_map(|row| u64::try_from(*row).ok()).collect();
        let of = |(name, column): (&String, &ArrayRef)| {
            Ok((name.clone(), take(column, &places, None).map_err(super::rows::unmade)?))
        };
        let keys = self.keys.iter().map(of).collect::<Result<_, crate::onnx::OnnxError>>()?;
        Ok(Self { rows: self.rows.take(rows)?, keys })
    }

    /// Adds rows of the same service.
    ///
    /// # Errors
    /// Arrow's: rows of other columns.
    pub fn append(&mut self, more: Self) -> Result<(), crate::onnx::OnnxError> {
        let (n, m) = (self.rows.len(), more.rows.len());
        let names: Vec<String> = self.keys.keys().chain(more.keys.keys()).cloned().collect();
        for name in names {
            let (a, b) = (self.keys.get(&name), more.keys.get(&name));
            let Some(dtype) = a.or(b).map(|column| column.data_type().clone()) else { continue };
            let side =
                |column: Option<&ArrayRef>, rows| column.cloned().unwrap_or_else(|| new_null_array(&dtype, rows));
            let both = concat(&[side(a, n).as_ref(), side(b, m).as_ref()]).map_err(super::rows::unmade)?;
            if both.len() == n + m {
                self.keys.insert(name, both);
            }
        }
        self.rows.append(more.rows)
    }
}

/// Keeps the rows, if they are not kept already: their digest.
///
/// # Errors
/// [`ProbeSetError::Io`]; what was written of them is no set then.
pub fn keep(
    folder: &Path,
    set: &BTreeMap<ServiceVersion, (Arc<FeatureService>, Gathered)>,
) -> Result<Fingerprint, ProbeSetError> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (id, (service, gathered)) in set {
        let name = format!("{id}.parquet");
        let bytes = encode(service, gathered).map_err(|why| failed("writing", &folder.join(&name), why))?;
        files.insert(name, bytes);
    }
    let digest = digest(&files);
    let home = folder.join(digest.to_string());
    if home.is_dir() {
        return Ok(digest);
    }
    std::fs::create_dir_all(folder).map_err(|why| failed("writing", folder, why.into()))?;
    // Whole or not at all: the folder gets its name when everything is in it.
    let draft = tempfile::Builder::new().prefix(".draft").tempdir_in(folder);
    let draft = draft.map_err(|why| failed("writing", folder, why.into()))?;
    for (name, bytes) in &files {
        let path = draft.path().join(name);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(|why| failed("writing", &path, why.into()))?;
    }
    match std::fs::rename(draft.path(), &home) {
        Err(why) if !home.is_dir() => return Err(failed("writing", &home, why.into())),
        // Or somebody else kept the same rows.
        _ => {}
    }
    // An event cites it, and is on disk when it is acknowledged: so is what it cites.
    let synced = [home.as_path(), folder].into_iter().try_for_each(|folder| File::open(folder)?.sync_all());
    synced.map_err(|why| failed("writing", &home, why.into()))?;
    Ok(digest)
}

/// The rows of `services` that are kept under a digest.
///
/// # Errors
/// [`ProbeSetError`].
pub fn read(
    folder: &Path,
    digest: &Fingerprint,
    services: &[Arc<FeatureService>],
) -> Result<BTreeMap<ServiceVersion, Gathered>, ProbeSetError> {
    let home = folder.join(digest.to_string());
    let listed = std::fs::read_dir(&home);
    let listed = listed.map_err(|_gone| ProbeSetError::Unknown { digest: digest.to_string() })?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in listed {
        let entry = entry.map_err(|why| failed("reading", &home, why.into()))?;
        let bytes = std::fs::read(entry.path()).map_err(|why| failed("reading", &entry.path(), why.into()))?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    if self::digest(&files) != *digest {
        return Err(ProbeSetError::Changed { digest: digest.to_string() });
    }
    let mut rows = BTreeMap::new();
    for service in services {
        let name = format!("{}.parquet", service.id());
        if !files.contains_key(&name) {
            return Err(ProbeSetError::Other { digest: digest.to_string(), service: service.id() });
        }
        let path = home.join(name);
        rows.insert(service.id(), decode(&path, service).map_err(|why| failed("reading", &path, why))?);
    }
    Ok(rows)
}

/// What became of the rows that a report cites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// They are here, as they were.
    Here,
    /// They are not here: another machine asked them, or somebody removed them; or they cannot be read now.
    Elsewhere,
    /// They are here, and are others.
    Changed,
}

/// Whether the rows under a digest can be asked again.
pub fn kept(folder: &Path, digest: &Fingerprint) -> Kept {
    match read(folder, digest, &[]) {
        Ok(_) => Kept::Here,
        Err(ProbeSetError::Unknown { .. } | ProbeSetError::Io { .. }) => Kept::Elsewhere,
        Err(ProbeSetError::Other { .. } | ProbeSetError::Changed { .. }) => Kept::Changed,
    }
}

fn digest(files: &BTreeMap<String, Vec<u8>>) -> Fingerprint {
    let mut hashing = Hashing::default();
    for (name, bytes) in files {
        let content = Fingerprint::of_bytes(bytes);
        hashing.add(format!("{name}\n{content}\n").as_bytes());
    }
    hashing.end()
}

fn encode(service: &FeatureService, gathered: &Gathered) -> Result<Vec<u8>, BoxError> {
    let Gathered { rows, keys } = gathered;
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    let mut push = |name: String, column: ArrayRef| {
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    };
    let sort = |sort: &Sort| match sort {
        Sort::Golden => "golden",
        Sort::Boundary => "boundary",
        Sort::Sampled => "sampled",
    };
    push(SORT.to_owned(), Arc::new(StringArray::from_iter_values(rows.sorts.iter().map(sort))));
    for (name, column) in keys {
        push(format!("{KEY}{name}"), Arc::clone(column));
    }
    for (at, column) in service.columns.iter().enumerate() {
        push(format!("{FEATURE}{}", column.name), Arc::clone(&rows.columns[at]));
        let statuses = rows.statuses[at].iter().map(|status| *status as u8);
        push(format!("{STATUS}{}", column.name), Arc::new(UInt8Array::from_iter_values(statuses)));
    }
    let labels: BTreeSet<&String> = rows.beside.iter().flatten().flat_map(|beside| beside.labels.keys()).collect();
    for label in labels {
        let of = |beside: &Option<Arc<Beside>>| beside.as_ref()?.labels.get(label).copied();
        push(format!("{LABEL}{label}"), Arc::new(rows.beside.iter().map(of).collect::<BooleanArray>()));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

fn decode(path: &Path, service: &FeatureService) -> Result<Gathered, BoxError> {
    let mut all = Gathered::none(service);
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        let column = |name: String| batch.column_by_name(&name).cloned().ok_or_else(|| format!("it has no `{name}`"));
        let sorts = column(SORT.to_owned())?;
        let sort = |text: Option<&str>| match text {
            Some("golden") => Sort::Golden,
            Some("boundary") => Sort::Boundary,
            _ => Sort::Sampled,
        };
        let mut rows = ProbeRows::none(&[]);
        rows.beside = labels(&batch);
        rows.sorts = sorts.as_string::<i32>().iter().map(sort).collect();
        for feature in &service.columns {
            rows.columns.push(column(format!("{FEATURE}{}", feature.name))?);
            let codes = column(format!("{STATUS}{}", feature.name))?;
            let codes = codes.as_primitive::<UInt8Type>().values().iter();
            rows.statuses.push(codes.map(|code| Status::from_u8(*code).unwrap_or(Status::NotFound)).collect());
        }
        let named = batch.schema_ref().fields().iter().zip(batch.columns());
        let key = |(field, column): (&Arc<Field>, &ArrayRef)| {
            Some((field.name().strip_prefix(KEY)?.to_owned(), Arc::clone(column)))
        };
        all.append(Gathered { rows, keys: named.filter_map(key).collect() })?;
    }
    Ok(all)
}

/// What the columns of labels say of each row.
fn labels(batch: &RecordBatch) -> Vec<Option<Arc<Beside>>> {
    let mut all: Vec<BTreeMap<String, bool>> = vec![BTreeMap::new(); batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let (Some(name), Some(column)) = (field.name().strip_prefix(LABEL), column.as_boolean_opt()) else { continue };
        for (labels, label) in all.iter_mut().zip(column) {
            labels.extend(label.map(|label| (name.to_owned(), label)));
        }
    }
    let beside =
        |labels: BTreeMap<String, bool>| (!labels.is_empty()).then(|| Arc::new(Beside { labels, stratum: None }));
    all.into_iter().map(beside).collect()
}

fn failed(doing: &'static str, path: &Path, source: BoxError) -> ProbeSetError {
    ProbeSetError::Io { doing, path: PathBuf::from(path).display().to_string(), source }
}
