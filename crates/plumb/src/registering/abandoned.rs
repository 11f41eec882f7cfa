//! Registrations that nobody ends: their server was stopped meanwhile, or could not write.

use std::sync::Arc;
use std::time::Duration;

use registry::{Catalog, Command, Registration, Registry};
use schema::error::chain;
use schema::{Clock, ModelName, Timestamp};

use super::Ongoing;

/// How long a registration of another process may take: longer than a client of MLflow asks for it (five minutes), and than
/// copying a model from a bucket. This one knows which of its own it is still at.
const LIMIT: Duration = Duration::from_hours(1);
/// How often is looked.
const EVERY: Duration = Duration::from_secs(30);
/// Who says so, as the log has it.
const ACTOR: &str = "plumb serve";

/// The versions whose registration began too long before `now`, and is none that this process is at.
fn abandoned(catalog: &Catalog, ongoing: &Ongoing, now: Timestamp) -> Vec<(ModelName, u32)> {
    let limit = i64::try_from(LIMIT.as_nanos()).unwrap_or(i64::MAX);
    let versions =
        catalog.models().flat_map(|(name, model)| model.versions().map(move |state| (name, model.id, state)));
    let pending = versions.filter(|(_, _, state)| state.registration == Registration::Pending);
    let age = |begun: Timestamp| now.as_nanos().saturating_sub(begun.as_nanos());
    pending
        .filter(|(_, model, state)| {
            age(state.version.registered_at) > limit && !ongoing.has(*model, state.version.version)
        })
        .map(|(name, _, state)| (name.clone(), state.version.version))
        .collect()
}

/// Ends them, now and then. Several servers may do so: who comes second finds it done.
pub async fn sweep(registry: Arc<Registry>, ongoing: Arc<Ongoing>) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        for (model, version) in abandoned(&registry.catalog(), &ongoing, Clock::wall()) {
            let reason =
                "its files were not read within an hour, or the server that read them was stopped: register them again";
            let command = Command::FailRegistration { model, version, reason: reason.to_owned() };
            if let Err(why) = registry.execute(command, Clock::wall(), ACTOR).await {
                tracing::warn!("ending a registration that nobody ends: {}", chain(&why));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use registry::{MemoryLog, NewVersion, Origin, Tags};

    use super::*;

    #[tokio::test]
    async fn a_registration_is_given_up_after_an_hour_unless_this_process_is_at_it() {
        let registry = Registry::open(Arc::new(MemoryLog::new())).await.unwrap();
        let name: ModelName = "m".parse().unwrap();
        let minute = |n: i64| Timestamp::from_nanos(n * 60_000_000_000);
        let (description, tags) = (None, Tags::new());
        let create = Command::CreateModel { model: name.clone(), description, tags: tags.clone() };
        registry.execute(create, minute(0), "ann").await.unwrap();
        for at in [minute(0), minute(10), minute(10)] {
            let new = NewVersion {
                name: name.clone(),
                once: false,
                origin: Origin::default(),
                files: Vec::new(),
                servable: None,
                description: None,
                metadata: [].into(),
                tags: tags.clone(),
            };
            registry.execute(Command::BeginRegistration(new), at, "ann").await.unwrap();
        }
        let ongoing = Arc::new(Ongoing::default());
        let place = ongoing.enter().unwrap();
        place.registers(registry.catalog().model("m").unwrap().id, 3);
        let given_up = |at| {
            let catalog = registry.catalog();
            abandoned(&catalog, &ongoing, minute(at)).iter().map(|(_, n)| *n).collect::<Vec<_>>()
        };
        assert_eq!((given_up(60), given_up(61), given_up(71)), (vec![], vec![1], vec![1, 2]));
        let (model, reason) = (name, "gone".to_owned());
        let fail = Command::FailRegistration { model, version: 1, reason };
        registry.execute(fail, minute(61), "ann").await.unwrap();
        assert_eq!(given_up(71), [2]);
        // All of it was long ago.
        let registry = Arc::new(registry);
        let ended = async {
            loop {
                let said = registry.catalog().model("m").unwrap().version(2).unwrap().registration.to_string();
                if said.contains("register them again") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = sweep(Arc::clone(&registry), Arc::clone(&ongoing)) => {}
            () = ended => {}
        }
        let catalog = registry.catalog();
        assert_eq!(catalog.model("m").unwrap().version(3).unwrap().registration, Registration::Pending);
    }
}
