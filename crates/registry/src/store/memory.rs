//! The log of a process that keeps nothing: tests, and trying things out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use schema::Fingerprint;

use super::{AppendError, RegistryStore, StoreError, Stored, check_next};
use crate::event::Event;
use crate::seq::Seq;

/// A log in memory; gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryLog {
    /// The event at place n is at index n - 1.
    events: Mutex<Vec<Event>>,
    snapshot: Mutex<Option<Vec<u8>>>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        // A vector that was being pushed to when a thread died holds whole events all the same.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RegistryStore for MemoryLog {
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        let after = usize::try_from(seq.0).unwrap_or(usize::MAX);
        let stored = |event: &Event| Stored { seq: event.seq, text: event.json().as_bytes().to_vec() };
        Ok(self.lock().iter().skip(after).take(n_max).map(stored).collect())
    }

    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut kept = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|kept| !kept.is_empty()) {
            *kept = Some(bytes.to_vec());
        }
        Ok(())
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn append(&self, event: &Event) -> Result<(), AppendError> {
        let mut events = self.lock();
        let (last, head) = events.last().map_or((Seq::START, Fingerprint::of_bytes(b"")), |e| (e.seq, e.hash));
        check_next(event, last, head)?;
        events.push(event.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_conforms() {
        let log = Arc::new(MemoryLog::new());
        conformance::registry_store(|| Arc::clone(&log) as Arc<dyn RegistryStore>).await;
    }
}
