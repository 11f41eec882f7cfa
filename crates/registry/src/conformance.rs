//! What every [`RegistryStore`] must do, as one test to run over each.

use std::sync::Arc;

use schema::{Fingerprint, ModelName, Timestamp};
use tokio::task::JoinSet;

use crate::event::{Event, EventBody};
use crate::log::LogError;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::store::{AppendError, PAGE, RegistryStore, StoreError};

/// Runs the suite. Each call of `open` gives a handle on one and the same log, which is empty at first.
///
/// # Panics
/// If the store does anything else than the trait says.
pub async fn registry_store(open: impl Fn() -> Arc<dyn RegistryStore>) {
    an_empty_log_has_no_events(&*open()).await;
    what_is_appended_is_read_by_every_handle(&*open(), &*open()).await;
    a_place_is_taken_once(&*open(), &*open()).await;
    an_event_that_does_not_follow_is_refused(&*open()).await;
    of_many_writers_of_one_place_one_wins(&open).await;
    many_writers_make_one_chain(&open).await;
    a_long_log_is_read_in_pages(&*open()).await;
    an_append_that_is_given_up_leaves_a_whole_number_of_events(&open).await;
    a_snapshot_is_kept_whole_and_the_last_one_counts(&open).await;
    what_was_given_up_stays_given_up(&open).await;
}

async fn an_empty_log_has_no_events(log: &dyn RegistryStore) {
    assert_eq!(all(log).await, []);
    assert_eq!(log.read_after(Seq(u64::MAX)).await.expect("nothing to read"), []);
}

async fn what_is_appended_is_read_by_every_handle(log: &dyn RegistryStore, other: &dyn RegistryStore) {
    let first = next(log, "ann").await;
    log.append(&first).await.expect("the first event");
    let second = next(log, "bob").await;
    log.append(&second).await.expect("the second event");
    for handle in [log, other] {
        assert_eq!(all(handle).await, [first.clone(), second.clone()]);
        let tail = handle.read_after(Seq(1)).await.expect("the tail is read");
        assert_eq!(tail, std::slice::from_ref(&second));
        assert_eq!(tail[0].json(), second.json(), "events are kept byte for byte");
        assert_eq!(handle.read_after(Seq(2)).await.expect("nothing is new"), []);
    }
}

async fn a_place_is_taken_once(log: &dyn RegistryStore, other: &dyn RegistryStore) {
    let (mine, yours) = (next(log, "ann").await, next(other, "bob").await);
    assert_eq!(mine.seq, yours.seq);
    log.append(&mine).await.expect("the first of two");
    for handle in [log, other] {
        let why = handle.append(&yours).await.expect_err("the place is taken");
        assert!(matches!(why, AppendError::Taken { seq } if seq == yours.seq), "{why}");
    }
    assert_eq!(all(other).await.last(), Some(&mine));
}

async fn an_event_that_does_not_follow_is_refused(log: &dyn RegistryStore) {
    let before = all(log).await;
    let next = next(log, "ann").await;
    let ahead = event(next.seq.next(), next.previous, "ann");
    let why = log.append(&ahead).await.expect_err("a gap");
    assert!(matches!(why, AppendError::Store(StoreError::Log(LogError::Gap { .. }))), "{why}");
    let stranger = event(next.seq, Fingerprint::of_bytes(b"another history"), "ann");
    let why = log.append(&stranger).await.expect_err("another history");
    assert!(matches!(why, AppendError::Store(StoreError::Log(LogError::Chain { .. }))), "{why}");
    assert_eq!(all(log).await, before);
}

async fn of_many_writers_of_one_place_one_wins(open: &impl Fn() -> Arc<dyn RegistryStore>) {
    const WRITERS: usize = 8;
    let mut ready = Vec::new();
    for writer in 0..WRITERS {
        let log = open();
        let event = next(&*log, &format!("writer {writer}")).await;
        ready.push((log, event));
    }
    let mut writers = JoinSet::new();
    for (log, event) in ready {
        writers.spawn(async move { log.append(&event).await.map(|()| event) });
    }
    let results = writers.join_all().await;
    let as_expected = |result: &Result<_, _>| matches!(result, Ok(_) | Err(AppendError::Taken { .. }));
    assert!(results.iter().all(as_expected), "{results:?}");
    let won: Vec<Event> = results.into_iter().flatten().collect();
    assert_eq!(won.len(), 1, "one place has one event");
    assert_eq!(all(&*open()).await.last(), won.first());
}

async fn many_writers_make_one_chain(open: &impl Fn() -> Arc<dyn RegistryStore>) {
    const WRITERS: usize = 4;
    const EACH: usize = 8;
    let before = all(&*open()).await.len();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let log = open();
        writers.spawn(async move {
            let mut won = Vec::new();
            while won.len() < EACH {
                let event = next(&*log, &format!("writer {writer}")).await;
                match log.append(&event).await {
                    Ok(()) => won.push(event),
                    Err(AppendError::Taken { .. }) => tokio::task::yield_now().await,
                    Err(why) => return Err(why),
                }
            }
            Ok(won)
        });
    }
    let log = all(&*open()).await;
    assert_chain(&log);
    let mut acknowledged = Vec::new();
    for won in writers.join_all().await {
        acknowledged.extend(won.expect("every writer gets its turns"));
    }
    acknowledged.sort_by_key(|event| event.seq);
    let log = all(&*open()).await;
    assert_chain(&log);
    assert_eq!(log[before..], acknowledged, "what was acknowledged is there, once, and nothing else");
}

