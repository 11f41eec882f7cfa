//! A project's folder made ready: configuration read, stores opened. Holds the only `match` on kinds of stores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use featurestore::check::Checked;
use featurestore::online::{FeastRedis, GuardedStore, embedded::EmbeddedStore, redis::RedisStore};
use featurestore::{OfflineStore, OnlineReader, OnlineStore};
use registry::tracking::{PostgresTracking, SqliteTracking, Tracker, TrackingError, TrackingStore};
use registry::webhook::{Hooks, PostgresWebhooks, SqliteWebhooks, WebhookStore};
use registry::{ArtifactTree, Artifacts, PostgresLog, Registry, RegistryStore, SqliteLog};
use schema::definitions::File;
use schema::error::chain;
use schema::{AppliedDefinitions, Clock, Definitions, ErrorKind};
use serving::prediction_log::LogConfig;
use serving::{Fleet, PredictionLog};
use storage::Bucket;

use crate::config::{
    Config, FeastConfig, MAIN_FILE, OnlineConfig, RegistryConfig, loader_environment, onnxruntime_library,
};
use crate::failure::Failure;
use crate::http::mlflow;
use crate::output;
use crate::predicting::outcomes::Outcomes;
use crate::registering::Inspector;
use crate::webhooks::Webhooks;
use crate::webhooks::courier::Courier;
use crate::webhooks::names::SystemNames;
use crate::webhooks::sender::Sender;

/// An open project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// What is applied and registered.
    pub registry: Arc<Registry>,
    /// History.
    pub offline: OfflineStore,
}

impl Project {
    /// Opens the project in `folder`.
    ///
    /// # Errors
    /// What is wrong with its configuration or its registry.
    pub async fn open(folder: &Path) -> Result<Self, Failure> {
        Self::of(folder, Config::read(folder)?).await
    }

    /// Opens the project in `folder` with this configuration.
    ///
    /// # Errors
    /// What is wrong with its registry.
    pub async fn of(folder: &Path, config: Config) -> Result<Self, Failure> {
        let registry = Arc::new(Registry::open(log(&config.registry).await?).await?);
        let offline = OfflineStore::new(folder, &config.offline).with_storage(config.storage.clone());
        let offline = offline.with_limits(config.limits).with_max_skew(config.max_skew);
        Ok(Self { folder: folder.to_path_buf(), config, registry, offline })
    }

    /// The project with the Delta tables of these sources as they were at a version.
    #[must_use]
    pub fn with_tables_at(&self, versions: BTreeMap<String, u64>) -> Self {
        Self { offline: self.offline.clone().with_tables_at(versions), ..self.clone() }
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.config.clock
    }

    /// The online store.
    ///
    /// # Errors
    /// It cannot be opened or reached.
    pub async fn online(&self) -> Result<Arc<dyn OnlineStore>, Failure> {
        Ok(match &self.config.online {
            OnlineConfig::Embedded { path } => Arc::new(EmbeddedStore::open(path)?),
            OnlineConfig::Redis(redis) => Arc::new(RedisStore::open(redis, &self.config.project).await?),
        })
    }

    /// The online store, for commands that write to it: says so if it may lose what is written.
    ///
    /// # Errors
    /// It cannot be opened or reached.
    pub async fn online_to_write(&self) -> Result<Arc<dyn OnlineStore>, Failure> {
        if let OnlineConfig::Redis(redis) = &self.config.online {
            let store = RedisStore::open(redis, &self.config.project).await?;
            if let Some(warning) = store.evicts().await {
                output::note(&format!("warning: {warning}"));
            }
            return Ok(Arc::new(store));
        }
        self.online().await
    }

    /// The way of requests into the online store, for a server: behind circuit breakers, and there even while the store is
    /// not, for it may come.
    ///
    /// # Errors
    /// The store is not what the configuration says, or does not let us in: waiting would not change that.
    pub async fn reader_to_serve(&self) -> Result<OnlineReader, Failure> {
        let store: Arc<dyn OnlineStore> = match &self.config.online {
            OnlineConfig::Embedded { path } => Arc::new(EmbeddedStore::open(path)?),
            OnlineConfig::Redis(redis) => {
                let store = RedisStore::new(redis, &self.config.project)?;
                match store.check().await {
                    Ok(()) => {
                        if let Some(warning) = store.evicts().await {
                            tracing::warn!("{warning}");
                        }
                    }
                    Err(why) if why.refusal().is_some_and(|refusal| !refusal.may_pass()) => return Err(why.into()),
                    Err(why) => tracing::warn!("serving without the online store until it is there: {}", chain(&why)),
                }
                Arc::new(store)
            }
        };
        let reader = OnlineReader::new(Arc::new(GuardedStore::new(store))).counting(Arc::default());
        Ok(reader.with_feast(self.feast()?))
    }

