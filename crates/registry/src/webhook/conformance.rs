//! What every [`WebhookStore`] must do, as one test to run over each.

use std::sync::Arc;

use schema::{ErrorKind, Timestamp};
use tokio::task::JoinSet;

use super::{
    AddressRules, DELIVERIES_MAX, Delivery, HOOKS_MAX, Hooks, Lease, NewWebhook, Outcome, Secret, Settlement, Status,
    Step, Subscription, Topic, TopicsChange, Webhook, WebhookChange, WebhookError, WebhookStore, ids,
};
use crate::seq::Seq;

type Store = Arc<dyn WebhookStore>;

/// Runs the suite. Each call of `open` gives a handle on one and the same store, which is new at first.
///
/// # Panics
/// If the store does anything else than the trait says.
pub async fn webhook_store(open: impl Fn() -> Store) {
    a_hook_is_kept_as_it_was_made(&open(), &open()).await;
    what_is_not_there_is_said(&open()).await;
    it_changes_where_it_is_told(&open(), &open()).await;
    what_is_asked_for_later_is_told_from_then_on(&open()).await;
    what_happens_while_it_is_disabled_it_is_not_told(&open()).await;
    one_server_has_it_at_a_time(&open(), &open()).await;
    an_old_lease_settles_nothing(&open(), &open()).await;
    a_failure_is_waited_out_and_a_change_ends_the_wait(&open()).await;
    deliveries_are_remembered_newest_first_and_not_for_ever(&open()).await;
    of_many_who_claim_one_gets_it(&open).await;
    there_is_a_last_one(&open()).await;
}

/// A hook of this id, told of new versions from the start.
///
/// # Panics
/// Never.
pub fn hook(id: &str) -> Webhook {
    Webhook {
        id: id.to_owned(),
        name: format!("hook-{id}"),
        url: "https://example.com/größe?a='b'".to_owned(),
        topics: vec![Subscription { topic: Topic::VersionCreated, since: Seq(0) }],
        description: Some("for 'them'; --".to_owned()),
        status: Status::Active,
        secret: Secret::new("s3cret"),
        created_ms: 1_234,
        updated_ms: 1_234,
        cursor: Seq(0),
        attempts: 0,
        next_attempt_ms: 0,
        lease: None,
    }
}

/// A claim at a time, for 100 ms.
pub fn claim(token: &str, now_ms: i64) -> Step {
    let lease = Lease { holder: "test".to_owned(), token: token.to_owned(), until_ms: now_ms + 100 };
    Step::Claim { lease, now_ms }
}

fn settle(token: &str, cursor: u64) -> Step {
    let settlement = Settlement {
        cursor: Seq(cursor),
        attempts: 0,
        next_attempt_ms: 0,
        hold_until_ms: None,
        deliveries: Vec::new(),
    };
    Step::Settle { token: token.to_owned(), settlement }
}

fn change(change: WebhookChange) -> Step {
    Step::Change(Box::new(WebhookChange { now_ms: 5_000, ..change }))
}

async fn step(store: &Store, id: &str, step: Step) -> Option<Webhook> {
    store.step(id, &step).await.expect("the store works")
}

