//! A request's features, read online: one round trip for all views of an entity, then the shared assembly.

mod answered;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use schema::definitions::{JoinKey, OnError, RequestField};
use schema::{EntityKey, ErrorKind, FeatureView, Status, Timestamp, ViewId};

pub use answered::Answered;

use crate::assemble::{FeatureRows, ViewRows, assemble, status_at};
use crate::compiled::{CompiledOnDemand, CompiledService, CompiledView};
use crate::online::cell::{At, Cell};
use crate::online::{OnlineError, OnlineReader, OnlineTable, Served};

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
    #[error("feature view `{view}` is served from Feast's Redis, and plumb.yaml does not say where that is")]
    NoFeast { view: ViewId },
    #[error("feature view `{view}`, read from Feast's Redis: {why}")]
    Feast { view: ViewId, why: String },
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
            Self::NotOnline { .. } | Self::NoFeast { .. } | Self::Feast { .. } => ErrorKind::Conflict,
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
            Self::NoFeast { .. } => {
                Some("write `feast: {url: redis://host:port, project: NAME}` in plumb.yaml".to_owned())
            }
            Self::Feast { .. } => Some("declare the types that Feast's registry has: plumb import feast".to_owned()),
            Self::Online { source, .. } => source.hint().map(str::to_owned),
            Self::Compute { .. } => None,
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

/// What a request does about views whose store cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tolerance {
    /// What each view says: [`OnError`].
    #[default]
    AsDeclared,
    /// It fails, whatever the views say.
    Strict,
    /// It is answered without them, whatever they say.
    Partial,
}

/// A service's features, and what they were read from.
#[derive(Debug, Clone)]
pub struct Retrieved {
    /// The features.
    pub rows: FeatureRows,
    /// For each use of a view, what answered; `None` where nothing did, or a store that has no generations.
    pub served: Vec<Option<Arc<Served>>>,
}

/// The features of a service for some entities as of one instant.
///
/// # Errors
/// As [`retrieve_with`].
pub async fn retrieve(
    reader: &OnlineReader,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: Timestamp,
) -> Result<FeatureRows, RetrieveError> {
    retrieve_with(reader, compiled, entities, as_of, Tolerance::AsDeclared).await.map(|retrieved| retrieved.rows)
}

/// The features of a service for some entities as of one instant, and what they were read from.
///
/// All views of one entity come in one round trip, by however many keys; the round trips of several entities go out
/// together. What one round trip cannot read is missing in its views alone, if `tolerance` allows it.
///
/// # Errors
/// [`RetrieveError`]; an unknown entity is no error but `NOT_FOUND`.
pub async fn retrieve_with(
    reader: &OnlineReader,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: Timestamp,
    tolerance: Tolerance,
) -> Result<Retrieved, RetrieveError> {
    let fields = entities.fields_of(compiled)?;
    let asking = Asking { reader, compiled, entities, as_of, tolerance };
    let trips = &compiled.round_trips;
    let read = match trips.as_slice() {
        // One entity, the common case, needs no list of futures.
        [one] => vec![asking.read(one).await?],
        many => futures::future::try_join_all(many.iter().map(|trip| asking.read(trip))).await?,
    };
    let mut views: Vec<Option<ViewRows>> = compiled.views.iter().map(|_| None).collect();
    let mut served: Vec<Option<Arc<Served>>> = vec![None; compiled.views.len()];
    for (i, (rows, by)) in trips.iter().flat_map(|trip| &trip.members).zip(read.into_iter().flatten()) {
        (views[*i], served[*i]) = (Some(rows), by);
    }
    let (at, made) = (OnceCell::new(), || instants(as_of, entities.n));
    let rows = assemble(compiled, views.into_iter().flatten().collect(), &fields, &|| at.get_or_init(made))
        .map_err(|source| RetrieveError::Compute { service: compiled.service.name.to_string(), source })?;
    if let Some(answered) = reader.answered() {
        answered.count(compiled, &rows, as_of);
    }
    Ok(Retrieved { rows, served })
}

/// The one instant, for each row.
fn instants(as_of: Timestamp, n: usize) -> TimestampNanosecondArray {
    TimestampNanosecondArray::from(vec![as_of.as_nanos(); n]).with_timezone("UTC")
}

/// Views that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrip {
    /// Their places among the service's views.
    pub members: Vec<usize>,
    /// Whether they are read where Feast writes them.
    pub feast: bool,
}

/// The round trips of a service: one for the views of one entity, whose keys have the same types, in one store.
pub(crate) fn round_trips(views: &[Arc<CompiledView>]) -> Vec<RoundTrip> {
    let mut trips: Vec<RoundTrip> = Vec::new();
    for (i, view) in views.iter().enumerate() {
        let of = |at: usize| {
            let FeatureView { entity, definition, .. } = &views[at].view;
            (&entity.name, &entity.keys, definition.online.feast().is_some())
        };
        match trips.iter_mut().find(|trip| trip.members.first().is_some_and(|first| of(*first) == of(i))) {
            Some(trip) => trip.members.push(i),
            None => {
                let feast = view.view.definition.online.feast().is_some();
                trips.push(RoundTrip { members: vec![i], feast });
            }
        }
    }
    trips
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

/// One request.
struct Asking<'a> {
    reader: &'a OnlineReader,
    compiled: &'a CompiledService,
    entities: &'a EntityRows,
    as_of: Timestamp,
    tolerance: Tolerance,
}

