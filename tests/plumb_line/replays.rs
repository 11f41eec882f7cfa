//! What was answered is computed again from its token, whatever happened to the source since.
//!
//! A token fixes the instant, the definitions, who and what was asked for, and the state of the data: so it gives the same
//! answer, or says that the state is gone. Pushes are never taken back, and whoever is erased is gone from all states: an
//! answer from before one of those is not replayed. Neither is one from a generation that counts as no state of the data,
//! for a build of all of it is due, or from before there was a table.

use std::sync::Arc;

use featurestore::online::{OnlineReader, Served};
use featurestore::replay::{ReplayError, State, recompute};
use featurestore::retrieve::{Tolerance, retrieve_with};
use plumb::replay::{Digests, Replayable, Token, ViewState};
use proptest::prelude::*;
use registry::Seq;
use schema::Timestamp;
use schema::definitions::Format;

use super::compare::asked;
use super::world::{Ways, World};

/// The token of an answer, and after how many changes of what is not in it.
#[derive(Debug)]
pub(super) struct Answered {
    token: String,
    n_beyond: usize,
    n_vacuums: usize,
}

/// Asks for everybody now; `None` if that is said to be no state that can be gone back to.
pub(super) async fn answer(world: &World<'_>) -> Option<Answered> {
    let compiled = world.compiled();
    let (entities, t) = (asked(world, 0), Timestamp::from_nanos(world.now.max(world.horizon)));
    let reader = OnlineReader::new(Arc::clone(&world.store));
    let found = retrieve_with(&reader, &compiled, &entities, t, Tolerance::Strict).await.unwrap();
    let is_part = |served: &Arc<Served>| served.generation.contents.is_part();
    if found.served.iter().flatten().any(is_part) || !world.has_source() {
        return None;
    }
    let token = Replayable::new(&compiled, Seq(1)).token(&compiled, &entities, t, &found.rows, &found.served);
    Some(Answered { token, n_beyond: world.n_beyond, n_vacuums: world.n_vacuums })
}

pub(super) async fn replay(world: &World<'_>, answered: &Answered, ways: &Ways) -> Result<(), TestCaseError> {
    if answered.n_beyond != world.n_beyond {
        return Ok(());
    }
    let compiled = world.compiled();
    let token = Token::read(&answered.token).unwrap();
    let entities = token.entities(&compiled).unwrap();
    let state = |state: &ViewState| match state {
        ViewState::Held { held, .. } => State::Held(*held),
        ViewState::Without => State::Without,
    };
    let states: Vec<State> = token.views.iter().map(state).collect();
    let found = match recompute(&world.offline, &compiled, &entities, token.as_of, &states).await {
        Ok(found) => found,
        Err(ReplayError::Gone { .. }) => {
            let kept = world.shape.format == Format::Delta && world.n_vacuums == answered.n_vacuums;
            prop_assert!(!kept, "a table keeps its versions until it is vacuumed");
            Ways::count(&ways.gone);
            return Ok(());
        }
        Err(why) => return Err(TestCaseError::fail(format!("{why:?}"))),
    };
    Ways::count(&ways.replayed);
    prop_assert_eq!(&found.event_times, &token.event_times, "as of {}", token.as_of);
    prop_assert_eq!(Digests::of(&compiled, &found, entities.n), token.digests, "as of {}", token.as_of);
    Ok(())
}
