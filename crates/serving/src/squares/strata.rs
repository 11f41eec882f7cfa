//! Sampled rows told apart by a feature or a key, each part sampled and judged by itself (natural transformations, section 9):
//! what is wrong for few must not be lost among many.

use std::collections::BTreeMap;
use std::sync::Arc;

use featurestore::CompiledService;
use serde::Serialize;

use super::probe_set::Gathered;
use super::rows::{Beside, Sort};
use super::segments;
use super::statistics::{count, upper_bound};

/// Rows of a stratum that is named and judged alone: of fewer the bound says nothing (none of 29 off: below 10 %), and a value
/// that few rows have may be somebody.
const ROWS_MIN: usize = 30;
/// What strata with fewer rows are judged as, together; with all rows, where they are fewer even so.
const OTHERS: &str = "(others)";
/// What rows are judged as whose service version has neither such a feature nor such a key.
const UNKNOWN: &str = "(unknown)";

/// The stratum of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StratumOf {
    /// `country=FR`.
    pub name: String,
    /// Whether it names the key of somebody.
    pub is_key: bool,
}

/// What was found of the sampled rows of one stratum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stratum {
    /// Which: `country=FR`.
    pub name: String,
    /// Whether it names the key of somebody.
    #[serde(skip)]
    pub is_key: bool,
    /// Compared.
    pub rows: usize,
    /// Beyond the tolerance.
    pub off: usize,
    /// The share that is.
    pub share: f64,
    /// The share among rows like these is below this with 95 % confidence.
    pub upper_bound: Option<f64>,
    /// Whether the share is allowed.
    pub passed: bool,
}

/// The value of each row by which rows are told apart, and whether it is of a key; `None` where the service has neither such a
/// feature nor such a key.
fn values(service: &CompiledService, gathered: &Gathered, by: &str) -> Option<(Vec<String>, bool)> {
    if let Some(values) = segments::of_feature(service, &gathered.rows.columns, by) {
        return Some((values, false));
    }
    let column = gathered.keys.get(by)?;
    Some((segments::named(column, service.is_personal_input(by)), true))
}

/// Whether the rows of a service can be told apart by this.
pub(crate) fn is_known(service: &CompiledService, by: &str) -> bool {
    let is_feature = service.service.columns.iter().any(|column| column.name.as_str() == by);
    is_feature || service.keys().iter().any(|key| key.name.as_str() == by)
}

/// Says of each sampled row which stratum it is of.
pub(crate) fn assign(service: &CompiledService, gathered: &mut Gathered, by: &str) {
    let Some((values, is_key)) = values(service, gathered, by) else { return };
    let mut known: BTreeMap<&String, Arc<Beside>> = BTreeMap::new();
    for ((value, sort), beside) in values.iter().zip(&gathered.rows.sorts).zip(&mut gathered.rows.beside) {
        if *sort == Sort::Sampled {
            let made = known.entry(value).or_insert_with(|| {
                let stratum = Some(StratumOf { name: format!("{by}={value}"), is_key });
                Arc::new(Beside { stratum, ..Beside::default() })
            });
            *beside = Some(Arc::clone(made));
        }
    }
}

/// Which of the rows are taken, at most so many: of each stratum the first ones, as many of each as there are and room is.
pub(crate) fn pick(service: &CompiledService, gathered: &Gathered, by: &str, most: usize) -> Vec<usize> {
    let n = gathered.rows.len();
    let Some((values, _)) = values(service, gathered, by) else { return (0..n.min(most)).collect() };
    pick_of(&values, most)
}

fn pick_of(values: &[String], most: usize) -> Vec<usize> {
    let sizes = segments::by_size(values.iter());
    let room = allot(&sizes.iter().map(|(_, n)| *n).collect::<Vec<_>>(), most);
    let mut left: BTreeMap<&String, usize> = sizes.iter().map(|(value, _)| *value).zip(room).collect();
    let mut take = |row: &usize| {
        let left = left.entry(&values[*row]).or_default();
        let is_taken = *left > 0;
        *left = left.saturating_sub(1);
        is_taken
    };
    (0..values.len()).filter(|row| take(row)).collect()
}

