//! A request's features, read online: one round trip for all views of an entity, then the shared assembly.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use schema::{EntityKey, ErrorKind, FeatureView, Status, Timestamp, ViewId};

use crate::assemble::{FeatureRows, ViewRows, assemble, status_at};
use crate::compiled::{CompiledService, CompiledView};
use crate::online::cell::At;
use crate::online::{OnlineError, OnlineReader, OnlineTable};

/// Why features could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RetrieveError {
    #[error("join key `{key}` of entity `{entity}` is missing")]
    NoKey { key: String, entity: String },
    #[error("feature view `{view}` answers from {kept_from} on for this entity, not as of {as_of}")]
    TooOld { view: ViewId, kept_from: Timestamp, as_of: Timestamp },
    #[error("feature view `{view}` is not materialized")]
    NotOnline { view: ViewId },
    #[error("reading features of service `{service}`")]
    Online {
        service: String,
        #[source]
        source: OnlineError,
    },
    #[error("feature view `{view}` holds a damaged row")]
    Corrupt {
        view: ViewId,
        #[source]
        source: schema::BoxError,
    },
    #[error("computing features of service `{service}`")]
    Compute {
        service: String,
        #[source]
        source: transform::ExprError,
    },
}

impl RetrieveError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKey { .. } | Self::TooOld { .. } | Self::Compute { .. } => ErrorKind::Invalid,
            Self::NotOnline { .. } => ErrorKind::Conflict,
            Self::Online { source, .. } => source.kind(),
            Self::Corrupt { .. } => ErrorKind::Internal,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoKey { key, .. } => Some(format!("send it: {{\"entities\": {{\"{key}\": [...]}}}}")),
            Self::TooOld { .. } => Some(
                "the online store keeps the current row; ask the offline store: plumb training-set build".to_owned(),
            ),
            Self::NotOnline { view } => Some(format!("run `plumb materialize {}`", view.name)),
            Self::Corrupt { .. } => {
                Some("run `plumb materialize` again, or check who else writes to the store".to_owned())
            }
            Self::Online { .. } | Self::Compute { .. } => None,
        }
    }
}

/// The key columns of a request, by join key, each in its declared dtype and `n` rows long.
#[derive(Debug, Clone)]
pub struct EntityRows {
    /// Rows asked for.
    pub n: usize,
    /// Columns by join key.
    pub columns: HashMap<String, ArrayRef>,
}

impl EntityRows {
    /// The key columns of a view.
    ///
    /// # Errors
    /// [`RetrieveError::NoKey`].
    pub fn keys_of(&self, view: &FeatureView) -> Result<Vec<ArrayRef>, RetrieveError> {
        let column = |key: &schema::definitions::JoinKey| {
            let missing = || RetrieveError::NoKey { key: key.name.to_string(), entity: view.entity.name.to_string() };
            self.columns.get(key.name.as_str()).cloned().ok_or_else(missing)
        };
        view.keys().iter().map(column).collect()
    }
}

/// The features of a service for some entities as of one instant.
///
/// # Errors
/// [`RetrieveError`]; an unknown entity is no error but `NOT_FOUND`.
pub async fn retrieve(
    reader: &OnlineReader,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: Timestamp,
) -> Result<FeatureRows, RetrieveError> {
    let mut views: Vec<Option<ViewRows>> = compiled.views.iter().map(|_| None).collect();
    for first in 0..compiled.views.len() {
        if views[first].is_some() {
            continue;
        }
        // All views of one entity come in one round trip.
        let entity = &compiled.views[first].view.entity.name;
        let together: Vec<usize> =
            (first..compiled.views.len()).filter(|i| compiled.views[*i].view.entity.name == *entity).collect();
        let members: Vec<&Arc<CompiledView>> = together.iter().map(|i| &compiled.views[*i]).collect();
        let rows = read_entity(reader, compiled, &members, entities, as_of).await?;
        for (i, rows) in together.into_iter().zip(rows) {
            views[i] = Some(rows);
        }
    }
    let at = TimestampNanosecondArray::from(vec![as_of.as_nanos(); entities.n]).with_timezone("UTC");
    assemble(compiled, views.into_iter().flatten().collect(), &at)
        .map_err(|source| RetrieveError::Compute { service: compiled.service.name.to_string(), source })
}

async fn read_entity(
    reader: &OnlineReader,
    compiled: &CompiledService,
    views: &[&Arc<CompiledView>],
    entities: &EntityRows,
    as_of: Timestamp,
) -> Result<Vec<ViewRows>, RetrieveError> {
    let Some(first) = views.first() else { return Ok(Vec::new()) };
    let keys = EntityKey::from_columns(&entities.keys_of(&first.view)?, entities.n);
    // A null key matches nothing and is not asked for.
    let asked: Vec<EntityKey> = keys.iter().flatten().cloned().collect();
    let failed = |source| RetrieveError::Online { service: compiled.service.name.to_string(), source };
    let views_asked: Vec<&FeatureView> = views.iter().map(|view| &view.view).collect();
    let online = |(table, view): (Option<OnlineTable>, &&FeatureView)| {
        table.ok_or_else(|| RetrieveError::NotOnline { view: view.id.clone() })
    };
    let tables = reader.tables(&views_asked).await.map_err(failed)?;
    let tables = tables.into_iter().zip(&views_asked).map(online).collect::<Result<Vec<_>, _>>()?;
    let found = reader.store().get_many(&tables, &asked).await.map_err(failed)?;

    let mut answers = Vec::with_capacity(views.len());
    for (v, view) in views.iter().enumerate() {
        let (id, ttl) = (&view.view.id, view.view.definition.ttl);
        let mut decoder = view.codec.decoder(entities.n);
        let mut statuses = Vec::with_capacity(entities.n);
        let mut event_times = Vec::with_capacity(entities.n);
        let mut next = 0;
        for key in &keys {
            let cell = key.as_ref().and_then(|_| {
                next += 1;
                found.get(next - 1, v)
            });
            let corrupt = |why: schema::BoxError| RetrieveError::Corrupt { view: id.clone(), source: why };
            let at = cell.map(|cell| cell.at(as_of));
            let (status, event_time) = match at {
                None | Some(At::Nothing) => (Status::NotFound, None),
                Some(At::TooOld { kept_from }) => {
                    return Err(RetrieveError::TooOld { view: id.clone(), kept_from, as_of });
                }
                Some(At::Row(step)) if step.deleted() => (Status::NotFound, None),
                Some(At::Row(step)) => {
                    let event_time = step.order().event_time;
                    let status = status_at(event_time, ttl, as_of);
                    if status == Status::Present {
                        decoder.push(step.payload()).map_err(|why| corrupt(why.into()))?;
                    }
                    (status, Some(event_time))
                }
            };
            if status != Status::Present {
                decoder.push_missing();
            }
            statuses.push(status);
            event_times.push(event_time);
        }
        answers.push(ViewRows { stored: decoder.finish(), statuses, event_times });
    }
    Ok(answers)
}
