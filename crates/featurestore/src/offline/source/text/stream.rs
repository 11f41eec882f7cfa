//! A text that is read once, in batches of rows, without a copy: a spine.
//!
//! Its values are read as those of a source are, so that a key is the same on both sides of the join.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schema::definitions::BadRows;
use schema::{Dtype, Timestamp};
use transform::cast::Zone;

use super::super::read_error;
use super::guess::Guess;
use super::reader::Reader;
use super::{BadRow, Batch, Cell, Form, OfflineError, Trouble, Typed, bad_text, places_of, schema_of, typed_row};

/// The rows of a CSV file.
pub(crate) struct Streamed {
    name: String,
    reader: Reader,
    types: Vec<Typed>,
    zone: Zone,
    schema: SchemaRef,
    is_over: bool,
}

impl Streamed {
    /// Opens a CSV file and reads it once to see what its columns are, and that their values fit. The first name of `time`
    /// that it has is a timestamp, columns in `known` have their types, others the least that has all their values.
    ///
    /// # Errors
    /// [`OfflineError::Text`] with the line of what is no row, [`OfflineError::Read`].
    pub(crate) fn open(path: &Path, known: &BTreeMap<String, Dtype>, time: &[&str]) -> Result<Self, OfflineError> {
        let name = path.display().to_string();
        let zone = Zone::named(None).map_err(|why| read_error(&name, why))?;
        let fail = |trouble| failed(&name, trouble);
        let open = || File::open(path).map_err(Trouble::Io).and_then(|file| Reader::over(file, FORM));
        let mut reader = open().map_err(fail)?;
        let header = if let Reader::Csv { header, .. } = &reader { header.clone() } else { Vec::new() };
        let places: HashMap<&str, usize> = header.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let mut guesses = vec![Guess::nothing(); header.len()];
        let found = time.iter().copied().find(|time| places.contains_key(time));
        let is_time = |name: &str| found == Some(name);
        let known_type = |name: &str| if is_time(name) { Some(Dtype::Timestamp) } else { known.get(name).copied() };
        // Whether any time has a zone: those of a file mostly have none, or all.
        let mut is_zoned = false;
        loop {
            let mut bad = None;
            let line = reader.next(|name, cell| {
                let Cell::Text(text) = cell else { return };
                if is_time(name) {
                    is_zoned = is_zoned || Timestamp::parse_with_zone(text).is_ok_and(|(_, zoned)| zoned);
                }
                match (known_type(name), places.get(name)) {
                    (Some(dtype), _) => {
                        bad = bad.take().or_else(|| Some((name.to_owned(), cell.read(dtype, zone).err()?)));
                    }
                    (None, Some(at)) => guesses[*at].see_text(text, zone),
                    (None, None) => {}
                }
            });
            match (line.map_err(fail)?, bad) {
                (None, _) => break,
                (Some(_), None) => {}
                (Some(line), Some((column, why))) => {
                    return Err(fail(Trouble::Bad(BadRow { line, column: Some(column), why })));
                }
            }
        }
        let typed = |(name, guess): (&String, &Guess)| (name.clone(), known_type(name).or_else(|| guess.dtype()));
        let types: Vec<Typed> = header.iter().zip(&guesses).map(typed).collect();
        let naive = |field: &Arc<Field>| match is_time(field.name()) && !is_zoned {
            true => field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Nanosecond, None)),
            false => field.as_ref().clone(),
        };
        let schema = Arc::new(Schema::new(schema_of(&types).fields().iter().map(naive).collect::<Vec<_>>()));
        let reader = open().map_err(fail)?;
        Ok(Self { name, reader, types, zone, schema, is_over: false })
    }

    /// Its columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, OfflineError> {
        let places = places_of(&self.types);
        let mut batch = Batch::new(&self.types);
        while !batch.is_full() {
            match typed_row(&mut self.reader, &places, &self.types, self.zone) {
                Ok(Some((row, n_bytes))) => batch.push(row, n_bytes),
                Ok(None) if batch.n_rows == 0 => return Ok(None),
                Ok(None) => break,
                Err(trouble) => return Err(failed(&self.name, trouble)),
            }
        }
        let fail = |why: arrow::error::ArrowError| read_error(&self.name, why);
        let rows = batch.take(&schema_of(&self.types)).map_err(fail)?;
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(fail)?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options).map(Some).map_err(fail)
    }
}

