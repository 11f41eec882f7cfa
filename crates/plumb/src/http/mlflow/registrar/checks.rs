//! Checks that go on when their client hangs up, and what came of them for the next who asks the same.
//!
//! A client waits for two minutes, hangs up and asks again: a check that takes longer would start anew each time. So it runs
//! in a task of the server's, and the same request, of the same state of the registry, waits for it. What came of it is kept
//! for a while where nobody was told; whoever was told and asks again means it anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use registry::{Catalog, Command};
use schema::{Fingerprint, ModelName};
use tokio::sync::watch;

use crate::http::mlflow::tasks::Tasks;
use crate::http::mlflow::{Code, Refusal};

/// How long an outcome is kept that nobody was told: a client waits up to two minutes before it asks again.
const KEPT_FOR: Duration = Duration::from_mins(3);

/// What came of a command that was checked.
pub(super) type Answer = Result<Arc<Catalog>, Refusal>;

/// What came, and until when it is kept for whoever asks next; `None` while it is awaited.
type Ended = Option<(Option<Instant>, Answer)>;

/// Checks that run, and those that nobody was told of.
#[derive(Debug, Default)]
pub(in crate::http::mlflow) struct Checks {
    running: Tasks,
    known: Mutex<HashMap<Fingerprint, watch::Receiver<Ended>>>,
}

/// What is asked by whom, of which state: another one may have another outcome.
pub(super) fn key(catalog: &Catalog, model: &ModelName, command: &Command, actor: &str) -> Fingerprint {
    let of = catalog.model(model.as_str()).map(|model| (model.id, model.names_seq));
    Fingerprint::of_bytes(format!("{of:?} {} {command:?} {actor:?}", catalog.definitions_seq()).as_bytes())
}

impl Checks {
    fn known(&self) -> MutexGuard<'_, HashMap<Fingerprint, watch::Receiver<Ended>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes of `work`, or of what was asked before by the same `key` and is still to be told.
    pub(super) async fn join(&self, key: Fingerprint, work: impl Future<Output = Answer> + Send + 'static) -> Answer {
        let mut asked = {
            let mut known = self.known();
            known.retain(|_, one| match &*one.borrow() {
                Some((until, _)) => until.is_some_and(|until| Instant::now() < until),
                // What was broken off has no outcome to wait for.
                None => one.has_changed().is_ok(),
            });
            known.entry(key).or_insert_with(|| self.start(work)).clone()
        };
        let came = asked.wait_for(Option::is_some).await.map(|ended| ended.clone());
        let mut known = self.known();
        if known.get(&key).is_some_and(|one| one.same_channel(&asked)) {
            known.remove(&key);
        }
        match came {
            Ok(Some((_, answer))) => answer,
            // A bug, which the log has, or the server is stopping.
            Ok(None) | Err(_) => Err(Refusal::new(Code::InternalError, "the check was broken off")),
        }
    }

    fn start(&self, work: impl Future<Output = Answer> + Send + 'static) -> watch::Receiver<Ended> {
        let (ended, asked) = watch::channel(None);
        let working = async move {
            let answer = work.await;
            // Who may not, or comes too early, may the next time: that is not kept for whoever asks later.
            let is_of_now = answer.as_ref().is_err_and(|why| !why.is_settled());
            let until = (!is_of_now).then(|| Instant::now() + KEPT_FOR);
            ended.send_replace(Some((until, answer)));
        };
        self.running.start(working);
        asked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    /// A check that refuses, when it is let, and says how many were begun.
    fn slow(begun: &Arc<AtomicUsize>, let_go: &Arc<Semaphore>) -> impl Future<Output = Answer> + Send + 'static {
        let (begun, let_go) = (Arc::clone(begun), Arc::clone(let_go));
        async move {
            let n = begun.fetch_add(1, Ordering::SeqCst) + 1;
            let_go.acquire().await.unwrap().forget();
            Err(Refusal::invalid(n.to_string()))
        }
    }

    fn said(answer: Answer) -> String {
        answer.unwrap_err().message
    }

    /// Approvals are no part of the state that a check is of.
    #[tokio::test]
    async fn what_somebody_may_not_is_not_told_to_who_asks_later() {
        let (checks, key) = (Checks::default(), Fingerprint::of_bytes(b"a"));
        for (code, kept) in [
            (Code::PermissionDenied, false),
            (Code::TemporarilyUnavailable, false),
            (Code::ResourceExhausted, false),
            (Code::ResourceConflict, true),
        ] {
            let mut hung_up = Box::pin(checks.join(key, async move { Err(Refusal::new(code, "first")) }));
            assert!(futures::poll!(&mut hung_up).is_pending());
            drop(hung_up);
            tokio::task::yield_now().await;
            let again = said(checks.join(key, async { Err(Refusal::invalid("second")) }).await);
            assert_eq!(again == "first", kept, "{code:?}: {again}");
        }
    }

    #[tokio::test]
    async fn who_hung_up_and_asks_again_waits_for_the_check_that_runs() {
        let (checks, key) = (Checks::default(), Fingerprint::of_bytes(b"a"));
        let (begun, let_go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || checks.join(key, slow(&begun, &let_go));
        for _ in 0..3 {
            let mut asked = Box::pin(ask());
            while begun.load(Ordering::SeqCst) == 0 {
                assert!(futures::poll!(&mut asked).is_pending());
                tokio::task::yield_now().await;
            }
            assert!(futures::poll!(&mut asked).is_pending());
        }
        // Two who wait at once are both told.
        let (mut one, mut other) = (Box::pin(ask()), Box::pin(ask()));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        let_go.add_permits(9);
        assert_eq!((said(one.await), said(other.await)), ("1".to_owned(), "1".to_owned()));
        // Who was told and asks again may have mended what was wrong.
        assert_eq!(said(ask().await), "2");
    }

    #[tokio::test]
    async fn what_nobody_was_told_is_told_to_the_next() {
        let (checks, key) = (Checks::default(), Fingerprint::of_bytes(b"a"));
        let (begun, let_go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(9)));
        let ask = || checks.join(key, slow(&begun, &let_go));
        assert!(ask().now_or_never().is_none());
        while checks.known()[&key].borrow().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(said(ask().await), "1");
        let other = Fingerprint::of_bytes(b"b");
        assert_eq!(said(checks.join(other, slow(&begun, &let_go)).await), "2");
        assert!(checks.known().is_empty());
    }

    #[tokio::test]
    async fn a_check_that_panics_is_told_and_begun_again() {
        let (checks, key) = (Checks::default(), Fingerprint::of_bytes(b"a"));
        assert_eq!(said(checks.join(key, async { panic!("a bug") }).await), "the check was broken off");
        assert!(checks.join(key, async { panic!("a bug") }).now_or_never().is_none());
        while checks.known()[&key].has_changed().is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(said(checks.join(key, async { Err(Refusal::invalid("again")) }).await), "again");
    }
}