/// How many rows each stratum gives, of at most `most` in all: all of those that have less than an equal share, whose rest is
/// shared among the others. `sizes` is largest first, and of rows that are left over the first ones have one more.
fn allot(sizes: &[usize], most: usize) -> Vec<usize> {
    let mut room = vec![0; sizes.len()];
    let mut left = most;
    // Smallest first: what one does not need is there for those that follow.
    for at in (0..sizes.len()).rev() {
        room[at] = sizes[at].min(left / (at + 1));
        left -= room[at];
    }
    room
}

/// The strata of the rows that are sampled, of which `off` says whether each is beyond its tolerance. None where no row has one.
pub(super) fn strata(off: &[bool], sorts: &[Sort], beside: &[Option<Arc<Beside>>], allowed: f64) -> Vec<Stratum> {
    let stratum = |row: usize| beside.get(row).and_then(|beside| beside.as_ref()?.stratum.as_ref());
    let sampled: Vec<usize> = (0..off.len()).filter(|row| sorts[*row] == Sort::Sampled).collect();
    if sampled.iter().all(|row| stratum(*row).is_none()) {
        return Vec::new();
    }
    let mut tallies: BTreeMap<StratumOf, (usize, usize)> = BTreeMap::new();
    for row in sampled {
        let unknown = || StratumOf { name: UNKNOWN.to_owned(), is_key: false };
        let tally = tallies.entry(stratum(row).cloned().unwrap_or_else(unknown)).or_default();
        tally.0 += 1;
        tally.1 += usize::from(off[row]);
    }
    let (named, small): (Vec<_>, Vec<_>) = tallies.into_iter().partition(|(_, (rows, _))| *rows >= ROWS_MIN);
    let judged = |(of, (rows, off)): (StratumOf, (usize, usize))| {
        let share = count(off) / count(rows);
        let StratumOf { name, is_key } = of;
        Stratum { name, is_key, rows, off, share, upper_bound: upper_bound(off, rows), passed: share <= allowed }
    };
    let total = count(off.iter().zip(sorts).filter(|(off, sort)| **off && **sort == Sort::Sampled).count());
    let total = total / count(sorts.iter().filter(|sort| **sort == Sort::Sampled).count());
    let mut all: Vec<Stratum> = named.into_iter().map(judged).collect();
    let others = small.iter().fold((0, 0), |sum, (_, (rows, off))| (sum.0 + rows, sum.1 + off));
    if others.0 > 0 {
        let mut together = judged((StratumOf { name: OTHERS.to_owned(), is_key: false }, others));
        // So few are not judged alone either: they count as a part of all.
        together.passed |= others.0 < ROWS_MIN && total <= allowed;
        all.push(together);
    }
    all
}

/// Whether a row is of a stratum that is not allowed what it is off.
pub(super) fn is_refused(strata: &[Stratum], beside: Option<&Arc<Beside>>) -> bool {
    let name = beside.and_then(|beside| beside.stratum.as_ref()).map_or(UNKNOWN, |stratum| stratum.name.as_str());
    let named = |name: &str| strata.iter().find(|stratum| stratum.name == name);
    named(name).or_else(|| named(OTHERS)).is_some_and(|stratum| !stratum.passed)
}

