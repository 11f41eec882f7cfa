//! `plumb serve`: features and predictions over HTTP, definitions over gRPC.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use featurestore::OnlineReader;
use registry::{Past, Registry};
use schema::error::chain;
use schema::{ErrorKind, FeatureView};
use serving::fleet::{LoadError, Unloaded};
use serving::tuner::{History, Mode, Tuner};
use serving::{Fleet, Scorer};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::cli::Format;
use crate::config::onnxruntime_library;
use crate::failure::Failure;
use crate::grpc;
use crate::http::building::Building;
use crate::http::health::Readiness;
use crate::http::measuring::Measuring;
use crate::http::pusher::Pusher;
use crate::http::{self, Parts};
use crate::oip::Inference;
use crate::output;
use crate::project::Project;
use crate::registering::{Inspecting, abandoned};
use crate::trace::Tracer;

/// How often the registry is read for what other processes did; a promotion is served within this and its loading.
const POLL: Duration = Duration::from_millis(200);

/// How often what could not be loaded or was not online is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// The longest that a version is left alone whose files could not be read; each time that it fails again the wait is twice as
/// long.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long the start waits for models. What takes longer, as files of a store do that does not answer, is loaded while the
/// server says that it is not ready.
const START: Duration = Duration::from_secs(10);
/// The project's online store, in `/readyz`.
const ONLINE_STORE: &str = "online_store";
/// In `degraded`, models whose version in Production cannot be loaded: the one before answers on.
const MODELS: &str = "models";
/// The name of the log in `degraded`.
const REGISTRY_LOG: &str = "registry_log";
/// The Redis that Feast fills, in `/readyz`.
const FEAST_REDIS: &str = "feast_redis";
/// How long requests in flight may take when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// A server that is listening.
#[derive(Debug)]
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    /// Where gRPC is.
    pub grpc: SocketAddr,
    /// From the call to ready.
    pub ready_after: Duration,
    scorer: Arc<Scorer>,
    listening: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Ends with the server.
    _following: JoinSet<()>,
    _tuner: Option<Tuner>,
    exporting: Option<Exporting>,
}

/// Serves until interrupted.
///
/// # Errors
/// The address is taken, or a store cannot be opened.
pub async fn serve(
    project: &Project,
    format: Format,
    http: SocketAddr,
    grpc: Option<SocketAddr>,
) -> Result<ExitCode, Failure> {
    // Before anybody is told that it serves: who ends it right then must find it ready for that too.
    let interrupted = interrupted();
    let server = start(project, http, grpc).await?;
    let json = serde_json::json!({
        "address": format!("http://{}", server.address),
        "grpc": server.grpc.to_string(),
        "ready_ms": u64::try_from(server.ready_after.as_millis()).unwrap_or(u64::MAX),
    });
    output::answer(format, &json, || {
        format!(
            "serving `{}` on http://{} and gRPC on {} (ready in {} ms)\n",
            project.config.project,
            server.address,
            server.grpc,
            server.ready_after.as_millis()
        )
    });
    server.run(interrupted).await?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or a request to terminate. It listens from the call on, not from the first poll: who is told that the
/// server runs may stop it at once.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let came = async |listening: std::io::Result<Signal>| match listening {
        Ok(mut listening) => drop(listening.recv().await),
        Err(_) => std::future::pending().await,
    };
    async move {
        tokio::select! {
            () = came(interrupt) => {}
            () = came(terminate) => {}
        }
    }
}

