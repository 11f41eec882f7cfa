//! The answer of `/get-online-features`: a column per join key in the order of the request, then one per feature in the
//! order asked.
//!
//! `metadata` has three fields that Feast's has not, and its client ignores: the columns' types, which JSON lacks, how old
//! they are, and what reproduces the answer offline.

use arrow::array::{Array, ArrayRef};
use featurestore::FeatureRows;
use schema::{Dtype, Status, Timestamp, ViewId};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::Asked;
use super::entities::Entities;
use super::values::{KeyStatuses, Statuses, Values};
use crate::config::NonFinite;
use crate::feast::ValueType;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub asked: &'a Asked,
    pub entities: &'a Entities,
    pub rows: &'a FeatureRows,
    pub as_of: Timestamp,
    pub replay_token: &'a str,
    /// Whether `metadata` names the view versions as Feast does.
    pub with_versions: bool,
    /// What is said of a float that JSON lacks.
    pub non_finite: NonFinite,
}

struct Results<'a>(&'a Reply<'a>);
struct Metadata<'a>(&'a Reply<'a>);
struct Times<'a>(&'a [Option<Timestamp>]);
struct Epochs(usize);

/// One column; `statuses` are `None` for a join key.
struct Column<'a> {
    values: &'a ArrayRef,
    dtype: Dtype,
    non_finite: NonFinite,
    of: Of<'a>,
}

enum Of<'a> {
    Key,
    Feature { statuses: &'a [Status], event_times: Option<&'a [Option<Timestamp>]> },
}

impl Reply<'_> {
    fn key_column(&self, name: &str) -> Option<&ArrayRef> {
        self.entities.rows.columns.get(name)
    }

    /// By column, the age of its oldest row at the instant of the answer; null where no row was found, and for join keys.
    fn freshness_ms(&self) -> Vec<Option<i64>> {
        let oldest = |times: &Vec<Option<Timestamp>>| times.iter().flatten().min().copied();
        let age = |oldest: Timestamp| self.as_of.as_nanos().saturating_sub(oldest.as_nanos()) / 1_000_000;
        let views: Vec<Option<i64>> = self.rows.event_times.iter().map(|times| oldest(times).map(age)).collect();
        let keys = self.entities.keys.iter().map(|_| None);
        keys.chain(self.asked.compiled.sources.iter().map(|source| views[source.view()?])).collect()
    }
}

impl Serialize for Reply<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(2))?;
        map.serialize_entry("results", &Results(self))?;
        map.serialize_entry("metadata", &Metadata(self))?;
        map.end()
    }
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Reply { asked, entities, rows, non_finite, .. } = *self.0;
        let mut list = out.serialize_seq(Some(entities.keys.len() + rows.columns.len()))?;
        for key in &entities.keys {
            if let Some(values) = self.0.key_column(key.name.as_str()) {
                list.serialize_element(&Column { values, dtype: key.dtype, non_finite, of: Of::Key })?;
            }
        }
        for (i, (column, source)) in asked.compiled.service.columns.iter().zip(&asked.compiled.sources).enumerate() {
            let event_times = source.view().map(|view| rows.event_times[view].as_slice());
            let of = Of::Feature { statuses: &rows.statuses[i], event_times };
            list.serialize_element(&Column { values: &rows.columns[i], dtype: column.dtype, non_finite, of })?;
        }
        list.end()
    }
}

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let n = self.values.len();
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("values", &Values(self.values, self.dtype, self.non_finite))?;
        match self.of {
            Of::Key => map.serialize_entry("statuses", &KeyStatuses(self.values, self.non_finite))?,
            Of::Feature { statuses, .. } => {
                map.serialize_entry("statuses", &Statuses(statuses, self.values, self.non_finite))?;
            }
        }
        // Feast leaves an empty list out.
        match self.of {
            _ if n == 0 => {}
            Of::Key => map.serialize_entry("event_timestamps", &Epochs(n))?,
            Of::Feature { event_times: None, .. } => map.serialize_entry("event_timestamps", &Epochs(n))?,
            Of::Feature { event_times: Some(times), .. } => map.serialize_entry("event_timestamps", &Times(times))?,
        }
        map.end()
    }
}

impl Serialize for Times<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut list = out.serialize_seq(Some(self.0.len()))?;
        for time in self.0 {
            list.serialize_element(&format_args!("{}", time.unwrap_or(Timestamp::EPOCH)))?;
        }
        list.end()
    }
}

impl Serialize for Epochs {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(std::iter::repeat_n("1970-01-01T00:00:00Z", self.0))
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Reply { asked, entities, with_versions, .. } = self.0;
        let mut map = out.serialize_map(None)?;
        let names: Vec<&str> =
            entities.keys.iter().map(|k| k.name.as_str()).chain(asked.names.iter().map(String::as_str)).collect();
        map.serialize_entry("feature_names", &names)?;
        if *with_versions {
            // A view that is used twice is named once, and nothing is named where there is nothing to name.
            let mut versions: Vec<&ViewId> = Vec::new();
            for view in &asked.compiled.views {
                if !versions.contains(&&view.view.id) {
                    versions.push(&view.view.id);
                }
            }
            if !versions.is_empty() {
                map.serialize_entry("feature_view_metadata", &versions)?;
            }
        }
        let keys = entities.keys.iter().map(|key| key.dtype);
        let dtypes = keys.chain(asked.compiled.service.columns.iter().map(|column| column.dtype));
        let types: Vec<&str> = dtypes.map(|dtype| ValueType::from(dtype).as_str()).collect();
        map.serialize_entry("feature_types", &types)?;
        map.serialize_entry("freshness_ms", &self.0.freshness_ms())?;
        map.serialize_entry("replay_token", self.0.replay_token)?;
        map.end()
    }
}
