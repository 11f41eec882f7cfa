//! Predictions with what came of them.
//!
//! A label of a prediction's own id counts first; of several the last by its time, and of one time the last that came, for that
//! is a correction. Without one, the first that happened to the entity after the instant of the prediction and not later than
//! the attribution window counts, again as it was last corrected.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef, TimestampNanosecondType};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use schema::{BoxError, EntityKey, ModelName, Timestamp, Ttl};
use serde_json::Value as Json;
use uuid::Uuid;

use super::store::{ByEntity, Known, LabelError, Labels, Told};
use crate::prediction_log::read::{LogFile, LogReadError, files};
use crate::prediction_log::{ID, KEY};

/// Why predictions are not joined with labels.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The labels.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// Files with columns of one name and several types: of service versions between which it changed.
    #[error("column `{column}` of the prediction log is {} in some files and {} in others", types[0], types[1])]
    Types {
        /// The column.
        column: String,
        /// Two of its types.
        types: [String; 2],
    },
    /// A bug: rows that do not fit their columns.
    #[error("joining the predictions")]
    Columns(#[source] ArrowError),
    /// What takes the rows.
    #[error("writing the joined predictions")]
    Sink(#[source] BoxError),
}

/// What is joined.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Predictions of this model.
    pub model: ModelName,
    /// Labels of this name.
    pub label: String,
    /// How long after a prediction a label of its entity counts.
    pub window: Ttl,
}

/// How many there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Joined {
    /// Predictions.
    pub predictions: u64,
    /// That a label was told of by their ids.
    pub by_id: u64,
    /// That have one of their entities.
    pub by_entity: u64,
}

/// How a label's values are written: as they all are, or as texts of JSON where they are of several types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Number,
    Flag,
    Text,
    Mixed,
}

/// Joins the predictions logged under `folder` and gives them to `sink`, all with the same columns.
///
/// These are the log's, null where a file is of a service or a version that lacks them, and `label`, `label_at` and
/// `label_of`, which is `prediction` or `entity`.
///
/// # Errors
/// [`JoinError`]; files that are damaged are left out, and told.
pub fn join(
    folder: &Path,
    labels: &Labels,
    wanted: &Wanted,
    mut sink: impl FnMut(RecordBatch) -> Result<(), BoxError>,
) -> Result<(Joined, Vec<LogReadError>), JoinError> {
    let mut known = labels.known(&wanted.label, &wanted.model)?;
    let (all, mut damaged) = files(folder)?;
    let (mut files, mut fields, mut logged) = (Vec::new(), Vec::new(), BTreeSet::new());
    for file in all {
        match file.schema_of(wanted.model.as_str(), &known, &mut logged) {
            Ok(None) => {}
            Ok(Some(schema)) => {
                merge(&mut fields, &schema)?;
                files.push(file);
            }
            Err(why) => damaged.push(why),
        }
    }
    let schema = Arc::new(Schema::new(fields));
    // Labels of other models' predictions have the same name by chance.
    known.by_id.retain(|id, _| logged.contains(id));
    let kind = Kind::of(&known);
    let mut joined = Joined::default();
    for file in files {
        let rows = match file.of_model(wanted.model.as_str()) {
            Ok(rows) => rows,
            Err(why) => {
                damaged.push(why);
                continue;
            }
        };
        for batch in rows.iter().filter(|batch| batch.num_rows() > 0) {
            let found = match of_batch(&file, batch, &known, wanted) {
                Ok(found) => found,
                Err(why) => {
                    damaged.push(why);
                    break;
                }
            };
            joined.predictions += batch.num_rows() as u64;
            let n_of = |way: Way| found.iter().flatten().filter(|(by, _)| *by == way).count() as u64;
            joined.by_id += n_of(Way::Prediction);
            joined.by_entity += n_of(Way::Entity);
            let all = with_all(batch, &schema).and_then(|all| with_labels(&all, &found, kind));
            sink(all.map_err(JoinError::Columns)?).map_err(JoinError::Sink)?;
        }
    }
    Ok((joined, damaged))
}

/// Adds the columns that are new. Those of one name have one type.
fn merge(fields: &mut Vec<FieldRef>, more: &SchemaRef) -> Result<(), JoinError> {
    for field in more.fields() {
        match fields.iter().find(|known| known.name() == field.name()) {
            // Files without it have nulls.
            None => fields.push(Arc::new(Field::clone(field).with_nullable(true))),
            Some(known) if known.data_type() == field.data_type() => {}
            Some(known) => {
                return Err(JoinError::Types {
                    column: field.name().clone(),
                    types: [known, field].map(|field| field.data_type().to_string()),
                });
            }
        }
    }
    Ok(())
}