    /// The way into the online store for a command: what is wrong with it is said at once.
    ///
    /// # Errors
    /// It cannot be opened or reached.
    pub async fn reader(&self) -> Result<OnlineReader, Failure> {
        Ok(OnlineReader::new(self.online().await?).with_feast(self.feast()?))
    }

    /// Where views are read that Feast fills.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub fn feast(&self) -> Result<Option<Arc<FeastRedis>>, Failure> {
        let open = |feast: &FeastConfig| FeastRedis::new(&feast.redis, &feast.project).map(Arc::new);
        Ok(self.config.feast.as_ref().map(open).transpose()?)
    }

    /// The log of predictions, to be written.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn prediction_log(&self) -> Result<PredictionLog, Failure> {
        let Config { predictions, prediction_log, .. } = &self.config;
        let config = LogConfig { erased: Some(self.offline.folder().to_path_buf()), ..prediction_log.clone() };
        PredictionLog::start(predictions, config).map_err(|why| {
            let message = format!("opening the prediction log `{}`: {why}", predictions.display());
            Failure::new(ErrorKind::Unavailable, message).code("environment")
        })
    }

    /// Where labels go.
    pub fn outcomes(&self) -> Outcomes {
        Outcomes::new(self.config.predictions.clone(), self.offline.folder().to_path_buf())
    }

    /// The files of model versions. A bucket that they are in is not asked yet.
    ///
    /// # Errors
    /// Their folder cannot be made, or what is said of the bucket does not fit together.
    pub fn artifacts(&self) -> Result<Artifacts, Failure> {
        Ok(Artifacts::open(&self.config.artifacts.path)?.in_bucket(bucket(&self.config)?))
    }

    /// What MLflow's clients keep: runs beside the registry's log, their files beside the model files.
    ///
    /// # Errors
    /// They cannot be opened.
    pub async fn mlflow(&self, artifacts: Artifacts, webhooks: Arc<Webhooks>) -> Result<mlflow::Parts, Failure> {
        let store = tracking(&self.config.registry, &self.folder).await?;
        let Config { artifacts: config, storage, predictions, probes, .. } = &self.config;
        let copied = config.copy_from.iter().map(|place| Bucket::open(storage, place));
        Ok(mlflow::Parts {
            tracker: Tracker::new(store, self.clock()),
            tree: ArtifactTree::at(&config.path.join("runs"))?,
            copied: copied.collect::<Result<_, _>>()?,
            allowed_schemes: config.allowed_schemes.clone(),
            upload_bytes_max: config.upload_bytes_max,
            inspector: self.inspector(),
            checking: Arc::new(Fleet::new(onnxruntime_library(), artifacts.clone(), 1)),
            artifacts: Arc::new(artifacts),
            log: predictions.clone(),
            probes: probes.clone(),
            webhooks,
            ongoing: Arc::default(),
            prompt: mlflow::PROMPT,
        })
    }

    /// What reads models that are to be registered.
    pub fn inspector(&self) -> Inspector {
        Inspector::new(onnxruntime_library(), loader_environment(), self.config.artifacts.inspection)
    }

    /// Who is told what happens, and what tells them.
    ///
    /// # Errors
    /// Their store cannot be opened.
    pub fn webhooks(&self) -> Result<(Webhooks, Courier), Failure> {
        let store: Arc<dyn WebhookStore> = match &self.config.registry {
            // Named after the log, for it says how far its hooks were told of that one.
            RegistryConfig::Sqlite { path } => Arc::new(SqliteWebhooks::open(&path.with_extension("webhooks.db"))?),
            RegistryConfig::Postgres(config) => Arc::new(PostgresWebhooks::new(config)?),
        };
        let hooks = Hooks::new(store, self.config.webhooks.clone());
        let sender = Arc::new(Sender::new(self.config.webhooks.clone(), Arc::new(SystemNames)));
        let courier = Courier::new(Arc::clone(&self.registry), hooks.clone(), Arc::clone(&sender));
        Ok((Webhooks::new(Arc::clone(&self.registry), hooks, sender), courier))
    }

    /// The definitions as they are written, checked against each other alone: the data may not be there yet.
    ///
    /// # Errors
    /// Every mistake of the folder.
    pub fn written(&self) -> Result<Definitions, Failure> {
        Ok(Definitions::read(&files(&self.folder)?)?)
    }

    /// Says which YAML files of the folder are other programs'.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn note_foreign(&self) -> Result<(), Failure> {
        let files = files(&self.folder)?;
        if let Some(said) = said_of_foreign(&files) {
            output::note(&format!("{said}, and left alone"));
        }
        Ok(())
    }

    /// The declared definitions, checked against each other and the versions that are applied; and what the data shows of
    /// them.
    ///
    /// # Errors
    /// Every mistake of the folder, but for what only the data shows.
    pub async fn declared(&self, applied: &AppliedDefinitions) -> Result<(Definitions, Checked), Failure> {
        let definitions = Definitions::read_over(&files(&self.folder)?, applied)?;
        let checked = featurestore::check::check(&self.offline, &definitions).await?;
        Ok((definitions, checked))
    }
}