async fn a_hook_is_kept_as_it_was_made(store: &Store, other: &Store) {
    let hooks = Hooks::new(Arc::clone(store), AddressRules::default());
    let new = NewWebhook {
        name: "first".to_owned(),
        url: "https://example.com/a".to_owned(),
        topics: vec![Topic::VersionCreated, Topic::AliasCreated, Topic::VersionCreated],
        description: Some(String::new()),
        status: Status::Disabled,
        secret: Secret::new("s3cret"),
    };
    let now = Timestamp::from_nanos(9_999_999);
    let made = hooks.create(new.clone(), Seq(7), now).await.expect("it is allowed");
    assert_eq!((made.created_ms, made.updated_ms, made.cursor, made.description.clone()), (9, 9, Seq(7), None));
    assert_eq!(made.topics.len(), 2, "each once");
    let found = other.get(&made.id).await.expect("every handle sees it");
    assert_eq!(found, made);
    let signed = found.secret.as_ref().map(|secret| secret.sign("a", 1, "b"));
    assert_eq!(signed, Secret::new("s3cret").map(|secret| secret.sign("a", 1, "b")), "the secret is kept");
    // Everything that a row can hold.
    let full = Webhook {
        lease: Some(Lease { holder: "h".to_owned(), token: "t".to_owned(), until_ms: i64::MAX }),
        cursor: Seq(u64::try_from(i64::MAX).unwrap_or(0)),
        attempts: u32::MAX,
        next_attempt_ms: -1,
        topics: Topic::all().map(|topic| Subscription { topic, since: Seq(3) }).collect(),
        ..hook("full")
    };
    store.insert(&full).await.expect("it is new");
    assert_eq!(other.get("full").await.expect("it is there"), full);
    let plain = Webhook { description: None, secret: None, ..hook("plain") };
    store.insert(&plain).await.expect("it is new");
    let all = other.all().await.expect("all of them");
    assert_eq!(all, [plain, full, made.clone()], "newest first");
    for wrong in [
        NewWebhook { name: "-".to_owned(), ..new.clone() },
        NewWebhook { url: "https://10.0.0.1/".to_owned(), ..new.clone() },
        NewWebhook { topics: Vec::new(), ..new.clone() },
        NewWebhook { secret: Secret::new("x".repeat(2_000)), ..new },
    ] {
        let why = hooks.create(wrong, Seq(7), now).await.expect_err("it is not allowed");
        assert_eq!(why.kind(), ErrorKind::Invalid, "{why}");
    }
    for id in [made.id.as_str(), "full", "plain"] {
        store.delete(id).await.expect("it goes");
    }
    assert_eq!(other.all().await.expect("all of them"), []);
}

async fn what_is_not_there_is_said(store: &Store) {
    for id in ["", "none", "größe", "'; DROP TABLE webhooks; --"] {
        let found =
            [store.get(id).await.map(drop), store.delete(id).await, store.step(id, &claim("t", 0)).await.map(drop)];
        for found in found {
            let why = found.expect_err("there is none");
            assert!(matches!(why, WebhookError::Unknown { .. }), "{why}");
        }
        assert_eq!(store.deliveries(id, 10).await.expect("of nobody"), []);
    }
}

async fn it_changes_where_it_is_told(store: &Store, other: &Store) {
    store.insert(&hook("c")).await.expect("it is new");
    let before = store.get("c").await.expect("it is there");
    let after = step(store, "c", change(WebhookChange::default())).await.expect("it applies");
    assert_eq!(after, Webhook { updated_ms: 5_000, ..before.clone() }, "nothing was named");
    let all = WebhookChange {
        name: Some("other".to_owned()),
        url: Some("https://example.org/".to_owned()),
        description: Some(String::new()),
        status: Some(Status::Disabled),
        secret: Some(None),
        ..WebhookChange::default()
    };
    let after = step(store, "c", change(all)).await.expect("it applies");
    assert_eq!((after.name.as_str(), after.url.as_str()), ("other", "https://example.org/"));
    assert_eq!((after.description.clone(), after.secret.clone(), after.status), (None, None, Status::Disabled));
    assert_eq!(other.get("c").await.expect("every handle sees it"), after);
    store.delete("c").await.expect("it goes");
}

async fn what_is_asked_for_later_is_told_from_then_on(store: &Store) {
    let native = Subscription { topic: Topic::VersionTransitioned, since: Seq(2) };
    let mut one = hook("t");
    one.topics.push(native);
    store.insert(&one).await.expect("it is new");
    let topics = |wanted: &[Topic], of_mlflow| {
        let topics = Some(TopicsChange { wanted: wanted.to_vec(), of_mlflow });
        change(WebhookChange { topics, head: Seq(50), ..WebhookChange::default() })
    };
    let to = [Topic::VersionCreated, Topic::AliasCreated];
    let after = step(store, "t", topics(&to, true)).await.expect("it applies");
    assert!(after.wants(Topic::VersionCreated, Seq(1)), "what it was told of stays");
    assert!(!after.wants(Topic::AliasCreated, Seq(50)) && after.wants(Topic::AliasCreated, Seq(51)));
    assert!(after.topics.contains(&native), "clients of MLflow do not see it, so they do not take it away");
    let after = step(store, "t", topics(&[Topic::AliasCreated], false)).await.expect("it applies");
    assert_eq!(after.topics, [Subscription { topic: Topic::AliasCreated, since: Seq(50) }]);
    assert_eq!(store.get("t").await.expect("it is there"), after);
    store.delete("t").await.expect("it goes");
}