/// The rows with all columns of `schema`.
fn with_all(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let found = batch.column_by_name(field.name());
        found.map_or_else(|| new_null_array(field.data_type(), batch.num_rows()), ArrayRef::clone)
    });
    RecordBatch::try_new(SchemaRef::clone(schema), columns.collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Prediction,
    Entity,
}

impl LogFile {
    /// The file's columns, if it has rows of a model. Those of their ids that a label is known of are added to `logged`.
    fn schema_of(
        &self,
        model: &str,
        known: &Known,
        logged: &mut BTreeSet<Uuid>,
    ) -> Result<Option<SchemaRef>, LogReadError> {
        // It grew too old since it was found.
        if self.is_gone() {
            return Ok(None);
        }
        let read = || -> Result<(Option<SchemaRef>, Vec<Uuid>), BoxError> {
            let opened = self.open()?;
            let schema = Arc::clone(opened.schema());
            let columns = ProjectionMask::columns(opened.parquet_schema(), [ID, "model"]);
            let (mut ids, mut is_here) = (Vec::new(), false);
            for batch in opened.with_projection(columns).build()? {
                let batch = batch?;
                let texts = |name| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
                let (of, models) = texts(ID).zip(texts("model")).ok_or("it does not say which model answered")?;
                for (id, _) in of.iter().zip(models).filter(|(_, name)| *name == Some(model)) {
                    is_here = true;
                    let id = id.and_then(|id| Uuid::try_parse(id).ok());
                    ids.extend(id.filter(|id| known.by_id.contains_key(id)));
                }
            }
            Ok((is_here.then_some(schema), ids))
        };
        let (schema, ids) = featurestore::caught::caught(read).map_err(|why| self.damaged(why))?;
        logged.extend(ids);
        Ok(schema)
    }

    /// The rows of a model.
    fn of_model(&self, model: &str) -> Result<Vec<RecordBatch>, LogReadError> {
        let read = || -> Result<Vec<RecordBatch>, BoxError> {
            let of = |batch: RecordBatch| -> Result<RecordBatch, BoxError> {
                let models = batch.column_by_name("model").and_then(|column| column.as_string_opt::<i32>());
                let models = models.ok_or("it does not say which model answered")?;
                let is_it: BooleanArray = models.iter().map(|name| Some(name == Some(model))).collect();
                Ok(filter_record_batch(&batch, &is_it)?)
            };
            self.open()?.with_batch_size(65_536).build()?.map(|batch| of(batch?)).collect()
        };
        if self.is_gone() {
            return Ok(Vec::new());
        }
        featurestore::caught::caught(read).map_err(|why| self.damaged(why))
    }
}

fn of_batch<'k>(
    file: &LogFile,
    batch: &RecordBatch,
    known: &'k Known,
    wanted: &Wanted,
) -> Result<Vec<Option<(Way, &'k Told)>>, LogReadError> {
    let n = batch.num_rows();
    let ids = file.column(batch, ID.to_owned())?;
    let ids = ids.as_string_opt::<i32>();
    let id = |row: usize| ids.and_then(|ids| Uuid::try_parse(ids.value(row)).ok());
    let as_of = file.column(batch, "as_of".to_owned())?;
    let as_of = as_of.as_primitive_opt::<TimestampNanosecondType>();
    // The labels of each way to say who the entity is, with the rows' own keys of that way.
    let mut of_entities: Vec<(&ByEntity, Vec<Option<EntityKey>>)> = Vec::new();
    for (keys, told) in &known.by_key {
        let columns = keys.iter().map(|key| {
            let column = batch.column_by_name(&format!("{KEY}{}", key.name))?;
            (*column.data_type() == key.dtype.to_arrow()).then(|| ArrayRef::clone(column))
        });
        if let Some(columns) = columns.collect::<Option<Vec<_>>>() {
            of_entities.push((told, EntityKey::from_columns(&columns, n)));
        }
    }
    let of_row = |row: usize| {
        if let Some(told) = id(row).and_then(|id| known.by_id.get(&id)?.last()) {
            return Some((Way::Prediction, told));
        }
        let from = Timestamp::from_nanos(as_of?.value(row));
        let until = from.as_nanos().saturating_add(wanted.window.as_nanos());
        let in_time = |told: &&Told| told.at > from && told.at.as_nanos() <= until;
        let first = of_entities.iter().filter_map(|(told, keys)| {
            let all = told.get(keys[row].as_ref()?)?;
            let first = all.iter().find(in_time)?;
            // What came last of that very time.
            all.iter().rfind(|told| told.at == first.at)
        });
        first.min_by_key(|told| told.at).map(|told| (Way::Entity, told))
    };
    Ok((0..n).map(of_row).collect())
}