type Read = (ViewRows, Option<Arc<Served>>);

impl Asking<'_> {
    /// The rows of a trip's members, in their order.
    async fn read(&self, trip: &RoundTrip) -> Result<Vec<Read>, RetrieveError> {
        let members: Vec<&Arc<CompiledView>> = trip.members.iter().map(|i| &self.compiled.views[*i]).collect();
        if trip.feast {
            return Box::pin(self.read_feast(&members)).await;
        }
        let mut asked = Asked { keys: Vec::with_capacity(self.entities.n), lists: Vec::new() };
        let mut views: Vec<&FeatureView> = Vec::with_capacity(members.len());
        for view in &members {
            asked.add(view, self.entities)?;
            if !views.iter().any(|known| known.id == view.view.id) {
                views.push(&view.view);
            }
        }
        let mut served = match self.reader.served(&views).await {
            Ok(served) => served,
            Err(why) => return self.without(&members, self.failed(why)),
        };
        for (view, served) in views.iter().zip(&served) {
            if served.is_none() {
                self.bear(view, || RetrieveError::NotOnline { view: view.id.clone() })?;
            }
        }
        let found = loop {
            let tables: Vec<OnlineTable> = served.iter().flatten().map(|served| served.table.clone()).collect();
            match self.reader.store().get_many(&tables, &asked.keys).await {
                Ok(found) => break found,
                // The others are sound: they are read without it.
                Err(OnlineError::Corrupt { view, key, address, source }) => {
                    let at = views.iter().position(|known| known.id == view);
                    let corrupt = || self.failed(OnlineError::Corrupt { view, key, address, source });
                    let Some(at) = at.filter(|at| served[*at].is_some()) else { return Err(corrupt()) };
                    self.bear(views[at], corrupt)?;
                    served[at] = None;
                }
                Err(why) => return self.without(&members, self.failed(why)),
            }
        };
        let rows = |view: &&Arc<CompiledView>| {
            let at = views.iter().position(|known| known.id == view.view.id).unwrap_or_default();
            let Some(by) = &served[at] else { return Ok((ViewRows::unavailable(view, self.entities.n), None)) };
            let column = served[..at].iter().flatten().count();
            let places = asked.places(view).unwrap_or_default();
            let cells = places.iter().map(|place| place.and_then(|key| found.get(key, column)));
            match rows_of(view, cells, self.as_of) {
                Ok(rows) => Ok((rows, Some(Arc::clone(by)))),
                Err(RetrieveError::Corrupt { view: id, source }) => {
                    self.bear(&view.view, || RetrieveError::Corrupt { view: id, source })?;
                    Ok((ViewRows::unavailable(view, self.entities.n), None))
                }
                Err(why) => Err(why),
            }
        };
        members.iter().map(rows).collect()
    }

    async fn read_feast(&self, members: &[&Arc<CompiledView>]) -> Result<Vec<Read>, RetrieveError> {
        let nowhere = || RetrieveError::NoFeast { view: members[0].view.id.clone() };
        let feast = self.reader.feast().ok_or_else(nowhere)?;
        let keys = members.iter().map(|view| self.entities.keys_of(view)).collect::<Result<Vec<_>, _>>()?;
        let views: Vec<&CompiledView> = members.iter().map(AsRef::as_ref).collect();
        match feast.read(&views, &keys, self.entities.n, self.as_of).await {
            Ok(rows) => Ok(rows.into_iter().map(|rows| (rows, None)).collect()),
            Err(why @ (RetrieveError::Online { .. } | RetrieveError::Feast { .. })) => self.without(members, why),
            Err(why) => Err(why),
        }
    }

    /// What the members are without their store, if each of them can be done without.
    fn without(&self, members: &[&Arc<CompiledView>], why: RetrieveError) -> Result<Vec<Read>, RetrieveError> {
        if members.iter().all(|view| self.bears(&view.view)) {
            return Ok(members.iter().map(|view| (ViewRows::unavailable(view, self.entities.n), None)).collect());
        }
        Err(why)
    }

    /// Passes over a failure that the view can be done without for.
    fn bear(&self, view: &FeatureView, why: impl FnOnce() -> RetrieveError) -> Result<(), RetrieveError> {
        if self.bears(view) { Ok(()) } else { Err(why()) }
    }

    fn bears(&self, view: &FeatureView) -> bool {
        match self.tolerance {
            Tolerance::AsDeclared => view.definition.on_error == OnError::Null,
            Tolerance::Strict => false,
            Tolerance::Partial => true,
        }
    }

    fn failed(&self, source: OnlineError) -> RetrieveError {
        RetrieveError::Online { service: self.compiled.service.name.to_string(), source }
    }
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
    Ok(ViewRows { stored: decoder.finish(), statuses, event_times, absent: Vec::new() })
}

#[cfg(test)]
mod tests;
