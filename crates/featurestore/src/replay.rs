//! What was answered online, computed again from history, at the instant and the state of the data that it was answered
//! with.

use arrow::array::TimestampNanosecondArray;
use schema::{ErrorKind, Timestamp, ViewId};

use crate::assemble::{FeatureRows, ViewRows, assemble};
use crate::compiled::CompiledService;
use crate::offline::history::{Held, History};
use crate::offline::{OfflineError, OfflineStore};
use crate::point_in_time::{SpineIndex, find};
use crate::retrieve::{EntityRows, RetrieveError};

/// Which state of a view's history to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The one that answered.
    Held(Held),
    /// Today's.
    Today,
    /// None: the answer was made without the view.
    Without,
}

/// Why an answer cannot be computed again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The data has changed since, and what it was is not kept.
    #[error("the state of the data that answered for feature view `{view}` is no longer there")]
    Gone {
        /// The view version.
        view: ViewId,
    },
    /// The request says too little: never for a request that was answered.
    #[error("the request of the answer")]
    Request(#[source] RetrieveError),
    /// History cannot be read.
    #[error("reading the history of feature view `{view}`")]
    Offline {
        /// The view version.
        view: ViewId,
        /// Why.
        #[source]
        source: OfflineError,
    },
    /// An expression fails on a row.
    #[error("computing features of service `{service}`")]
    Compute {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: transform::ExprError,
    },
}

impl ReplayError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::Request(source) => source.kind(),
            Self::Offline { source, .. } => source.kind(),
            Self::Compute { .. } => ErrorKind::Invalid,
        }
    }
}

/// The features of a service for some entities as of one instant; `states` has one for each use of a view.
///
/// # Errors
/// [`ReplayError`].
pub async fn recompute(
    store: &OfflineStore,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: Timestamp,
    states: &[State],
) -> Result<FeatureRows, ReplayError> {
    recompute_each(store, compiled, entities, &vec![as_of; entities.n], states).await
}

/// As [`recompute`], each row as of an instant of its own.
///
/// # Errors
/// [`ReplayError`].
pub async fn recompute_each(
    store: &OfflineStore,
    compiled: &CompiledService,
    entities: &EntityRows,
    as_of: &[Timestamp],
    states: &[State],
) -> Result<FeatureRows, ReplayError> {
    let fields = entities.fields_of(compiled).map_err(ReplayError::Request)?;
    let times: Vec<Option<Timestamp>> = as_of.iter().map(|at| Some(*at)).collect();
    let mut views = Vec::with_capacity(compiled.views.len());
    for (used, state) in compiled.views.iter().zip(states) {
        let view = &used.view;
        let failed = |source| ReplayError::Offline { view: view.id.clone(), source };
        let history: History = match state {
            State::Without => {
                views.push(ViewRows::unavailable(used, entities.n));
                continue;
            }
            State::Today => store.history(view).await.map_err(failed)?,
            State::Held(held) => {
                let then = store.history_when(view, held).await.map_err(failed)?;
                then.ok_or_else(|| ReplayError::Gone { view: view.id.clone() })?
            }
        };
        let keys = entities.keys_of(used).map_err(ReplayError::Request)?;
        let winners = find(view, &history, &SpineIndex::new(&keys, &times)).map_err(failed)?;
        views.push(winners.gather(view, &history).map_err(failed)?);
    }
    let at = TimestampNanosecondArray::from_iter_values(as_of.iter().map(|at| at.as_nanos())).with_timezone("UTC");
    let failed = |source| ReplayError::Compute { service: compiled.service.name.to_string(), source };
    assemble(compiled, views, &fields, &|| &at).map_err(failed)
}