/// Starts serving a project.
///
/// # Errors
/// The address is taken, or a store cannot be opened.
pub async fn start(project: &Project, http: SocketAddr, grpc: Option<SocketAddr>) -> Result<Server, Failure> {
    let started = Instant::now();
    let (listener, address) = listen(http, "--http").await?;
    let (grpc_listener, grpc) = listen(grpc.unwrap_or_else(|| beside(http)), "--grpc").await?;
    let metrics = http::metrics::install()
        .map_err(|why| Failure::new(ErrorKind::Internal, format!("installing metrics: {why}")))?;
    let online = Arc::new(project.reader_to_serve().await?);
    let sessions = std::thread::available_parallelism().map_or(1, usize::from);
    let artifacts = project.artifacts()?;
    let (running, tuner) = (&project.config.inference, project.config.inference.tuner(&project.folder));
    let fleet = Fleet::new(onnxruntime_library(), artifacts.clone(), sessions)
        .with_options(running.sessions.clone())
        .with_cache(running.cache_bytes);
    let inspecting = Inspecting::new(project.inspector(), artifacts.clone());
    let fleet = Arc::new(fleet.inspecting(Arc::new(inspecting)));
    let log = project.prediction_log()?;
    let scorer = Arc::new(Scorer::new(Arc::clone(&fleet), Arc::clone(&online), project.clock(), log));
    let readiness = Arc::new(Readiness::default());
    let inference = Inference::new(
        Arc::clone(&fleet),
        Arc::clone(&project.registry),
        Arc::clone(&readiness),
        project.config.inference.clone(),
    );
    let inference = Arc::new(inference);
    let (measured, tuned) = (Arc::clone(&fleet), Arc::clone(&fleet));
    let follower = Follower {
        fleet,
        registry: Arc::clone(&project.registry),
        online: Arc::clone(&online),
        readiness: Arc::clone(&readiness),
    };
    let mut following = JoinSet::new();
    let (settled, is_settled) = oneshot::channel();
    readiness.set(vec!["the models are being loaded".to_owned()]);
    following.spawn(follower.follow(settled));
    if tokio::time::timeout(START, is_settled).await.is_err() {
        warn!("the models are not loaded after {} s: serving without them until they are", START.as_secs());
    }
    let watcher = Watcher { online: Arc::clone(&online), readiness: Arc::clone(&readiness) };
    watcher.look().await;
    following.spawn(watcher.watch());

    let (tracer, exporting) = Exporting::of(project);
    let building = Building::new(Arc::clone(&project.registry), project.offline.clone());
    let (offline, clock) = (project.offline.clone(), project.clock());
    let pusher = Pusher::new(Arc::clone(&project.registry), offline, Arc::clone(&online), clock);
    let (webhooks, courier) = project.webhooks()?;
    let webhooks = Arc::new(webhooks);
    let mlflow = project.mlflow(artifacts, Arc::clone(&webhooks)).await?;
    let ongoing = Arc::clone(&mlflow.ongoing);
    let parts = Parts {
        project: project.config.project.clone(),
        scorer: Arc::clone(&scorer),
        registry: Arc::clone(&project.registry),
        offline: project.offline.clone(),
        online,
        building: building.clone(),
        outcomes: Arc::new(project.outcomes()),
        clock: project.clock(),
        readiness: Arc::clone(&readiness),
        non_finite: project.config.non_finite,
        mlflow: Some(mlflow),
        webhooks: Some(webhooks),
        hosts: project.config.hosts.clone(),
        inference: Arc::clone(&inference),
        tuned: Arc::new(History::new(&tuner.folder)),
        tracer: tracer.clone(),
    };
    let grpc_parts = grpc::Parts {
        project: parts.project.clone(),
        registry: Arc::clone(&parts.registry),
        building,
        pusher,
        readiness: Arc::clone(&parts.readiness),
        inference,
        tracer,
    };
    let (stop, stopped) = watch::channel(false);
    let mut listening = JoinSet::new();
    let measuring = Measuring::new(metrics, Arc::clone(&project.registry), Arc::clone(&parts.online));
    let measuring = measuring.of_models(measured);
    let lanes = http::lanes::start(sessions, &http::router(parts, measuring.clone()))
        .map_err(|why| Failure::new(ErrorKind::Unavailable, format!("starting a thread: {why}")))?;
    listening.spawn(lanes.answer(listener, stopped.clone()));
    listening.spawn(answer(grpc_listener, grpc::router(grpc_parts), stopped));
    following.spawn(courier.run());
    following.spawn(measuring.measure());
    following.spawn(abandoned::sweep(Arc::clone(&project.registry), ongoing));
    following.spawn(look_back(Arc::clone(&project.registry), readiness));
    let tuner = (tuner.mode != Mode::Off).then(|| Tuner::start(tuned, tuner)).transpose();
    let tuner = tuner.map_err(|why| Failure::new(ErrorKind::Unavailable, format!("starting a thread: {why}")))?;
    let ready_after = started.elapsed();
    info!(took_ms = ready_after.as_millis(), "serving on http://{address}");
    Ok(Server { address, grpc, ready_after, scorer, listening, stop, _following: following, _tuner: tuner, exporting })
}

/// Where gRPC is unless the user says: on the next port.
fn beside(http: SocketAddr) -> SocketAddr {
    let port = if http.port() == 0 { 0 } else { http.port().checked_add(1).unwrap_or(0) };
    SocketAddr::new(http.ip(), port)
}

