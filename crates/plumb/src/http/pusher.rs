//! Pushes as every protocol makes them: columns by name to a feature view.

pub mod exact;

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use featurestore::push::log::PushLog;
use featurestore::push::rows::deletion_names;
use featurestore::push::{PushError, Pushed, To, push, share};
use featurestore::{OfflineError, OfflineStore, OnlineReader};
use registry::Registry;
use schema::json::read_column;
use schema::{Clock, Dtype, ErrorKind, FeatureView};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;
use crate::http::services::{self, ServiceError};
use exact::Exact;

/// Rows that one push may have.
pub const ROWS_MAX: usize = 10_000;

/// What takes pushes to the log and the online store.
#[derive(Debug)]
pub struct Pusher {
    registry: Arc<Registry>,
    offline: OfflineStore,
    online: Arc<OnlineReader>,
    clock: Clock,
    log: OnceLock<PushLog>,
}

impl Pusher {
    /// Pushes into the history of `offline`, and online.
    pub fn new(registry: Arc<Registry>, offline: OfflineStore, online: Arc<OnlineReader>, clock: Clock) -> Self {
        Self { registry, offline, online, clock, log: OnceLock::new() }
    }

    /// A feature view by name, or one of its versions by `name@v2`.
    ///
    /// # Errors
    /// `unknown_view`.
    pub fn view(&self, name: &str) -> Result<FeatureView, Failure> {
        Ok(self.find(name)?)
    }

    /// As [`Self::view`], for protocols with errors of their own.
    ///
    /// # Errors
    /// What is not applied.
    pub fn find(&self, name: &str) -> Result<FeatureView, ServiceError> {
        services::view_named(self.registry.catalog().definitions(), name).cloned()
    }

    /// Pushes rows; durable when it returns.
    ///
    /// # Errors
    /// Rows that are none of the view's, a view that is not online, stores that cannot be written.
    pub async fn push(
        &self,
        view: &FeatureView,
        rows: &RecordBatch,
        id: Option<&str>,
        to: To,
    ) -> Result<Pushed, Failure> {
        if rows.num_rows() > ROWS_MAX {
            let message = format!("the push has {} rows; one takes at most {ROWS_MAX}", rows.num_rows());
            return Err(Failure::invalid(message).code("too_many_rows").hint("split it"));
        }
        let log = match self.log.get() {
            Some(log) => log,
            None => {
                let opened = self.offline.pushes()?;
                self.log.get_or_init(|| opened)
            }
        };
        let (store, now) = (self.online.store(), self.clock.now());
        let done = push(view, rows, id, to, log, store.as_ref(), now).await?;
        if to == To::Online {
            let others = self.registry.catalog().definitions().other_versions(&view.id);
            share(view, &others, rows, log, store.as_ref(), now).await?;
        }
        Ok(done)
    }
}

/// JSON lists by column name as columns in the view's types; times stay texts, which the push reads. What is in `exact` is
/// taken from there.
///
/// # Errors
/// No lists, lists of different lengths, a value of another type.
pub fn columns(view: &FeatureView, rows: &Map<String, Json>, exact: &Exact) -> Result<RecordBatch, Failure> {
    let d = &view.definition;
    let dtype = |name: &str| {
        let key = view.keys().iter().find(|key| key.name.as_str() == name).map(|key| key.dtype);
        let feature = || d.features.iter().find(|feature| feature.name.as_str() == name).map(|feature| feature.dtype);
        let deleted = || deletion_names(view).any(|known| known == name).then_some(Dtype::Bool);
        let times = ["event_time", "event_timestamp", "created", "created_timestamp"];
        let is_time = times.contains(&name) || name == d.event_time || Some(name) == d.created_time.as_deref();
        key.or_else(feature).or_else(deleted).or_else(|| is_time.then_some(Dtype::String))
    };
    let mut columns: Vec<(&str, ArrayRef, bool)> = Vec::with_capacity(rows.len());
    for (name, values) in rows {
        let Json::Array(values) = values else {
            let message = format!("`rows.{name}` is not a list");
            return Err(Failure::invalid(message).code("wrong_json").hint(format!("send \"{name}\": [value, ...]")));
        };
        if let Some((first, column, _)) = columns.first()
            && column.len() != values.len()
        {
            let message = format!("`rows.{name}` has {} values and `rows.{first}` {}", values.len(), column.len());
            return Err(Failure::invalid(message).code("unequal_lists"));
        }
        if let Some(column) = exact.get(name) {
            columns.push((name, Arc::clone(column), true));
            continue;
        }
        let Some(dtype) = dtype(name) else {
            // The push itself says that the view has no such column, and which it has.
            columns.push((name, new_null_array(&Dtype::String.to_arrow(), values.len()), true));
            continue;
        };
        let column = read_column(values, dtype).map_err(|row| {
            let message = format!("`rows.{name}[{row}]` is {}, which is no {dtype}", values[row]);
            Failure::invalid(message).code("wrong_value_type").hint("times are texts in RFC 3339")
        })?;
        columns.push((name, column, true));
    }
    if columns.first().is_none_or(|(_, column, _)| column.is_empty()) {
        let example = view.keys().first().map_or("key", |key| key.name.as_str());
        return Err(Failure::invalid("`rows` holds no rows").code("empty_rows").hint(format!(
            "send lists by column: {{\"rows\": {{\"{example}\": [...], \"{}\": [...], ...}}}}",
            d.event_time
        )));
    }
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|why| Failure::new(ErrorKind::Internal, format!("making rows: {why}")))
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        let code = match &error {
            PushError::Rows { .. } => Some("wrong_rows"),
            PushError::Ahead { .. } => Some("too_far_ahead"),
            PushError::Feast { .. } => Some("read_only_view"),
            PushError::NotOnline { .. } => Some("not_materialized"),
            PushError::Log { source: OfflineError::Erased { .. }, .. } => Some("erased"),
            PushError::Log { .. } | PushError::Unasked { .. } | PushError::Online { .. } => None,
        };
        let failure = Self { hint: error.hint(), ..Self::new(error.kind(), schema::error::chain(&error)) };
        match code {
            Some(code) => failure.code(code),
            None => failure,
        }
    }
}
