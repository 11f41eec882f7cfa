//! Parts of a row as text, the same in both stores.

use super::{Subscription, Topic};
use crate::seq::Seq;

/// `model_version.created@12 model_version_tag.set@3`
pub(super) fn topics_to_text(topics: &[Subscription]) -> String {
    let words: Vec<String> = topics.iter().map(|one| format!("{}@{}", one.topic, one.since)).collect();
    words.join(" ")
}

/// Reads what [`topics_to_text`] wrote.
pub(super) fn topics_of_text(text: &str) -> Option<Vec<Subscription>> {
    let one = |word: &str| {
        let (topic, since) = word.split_once('@')?;
        Some(Subscription { topic: Topic::parse(topic)?, since: Seq(since.parse().ok()?) })
    };
    text.split_whitespace().map(one).collect()
}

/// No log has more events than a store has numbers.
pub(super) fn number(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// The place in the log that [`number`] wrote.
pub(super) fn seq(number: i64) -> Option<Seq> {
    u64::try_from(number).ok().map(Seq)
}