/// Listens on an address that `option` gives.
async fn listen(address: SocketAddr, option: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address).await.map_err(|why| {
        Failure::new(ErrorKind::Unavailable, format!("listening on {address}: {why}"))
            .code("environment")
            .hint(format!("another server may run there; choose one with {option} 127.0.0.1:PORT"))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    Ok((listener, address))
}

/// Answers until told to stop, and then what is in flight.
async fn answer(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let until = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    if let Err(why) = axum::serve(listener, router).with_graceful_shutdown(until).await {
        tracing::error!("the server ended: {why}");
    }
}

/// What follows the registry, so that what another process promotes is served here.
struct Follower {
    fleet: Arc<Fleet>,
    registry: Arc<Registry>,
    online: Arc<OnlineReader>,
    readiness: Arc<Readiness>,
}

impl Follower {
    /// Tells when what was wanted at first is loaded, or is known not to be.
    async fn follow(self, settled: oneshot::Sender<()>) {
        // What this task has seen: somebody else in this process may have refreshed the catalog.
        let mut seen = self.registry.catalog().seq();
        let mut failing = self.settle().await;
        // Whoever waited for too long has gone.
        let _ = settled.send(());
        let (mut tried, mut wait) = (Instant::now(), RETRY);
        let mut timer = tokio::time::interval(POLL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            match self.registry.refresh().await {
                Ok(catalog) => {
                    let is_new = seen != catalog.seq();
                    let is_due = (failing || !self.readiness.is_ready()) && tried.elapsed() >= wait;
                    if is_new || is_due {
                        failing = self.settle().await;
                        wait = if failing && is_due { RETRY_MAX.min(wait * 2) } else { RETRY };
                        (seen, tried) = (catalog.seq(), Instant::now());
                    }
                }
                // What is loaded keeps answering: the registry is not on the request's path.
                Err(why) => warn!("reading the registry: {}", chain(&why)),
            }
        }
    }

    /// Loads what is wanted, and says what keeps the server from being ready: a model for which no version answers, or
    /// features that are not online. Whether the files of a version could not be read, also where the one before answers on:
    /// nobody will say when they can.
    async fn settle(&self) -> bool {
        // Loading a model takes a while, and this worker has other requests to run.
        let failed = tokio::task::block_in_place(|| self.fleet.sync(&self.registry.catalog()));
        let wanted = failed.iter().filter(|unloaded| unloaded.predicts);
        let (behind, unanswered): (Vec<_>, Vec<_>) =
            wanted.partition(|unloaded| self.fleet.get(unloaded.name.as_str()).is_some());
        let said = |unloaded: &[&Unloaded]| unloaded.iter().map(|one| chain(&one.why)).collect::<Vec<_>>();
        let behind = said(&behind);
        self.readiness.degrade(MODELS, (!behind.is_empty()).then(|| behind.join("; ")));
        let mut reasons = said(&unanswered);
        for model in self.fleet.loaded() {
            let views = model.compiled.views.iter().map(|view| &view.view);
            let views: Vec<&FeatureView> = views.filter(|view| view.definition.online.feast().is_none()).collect();
            match self.online.served(&views).await {
                Ok(served) => {
                    let absent = views.iter().zip(served).filter(|(_, served)| served.is_none());
                    reasons.extend(absent.map(|(view, _)| {
                        let (view, model) = (&view.id, &model.version.name);
                        format!("feature view `{view}`, which model `{model}` reads, is not materialized: run plumb materialize")
                    }));
                }
                // The store serves all replicas of this server alike: taking this one out would help nobody. It is
                // degraded, and the watcher says so.
                Err(why) => tracing::debug!("reading which generations answer: {}", chain(&why)),
            }
        }
        self.readiness.set(reasons);
        failed.iter().any(|unloaded| !unloaded.predicts || matches!(unloaded.why, LoadError::Artifact { .. }))
    }
}

/// Looks whether what the registry's log had before its snapshot is what was written: the server started without reading
/// it. It takes a quarter of a core's time, and is done once.
async fn look_back(registry: Arc<Registry>, readiness: Arc<Readiness>) {
    let edited = match registry.check_past(3).await {
        Past::Whole => None,
        Past::Edited(_, why) => Some(why),
    };
    http::metrics::registry_log_edited(edited.is_some());
    readiness.degrade(REGISTRY_LOG, edited.clone());
    if let Some(why) = edited {
        tracing::error!("{why}: nothing is written to the registry any more; run plumb registry verify");
        registry.give_up_snapshot().await;
    }
}

/// What looks after the stores of features: which generations answer, and whether they answer at all. Beside what follows
/// the registry, whose news must not wait for a store that hangs.
struct Watcher {
    online: Arc<OnlineReader>,
    readiness: Arc<Readiness>,
}

impl Watcher {
    async fn watch(self) {
        let mut timer = tokio::time::interval(POLL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            self.look().await;
        }
    }

    /// A switch of generations is seen by this, and so is a store that comes back: while it is left alone, this is the
    /// probe. Requests say what is wrong with it.
    async fn look(&self) {
        let own = self.online.refresh().await;
        self.readiness.degrade(ONLINE_STORE, own.err().map(|why| chain(&why)));
        if let Some(feast) = self.online.feast() {
            self.readiness.degrade(FEAST_REDIS, feast.check().await.err().map(|why| chain(&why)));
        }
    }
}

impl Server {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// It ended by itself, or the prediction log cannot be written.
    pub async fn run(mut self, told: impl Future<Output = ()>) -> Result<(), Failure> {
        let ended = tokio::select! {
            () = told => Ok(()),
            why = self.ended() => Err(why),
        };
        self.stop().await.and(ended)
    }

    /// Waits until something that listens ends though nobody told it to: half a server is none, and whoever watches over this
    /// process starts it anew.
    async fn ended(&mut self) -> Failure {
        let why = match self.listening.join_next().await {
            Some(Err(why)) => format!(": {why}"),
            Some(Ok(())) | None => String::new(),
        };
        Failure::new(ErrorKind::Internal, format!("the server does not listen any more{why}"))
            .hint("the lines above say why; start it again")
    }

    /// Waits until everything answered so far is in the prediction log.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn flush(&self) -> Result<(), Failure> {
        self.scorer.log().flush().map_err(|why| Failure::new(ErrorKind::Unavailable, why))
    }

    /// Stops listening, lets requests in flight finish, and writes the prediction log.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn stop(self) -> Result<(), Failure> {
        let Self { scorer, mut listening, stop, exporting, .. } = self;
        if stop.send(true).is_err() {
            warn!("the server had ended by itself");
        }
        let finished = async { while listening.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, finished).await.is_err() {
            warn!("requests still running after {} s are cut off", DRAIN.as_secs());
        }
        if let Some(exporting) = exporting {
            exporting.end().await;
        }
        scorer.log().flush().map_err(|why| Failure::new(ErrorKind::Unavailable, why))
    }
}

