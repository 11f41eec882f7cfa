//! The sessions of one model version: borrowed for a run, given back when the [`Lease`] is dropped.
//!
//! Invariant: permits never outnumber idle sessions, because a session is back in the queue before its permit is. A
//! checkout that need not wait takes no lock; one that must wait is served in order of arrival, and `try_checkout`
//! cannot overtake it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{ModelSession, OnnxError, Runtime, SessionOptions};

/// All sessions of one model version. Clones share them; the last clone or lease dropped frees them.
#[derive(Debug, Clone)]
pub struct SessionPool {
    shared: Arc<Shared>,
}

struct Shared {
    idle: ArrayQueue<ModelSession>,
    permits: Semaphore,
}

/// A session that is ours for a while.
#[derive(Debug)]
pub struct Lease {
    /// `None` only while being dropped.
    session: Option<ModelSession>,
    shared: Arc<Shared>,
}

// === impl SessionPool ===

impl SessionPool {
    /// Loads `n_sessions` sessions, at least one. Takes some milliseconds for each, and the model's memory for each:
    /// weights are not shared.
    ///
    /// # Errors
    /// As [`super::inspect()`].
    pub fn load(runtime: &Runtime, bytes: &[u8], n_sessions: usize) -> Result<Self, OnnxError> {
        Self::load_with(runtime, bytes, n_sessions, &SessionOptions::default())
    }

    /// As [`Self::load`], with other options than the default.
    ///
    /// # Errors
    /// As [`super::inspect()`]; of a provider that the library does not have, [`OnnxError::Unloadable`].
    pub fn load_with(
        runtime: &Runtime,
        bytes: &[u8],
        n_sessions: usize,
        options: &SessionOptions,
    ) -> Result<Self, OnnxError> {
        let sessions = ModelSession::load(runtime, bytes, n_sessions.max(1), options)?;
        let (idle, permits) = (ArrayQueue::new(sessions.len()), Semaphore::new(sessions.len()));
        for session in sessions {
            // The queue is as long as the list.
            let _ = idle.push(session);
        }
        Ok(Self { shared: Arc::new(Shared { idle, permits }) })
    }

    /// How many sessions there are, busy ones included.
    pub fn n_sessions(&self) -> usize {
        self.shared.idle.capacity()
    }

    /// How many are idle now.
    pub fn n_idle(&self) -> usize {
        self.shared.permits.available_permits()
    }

    /// An idle session, unless all are busy or others wait for one.
    pub fn try_checkout(&self) -> Option<Lease> {
        let permit = self.shared.permits.try_acquire().ok()?;
        self.lease(permit)
    }

    /// The next idle session. Whoever waits has a deadline: dropping the future gives the place up.
    ///
    /// # Panics
    /// Never: the semaphore is not closed, and a permit stands for a session.
    pub async fn checkout(&self) -> Lease {
        let permit = self.shared.permits.acquire().await.expect("the semaphore is never closed");
        self.lease(permit).expect("a permit stands for an idle session")
    }

    fn lease(&self, permit: SemaphorePermit<'_>) -> Option<Lease> {
        let session = self.shared.idle.pop()?;
        // The lease returns it, after the session.
        permit.forget();
        Some(Lease { session: Some(session), shared: Arc::clone(&self.shared) })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_idle, n_sessions) = (self.permits.available_permits(), self.idle.capacity());
        write!(f, "{n_idle} of {n_sessions} sessions idle")
    }
}

// === impl Lease ===

impl Deref for Lease {
    type Target = ModelSession;

    fn deref(&self) -> &ModelSession {
        self.session.as_ref().expect("a lease holds its session until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut ModelSession {
        self.session.as_mut().expect("a lease holds its session until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = self.shared.idle.push(session);
            self.shared.permits.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::onnx::toy;

    fn pool(n_sessions: usize) -> SessionPool {
        SessionPool::load(&toy::runtime(), &toy::file("linear"), n_sessions).unwrap()
    }

    #[test]
    fn a_session_is_free_again_when_its_lease_is_dropped() {
        let pool = pool(2);
        let (first, second) = (pool.try_checkout().unwrap(), pool.try_checkout().unwrap());
        assert!(pool.try_checkout().is_none());
        drop(first);
        assert_eq!(pool.n_idle(), 1);
        assert!(pool.try_checkout().is_some());
        drop(second);
        assert_eq!((pool.n_idle(), pool.n_sessions()), (2, 2));
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_session_before_who_tries() {
        let pool = pool(1);
        let lease = pool.checkout().await;
        let mut waiting = Box::pin(pool.checkout());
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        drop(lease);
        assert!(pool.try_checkout().is_none());
        drop(waiting.await);
        assert!(pool.try_checkout().is_some());
    }

    #[tokio::test]
    async fn giving_up_waiting_loses_no_session() {
        let pool = pool(1);
        let lease = pool.checkout().await;
        let mut waiting = Box::pin(pool.checkout());
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        drop(lease);
        drop(waiting);
        assert!(pool.try_checkout().is_some());
    }

    #[test]
    fn four_threads_on_two_sessions_get_their_own_answers() {
        let pool = pool(2);
        let plan = toy::plan(&toy::file("linear"), &["a", "b", "c"]);
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let (pool, plan) = (pool.clone(), &plan);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for turn in 0..200_u8 {
                        let features = [f32::from(thread), f32::from(turn), 0.5];
                        let columns = toy::floats(&[&features]);
                        let mut lease = runtime.block_on(pool.checkout());
                        let outputs = lease.run(plan, &columns, 0..1).unwrap();
                        assert_eq!(toy::scores(&outputs), vec![toy::linear(&features)]);
                    }
                });
            }
        });
        assert_eq!(pool.n_idle(), 2);
    }
}
