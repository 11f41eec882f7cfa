//! Registrations that this process is at: not more than so many at once, and none of them is given up while it goes on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use registry::Seq;

/// How many are copied and read at once: each has a thread while its files are copied.
const PLACES: usize = 64;

/// A version, by what its model is known by for ever.
type Version = (Seq, u32);

/// The registrations of a process.
#[derive(Debug, Default)]
pub struct Ongoing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// All of them, those among them that have no version yet.
    taken: usize,
    begun: HashSet<Version>,
}

impl Ongoing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more; `None` while there is none.
    pub fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut state = self.state();
        let has_room = state.taken < PLACES;
        state.taken += usize::from(has_room);
        has_room.then(|| Arc::new(Place { of: Arc::clone(self), version: OnceLock::new() }))
    }

    /// Whether this process is at the registration of a version.
    pub fn has(&self, model: Seq, version: u32) -> bool {
        self.state().begun.contains(&(model, version))
    }
}

/// The place of one registration, until all that have it have dropped it.
#[derive(Debug)]
pub struct Place {
    of: Arc<Ongoing>,
    version: OnceLock<Version>,
}

impl Place {
    /// Says which version it registers, once it has one.
    pub fn registers(&self, model: Seq, version: u32) {
        self.of.state().begun.insert(*self.version.get_or_init(|| (model, version)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.taken -= 1;
        if let Some(version) = self.version.get() {
            state.begun.remove(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_registration_has_ended() {
        let ongoing = Arc::new(Ongoing::default());
        let mut places: Vec<_> = (0..PLACES).map(|_| ongoing.enter().unwrap()).collect();
        assert!(ongoing.enter().is_none());
        places[3].registers(Seq(7), 1);
        places[4].registers(Seq(7), 2);
        assert!(ongoing.has(Seq(7), 1) && ongoing.has(Seq(7), 2) && !ongoing.has(Seq(8), 1));
        places.remove(3);
        assert!(!ongoing.has(Seq(7), 1) && ongoing.has(Seq(7), 2));
        let _again = ongoing.enter().unwrap();
        assert!(ongoing.enter().is_none());
    }
}
