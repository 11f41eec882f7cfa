//! Keys by number, from zero in the order in which they are met, each kept once.
//!
//! Files often come in the order of their keys. Numbers keep that order, so that [`in_order`] finds most of its work done.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use schema::EntityKey;

/// Keys that have numbers.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// By number.
    keys: Vec<EntityKey>,
}

impl Numbered {
    /// The number of a key; the next one if it is new.
    pub(super) fn number_of(&mut self, key: &[u8]) -> u32 {
        let Self { numbers, hasher, keys } = self;
        let bytes = |number: u32| keys[number as usize].as_bytes();
        let hash = hasher.hash_one(key);
        match numbers.entry(hash, |number| bytes(*number) == key, |number| hasher.hash_one(bytes(*number))) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let next = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                place.insert(next);
                keys.push(EntityKey::from_bytes(key));
                next
            }
        }
    }

    /// The keys, by number.
    pub(super) fn into_keys(self) -> Vec<EntityKey> {
        self.keys
    }
}

/// The numbers of keys in the order of these.
pub(super) fn in_order(keys: &[EntityKey]) -> Vec<u32> {
    // Most keys differ in what is compared in place: without it every comparison would fetch two of them.
    let mut heads: Vec<(u128, u32)> = keys.iter().map(head).zip(0..).collect();
    let whole = |number: u32| keys[number as usize].as_bytes();
    heads.sort_unstable_by(|(a, i), (b, j)| a.cmp(b).then_with(|| whole(*i).cmp(whole(*j))));
    heads.into_iter().map(|(_, number)| number).collect()
}

/// The first bytes, with zeros behind what is shorter: never greater than the head of a greater key.
fn head(key: &EntityKey) -> u128 {
    let mut head = [0; 16];
    let n = key.as_bytes().len().min(head.len());
    head[..n].copy_from_slice(&key.as_bytes()[..n]);
    u128::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_the_number_of_its_first_time() {
        let mut numbered = Numbered::default();
        let met: Vec<u32> = ["b", "a", "b", "", "a"].iter().map(|key| numbered.number_of(key.as_bytes())).collect();
        assert_eq!(met, [0, 1, 0, 2, 1]);
        assert_eq!(numbered.into_keys(), ["b", "a", ""].map(|key| EntityKey::from_bytes(key.as_bytes())));
    }

    proptest! {
        /// Also where keys are the same for long, end early, or end with zeros.
        #[test]
        fn their_order_is_that_of_their_bytes(
            keys in prop::collection::hash_set(prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..20), 0..40),
            shared in prop_oneof![Just(Vec::new()), Just(vec![7_u8; 15])],
        ) {
            let keys: Vec<EntityKey> = keys.iter().map(|key| EntityKey::from_bytes(&[&shared[..], key].concat())).collect();
            let found: Vec<&EntityKey> = in_order(&keys).into_iter().map(|number| &keys[number as usize]).collect();
            let mut sorted: Vec<&EntityKey> = keys.iter().collect();
            sorted.sort();
            prop_assert_eq!(found, sorted);
        }
    }
}
