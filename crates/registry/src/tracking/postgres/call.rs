//! A call: its turn on a connection, one transaction, and what became of it.
//!
//! Until `COMMIT` is sent nothing was done, so a call whose connection breaks before is made again. Where one breaks at
//! `COMMIT`, the session is ended and its writer's row is read: each transaction that writes puts its number there, so
//! the number tells whether it was the last one that was done (docs/decisions/0083).

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::{Instant, sleep, timeout_at};

use super::talk::Talk;
use super::{Done, Fault, PostgresTracking};
use crate::postgres::fault::{is_final, is_rival};
use crate::postgres::link::{self, PAUSE, Session};
use crate::store::StoreError;
use crate::tracking::TrackingError;

/// How many calls may wait. One takes milliseconds, so whoever is behind so many waits for seconds: better told at once.
pub(super) const WAITING_MAX: usize = 1_024;
/// How often a call is begun: once more after the connection that was left broke, and when another process was first.
const ATTEMPTS: usize = 4;

/// Calls that take turns on one connection.
#[derive(Debug)]
pub(super) struct Lane {
    waiting: Semaphore,
    turn: Mutex<Turn>,
}

/// What the last call left.
#[derive(Debug, Default)]
struct Turn {
    /// Taken out for the time of a call, so a call that is given up takes it along.
    talk: Option<Arc<Talk>>,
    /// How many transactions were begun; the number of the last one.
    calls: i64,
}

impl Default for Lane {
    fn default() -> Self {
        Self { waiting: Semaphore::new(WAITING_MAX), turn: Mutex::default() }
    }
}

impl Lane {
    fn place(&self) -> Result<SemaphorePermit<'_>, TrackingError> {
        match self.waiting.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                Err(TrackingError::Overloaded { waiting: WAITING_MAX })
            }
        }
    }
}

/// What was found out about a transaction.
#[derive(Debug)]
pub(super) enum Became {
    Done,
    Nothing,
}

impl PostgresTracking {
    /// Several reads of one state.
    pub(super) async fn read<T: Send, F>(&self, work: impl Fn(Arc<Talk>) -> F + Send) -> Result<T, TrackingError>
    where
        F: Future<Output = Done<T>> + Send,
    {
        const DOING: &str = "reading";
        let deadline = Instant::now() + self.timeout;
        let _waits = self.reads.place()?;
        let mut turn = self.in_time(deadline, DOING, self.reads.turn.lock()).await?;
        let left = turn.talk.take();
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let (talk, done) = self.begun(left, begin, deadline, DOING, work).await?;
        // What was read was read, whatever becomes of the connection.
        let ended = talk.batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" });
        if let Ok(Ok(())) = timeout_at(deadline, ended).await {
            turn.talk = Some(talk);
        }
        done
    }

