//! Pushed rows in their canonical columns: those of a view's snapshot.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::buffer::Buffer;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampNanosecondType, UInt64Type};
use schema::definitions::JoinKey;
use schema::dtype::timestamp_type;
use schema::yaml::suggest;
use schema::{FeatureView, RowOrder, Timestamp, Ttl, definitions};
use transform::cast;

use super::known::Place;
use crate::ipc::{Limits, read_stream};
use crate::offline::snapshot::{CREATED_TIME, DELETED, EVENT_TIME, SEQUENCE};

/// Bit of the sequence that sets pushed rows behind all rows of a source: of a row in a file and a pushed one that are
/// equal in event and created time, the pushed one is newer.
const PUSHED: u64 = 1 << 63;
/// The number among a view's pushed rows of one with this sequence.
pub(super) fn place(sequence: u64) -> u64 {
    sequence & !PUSHED
}

/// Names that clients use for the times, whatever the view calls them (Feast's remote online store does).
const EVENT_TIME_ALIASES: [&str; 2] = ["event_timestamp", "event_time"];
const CREATED_TIME_ALIASES: [&str; 2] = ["created", "created_timestamp"];
/// Name that clients use for the deletion mark, whatever the view calls it.
const DELETED_ALIAS: &str = "is_deleted";

/// The names of the deletion mark in rows that are pushed to a view: its own, and the one for all where nothing else of the
/// view is called so.
pub fn deletion_names(view: &FeatureView) -> impl Iterator<Item = &str> {
    let features = || view.definition.features.iter().map(|feature| feature.name.as_str());
    let mut taken = view.keys().iter().map(|key| key.name.as_str()).chain(features());
    let alias = (!taken.any(|name| name == DELETED_ALIAS)).then_some(DELETED_ALIAS);
    view.definition.deleted.as_deref().into_iter().chain(alias)
}

/// Why rows cannot be pushed to a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub hint: String,
}

/// Rows in canonical columns: keys, event time, created time, sequence, deletion mark, features.
#[derive(Debug, Clone)]
pub struct PushedRows {
    batch: RecordBatch,
    keys: Vec<ArrayRef>,
    features: Vec<ArrayRef>,
}

/// The schema of pushed rows of a view.
pub(crate) fn schema_of(view: &FeatureView) -> SchemaRef {
    let keys = view.keys().iter().map(|key| Field::new(key.name.as_str(), key.dtype.to_arrow(), false));
    let places = [
        Field::new(EVENT_TIME, timestamp_type(), false),
        Field::new(CREATED_TIME, timestamp_type(), true),
        Field::new(SEQUENCE, DataType::UInt64, false),
        Field::new(DELETED, DataType::Boolean, false),
    ];
    let features = view.definition.features.iter().map(|f| Field::new(f.name.as_str(), f.dtype.to_arrow(), true));
    Arc::new(Schema::new(keys.chain(places).chain(features).collect::<Vec<_>>()))
}

