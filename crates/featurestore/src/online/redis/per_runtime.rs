//! A value for each runtime that asks: what tasks of one runtime wait for is driven by a task of the same.
//!
//! A connection's driver runs where it was started. A request of another runtime that asked it would be woken across
//! threads, twice for each answer; so each runtime has its own connections.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, Id};

/// Runtimes are few: two of them rarely meet in one part.
const PARTS: usize = 16;

/// A value for each runtime, made when it first asks.
#[derive(Debug)]
pub(super) struct PerRuntime<T> {
    parts: [Mutex<Vec<(Id, T)>>; PARTS],
}

impl<T> Default for PerRuntime<T> {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T: Default> PerRuntime<T> {
    /// Does something with the value of the runtime that this is called on.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        let id = Handle::current().id();
        let mut part = self.parts[part_of(id)].lock().unwrap_or_else(PoisonError::into_inner);
        match part.iter_mut().find(|(known, _)| *known == id) {
            Some((_, value)) => act(value),
            None => {
                let mut value = T::default();
                let acted = act(&mut value);
                part.push((id, value));
                acted
            }
        }
    }

    /// Does something with every value.
    pub(super) fn each(&self, mut act: impl FnMut(&mut T)) {
        for part in &self.parts {
            part.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(|(_, value)| act(value));
        }
    }
}

fn part_of(id: Id) -> usize {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    usize::try_from(hasher.finish() % PARTS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn each_runtime_has_its_own() {
        let counts: PerRuntime<u32> = PerRuntime::default();
        let runtimes: Vec<_> = (0..40).map(|_| Builder::new_current_thread().build().unwrap()).collect();
        for (runtime, n) in runtimes.iter().zip(1..) {
            for _ in 0..n {
                runtime.block_on(async { counts.with(|count| *count += 1) });
            }
        }
        for (runtime, n) in runtimes.iter().zip(1..) {
            assert_eq!(runtime.block_on(async { counts.with(|count| *count) }), n);
        }
        let mut sum = 0;
        counts.each(|count| sum += *count);
        assert_eq!(sum, 820);
    }
}