async fn a_long_log_is_read_in_pages(log: &dyn RegistryStore) {
    const MORE: usize = PAGE + 7;
    let mut last = all(log).await.pop().expect("there are events");
    for _ in 0..MORE {
        let next = event(last.seq.next(), last.hash, "ann");
        log.append(&next).await.expect("the next event");
        last = next;
    }
    let events = all(log).await;
    assert!(events.len() > PAGE);
    assert_chain(&events);
    for n_max in [1, 5, PAGE] {
        let page = log.read_page(Seq(3), n_max).await.expect("a page");
        let places: Vec<u64> = page.iter().map(|stored| stored.seq.0).collect();
        assert_eq!(places, (4..).take(n_max).collect::<Vec<u64>>(), "as many as were asked for, from there on");
        let texts = page.iter().map(|stored| stored.text.as_slice());
        assert!(texts.eq(events[3..].iter().take(n_max).map(|event| event.json().as_bytes())), "byte for byte");
    }
    let rest = log.read_page(Seq(last.seq.0 - 2), PAGE).await.expect("the last page");
    assert_eq!(rest.len(), 2);
}

/// Appends whose callers went away, at every stage that they come to: the event is there or it is not, and the next writer
/// goes on.
async fn an_append_that_is_given_up_leaves_a_whole_number_of_events(open: &impl Fn() -> Arc<dyn RegistryStore>) {
    let log = open();
    for polls in 0..12_u32 {
        let before = all(&*log).await;
        let last = before.last().expect("there are events");
        let next = event(last.seq.next(), last.hash, "gone");
        let mut left = polls;
        let mut appending = log.append(&next);
        // Polled as often as the round says, then dropped.
        std::future::poll_fn(|task| {
            let done = appending.as_mut().poll(task).is_ready();
            left = left.saturating_sub(1);
            if done || left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        drop(appending);
        // What was given up may still be written a moment later; whoever follows either comes after it or is told.
        let mut attempts = 0;
        let won = loop {
            let last = all(&*log).await.pop().expect("there are events");
            let next = event(last.seq.next(), last.hash, "after");
            match log.append(&next).await {
                Ok(()) => break next,
                Err(AppendError::Taken { .. }) if attempts < 100 => attempts += 1,
                Err(why) => assert!(attempts < 100, "{why}"),
            }
        };
        let after = all(&*log).await;
        assert_chain(&after);
        assert_eq!(after[..before.len()], before);
        let added: Vec<&Event> = after[before.len()..].iter().collect();
        assert!(
            added == [&won] || added == [&next, &won],
            "the event that was given up is there once, or not: {added:?}"
        );
    }
}

/// A snapshot is bytes to a store. Of two that are written at once one is there afterwards, whole.
async fn a_snapshot_is_kept_whole_and_the_last_one_counts(open: &impl Fn() -> Arc<dyn RegistryStore>) {
    let (log, other) = (open(), open());
    let before = all(&*log).await;
    assert_eq!(log.read_snapshot().await.expect("there is none"), None);
    for length in [1, 3 << 20, 17] {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        log.write_snapshot(&bytes).await.expect("a snapshot");
        for handle in [&log, &other] {
            assert_eq!(handle.read_snapshot().await.expect("the snapshot").as_ref(), Some(&bytes), "{length} bytes");
        }
    }
    let mut writers = JoinSet::new();
    for writer in 0..8_u8 {
        let log = open();
        writers.spawn(async move { log.write_snapshot(&vec![writer; 1 << 20]).await });
    }
    for done in writers.join_all().await {
        done.expect("a snapshot that is written at the same time");
    }
    let kept = other.read_snapshot().await.expect("the snapshot").expect("it was there before");
    assert_eq!(kept, vec![kept[0]; 1 << 20]);
    assert_eq!(all(&*other).await, before, "no event of it");
}

/// No bytes stay, whoever writes a snapshot meanwhile or afterwards: a process that has not seen yet that the log is wrong.
async fn what_was_given_up_stays_given_up(open: &impl Fn() -> Arc<dyn RegistryStore>) {
    let mut writers = JoinSet::new();
    for writer in 0..8_u8 {
        let log = open();
        // One of them gives it up, at the same time as the others write.
        writers.spawn(async move { log.write_snapshot(&vec![writer; if writer == 3 { 0 } else { 1 << 20 }]).await });
    }
    for done in writers.join_all().await {
        done.expect("a snapshot that is written at the same time");
    }
    for log in [open(), open()] {
        assert!(is_given_up(&*log).await);
        log.write_snapshot(b"of another process").await.expect("nothing to keep");
        assert!(is_given_up(&*log).await);
    }
}

async fn is_given_up(log: &dyn RegistryStore) -> bool {
    log.read_snapshot().await.expect("it is read").is_some_and(|bytes| bytes.is_empty())
}

fn assert_chain(log: &[Event]) {
    let mut head = Fingerprint::of_bytes(b"");
    for (place, event) in (1..).zip(log) {
        assert_eq!((event.seq, event.previous), (Seq(place), head));
        head = event.hash;
    }
}

async fn all(log: &dyn RegistryStore) -> Vec<Event> {
    log.read_after(Seq::START).await.expect("the log is read")
}

/// An event that may be appended now.
async fn next(log: &dyn RegistryStore, actor: &str) -> Event {
    let last = all(log).await.pop();
    let (seq, head) = last.map_or((Seq::START, Fingerprint::of_bytes(b"")), |event| (event.seq, event.hash));
    event(seq.next(), head, actor)
}

fn event(seq: Seq, previous: Fingerprint, actor: &str) -> Event {
    let model = ModelName::new("churn").expect("this is a name");
    let evidence = serde_json::json!({ "distance": 0.1, "row": { "user": "käse", "at": [1, -2.5e-7, null] } });
    let body = EventBody::PromotionRefused { model, version: 1, to: Stage::Production, alias: None, evidence };
    Event::new(seq, Timestamp::EPOCH, actor, previous, body).expect("this event can be written")
}