impl PushedRows {
    /// Takes rows with columns named as the view names them: join keys, event time, features, and where it has them
    /// created time and deletion mark. A feature's column that is absent is null; any other column is a mistake.
    ///
    /// # Errors
    /// [`Refused`] naming the column.
    pub fn new(view: &FeatureView, rows: &RecordBatch) -> Result<Self, Refused> {
        let n = rows.num_rows();
        let d = &view.definition;
        let schema = rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut used: Vec<&str> = Vec::new();
        let mut find = |wanted: &[&str]| {
            let name = wanted.iter().find_map(|wanted| names.iter().find(|name| *name == wanted))?;
            used.push(name);
            rows.column_by_name(name).map(|column| (*name, ArrayRef::clone(column)))
        };
        let missing = |name: &str, what: &str| Refused {
            why: format!("the rows have no column `{name}`, {what}"),
            hint: suggest(name, names.iter().copied()),
        };
        let null = |name: &str, what: &str| Refused {
            why: format!("column `{name}`, {what}, has a null"),
            hint: "leave such rows out".to_owned(),
        };
        let misfit = |name: &str, why: cast::CastError| Refused {
            why: format!("column `{name}`: {why}"),
            hint: "send the type that the view declares".to_owned(),
        };

        let mut columns: Vec<ArrayRef> = Vec::new();
        for key in view.keys() {
            let name = key.name.as_str();
            let found = find(&[name]).map(|(_, column)| column);
            let column = match found {
                _ if key.is_constant() => JoinKey::constants(n),
                found => found.ok_or_else(|| missing(name, "a join key"))?,
            };
            let column = cast::conform(&column, key.dtype, None).map_err(|why| misfit(name, why))?;
            if column.null_count() > 0 {
                return Err(null(name, "a join key"));
            }
            columns.push(column);
        }
        let zone = view.source.timezone.as_deref();
        let mut event_names = vec![d.event_time.as_str()];
        event_names.extend(EVENT_TIME_ALIASES);
        let (name, column) = find(&event_names).ok_or_else(|| missing(&d.event_time, "the event time"))?;
        let event_time = cast::times(&column, zone).map_err(|why| misfit(name, why))?;
        if event_time.null_count() > 0 {
            return Err(null(name, "the event time"));
        }
        columns.push(Arc::new(event_time));
        let mut created_names: Vec<&str> = d.created_time.iter().map(String::as_str).collect();
        created_names.extend(CREATED_TIME_ALIASES);
        columns.push(match find(&created_names) {
            // A column of nulls may have any type.
            Some((_, column)) if column.null_count() == n => new_null_array(&timestamp_type(), n),
            Some((name, column)) => Arc::new(cast::times(&column, zone).map_err(|why| misfit(name, why))?),
            None => new_null_array(&timestamp_type(), n),
        });
        columns.push(Arc::new(UInt64Array::from(vec![PUSHED; n])));
        let deleted = match find(&deletion_names(view).collect::<Vec<_>>()) {
            Some((name, column)) => {
                let flags = cast::conform(&column, schema::Dtype::Bool, None).map_err(|why| misfit(name, why))?;
                flags.as_boolean().iter().map(|flag| Some(flag == Some(true))).collect()
            }
            None => BooleanArray::from(vec![false; n]),
        };
        columns.push(Arc::new(deleted));
        let mut n_found = 0;
        for feature in &d.features {
            let name = feature.name.as_str();
            columns.push(match find(&[name]) {
                Some((_, column)) if column.null_count() == n => {
                    n_found += 1;
                    new_null_array(&feature.dtype.to_arrow(), n)
                }
                Some((_, column)) => {
                    n_found += 1;
                    cast::conform(&column, feature.dtype, zone).map_err(|why| misfit(name, why))?
                }
                None => new_null_array(&feature.dtype.to_arrow(), n),
            });
        }
        if let Some(stranger) = names.iter().find(|name| !used.contains(name)) {
            let known = d.features.iter().map(|f| f.name.as_str()).chain(view.keys().iter().map(|k| k.name.as_str()));
            return Err(Refused {
                why: format!("column `{stranger}` is none of the view's"),
                hint: suggest(stranger, known.chain([d.event_time.as_str()]).chain(deletion_names(view))),
            });
        }
        if n_found == 0 && !d.features.is_empty() && columns[view.keys().len() + 3].as_boolean().true_count() < n {
            return Err(Refused {
                why: "the rows have no column of a feature".to_owned(),
                hint: format!("send at least `{}`", d.features[0].name),
            });
        }
        let batch = RecordBatch::try_new(schema_of(view), columns)
            .map_err(|why| Refused { why: why.to_string(), hint: "report this".to_owned() })?;
        Ok(Self::of(view, batch))
    }

