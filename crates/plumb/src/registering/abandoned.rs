//! Registrations that nobody ends: their server was stopped meanwhile, or could not write.

use std::sync::Arc;
use std::time::Duration;

use registry::{Catalog, Command, Registration, Registry};
use schema::error::chain;
use schema::{Clock, ModelName, Timestamp};

/// How long a registration may take: longer than a client of MLflow asks for it (five minutes), and than copying what a
/// disk holds of a model.
const LIMIT: Duration = Duration::from_mins(15);
/// How often is looked.
const EVERY: Duration = Duration::from_secs(30);
/// Who says so, as the log has it.
const ACTOR: &str = "plumb serve";

/// The versions whose registration began too long before `now`.
fn abandoned(catalog: &Catalog, now: Timestamp) -> Vec<(ModelName, u32)> {
    let limit = i64::try_from(LIMIT.as_nanos()).unwrap_or(i64::MAX);
    let versions = catalog.models().flat_map(|(name, model)| model.versions().map(move |state| (name, state)));
    let pending = versions.filter(|(_, state)| state.registration == Registration::Pending);
    let age = |begun: Timestamp| now.as_nanos().saturating_sub(begun.as_nanos());
    pending
        .filter(|(_, state)| age(state.version.registered_at) > limit)
        .map(|(name, state)| (name.clone(), state.version.version))
        .collect()
}

/// Ends them, now and then. Several servers may do so: who comes second finds it done.
pub async fn sweep(registry: Arc<Registry>) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        for (model, version) in abandoned(&registry.catalog(), Clock::wall()) {
            let reason = "its files were not read within a quarter of an hour, or the server that read them was stopped: register them again";
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
    async fn a_registration_is_given_up_after_a_quarter_of_an_hour() {
        let registry = Registry::open(Arc::new(MemoryLog::new())).await.unwrap();
        let name: ModelName = "m".parse().unwrap();
        let minute = |n: i64| Timestamp::from_nanos(n * 60_000_000_000);
        let (description, tags) = (None, Tags::new());
        let create = Command::CreateModel { model: name.clone(), description, tags: tags.clone() };
        registry.execute(create, minute(0), "ann").await.unwrap();
        for at in [minute(0), minute(10)] {
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
        let given_up = |at| abandoned(&registry.catalog(), minute(at)).iter().map(|(_, n)| *n).collect::<Vec<_>>();
        assert_eq!((given_up(15), given_up(16), given_up(26)), (vec![], vec![1], vec![1, 2]));
        let (model, reason) = (name, "gone".to_owned());
        let fail = Command::FailRegistration { model, version: 1, reason };
        registry.execute(fail, minute(16), "ann").await.unwrap();
        assert_eq!(given_up(26), [2]);
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
            () = sweep(Arc::clone(&registry)) => {}
            () = ended => {}
        }
    }
}