/// What sends traces.
#[derive(Debug)]
struct Exporting {
    end: oneshot::Sender<()>,
    sending: JoinSet<()>,
}

/// How long the last traces may take.
const LAST_TRACES: Duration = Duration::from_secs(3);

impl Exporting {
    /// Of a project that says where traces go.
    fn of(project: &Project) -> (Tracer, Option<Self>) {
        let Some(traces) = &project.config.traces else { return (Tracer::default(), None) };
        let (tracer, finished) = Tracer::new(traces.sample);
        let ((end, ends), mut sending) = (oneshot::channel(), JoinSet::new());
        sending.spawn(traces.collector(&project.config.project).run(finished, ends));
        (tracer, Some(Self { end, sending }))
    }

    /// Sends what is there still.
    async fn end(mut self) {
        let _ = self.end.send(());
        if tokio::time::timeout(LAST_TRACES, self.sending.join_next()).await.is_err() {
            warn!("the last traces were not taken within {} s", LAST_TRACES.as_secs());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use featurestore::online::embedded::EmbeddedStore;
    use registry::Artifacts;
    use schema::Clock;
    use serving::PredictionLog;

    use super::*;

    /// One that listens with this.
    fn server(folder: &Path, listening: JoinSet<()>) -> Server {
        let fleet = Fleet::new(None, Artifacts::open(&folder.join("artifacts")).unwrap(), 1);
        let store = EmbeddedStore::open(&folder.join("online")).unwrap();
        let online = Arc::new(OnlineReader::new(Arc::new(store)));
        let scorer = Arc::new(Scorer::new(Arc::new(fleet), online, Clock::System, PredictionLog::off()));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (stop, _) = watch::channel(false);
        let (ready_after, following) = (Duration::ZERO, JoinSet::new());
        Server {
            address,
            grpc: address,
            ready_after,
            scorer,
            listening,
            stop,
            _following: following,
            _tuner: None,
            exporting: None,
        }
    }

    #[tokio::test]
    async fn what_does_not_listen_any_more_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut listening = JoinSet::new();
        listening.spawn(async { panic!("a bug") });
        let why = server(folder.path(), listening).run(std::future::pending()).await.unwrap_err().message;
        assert!(why.starts_with("the server does not listen any more: ") && why.contains("a bug"), "{why}");
    }

    #[tokio::test]
    async fn who_is_told_to_stop_stops() {
        let folder = tempfile::tempdir().unwrap();
        let mut listening = JoinSet::new();
        let mut told = server(folder.path(), JoinSet::new());
        let mut stopped = told.stop.subscribe();
        listening.spawn(async move { drop(stopped.wait_for(|stopped| *stopped).await) });
        told.listening = listening;
        assert!(told.run(std::future::ready(())).await.is_ok());
    }
}