fn with_labels(batch: &RecordBatch, found: &[Option<(Way, &Told)>], kind: Kind) -> Result<RecordBatch, ArrowError> {
    let told = |row: &Option<(Way, &Told)>| row.map(|(_, told)| told.clone());
    let values: Vec<Option<Json>> = found.iter().map(|row| told(row).map(|told| told.value)).collect();
    let times: TimestampNanosecondArray = found.iter().map(|row| told(row).map(|told| told.at.as_nanos())).collect();
    let ways: StringArray = found
        .iter()
        .map(|row| {
            row.map(|(way, _)| match way {
                Way::Prediction => "prediction",
                Way::Entity => "entity",
            })
        })
        .collect();
    let mut fields: Vec<Arc<Field>> = batch.schema_ref().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    let added: [(&str, ArrayRef); 3] = [
        ("label", kind.column(&values)),
        ("label_at", Arc::new(times.with_timezone("UTC"))),
        ("label_of", Arc::new(ways)),
    ];
    for (name, column) in added {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

impl Kind {
    /// One type for all files.
    fn of(known: &Known) -> Self {
        let by_key = known.by_key.iter().flat_map(|(_, told)| told.values());
        let kinds: Vec<Self> = known
            .by_id
            .values()
            .chain(by_key)
            .flatten()
            .map(|told| match &told.value {
                Json::Number(number) if number.is_i64() => Self::Whole,
                Json::Number(_) => Self::Number,
                Json::Bool(_) => Self::Flag,
                Json::String(_) => Self::Text,
                _ => Self::Mixed,
            })
            .collect();
        let all = |of: &[Self]| kinds.iter().all(|kind| of.contains(kind));
        let one = [Self::Text, Self::Flag, Self::Whole].into_iter().find(|kind| all(&[*kind]));
        one.unwrap_or(if all(&[Self::Whole, Self::Number]) { Self::Number } else { Self::Mixed })
    }

    fn column(self, values: &[Option<Json>]) -> ArrayRef {
        let of = values.iter().map(Option::as_ref);
        match self {
            Self::Whole => Arc::new(of.map(|value| value.and_then(Json::as_i64)).collect::<Int64Array>()),
            Self::Number => Arc::new(of.map(|value| value.and_then(Json::as_f64)).collect::<Float64Array>()),
            Self::Flag => Arc::new(of.map(|value| value.and_then(Json::as_bool)).collect::<BooleanArray>()),
            Self::Text => Arc::new(of.map(|value| value.and_then(Json::as_str)).collect::<StringArray>()),
            Self::Mixed => Arc::new(of.map(|value| value.map(Json::to_string)).collect::<StringArray>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::definitions::JoinKey;
    use schema::{Dtype, Fingerprint};
    use serde_json::json;

    use super::super::{Label, Of};
    use super::*;

    /// A log of predictions of model `m` for users, each at its second.
    fn log(folder: &Path, rows: &[(u128, i64, i64)]) {
        log_of(folder, "s", rows, &[]);
    }

    /// The same, of a service, with more columns.
    fn log_of(folder: &Path, service: &str, rows: &[(u128, i64, i64)], more: &[(&str, ArrayRef)]) {
        let seconds = |at: i64| at * 1_000_000_000;
        let ids = StringArray::from_iter_values(rows.iter().map(|(id, ..)| Uuid::from_u128(*id).to_string()));
        let users = Int64Array::from_iter_values(rows.iter().map(|(_, user, _)| *user));
        let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|(.., at)| seconds(*at)));
        let models = StringArray::from_iter_values(rows.iter().map(|_| "m"));
        let columns: [(&str, ArrayRef); 4] = [
            (ID, Arc::new(ids)),
            ("as_of", Arc::new(times.with_timezone("UTC"))),
            ("model", Arc::new(models)),
            ("key.user_id", Arc::new(users)),
        ];
        let more = more.iter().map(|(name, column)| (*name, ArrayRef::clone(column)));
        let batch = RecordBatch::try_from_iter(columns.into_iter().chain(more)).unwrap();
        let path = folder.join(service).join(format!("{}.parquet", Uuid::now_v7()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.append_key_value_metadata(parquet::file::metadata::KeyValue::new(
            "plumb.service_fingerprint".to_owned(),
            Fingerprint::of_bytes(service.as_bytes()).to_string(),
        ));
        writer.close().unwrap();
    }

    fn of_user(user: i64, at: i64, value: Json) -> Label {
        let keys = vec![JoinKey { name: "user_id".parse().unwrap(), dtype: Dtype::Int64 }];
        let column: ArrayRef = Arc::new(Int64Array::from(vec![user]));
        let key = EntityKey::from_columns(&[column], 1).remove(0).unwrap();
        let of = Of::Entity { model: "m".parse().unwrap(), keys, key };
        Label { name: "bought".parse().unwrap(), of, at: Some(Timestamp::from_nanos(at * 1_000_000_000)), value }
    }

    fn of_id(id: u128, at: i64, value: Json) -> Label {
        let of = Of::Prediction(Uuid::from_u128(id));
        Label { name: "bought".parse().unwrap(), of, at: Some(Timestamp::from_nanos(at * 1_000_000_000)), value }
    }

    /// A label and what it is of.
    type Row = (Option<f64>, Option<String>);

    /// What is joined, by prediction: the label as JSON would have it, and what it is of.
    fn joined(rows: &[(u128, i64, i64)], told: &[Label]) -> (Joined, Vec<Row>) {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), rows);
        let labels = Labels::open(folder.path()).unwrap();
        for (at, label) in told.iter().enumerate() {
            let now = Timestamp::from_nanos(i64::try_from(at).unwrap());
            labels.add(std::slice::from_ref(label), now, || Ok::<_, ()>(())).unwrap().unwrap();
        }
        let wanted =
            Wanted { model: "m".parse().unwrap(), label: "bought".to_owned(), window: Ttl::parse("10s").unwrap() };
        let mut found = Vec::new();
        let sink = |batch: RecordBatch| {
            let labels = batch.column_by_name("label").unwrap().as_primitive::<arrow::datatypes::Float64Type>().clone();
            let ways = batch.column_by_name("label_of").unwrap().as_string::<i32>().clone();
            found.extend(labels.iter().zip(ways.iter()).map(|(label, way)| (label, way.map(ToOwned::to_owned))));
            Ok(())
        };
        let (counts, damaged) = join(folder.path(), &labels, &wanted, sink).unwrap();
        assert!(damaged.is_empty());
        (counts, found)
    }

    #[test]
    fn a_label_counts_within_the_window_after_the_prediction() {
        // At 100; the window ends at 110.
        for (at, counts) in [(99, false), (100, false), (101, true), (110, true), (111, false)] {
            let (_, found) = joined(&[(1, 7, 100)], &[of_user(7, at, json!(1.0))]);
            assert_eq!(found[0].0.is_some(), counts, "{at}");
        }
        let (counts, found) = joined(
            &[(1, 7, 100), (2, 8, 100), (3, 7, 104)],
            &[of_user(7, 106, json!(2.0)), of_user(7, 103, json!(1.0)), of_user(9, 103, json!(5.0))],
        );
        assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), [Some(1.0), None, Some(2.0)]);
        assert_eq!(counts, Joined { predictions: 3, by_id: 0, by_entity: 2 });
    }

    #[test]
    fn predictions_of_several_services_are_joined_with_all_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        let float: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        log_of(folder.path(), "a", &[(1, 7, 100)], &[("feature.x", float)]);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["t"]));
        log_of(folder.path(), "b", &[(2, 8, 100)], &[("feature.y", Arc::clone(&text))]);
        let labels = Labels::open(folder.path()).unwrap();
        // One of another model's prediction, which is a text, does not make these texts.
        let told = [of_id(1, 101, json!((1_i64 << 53) + 1)), of_id(9, 101, json!("no"))];
        labels.add(&told, Timestamp::from_nanos(1), || Ok::<_, ()>(())).unwrap().unwrap();
        let wanted =
            Wanted { model: "m".parse().unwrap(), label: "bought".to_owned(), window: Ttl::parse("1d").unwrap() };
        let mut found = Vec::new();
        let mut run = || {
            join(folder.path(), &labels, &wanted, |batch| {
                let label =
                    batch.column_by_name("label").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
                let has = ["feature.x", "feature.y"].map(|name| batch.column_by_name(name).unwrap().is_null(0));
                found.push((label.iter().next().flatten(), has));
                Ok(())
            })
        };
        assert!(run().unwrap().1.is_empty());
        log_of(folder.path(), "c", &[(3, 8, 100)], &[("feature.x", text)]);
        let why = run().unwrap_err().to_string();
        assert!(why.contains("`feature.x`") && why.contains("Float64") && why.contains("Utf8"), "{why}");
        assert_eq!(found, [(Some((1 << 53) + 1), [false, true]), (None, [true, false])]);
    }

    #[test]
    fn the_predictions_own_label_counts_first_and_the_last_correction_of_each() {
        let told = [
            of_user(7, 103, json!(1.0)),
            of_id(1, 500, json!(3.0)),
            of_id(1, 500, json!(4.0)),
            of_id(1, 400, json!(9.0)),
            of_user(7, 103, json!(2.0)),
        ];
        let (counts, found) = joined(&[(1, 7, 100), (2, 7, 100)], &told);
        let told_of = |way: &str| Some(way.to_owned());
        assert_eq!(found, [(Some(4.0), told_of("prediction")), (Some(2.0), told_of("entity"))]);
        assert_eq!((counts.by_id, counts.by_entity), (1, 1));
    }
}