async fn what_happens_while_it_is_disabled_it_is_not_told(store: &Store) {
    store.insert(&hook("d")).await.expect("it is new");
    let to = |status, head| change(WebhookChange { status: Some(status), head, ..WebhookChange::default() });
    let off = step(store, "d", to(Status::Disabled, Seq(10))).await.expect("it applies");
    assert_eq!((off.cursor, off.wants(Topic::VersionCreated, Seq(11))), (Seq(0), false));
    assert_eq!(step(store, "d", claim("t", 0)).await, None, "nobody serves it");
    let on = step(store, "d", to(Status::Active, Seq(20))).await.expect("it applies");
    assert!(!on.wants(Topic::VersionCreated, Seq(20)) && on.wants(Topic::VersionCreated, Seq(21)));
    let again = step(store, "d", to(Status::Active, Seq(30))).await.expect("it applies");
    assert_eq!(again.cursor, Seq(20), "it was active: what waits is told");
    store.delete("d").await.expect("it goes");
}

async fn one_server_has_it_at_a_time(store: &Store, other: &Store) {
    store.insert(&hook("l")).await.expect("it is new");
    let held = step(store, "l", claim("a", 1_000)).await.expect("nobody has it");
    assert_eq!(held.lease.as_ref().map(|lease| lease.until_ms), Some(1_100));
    assert_eq!(step(other, "l", claim("b", 1_099)).await, None, "it is held");
    assert!(step(store, "l", claim("a", 1_050)).await.is_some(), "the same claim again is its own");
    let hold = |token: &str| Step::Hold { token: token.to_owned(), until_ms: 2_000 };
    assert_eq!(step(other, "l", hold("b")).await, None);
    assert!(step(store, "l", hold("a")).await.is_some());
    assert_eq!(step(other, "l", claim("b", 1_999)).await, None, "it is held longer");
    assert!(step(other, "l", claim("b", 2_000)).await.is_some(), "its time is over");
    let back = step(other, "l", settle("b", 3)).await.expect("it has it");
    assert_eq!((back.cursor, back.lease), (Seq(3), None));
    assert!(step(store, "l", claim("c", 2_001)).await.is_some(), "it was given back");
    store.delete("l").await.expect("it goes");
}

async fn an_old_lease_settles_nothing(store: &Store, other: &Store) {
    store.insert(&hook("o")).await.expect("it is new");
    assert!(step(store, "o", claim("slow", 0)).await.is_some());
    assert!(step(other, "o", claim("quick", 500)).await.is_some(), "the first one's time is over");
    let told = Delivery { outcome: Outcome::GaveUp, ..delivery(9) };
    let settlement =
        Settlement { cursor: Seq(9), attempts: 5, next_attempt_ms: 77, hold_until_ms: None, deliveries: vec![told] };
    assert_eq!(step(store, "o", Step::Settle { token: "slow".to_owned(), settlement }).await, None);
    let now = other.get("o").await.expect("it is there");
    assert_eq!((now.cursor, now.attempts, now.next_attempt_ms), (Seq(0), 0, 0));
    assert_eq!(other.deliveries("o", 10).await.expect("none"), []);
    assert_eq!(now.lease.map(|lease| lease.token), Some("quick".to_owned()));
    assert!(step(other, "o", settle("quick", 4)).await.is_some());
    assert_eq!(step(other, "o", settle("quick", 5)).await, None, "it was given back");
    // Enabled anew while somebody serves it: what that one had is not written over what was set.
    let to = |status| change(WebhookChange { status: Some(status), head: Seq(40), ..WebhookChange::default() });
    assert!(step(store, "o", claim("mid", 1_000)).await.is_some());
    assert!(step(store, "o", to(Status::Disabled)).await.is_some());
    assert!(step(store, "o", to(Status::Active)).await.is_some());
    assert_eq!(step(store, "o", settle("mid", 5)).await, None);
    assert_eq!(store.get("o").await.expect("it is there").cursor, Seq(40));
    store.delete("o").await.expect("it goes");
}