/// The files of model versions as they are: nothing is made.
///
/// # Errors
/// What is said of a bucket does not fit together.
pub fn artifacts_as_they_are(config: &Config) -> Result<Artifacts, Failure> {
    Ok(Artifacts::at(&config.artifacts.path).in_bucket(bucket(config)?))
}

/// The bucket that files of model versions are in, if they are in one.
fn bucket(config: &Config) -> Result<Option<Bucket>, Failure> {
    let bucket = config.artifacts.bucket.as_ref().map(|place| Bucket::open(&config.storage, place));
    Ok(bucket.transpose()?)
}

/// The registry's log; made where there is none.
///
/// # Errors
/// It cannot be opened or reached, or is something else.
pub async fn log(config: &RegistryConfig) -> Result<Arc<dyn RegistryStore>, Failure> {
    Ok(match config {
        RegistryConfig::Sqlite { path } => Arc::new(SqliteLog::open(path)?),
        RegistryConfig::Postgres(config) => Arc::new(PostgresLog::open(config).await?),
    })
}

/// The runs, where the registry's log is; made where there are none.
async fn tracking(config: &RegistryConfig, folder: &Path) -> Result<Arc<dyn TrackingStore>, Failure> {
    let file = config.tracking_file(folder);
    let config = match config {
        RegistryConfig::Sqlite { .. } => return Ok(Arc::new(SqliteTracking::open(&file)?)),
        RegistryConfig::Postgres(config) => config,
    };
    if file.exists() {
        tracing::warn!("runs are in the registry's database; those in `{}` are not shown", file.display());
    }
    let store = PostgresTracking::new(config)?;
    match store.check().await {
        // A role that may only read serves all the same; whoever tracks is told.
        Err(TrackingError::Store(why)) if why.is_auth() => {
            tracing::warn!("serving without a place for runs: {}", chain(&why));
        }
        checked => checked?,
    }
    Ok(Arc::new(store))
}

/// The registry's log, if there is one; nothing is made.
///
/// # Errors
/// As [`log`].
pub async fn existing_log(config: &RegistryConfig) -> Result<Option<Arc<dyn RegistryStore>>, Failure> {
    Ok(match config {
        RegistryConfig::Sqlite { path } if !path.exists() => None,
        RegistryConfig::Sqlite { path } => Some(Arc::new(SqliteLog::open(path)?)),
        RegistryConfig::Postgres(config) => {
            let found = PostgresLog::open_existing(config).await?;
            found.map(|log| Arc::new(log) as Arc<dyn RegistryStore>)
        }
    })
}

/// That files have nothing of a definition, where some have.
pub(crate) fn said_of_foreign(files: &[File]) -> Option<String> {
    let foreign = schema::definitions::foreign(files);
    match foreign.as_slice() {
        [] => None,
        [one] => Some(format!("`{one}` has nothing of a definition")),
        many => Some(format!("{} have nothing of a definition", schema::yaml::list(many))),
    }
}

/// The YAML and SQL files of a project, in order of their paths. Folders whose names start with a dot are not looked at.
pub(crate) fn files(folder: &Path) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let unreadable = |why: std::io::Error| Failure::invalid(format!("reading `{}`: {why}", next.display()));
        for entry in std::fs::read_dir(&next).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            if !matches!(end, "yaml" | "yml" | "sql") || name == MAIN_FILE {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .map_err(|why| Failure::invalid(format!("reading `{name}`: {why}")).hint("it must be UTF-8 text"))?;
            files.push(File { path: name, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