/// Takes the keys out of the names: the registry's log has nobody's.
pub(crate) fn forget_keys(strata: &mut [Stratum]) {
    for (at, stratum) in strata.iter_mut().filter(|stratum| stratum.is_key).enumerate() {
        let by = stratum.name.split('=').next().unwrap_or_default();
        stratum.name = format!("{by} {}", at + 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_strata_give_all_that_they_have() {
        assert_eq!(allot(&[1000, 500, 20, 3], 100), [39, 38, 20, 3]);
        assert_eq!(allot(&[10, 5], 100), [10, 5]);
        assert_eq!(allot(&[7, 7, 7], 10), [4, 3, 3]);
        assert!(allot(&[], 10).is_empty());
    }

    proptest! {
        /// As many rows as there is room for, and nobody has less than another unless it gives all that it has.
        #[test]
        fn room_is_shared_evenly(mut sizes in prop::collection::vec(1..200_usize, 0..12), most in 0..600_usize) {
            sizes.sort_by(|a, b| b.cmp(a));
            let room = allot(&sizes, most);
            prop_assert_eq!(room.iter().sum::<usize>(), most.min(sizes.iter().sum()));
            let greatest = room.iter().max().copied().unwrap_or(0);
            for (size, room) in sizes.iter().zip(&room) {
                prop_assert!(room == size || room + 1 >= greatest, "{} of {} where {} is the most", room, size, greatest);
            }
        }
    }

    #[test]
    fn of_each_stratum_the_first_rows_are_taken() {
        let values: Vec<String> = "aaabaaac".chars().map(String::from).collect();
        assert_eq!(pick_of(&values, 4), [0, 1, 3, 7]);
    }

    /// Rows of strata, some of them off: `(stratum, rows, off)`.
    fn found(of: &[(&str, usize, usize)], allowed: f64) -> Vec<Stratum> {
        let (mut off, mut beside) = (Vec::new(), Vec::new());
        for (name, rows, n_off) in of {
            let stratum = Some(StratumOf { name: (*name).to_owned(), is_key: name.starts_with("user") });
            let known = Arc::new(Beside { stratum, ..Beside::default() });
            off.extend((0..*rows).map(|row| row < *n_off));
            beside.extend((0..*rows).map(|_| (!name.is_empty()).then(|| Arc::clone(&known))));
        }
        strata(&off, &vec![Sort::Sampled; off.len()], &beside, allowed)
    }

    fn said(all: &[Stratum]) -> Vec<(&str, usize, usize, bool)> {
        all.iter().map(|stratum| (stratum.name.as_str(), stratum.rows, stratum.off, stratum.passed)).collect()
    }

    #[test]
    fn each_stratum_is_judged_by_itself_with_a_bound_of_its_own() {
        let all = found(&[("c=FR", 970, 0), ("c=NL", 30, 6)], 0.01);
        assert_eq!(said(&all), [("c=FR", 970, 0, true), ("c=NL", 30, 6, false)]);
        assert_eq!(
            all.iter().map(|stratum| stratum.upper_bound).collect::<Vec<_>>(),
            [upper_bound(0, 970), upper_bound(6, 30)]
        );
    }

    #[test]
    fn what_few_rows_have_is_judged_together_and_not_named() {
        let all = found(&[("c=FR", 30, 1), ("c=LI", 29, 1), ("c=VA", 2, 1), ("", 40, 0)], 0.1);
        assert_eq!(said(&all), [("(unknown)", 40, 0, true), ("c=FR", 30, 1, true), ("(others)", 31, 2, true)]);
        // Of fewer still one that is off refuses nothing by itself.
        let few = found(&[("c=FR", 2000, 0), ("c=LI", 1, 1)], 0.01);
        assert_eq!(said(&few), [("c=FR", 2000, 0, true), ("(others)", 1, 1, true)]);
        assert!(!found(&[("c=FR", 40, 0), ("c=LI", 9, 9)], 0.01)[1].passed);
        // Where no row has a stratum there is none.
        assert!(found(&[("", 40, 3)], 0.1).is_empty());
    }

    #[test]
    fn nobodys_key_goes_into_the_log() {
        let mut all = found(&[("country=FR", 30, 1), ("user_id=42", 30, 1), ("user_id=7", 30, 1)], 0.1);
        forget_keys(&mut all);
        let names: Vec<&str> = all.iter().map(|stratum| stratum.name.as_str()).collect();
        assert_eq!(names, ["country=FR", "user_id 1", "user_id 2"]);
    }
}
