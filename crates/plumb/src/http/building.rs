//! Training sets inside the server, for every protocol: each on a thread of its own, few at a time, sent while they are
//! joined, and ended when nobody waits.
//!
//! Nothing is answered before the first rows are there, so that whatever is wrong with names, types and the first block of
//! values is an error and no broken stream.

mod form;
mod order;
mod pandas;

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use featurestore::point_in_time::Watch;
use featurestore::training::lineage::Lineage;
use featurestore::training::write::stream_schema;
use featurestore::training::{Report, Sink, build, canonical};
use featurestore::{CompiledService, OfflineError, OfflineStore};
use futures::FutureExt;
use metrics::counter;
use registry::{Catalog, Command, Registry};
use schema::{Clock, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config::actor;
use crate::failure::{Failure, panicked};
use crate::recorded::recorded;
use crate::request_id::{RequestId, within};
pub use form::{Form, IpcStream};
pub use order::{Order, SpineRows, Time, Wanted, compiled, decode, needed};
pub use pandas::undone;

/// Training sets that are built at once; who comes then is told to try again.
pub const BUILDS_MAX: usize = 2;
/// About how much memory a build takes: a larger spine is joined in blocks, by one scan of history each.
pub const MEMORY_BYTES: usize = 512 << 20;
/// The largest spine that one request may bring. It is in memory while it is joined.
pub const SPINE_BYTES_MAX: usize = 256 << 20;
/// How long a spine may stop coming, before its place is given to others.
pub const PART_WITHIN: Duration = Duration::from_secs(30);
/// Pieces that wait for a slow client; then the build waits too.
const PIECES_MAX: usize = 2;
/// How long a client may take nothing, before its build is given up.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// What builds training sets for requests.
#[derive(Debug, Clone)]
pub struct Building {
    registry: Arc<Registry>,
    offline: OfflineStore,
    places: Arc<Semaphore>,
}

/// The right to build. Take one before reading the spine: so there are never more spines in memory than builds.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A training set on its way: what it starts with is known, the rest comes.
pub struct Pieces<P> {
    /// Its columns, and in the metadata what it is made of.
    pub schema: SchemaRef,
    /// What it was made of and holds, once all pieces were taken.
    pub report: Option<Report>,
    ahead: VecDeque<Message<P>>,
    rest: mpsc::Receiver<Result<Message<P>, Failure>>,
    counted: Counted,
}

/// Counts how a training set ended: as it says, or that its client left.
struct Counted {
    protocol: &'static str,
    ended: &'static str,
}

impl Drop for Counted {
    fn drop(&mut self) {
        counter!("plumb_training_sets_total", "protocol" => self.protocol, "ended" => self.ended).increment(1);
    }
}

enum Message<P> {
    Begin(SchemaRef, P),
    Rows(P),
    End(Option<P>, Box<Report>),
}

impl Building {
    /// Builds from the history of `offline`, at most [`BUILDS_MAX`] at once.
    pub fn new(registry: Arc<Registry>, offline: OfflineStore) -> Self {
        Self { registry, offline, places: Arc::new(Semaphore::new(BUILDS_MAX)) }
    }

    /// What is applied now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.registry.catalog()
    }

    /// A place among the builds, or who waited `patience` is refused.
    ///
    /// # Errors
    /// `too_many_builds`.
    pub async fn place(&self, patience: Duration) -> Result<Place, Failure> {
        match tokio::time::timeout(patience, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            Ok(Err(_)) | Err(_) => {
                let message = format!("{BUILDS_MAX} training sets are being built already");
                let failure = Failure::new(ErrorKind::Overloaded, message).code("too_many_builds");
                Err(failure.hint("ask again later, or build on a machine of its own: plumb training-set build"))
            }
        }
    }

    /// Starts to build, and waits for the first rows.
    ///
    /// # Errors
    /// A spine that does not fit the service, sources that cannot be read: everything that is known by then.
    pub async fn start<F: Form>(
        &self,
        protocol: &'static str,
        place: Place,
        order: Order,
        form: F,
    ) -> Result<Pieces<F::Piece>, Failure> {
        let (sender, mut rest) = mpsc::channel(PIECES_MAX);
        let (building, here) = (self.clone(), Handle::current());
        let thread = std::thread::Builder::new().name("training-set".to_owned());
        let id = RequestId::current();
        let run = move || {
            here.block_on(within(id, async {
                let ran = AssertUnwindSafe(run(&building, protocol, order, form, &sender)).catch_unwind().await;
                // Whoever takes nothing keeps nobody from building.
                drop(place);
                let Err(why) = ran.unwrap_or_else(|panic| Err(panicked(protocol, panic))) else { return };
                if let Err(gone) = sender.send_timeout(Err(why), IDLE_MAX).await {
                    tracing::debug!("nobody waits for the training set any more: {gone}");
                }
            }));
        };
        thread
            .spawn(run)
            .map_err(|why| Failure::new(ErrorKind::Unavailable, format!("starting a thread for the build: {why}")))?;
        let started = async {
            let Message::Begin(schema, first) = received(rest.recv().await)? else { return Err(broken_off()) };
            let second = received(rest.recv().await)?;
            Ok((schema, first, second))
        };
        let mut counted = Counted { protocol, ended: "left" };
        let (schema, first, second) = started.await.inspect_err(|_| counted.ended = "refused")?;
        let ahead = VecDeque::from([Message::Rows(first), second]);
        Ok(Pieces { schema, report: None, ahead, rest, counted })
    }
}