    /// One transaction, done and on disk as far as the server says when this returns.
    pub(super) async fn write<T: Send, F>(&self, work: impl Fn(Arc<Talk>) -> F + Send) -> Result<T, TrackingError>
    where
        F: Future<Output = Done<T>> + Send,
    {
        const DOING: &str = "writing to";
        let deadline = Instant::now() + self.timeout;
        let _waits = self.writes.place()?;
        let mut turn = self.in_time(deadline, DOING, self.writes.turn.lock()).await?;
        turn.calls += 1;
        let (left, call) = (turn.talk.take(), turn.calls);
        // Waits here for a session of ours that was given up and is not done yet: what comes later is written later.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;
             INSERT INTO {{s}}.tracked_writers AS w (id, calls, seen) VALUES ('{}', {call}, now())
             ON CONFLICT (id) DO UPDATE SET calls = excluded.calls, seen = excluded.seen",
            self.writer
        );
        let (talk, done) = self.begun(left, &begin, deadline, DOING, work).await?;
        let Ok(done) = done else {
            if let Ok(Ok(())) = timeout_at(deadline, talk.batch("ROLLBACK")).await {
                turn.talk = Some(talk);
            }
            return done;
        };
        let why = match timeout_at(deadline, talk.batch("COMMIT")).await {
            Ok(Ok(())) => {
                turn.talk = Some(talk);
                return Ok(done);
            }
            Ok(Err(why)) if is_final(&why) => return Err(self.place.fault(DOING, why).into()),
            Ok(Err(why)) => self.place.fault(DOING, why),
            Err(_elapsed) => self.place.timeout(DOING, self.timeout),
        };
        let lost = talk.link.session;
        drop(talk);
        match self.find_out(lost, call).await {
            Some(Became::Done) => Ok(done),
            Some(Became::Nothing) => Err(why.into()),
            None => Err(TrackingError::Unknown { location: self.place.location.clone(), source: why.into() }),
        }
    }

    /// Does `work` in a transaction that is still open then. What the work itself refuses is the inner error.
    async fn begun<T: Send, F>(
        &self,
        mut left: Option<Arc<Talk>>,
        begin: &str,
        deadline: Instant,
        doing: &'static str,
        work: impl Fn(Arc<Talk>) -> F + Send,
    ) -> Result<(Arc<Talk>, Result<T, TrackingError>), TrackingError>
    where
        F: Future<Output = Done<T>> + Send,
    {
        let mut attempt = 1;
        loop {
            let talk = match left.take().filter(|talk| !talk.link.client.is_closed()) {
                Some(talk) => talk,
                None => Arc::new(self.connect(deadline, doing).await?),
            };
            let worked = async {
                talk.batch(begin).await?;
                work(Arc::clone(&talk)).await
            };
            let why = match self.in_time(deadline, doing, worked).await? {
                Ok(done) => return Ok((talk, Ok(done))),
                Err(Fault::Server(why)) => why,
                Err(why) => return Ok((talk, Err(self.told(doing, why)))),
            };
            let is_rival = is_rival(&why);
            if !is_rival && is_final(&why) || attempt == ATTEMPTS {
                return Err(self.place.fault(doing, why).into());
            }
            tracing::debug!("a call to the registry is made again: {}", schema::error::chain(&why));
            if is_rival {
                let undone = self.in_time(deadline, doing, talk.batch("ROLLBACK")).await?;
                left = undone.is_ok().then_some(talk);
            }
            attempt += 1;
        }
    }

    /// What became of transaction `call` of this writer, whose session was lost; `None` if the server does not come back
    /// within the time of one call.
    pub(super) async fn find_out(&self, lost: Session, call: i64) -> Option<Became> {
        let looking = async {
            loop {
                match self.look(lost).await {
                    Ok(last) if last == Some(call) => return Became::Done,
                    Ok(_) => return Became::Nothing,
                    Err(why) => tracing::debug!("looking for a call: {}", schema::error::chain(&why)),
                }
                sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(self.timeout, looking).await.ok()
    }

    /// One look: ends the session, waits until it is gone, and reads the number of the last transaction that was done.
    async fn look(&self, lost: Session) -> Result<Option<i64>, tokio_postgres::Error> {
        let link = self.door.connect().await?;
        link::end(&link.client, lost).await?;
        let sql = format!("SELECT calls FROM \"{}\".tracked_writers WHERE id = $1", self.schema);
        let row = link.client.query_opt(&sql, &[&self.writer]).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub(super) async fn in_time<T>(
        &self,
        deadline: Instant,
        doing: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        timeout_at(deadline, work).await.map_err(|_elapsed| self.place.timeout(doing, self.timeout))
    }

    /// A failure in our words.
    pub(super) fn told(&self, doing: &'static str, why: Fault) -> TrackingError {
        match why {
            Fault::Server(why) => self.place.fault(doing, why).into(),
            Fault::Tracking(why) => why,
            Fault::Word(said) => {
                let location = self.place.location.clone();
                StoreError::Damaged { doing, location, source: said.into() }.into()
            }
        }
    }
}

#[cfg(test)]
impl Lane {
    /// The server's side of the connection that the last call left.
    pub(super) async fn session(&self) -> Option<Session> {
        self.turn.lock().await.talk.as_ref().map(|talk| talk.link.session)
    }

    /// The number of its process.
    pub(super) async fn pid(&self) -> Option<i32> {
        self.session().await.map(|session| session.pid)
    }
}