    /// Rows that are in canonical columns already.
    pub(crate) fn of(view: &FeatureView, batch: RecordBatch) -> Self {
        let n_keys = view.keys().len();
        let keys = batch.columns()[..n_keys].to_vec();
        let features = batch.columns()[n_keys + 4..].to_vec();
        Self { batch, keys, features }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The canonical columns.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Key columns in their dtypes.
    pub fn keys(&self) -> &[ArrayRef] {
        &self.keys
    }

    /// Feature columns in their dtypes.
    pub fn features(&self) -> &[ArrayRef] {
        &self.features
    }

    /// Where row `i` stands.
    pub fn order(&self, i: usize) -> RowOrder {
        let times = |at: usize| self.batch.column(self.keys.len() + at).as_primitive::<TimestampNanosecondType>();
        let created = times(1);
        RowOrder {
            event_time: Timestamp::from_nanos(times(0).value(i)),
            created_time: (!created.is_null(i)).then(|| Timestamp::from_nanos(created.value(i))),
            sequence: self.batch.column(self.keys.len() + 2).as_primitive::<UInt64Type>().value(i),
        }
    }

    /// Whether row `i` deletes its key.
    pub fn deleted(&self, i: usize) -> bool {
        self.batch.column(self.keys.len() + 3).as_boolean().value(i)
    }

    /// The created time that was sent with row `i`.
    pub(super) fn sent(&self, i: usize) -> Option<Timestamp> {
        self.order(i).created_time
    }

    /// With these created times, and these numbers among the rows that were pushed to the view.
    pub(super) fn placed(&self, view: &FeatureView, places: &[Place]) -> Result<Self, String> {
        let at = self.keys.len() + 1;
        let mut columns = self.batch.columns().to_vec();
        let created: TimestampNanosecondArray = places.iter().map(|place| Some(place.created.as_nanos())).collect();
        columns[at] = Arc::new(created.with_timezone("UTC"));
        columns[at + 1] = Arc::new(UInt64Array::from_iter_values(places.iter().map(|place| PUSHED | place.place)));
        let batch = RecordBatch::try_new(schema_of(view), columns).map_err(|why| why.to_string())?;
        Ok(Self::of(view, batch))
    }

    /// Some of the rows.
    pub(super) fn filtered(&self, view: &FeatureView, keep: Vec<bool>) -> Result<Self, String> {
        let left = filter_record_batch(&self.batch, &BooleanArray::from(keep)).map_err(|why| why.to_string())?;
        Ok(Self::of(view, left))
    }

    /// That no row is farther ahead of `now` than `limit`.
    pub(super) fn too_far_ahead(&self, now: Timestamp, limit: Ttl) -> Result<(), String> {
        let latest = definitions::latest(now, limit);
        let ahead: Vec<usize> = (0..self.len()).filter(|row| self.order(*row).event_time > latest).collect();
        let Some(first) = ahead.first() else { return Ok(()) };
        let why = definitions::too_far(self.order(*first).event_time, now, limit);
        Err(match ahead.len() {
            1 => format!("row {first}: {why}"),
            n => format!("{n} rows are too far ahead, the first of them row {first}: {why}"),
        })
    }

    /// With the rows of another push behind.
    pub(super) fn and(self, view: &FeatureView, others: &Self) -> Result<Self, String> {
        let both = concat_batches(&schema_of(view), [&self.batch, &others.batch]).map_err(|why| why.to_string())?;
        Ok(Self::of(view, both))
    }
}

/// A batch as an Arrow IPC stream.
pub(crate) fn to_ipc(batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(|why| why.to_string())?;
    writer.write(batch).map_err(|why| why.to_string())?;
    writer.into_inner().map_err(|why| why.to_string())
}

/// The batch of an Arrow IPC stream.
pub(crate) fn from_ipc(bytes: &[u8]) -> Result<RecordBatch, String> {
    let limits = Limits { plain_bytes: u64::MAX, compressed: false };
    let (_, batches) = read_stream(vec![Buffer::from(bytes)], &limits).map_err(|why| why.to_string())?;
    batches.into_iter().next().ok_or_else(|| "it holds no rows".to_owned())
}