async fn a_failure_is_waited_out_and_a_change_ends_the_wait(store: &Store) {
    store.insert(&hook("w")).await.expect("it is new");
    assert!(step(store, "w", claim("a", 0)).await.is_some());
    let failed = Settlement {
        cursor: Seq(0),
        attempts: 1,
        next_attempt_ms: 9_000,
        hold_until_ms: None,
        deliveries: vec![delivery(1)],
    };
    assert!(step(store, "w", Step::Settle { token: "a".to_owned(), settlement: failed }).await.is_some());
    assert_eq!(step(store, "w", claim("b", 8_999)).await, None);
    let claimed = step(store, "w", claim("b", 9_000)).await.expect("its time came");
    assert_eq!((claimed.attempts, claimed.cursor), (1, Seq(0)));
    let again = Settlement {
        cursor: Seq(0),
        attempts: 2,
        next_attempt_ms: 99_000,
        hold_until_ms: None,
        deliveries: Vec::new(),
    };
    assert!(step(store, "w", Step::Settle { token: "b".to_owned(), settlement: again }).await.is_some());
    assert!(step(store, "w", change(WebhookChange::default())).await.is_some());
    let claimed = step(store, "w", claim("c", 9_001)).await.expect("who changes it wants to see what comes of it");
    assert_eq!(claimed.attempts, 0);
    store.delete("w").await.expect("it goes");
}

fn delivery(seq: u64) -> Delivery {
    let seq = Seq(seq);
    Delivery {
        id: ids::of_delivery("h", seq, Topic::VersionCreated),
        seq,
        topic: Topic::VersionCreated,
        outcome: Outcome::Retrying,
        attempts: 1,
        first_ms: 10,
        last_ms: 10,
        response_status: None,
        error: Some("a 'broken' connection".to_owned()),
    }
}

async fn deliveries_are_remembered_newest_first_and_not_for_ever(store: &Store) {
    store.insert(&hook("h")).await.expect("it is new");
    assert!(step(store, "h", claim("t", 0)).await.is_some());
    let tell = async |deliveries: Vec<Delivery>| {
        let settlement =
            Settlement { cursor: Seq(0), attempts: 0, next_attempt_ms: 0, hold_until_ms: Some(100), deliveries };
        assert!(step(store, "h", Step::Settle { token: "t".to_owned(), settlement }).await.is_some());
    };
    tell(vec![delivery(1)]).await;
    let taken = Delivery {
        outcome: Outcome::Delivered,
        attempts: 2,
        first_ms: 99,
        last_ms: 99,
        response_status: Some(204),
        error: None,
        ..delivery(1)
    };
    let other = Delivery { id: "another".to_owned(), topic: Topic::AliasCreated, ..delivery(2) };
    tell(vec![taken.clone(), other.clone()]).await;
    let kept = store.deliveries("h", 10).await.expect("both");
    assert_eq!(kept, [other, Delivery { first_ms: 10, ..taken }], "an attempt is told of its delivery");
    assert_eq!(store.deliveries("h", 1).await.expect("the newest").len(), 1);
    tell((3..=u64::from(DELIVERIES_MAX) + 50).map(delivery).collect()).await;
    let kept = store.deliveries("h", 10_000).await.expect("those that are kept");
    assert_eq!(kept.len(), DELIVERIES_MAX as usize);
    assert_eq!(kept.first().map(|one| one.seq.0), Some(u64::from(DELIVERIES_MAX) + 50));
    store.delete("h").await.expect("it goes");
    assert_eq!(store.deliveries("h", 10).await.expect("they go with it"), []);
}

async fn of_many_who_claim_one_gets_it(open: &impl Fn() -> Store) {
    let store = open();
    store.insert(&hook("m")).await.expect("it is new");
    let mut servers = JoinSet::new();
    for n in 0..8 {
        let store = open();
        servers.spawn(
            async move { store.step("m", &claim(&format!("t{n}"), 0)).await.expect("the store works").is_some() },
        );
    }
    let got = servers.join_all().await.into_iter().filter(|got| *got).count();
    assert_eq!(got, 1);
    store.delete("m").await.expect("it goes");
}

async fn there_is_a_last_one(store: &Store) {
    for n in 0..HOOKS_MAX {
        store.insert(&hook(&n.to_string())).await.expect("there is room");
    }
    let why = store.insert(&hook("more")).await.expect_err("there is no room");
    assert!(matches!(why, WebhookError::TooMany), "{why}");
    store.delete("7").await.expect("it goes");
    store.insert(&hook("more")).await.expect("there is room again");
}
