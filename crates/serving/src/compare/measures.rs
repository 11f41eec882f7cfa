//! How far two sides are apart, beyond how often: quantiles of numbers and of their difference, lengths and edits of lists
//! (point in time, section 8).

use schema::Value;
use schema::sampling::{QUANTILES, mix, rank};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Pairs kept at most; at least half of it once there were more.
const KEPT: usize = 8_192;
/// Two lists whose lengths multiply to more are not aligned entry by entry.
const ALIGNED: usize = 4_000_000;

/// A uniform sample of pairs, offline and online: those whose number has a small hash, so it depends on no value.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    n: u64,
    level: u32,
    kept: Vec<(u64, f64, f64)>,
}

/// Numbers of both sides: quantiles of offline, of online, and of online less offline.
#[derive(Debug, Clone, Default)]
pub struct Numbers(Pairs);

/// Lists of both sides.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    lengths: Pairs,
    /// Entries that online has and offline has not.
    inserted: u64,
    /// Entries that offline has and online has not.
    deleted: u64,
}

struct Quantiles(Vec<f64>);

impl Pairs {
    fn add(&mut self, offline: f64, online: f64) {
        let hash = mix(self.n);
        self.n += 1;
        if hash.leading_zeros() >= self.level {
            self.kept.push((hash, offline, online));
            self.bound();
        }
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.level = self.level.max(other.level);
        self.kept.extend_from_slice(&other.kept);
        self.kept.retain(|(hash, ..)| hash.leading_zeros() >= self.level);
        self.bound();
    }

    fn bound(&mut self) {
        while self.kept.len() > KEPT {
            self.level += 1;
            self.kept.retain(|(hash, ..)| hash.leading_zeros() >= self.level);
        }
    }

    fn quantiles(&self, of: impl Fn(f64, f64) -> f64) -> Quantiles {
        let mut values: Vec<f64> = self.kept.iter().map(|(_, offline, online)| of(*offline, *online)).collect();
        values.retain(|value| !value.is_nan());
        values.sort_unstable_by(f64::total_cmp);
        Quantiles(values)
    }

    fn how(&self) -> String {
        match self.level {
            0 => "exact".to_owned(),
            _ => format!("uniform sample of {} of {} rows", self.kept.len(), self.n),
        }
    }
}

impl Numbers {
    pub(super) fn add(&mut self, offline: f64, online: f64) {
        self.0.add(offline, online);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// Whether no row had a number on both sides.
    pub fn is_empty(&self) -> bool {
        self.0.n == 0
    }
}

impl Lists {
    pub(super) fn add(&mut self, offline: &[Value], online: &[Value]) {
        #[expect(clippy::cast_precision_loss, reason = "lists are shorter than 2^53")]
        self.lengths.add(offline.len() as f64, online.len() as f64);
        let common = common(offline, online);
        self.inserted += (online.len() - common) as u64;
        self.deleted += (offline.len() - common) as u64;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.lengths.merge(&other.lengths);
        self.inserted += other.inserted;
        self.deleted += other.deleted;
    }

    /// Whether no row had a list on both sides.
    pub fn is_empty(&self) -> bool {
        self.lengths.n == 0
    }
}

/// Entries that two lists have in common in the same order, as many as there can be.
fn common(a: &[Value], b: &[Value]) -> usize {
    let same = |(a, b): &(&Value, &Value)| a == b;
    let head = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    if a.len().saturating_mul(b.len()) > ALIGNED {
        return head + tail;
    }
    let mut best = vec![0_usize; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = best[j + 1];
            best[j + 1] = if x == y { diagonal + 1 } else { above.max(best[j]) };
            diagonal = above;
        }
    }
    head + best[b.len()] + tail
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        if let Some(last) = self.0.len().checked_sub(1) {
            let mut tell = |name: &str, at: usize| match self.0[at] {
                value if value.is_finite() => map.serialize_entry(name, &value),
                value => map.serialize_entry(name, &value.to_string()),
            };
            tell("min", 0)?;
            for (name, share) in QUANTILES {
                tell(name, rank(share, self.0.len()))?;
            }
            tell("max", last)?;
        }
        map.end()
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(4))?;
        map.serialize_entry("offline", &self.0.quantiles(|offline, _| offline))?;
        map.serialize_entry("online", &self.0.quantiles(|_, online| online))?;
        map.serialize_entry("difference", &self.0.quantiles(|offline, online| online - offline))?;
        map.serialize_entry("how", &self.0.how())?;
        map.end()
    }
}

