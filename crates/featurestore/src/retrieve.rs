//! A request's features, read online: one round trip for all views of an entity, then the shared assembly.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use schema::definitions::{JoinKey, RequestField};
use schema::{EntityKey, ErrorKind, FeatureView, Status, Timestamp, ViewId};

use crate::assemble::{FeatureRows, ViewRows, assemble, status_at};
use crate::compiled::{CompiledOnDemand, CompiledService, CompiledView};
use crate::online::cell::{At, Cell};
use crate::online::{OnlineError, OnlineReader, OnlineTable};

/// Why features could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RetrieveError {
    #[error("join key `{key}` of entity `{entity}` is missing")]
    NoKey { key: String, entity: String },
    #[error("field `{field}` of the request, which on-demand view `{view}` reads, is missing")]
    NoField { field: String, view: String },
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
            Self::NoKey { .. } | Self::NoField { .. } | Self::TooOld { .. } | Self::Compute { .. } => {
                ErrorKind::Invalid
            }
            Self::NotOnline { .. } => ErrorKind::Conflict,
            Self::Online { source, .. } => source.kind(),
            Self::Corrupt { .. } => ErrorKind::Internal,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoKey { key, .. } => Some(format!("send it: {{\"entities\": {{\"{key}\": [...]}}}}")),
            Self::NoField { field, .. } => Some(format!("send it: {{\"context\": {{\"{field}\": value}}}}")),
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

/// What a request says: key columns by the name of the join key, and its other fields by theirs, each in its declared
/// dtype and `n` rows long.
#[derive(Debug, Clone)]
pub struct EntityRows {
    /// Rows asked for.
    pub n: usize,
    /// Columns by name.
    pub columns: HashMap<String, ArrayRef>,
}

impl EntityRows {
    /// The key columns of a view, as the service reads it.
    ///
    /// # Errors
    /// [`RetrieveError::NoKey`].
    pub fn keys_of(&self, view: &CompiledView) -> Result<Vec<ArrayRef>, RetrieveError> {
        let column = |key: &JoinKey| {
            let (key, entity) = (key.name.as_str(), &view.view.entity.name);
            let missing = || RetrieveError::NoKey { key: key.to_owned(), entity: entity.to_string() };
            self.columns.get(key).cloned().ok_or_else(missing)
        };
        view.keys.iter().map(column).collect()
    }

    /// The request fields of a service, in the order of [`CompiledService::fields`].
    ///
    /// # Errors
    /// [`RetrieveError::NoField`].
    pub fn fields_of(&self, compiled: &CompiledService) -> Result<Vec<ArrayRef>, RetrieveError> {
        let column = |(at, field): (usize, &RequestField)| {
            let reads = |view: &&Arc<CompiledOnDemand>| view.fields.contains(&at);
            let view = || compiled.on_demand.iter().find(reads).map(|view| view.name.clone()).unwrap_or_default();
            let missing = || RetrieveError::NoField { field: field.name.to_string(), view: view() };
            self.columns.get(field.name.as_str()).cloned().ok_or_else(missing)
        };
        compiled.fields.iter().enumerate().map(column).collect()
    }
}

/// The features of a service for some entities as of one instant.
///
/// All views of one entity come in one round trip, by however many keys; the round trips of several entities go out
/// together.
///
/// # Errors
/// [`RetrieveError`]; an unknown entity is no error but `NOT_FOUND`.
pub async fn retrieve(
    reader: &OnlineReader,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: Timestamp,
) -> Result<FeatureRows, RetrieveError> {
    let fields = entities.fields_of(compiled)?;
    let together = by_entity(&compiled.views);
    let reads = together.iter().map(|members| read_entity(reader, compiled, members, entities, as_of));
    let read = futures::future::try_join_all(reads).await?;
    let mut views: Vec<Option<ViewRows>> = compiled.views.iter().map(|_| None).collect();
    for (i, rows) in together.iter().flatten().zip(read.into_iter().flatten()) {
        views[*i] = Some(rows);
    }
    let at = TimestampNanosecondArray::from(vec![as_of.as_nanos(); entities.n]).with_timezone("UTC");
    assemble(compiled, views.into_iter().flatten().collect(), &fields, &at)
        .map_err(|source| RetrieveError::Compute { service: compiled.service.name.to_string(), source })
}

