//! Files of rows, in and out.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use featurestore::caught::caught;
use featurestore::offline::whole;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use schema::error::chain;
use schema::{BoxError, ErrorKind};
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A Parquet file whose rows are read.
pub struct Input {
    /// As it was named.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub n_rows: u64,
    reader: ParquetRecordBatchReader,
}

impl Input {
    /// Opens a file, to be read by `rows` rows.
    ///
    /// # Errors
    /// It is not there, is no Parquet file, or has no rows.
    pub fn open(path: &Path, rows: usize) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let hint = "name a Parquet file";
        let file = File::open(path).map_err(|why| Failure::invalid(format!("opening `{name}`: {why}")).hint(hint))?;
        let read = caught(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
            let n_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
            let schema = Arc::clone(builder.schema());
            Ok::<_, BoxError>((schema, n_rows, builder.with_batch_size(rows).build()?))
        });
        let (schema, n_rows, reader) = read.map_err(|why| {
            Failure::invalid(format!("`{name}` cannot be read as Parquet: {}", chain(why.as_ref()))).hint(hint)
        })?;
        if n_rows == 0 {
            let message = format!("`{name}` has no rows");
            return Err(Failure::invalid(message).code("empty_rows").hint("there is nothing to do"));
        }
        Ok(Self { name, schema, n_rows, reader })
    }

    /// A failure of this file.
    pub fn named(&self, why: Failure) -> Failure {
        Failure { message: format!("`{}`: {}", self.name, why.message), ..why }
    }

    /// Its rows.
    pub fn rows(mut self) -> impl Iterator<Item = Result<RecordBatch, Failure>> {
        let next = move || {
            let read = caught(|| self.reader.next().transpose().map_err(BoxError::from));
            read.map_err(|why| Failure::invalid(format!("reading it: {}", chain(why.as_ref())))).transpose()
        };
        std::iter::from_fn(next)
    }
}

/// A Parquet file that rows go to: there whole, or as it was.
pub struct Sink<'p> {
    to: &'p Path,
    out: Option<NamedTempFile>,
    writer: Option<ArrowWriter<NamedTempFile>>,
}

impl<'p> Sink<'p> {
    /// A file to be written, which is not `input`.
    ///
    /// # Errors
    /// It is not called as Parquet files are, is the file that is read, or cannot be made.
    pub fn begin(input: Option<&Path>, to: &'p Path) -> Result<Self, Failure> {
        let name = to.display();
        if to.extension().is_none_or(|end| end != "parquet") {
            let message = format!("`{name}` does not end in .parquet");
            return Err(Failure::invalid(message).hint("rows are written as Parquet"));
        }
        if let (Some(Ok(from)), Ok(to)) = (input.map(Path::canonicalize), to.canonicalize())
            && from == to
        {
            return Err(Failure::invalid(format!("`{name}` is the file that is read")).hint("write to another one"));
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let out = whole::begin_of_user(folder).map_err(|why| unwritten(to, &why))?;
        Ok(Self { to, out: Some(out), writer: None })
    }

    /// Writes rows; all have the same columns.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Failure> {
        if let Some(out) = self.out.take() {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let writer = ArrowWriter::try_new(out, rows.schema(), Some(properties));
            self.writer = Some(writer.map_err(|why| unwritten(self.to, &why))?);
        }
        match &mut self.writer {
            Some(writer) => writer.write(rows).map_err(|why| unwritten(self.to, &why)),
            None => Ok(()),
        }
    }

    /// Puts the file where it belongs. Without rows there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(), Failure> {
        let Some(writer) = self.writer else { return Ok(()) };
        let out = writer.into_inner().map_err(|why| unwritten(self.to, &why))?;
        whole::finish(out, self.to).map_err(|why| unwritten(self.to, &why))
    }
}

fn unwritten(to: &Path, why: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(ErrorKind::Unavailable, format!("writing `{}`: {}", to.display(), chain(why))).code("environment")
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("to", &self.to).finish_non_exhaustive()
    }
}