impl<P> Pieces<P> {
    /// The next piece; `None` at the end, when [`Self::report`] is there.
    ///
    /// # Errors
    /// What ended the build early. What was sent until then is no training set.
    pub async fn next(&mut self) -> Result<Option<P>, Failure> {
        if self.report.is_some() {
            return Ok(None);
        }
        let message = match self.ahead.pop_front() {
            Some(message) => Ok(message),
            None => received(self.rest.recv().await),
        };
        match message {
            Ok(Message::Begin(_, piece) | Message::Rows(piece)) => Ok(Some(piece)),
            Ok(Message::End(piece, report)) => {
                self.counted.ended = "whole";
                self.report = Some(*report);
                Ok(piece)
            }
            Err(failure) => {
                self.counted.ended = "failed";
                Err(failure)
            }
        }
    }
}

impl<P> fmt::Debug for Pieces<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("schema", &self.schema).finish_non_exhaustive()
    }
}

fn received<P>(message: Option<Result<Message<P>, Failure>>) -> Result<Message<P>, Failure> {
    message.unwrap_or_else(|| Err(broken_off()))
}

fn broken_off() -> Failure {
    Failure::new(ErrorKind::Internal, "the build of the training set broke off")
}

/// Builds until the end, or until nobody waits. What was sent is recorded, were it only a part: before the end of it is
/// told, so that nobody has a whole training set that no erasure names. What was refused for its leaks was not sent.
async fn run<F: Form>(
    building: &Building,
    protocol: &'static str,
    order: Order,
    form: F,
    sender: &mpsc::Sender<Result<Message<F::Piece>, Failure>>,
) -> Result<(), Failure> {
    let (tell, waits) = (|_| {}, || !sender.is_closed());
    let (offline, catalog) = (&building.offline, building.registry.catalog());
    let Order { service, spine, time, options, fail_on_leakage } = order;
    let sent = Sent::default();
    let built = async {
        let spine = spine.open(&time, &service, offline, catalog.definitions()).await.map_err(failure)?;
        let mut sink = Sending { form, sender, sent: &sent };
        let watch = Watch::new(&tell, &waits);
        let report = build(offline, &service, spine, &options, &mut sink, &watch).await.map_err(failure)?;
        sent.lineage(&report.lineage);
        if fail_on_leakage && report.leakage.leaks() {
            return Err(leaks(&report));
        }
        Ok((sink, report))
    };
    let built: Result<_, Failure> = tokio::select! {
        built = built => built,
        () = sender.closed() => Err(Failure::new(ErrorKind::Unavailable, "the client left")),
    };
    if fail_on_leakage && built.is_err() {
        // It is sent when it was judged: nobody has any of it.
        return built.map(drop);
    }
    // Nothing ends this early: a client that leaves meanwhile has what was sent all the same.
    let recorded = building.record(protocol, &service, &sent).await;
    match (built, recorded) {
        (Ok((mut sink, report)), Ok(())) => {
            let last = sink.form.end().map_err(write_error).map_err(failure)?;
            sink.send(Message::End(last, Box::new(report))).map_err(failure)
        }
        (Ok(_), Err(unrecorded)) => Err(unrecorded),
        (Err(why), Ok(())) => Err(why),
        (Err(why), Err(unrecorded)) => {
            tracing::error!("a part of a training set was sent, and not recorded: {unrecorded}");
            Err(why)
        }
    }
}

