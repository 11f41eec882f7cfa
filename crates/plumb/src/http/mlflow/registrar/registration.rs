//! Registrations: at once where the files are soon copied and read, else in two steps.
//!
//! A client waits for an answer for two minutes at most, and its user sits before it. So what takes longer than a moment is
//! answered with a version whose registration is pending; the client asks for it every few seconds until it has ended or
//! failed. What happens meanwhile happens in tasks of the server.

use std::sync::Arc;
use std::time::Duration;

use registry::{Catalog, Command, EventBody, ModelVersion, NewVersion, Seq};
use schema::error::chain;
use schema::{Clock, ErrorKind, ModelName};
use tokio::sync::oneshot;

use super::Registrar;
use super::sources::{self, At, Located, Made};
use crate::failure::Failure;
use crate::http::mlflow::{Refusal, actor};

/// Registers a version, or begins to: its number, and the catalog that has it.
pub(super) async fn register(
    this: &Arc<Registrar>,
    catalog: Arc<Catalog>,
    name: &ModelName,
    description: Option<String>,
    located: Located,
) -> Result<(Arc<Catalog>, u32), Refusal> {
    let Located { origin, tags, at } = located;
    // What has nothing to copy takes no time.
    let place = match at {
        At::Kept(_) | At::Elsewhere => None,
        At::Ours(_) | At::Bucket(_) => Some(this.ongoing.enter().ok_or_else(crowded)?),
    };
    let actor = actor::current();
    let (tell, mut told) = oneshot::channel();
    let gathering = {
        let (this, tags, place) = (Arc::clone(this), tags.clone(), place.clone());
        async move {
            let made = sources::gather(&this, &catalog, at, &tags).await;
            drop(place);
            // Nobody is told where the request ended otherwise meanwhile.
            drop(tell.send(made));
        }
    };
    this.tasks.start(gathering);
    let new = |made: Made| {
        let Made { files, servable, metadata } = made;
        let (name, once) = (name.clone(), false);
        NewVersion { name, once, origin, files, servable, description, metadata, tags }
    };
    // The shortest timer runs for a millisecond, in which small files are read: to wait for nothing is not to wait.
    let prompt = async {
        if this.prompt.is_zero() {
            return None;
        }
        tokio::time::timeout(this.prompt, &mut told).await.ok()
    };
    match prompt.await {
        Some(made) => execute(this, Command::RegisterVersion(new(heard(made)?)), &actor).await,
        None => {
            let begun = execute(this, Command::BeginRegistration(new(Made::default())), &actor).await?;
            let (catalog, version) = &begun;
            // By what it is known by, for it may be renamed meanwhile.
            let model = catalog.model(name.as_str()).map(|model| model.id).unwrap_or_default();
            let (this_too, version) = (Arc::clone(this), *version);
            if let Some(place) = &place {
                place.registers(model, version);
            }
            this.tasks.start(async move {
                end(&this_too, model, version, heard(told.await), &actor).await;
                drop(place);
            });
            Ok(begun)
        }
    }
}

fn crowded() -> Refusal {
    Failure::new(ErrorKind::Overloaded, "as many versions as this server registers at once are being registered")
        .hint("try again when some of them are ready")
        .into()
}

/// What a task says that may have been broken off.
fn heard(made: Result<Result<Made, Refusal>, oneshot::error::RecvError>) -> Result<Made, Refusal> {
    made.unwrap_or_else(|_| Err(Failure::new(ErrorKind::Internal, "the registration was broken off").into()))
}

async fn execute(this: &Registrar, command: Command, actor: &str) -> Result<(Arc<Catalog>, u32), Refusal> {
    let (event, catalog) = this.registry.execute(command, Clock::wall(), actor).await?;
    match event.map(|event| event.body) {
        Some(EventBody::ModelVersionRegistered(made) | EventBody::RegistrationBegun(made)) => {
            let ModelVersion { version, .. } = *made;
            Ok((catalog, version))
        }
        _ => Err(Failure::new(ErrorKind::Internal, "the registration made no version").into()),
    }
}

/// How long is waited before a registration is ended again that the store did not take: together less than a registration may
/// take.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
];

/// Whether the same may succeed later.
fn passes(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Overloaded)
}

/// Says of a version that was begun what it is made of, or why that cannot be kept.
async fn end(this: &Registrar, model: Seq, version: u32, made: Result<Made, Refusal>, actor: &str) {
    let catalog = match this.registry.refresh().await {
        Ok(catalog) => catalog,
        // What is known from before will do: what is wrong is told when it is written.
        Err(_) => this.catalog(),
    };
    // A model that was deleted has no versions to say anything of.
    let Some(model) = catalog.model_by_id(model).map(|model| &model.name) else { return };
    let fail = |reason: String| Command::FailRegistration { model: model.clone(), version, reason };
    let tell = async |command| this.registry.execute(command, Clock::wall(), actor).await.map(drop);
    let ended = match made {
        Ok(Made { files, servable, metadata }) => {
            let end = Command::EndRegistration { model: model.clone(), version, files, servable, metadata };
            let mut pauses = PAUSES.iter();
            loop {
                match (tell(end.clone()).await, pauses.next()) {
                    (Err(why), Some(pause)) if passes(why.kind()) => {
                        tracing::warn!("ending the registration of version {version} of `{model}`: {}", chain(&why));
                        tokio::time::sleep(*pause).await;
                    }
                    // Definitions may have changed meanwhile, and the model does not fit any more.
                    (Err(why), _) if !passes(why.kind()) => break tell(fail(chain(&why))).await,
                    (ended, _) => break ended,
                }
            }
        }
        Err(why) => tell(fail(why.message)).await,
    };
    if let Err(why) = ended {
        tracing::error!("version {version} of model `{model}` stays pending, and will be said to have failed: {why}");
    }
}
