//! What was compiled for requests, until the definitions change.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use registry::Seq;

/// Entries kept; beyond that all are forgotten and made again, for a client may ask for ever new combinations.
const COMPILED_MAX: usize = 1_024;

/// Answers to "what does this request mean" (`V`), by what it asks for (`K`), for the definitions of one sequence number.
pub struct Compiled<K, V> {
    ready: RwLock<Ready<K, V>>,
}

struct Ready<K, V> {
    definitions: Seq,
    by_request: HashMap<K, Arc<V>>,
}

impl<K: Eq + Hash, V> Compiled<K, V> {
    /// What was compiled for `wanted` under the definitions of `definitions`.
    pub fn get(&self, definitions: Seq, wanted: &K) -> Option<Arc<V>> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        if ready.definitions == definitions { ready.by_request.get(wanted).cloned() } else { None }
    }

    /// Keeps it for the requests to come, and forgets what was compiled for other definitions.
    pub fn put(&self, definitions: Seq, wanted: K, compiled: Arc<V>) {
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.definitions != definitions || ready.by_request.len() >= COMPILED_MAX {
            *ready = Ready { definitions, by_request: HashMap::new() };
        }
        ready.by_request.insert(wanted, compiled);
    }
}

impl<K, V> Default for Compiled<K, V> {
    fn default() -> Self {
        Self { ready: RwLock::new(Ready { definitions: Seq::START, by_request: HashMap::new() }) }
    }
}

impl<K, V> fmt::Debug for Compiled<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{} compiled for definitions {}", ready.by_request.len(), ready.definitions.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_definitions_forget_what_was_compiled_for_old_ones() {
        let (old, new) = (Seq::START, Seq::START.next());
        let compiled = Compiled::default();
        compiled.put(old, "a", Arc::new(1));
        assert_eq!(compiled.get(old, &"a").as_deref(), Some(&1));
        assert_eq!(compiled.get(new, &"a"), None);
        compiled.put(new, "b", Arc::new(2));
        assert_eq!(compiled.get(new, &"a"), None);
        assert_eq!(compiled.get(new, &"b").as_deref(), Some(&2));
    }

    #[test]
    fn ever_new_requests_do_not_fill_the_memory() {
        let compiled = Compiled::default();
        for i in 0..3 * COMPILED_MAX {
            compiled.put(Seq::START, i, Arc::new(i));
        }
        assert!(compiled.ready.read().unwrap().by_request.len() <= COMPILED_MAX);
    }
}