impl Serialize for Lists {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(5))?;
        map.serialize_entry("offline_lengths", &self.lengths.quantiles(|offline, _| offline))?;
        map.serialize_entry("online_lengths", &self.lengths.quantiles(|_, online| online))?;
        map.serialize_entry("inserted", &self.inserted)?;
        map.serialize_entry("deleted", &self.deleted)?;
        map.serialize_entry("how", &self.lengths.how())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn values(of: &[i64]) -> Vec<Value> {
        of.iter().map(|v| Value::Int(*v)).collect()
    }

    #[test]
    fn quantiles_are_of_each_side_and_of_online_less_offline() {
        let mut numbers = Numbers::default();
        for i in 1..=100 {
            numbers.add(f64::from(i), f64::from(i) + if i > 95 { 10.0 } else { 0.0 });
        }
        let told = json!(numbers);
        assert_eq!((&told["offline"]["p50"], &told["online"]["max"]), (&json!(50.0), &json!(110.0)));
        let difference = &told["difference"];
        let of = |name: &str| difference[name].clone();
        assert_eq!(["min", "p50", "p95", "p99", "max"].map(of), [0.0, 0.0, 0.0, 10.0, 10.0].map(Json::from));
        assert_eq!(told["how"], "exact");
    }

    #[test]
    fn many_rows_are_sampled_alike_whether_they_come_at_once_or_in_parts() {
        let mut whole = Numbers::default();
        let mut parts = Numbers::default();
        for part in 0..10 {
            let mut numbers = Numbers::default();
            for i in 0..5_000 {
                let x = f64::from(part * 5_000 + i);
                numbers.add(x, x + 1.0);
                whole.add(x, x + 1.0);
            }
            parts.merge(&numbers);
        }
        for told in [json!(whole), json!(parts)] {
            let median = told["offline"]["p50"].as_f64().unwrap();
            assert!((median - 25_000.0).abs() < 2_500.0, "{told}");
            assert_eq!(told["difference"]["min"], 1.0);
            assert!(told["how"].as_str().unwrap().ends_with("of 50000 rows"), "{told}");
        }
        assert!(whole.0.kept.len() <= KEPT && parts.0.kept.len() <= KEPT);
    }

    #[test]
    fn edits_of_lists_are_told_apart() {
        for (offline, online, inserted, deleted) in [
            (&[1, 2, 3][..], &[1, 2, 3][..], 0, 0),
            (&[1, 2, 3], &[1, 3], 0, 1),
            (&[1, 3], &[1, 2, 3], 1, 0),
            (&[1, 2, 3, 4], &[2, 3, 9, 4], 1, 1),
            (&[1, 2], &[2, 1], 1, 1),
            (&[], &[5, 5], 2, 0),
        ] {
            let mut lists = Lists::default();
            lists.add(&values(offline), &values(online));
            assert_eq!((lists.inserted, lists.deleted), (inserted, deleted), "{offline:?} {online:?}");
        }
    }

    /// All subsequences, tried one by one.
    fn common_slowly(a: &[i64], b: &[i64]) -> usize {
        let chosen = |mask: u32| a.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == 1).map(|(_, v)| *v);
        let within = |mask: u32| {
            let mut rest = b.iter();
            chosen(mask).all(|v| rest.any(|w| *w == v))
        };
        (0..1_u32 << a.len()).filter(|mask| within(*mask)).map(|mask| mask.count_ones() as usize).max().unwrap()
    }

    proptest! {
        #[test]
        fn the_longest_common_subsequence_is_the_longest(
            a in prop::collection::vec(0_i64..4, 0..8), b in prop::collection::vec(0_i64..4, 0..8),
        ) {
            prop_assert_eq!(common(&values(&a), &values(&b)), common_slowly(&a, &b));
        }
    }
}