impl Iterator for Streamed {
    type Item = Result<RecordBatch, OfflineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.batch().transpose();
        self.is_over |= !matches!(next, Some(Ok(_)));
        next
    }
}

const FORM: Form = Form::Csv { delimiter: ',' };

fn failed(name: &str, trouble: Trouble) -> OfflineError {
    match trouble {
        Trouble::Bad(row) => bad_text(name, row.line, row.column, &row.why, BadRows::Reject),
        Trouble::File { line, why } => bad_text(name, line, None, &why, BadRows::Reject),
        Trouble::Io(why) => read_error(name, why),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// The columns of a text and its rows, or why there are none.
    #[track_caller]
    fn check(text: &str, known: &[(&str, Dtype)], want: Expect) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spine.csv");
        std::fs::write(&path, text).unwrap();
        let known = known.iter().map(|(name, dtype)| ((*name).to_owned(), *dtype)).collect();
        let read = || -> Result<String, OfflineError> {
            let rows = Streamed::open(&path, &known, &["event_time", "event_timestamp"])?;
            let types = rows.schema().fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
            let types = types.collect::<Vec<_>>().join(", ");
            let batches = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{types}\n{}", arrow::util::pretty::pretty_format_batches(&batches).unwrap()))
        };
        let told = read().unwrap_or_else(|why| why.to_string());
        want.assert_eq(&told.replace(folder.path().to_str().unwrap(), ""));
    }

    #[test]
    fn values_are_read_as_those_of_a_source() {
        check(
            "zip,event_time,label,big,note\n00501,2024-01-01,1,9007199254740993,\n10001,2024-01-01 12:00:00,0,1,\"\"\n",
            &[("zip", Dtype::String)],
            expect![[r#"
                zip Utf8, event_time Timestamp(ns), label Int64, big Int64, note Utf8
                +-------+---------------------+-------+------------------+------+
                | zip   | event_time          | label | big              | note |
                +-------+---------------------+-------+------------------+------+
                | 00501 | 2024-01-01T00:00:00 | 1     | 9007199254740993 |      |
                | 10001 | 2024-01-01T12:00:00 | 0     | 1                |      |
                +-------+---------------------+-------+------------------+------+"#]],
        );
        // A key of digits is a text where it is declared as one, whatever its values look like.
        check(
            "zip,event_timestamp\n501,2024-01-01T00:00:00+02:00\n",
            &[("zip", Dtype::String)],
            expect![[r#"
                zip Utf8, event_timestamp Timestamp(ns, "UTC")
                +-----+----------------------+
                | zip | event_timestamp      |
                +-----+----------------------+
                | 501 | 2023-12-31T22:00:00Z |
                +-----+----------------------+"#]],
        );
    }

    #[test]
    fn what_does_not_fit_is_told_by_line_and_column() {
        check(
            "user_id,event_time\n1,2024-01-01\nx,2024-01-01\n",
            &[("user_id", Dtype::Int64)],
            expect!["`/spine.csv`, line 3: `x` is no int64, column `user_id`"],
        );
        check(
            "user_id,event_time\n1,2024-01-01\n\n2,soon\n",
            &[],
            expect![
                "`/spine.csv`, line 4: `soon` is not a time: it has another form; write RFC 3339, such as 1998-07-01T00:00:00Z, column `event_time`"
            ],
        );
        check(
            "user_id,event_time\n1,2024-01-01,3\n",
            &[],
            expect!["`/spine.csv`, line 2: it has 3 fields, and the file 2 columns"],
        );
        check(
            "",
            &[],
            expect!["`/spine.csv`, line 1: the file is empty: a CSV file starts with the names of its columns"],
        );
        check("user_id,user_id\n", &[], expect!["`/spine.csv`, line 1: two columns are called `user_id`"]);
    }
}