fn leaks(report: &Report) -> Failure {
    Failure::new(ErrorKind::CheckFailed, report.leakage.to_string().trim_end())
        .code("leakage")
        .hint("leave the feature or the column out, or ask without `fail_on_leakage`")
}

fn failure(why: OfflineError) -> Failure {
    let spine = matches!(why, OfflineError::Spine { .. });
    let failure = Failure::from(why);
    if spine { failure.code("wrong_spine") } else { failure }
}

/// What was sent of a training set, and not recorded yet.
#[derive(Debug, Default)]
struct Sent(Mutex<Option<(Lineage, u64)>>);

impl Sent {
    fn lineage(&self, lineage: &Lineage) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let n_rows = sent.as_ref().map_or(0, |(_, n_rows)| *n_rows);
        *sent = Some((lineage.clone(), n_rows));
    }

    fn rows(&self, n: usize) {
        if let Some((_, n_rows)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            *n_rows += n as u64;
        }
    }

    fn take(&self) -> Option<(Lineage, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|(_, n_rows)| *n_rows > 0)
    }
}

impl Building {
    /// Tells the registry what was sent, once.
    async fn record(&self, protocol: &'static str, service: &CompiledService, sent: &Sent) -> Result<(), Failure> {
        let Some((lineage, n_rows)) = sent.take() else { return Ok(()) };
        let name = format!("answered over {protocol}: {}", lineage.id().short());
        let set = recorded(name, Some(protocol.to_owned()), service, &lineage, n_rows);
        self.registry.execute(Command::RecordTrainingSet(set), Clock::wall(), &actor()).await?;
        Ok(())
    }
}

/// Rows on their way to whom they are for.
struct Sending<'s, F: Form> {
    sent: &'s Sent,
    form: F,
    sender: &'s mpsc::Sender<Result<Message<F::Piece>, Failure>>,
}

impl<F: Form> Sending<'_, F> {
    /// Waits while the client is busy. The build is one long poll of the runtime's, so that its own blocking send would
    /// refuse, and its budget of polls would end.
    fn send(&self, message: Message<F::Piece>) -> Result<(), OfflineError> {
        let sending = tokio::task::unconstrained(self.sender.send_timeout(Ok(message), IDLE_MAX));
        let sent = futures::executor::block_on(sending);
        sent.map_err(|left| write_error(format!("nobody takes the rows: {left}").into()))
    }
}

fn write_error(source: schema::BoxError) -> OfflineError {
    OfflineError::Write { path: "the answer".to_owned(), source }
}

impl<F: Form> Sink for Sending<'_, F> {
    fn begin(&mut self, schema: &SchemaRef, lineage: &Lineage) -> Result<(), OfflineError> {
        self.sent.lineage(lineage);
        let schema = stream_schema(schema, lineage);
        let piece = self.form.begin(&schema).map_err(write_error)?;
        self.send(Message::Begin(schema, piece))
    }

    fn write(&mut self, chunk: &RecordBatch) -> Result<(), OfflineError> {
        self.sent.rows(chunk.num_rows());
        let piece = self.form.rows(&canonical(chunk)?).map_err(write_error)?;
        self.send(Message::Rows(piece))
    }

    fn finish(&mut self, _report: &Report) -> Result<(), OfflineError> {
        Ok(())
    }
}