/// The views that one round trip answers: those of one entity, whose keys have the same types.
fn by_entity(views: &[Arc<CompiledView>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, view) in views.iter().enumerate() {
        let entity = |of: usize| (&views[of].view.entity.name, &views[of].view.entity.keys);
        let own = (&view.view.entity.name, &view.view.entity.keys);
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| entity(*first) == own)) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

/// The keys of one round trip: a view may be asked for by several lists of them, and several views by one.
struct Asked<'a> {
    keys: Vec<EntityKey>,
    /// Names of the key columns, and for each row the place of its key; a null key matches nothing and is not asked for.
    lists: Vec<(&'a [JoinKey], Vec<Option<usize>>)>,
}

impl<'a> Asked<'a> {
    fn add(&mut self, view: &'a CompiledView, entities: &EntityRows) -> Result<(), RetrieveError> {
        if self.places(view).is_some() {
            return Ok(());
        }
        let keys = EntityKey::from_columns(&entities.keys_of(view)?, entities.n);
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            places.push(key.is_some().then_some(self.keys.len()));
            self.keys.extend(key);
        }
        self.lists.push((&view.keys, places));
        Ok(())
    }

    fn places(&self, view: &CompiledView) -> Option<&[Option<usize>]> {
        self.lists.iter().find(|(keys, _)| **keys == *view.keys).map(|(_, places)| places.as_slice())
    }
}

/// The rows of `members`, places among the service's views, in their order.
async fn read_entity(
    reader: &OnlineReader,
    compiled: &CompiledService,
    members: &[usize],
    entities: &EntityRows,
    as_of: Timestamp,
) -> Result<Vec<ViewRows>, RetrieveError> {
    let mut asked = Asked { keys: Vec::with_capacity(entities.n), lists: Vec::new() };
    let mut views: Vec<&FeatureView> = Vec::with_capacity(members.len());
    for view in members.iter().map(|i| &compiled.views[*i]) {
        asked.add(view, entities)?;
        if !views.iter().any(|known| known.id == view.view.id) {
            views.push(&view.view);
        }
    }
    let failed = |source| RetrieveError::Online { service: compiled.service.name.to_string(), source };
    let online = |(table, view): (Option<OnlineTable>, &&FeatureView)| {
        table.ok_or_else(|| RetrieveError::NotOnline { view: view.id.clone() })
    };
    let tables = reader.tables(&views).await.map_err(failed)?;
    let tables = tables.into_iter().zip(&views).map(online).collect::<Result<Vec<_>, _>>()?;
    let found = reader.store().get_many(&tables, &asked.keys).await.map_err(failed)?;
    let rows = |i: &usize| {
        let view = &compiled.views[*i];
        let v = views.iter().position(|known| known.id == view.view.id).unwrap_or_default();
        let places = asked.places(view).unwrap_or_default();
        rows_of(view, places.iter().map(|place| place.and_then(|key| found.get(key, v))), as_of)
    };
    members.iter().map(rows).collect()
}

/// What a view's cells say as of an instant, a row a cell.
fn rows_of<'a>(
    view: &CompiledView,
    cells: impl ExactSizeIterator<Item = Option<&'a Cell>>,
    as_of: Timestamp,
) -> Result<ViewRows, RetrieveError> {
    let (id, ttl) = (&view.view.id, view.view.definition.ttl);
    let corrupt = |why: schema::BoxError| RetrieveError::Corrupt { view: id.clone(), source: why };
    let mut decoder = view.codec.decoder(cells.len());
    let mut statuses = Vec::with_capacity(cells.len());
    let mut event_times = Vec::with_capacity(cells.len());
    for cell in cells {
        let (status, event_time) = match cell.map(|cell| cell.at(as_of)) {
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
    Ok(ViewRows { stored: decoder.finish(), statuses, event_times })
}

#[cfg(test)]
mod tests;
