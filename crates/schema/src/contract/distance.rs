//! How far two answers are apart, whether they stand as the contract says, and whether one is of its range.

use super::{Answer, OutputContract, OutputKind, Relation};

impl OutputContract {
    /// How far `new` is from `old`: of probabilities the largest absolute difference, classes matched by name (one that is
    /// on one side only has probability 0 on the other); of labels 0 or 1; of amounts relative to the greater; of scores
    /// absolute. NaN agrees with NaN, an infinity with itself, an error with an error of its kind; all else is infinitely
    /// far apart.
    pub fn distance(&self, old: &Answer, new: &Answer) -> f64 {
        match (old, new) {
            (Answer::Failed(a), Answer::Failed(b)) if a == b => 0.0,
            (Answer::Labels(a), Answer::Labels(b)) => f64::from(u8::from(a != b)),
            (Answer::Numbers(a), Answer::Numbers(b)) if a.len() == b.len() => {
                let apart = |(a, b): (&f64, &f64)| match self.is {
                    OutputKind::Amount => relative(*a, *b),
                    _ => absolute(*a, *b),
                };
                a.iter().zip(b).map(apart).fold(0.0, f64::max)
            }
            (Answer::Probabilities(a), Answer::Probabilities(b)) => {
                let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
                let of = |side: &std::collections::BTreeMap<String, f64>, name| side.get(name).copied().unwrap_or(0.0);
                names.map(|name| absolute(of(a, name), of(b, name))).fold(0.0, f64::max)
            }
            _ => f64::INFINITY,
        }
    }

    /// Whether `new` stands to `old` as the contract says, within `tolerance`.
    pub fn holds(&self, old: &Answer, new: &Answer, tolerance: f64) -> bool {
        if self.distance(old, new) <= tolerance {
            return true;
        }
        match &self.relation {
            Relation::Within => false,
            Relation::SameDecision { threshold, class } => {
                let side = |answer: &Answer| decisive(answer, class.as_deref()).map(|value| value >= *threshold);
                side(old).is_some() && side(old) == side(new)
            }
            Relation::NeverLower => match (old, new) {
                (Answer::Numbers(a), Answer::Numbers(b)) if a.len() == b.len() => {
                    // NaN is not lower than anything, nor is anything not lower than it.
                    a.iter().zip(b).all(|(a, b)| absolute(*a, *b) <= tolerance || *b >= *a)
                }
                _ => false,
            },
        }
    }

    /// Why an answer is none that the contract allows: a value outside its range, a class that is not declared.
    pub fn outside(&self, answer: &Answer) -> Option<String> {
        let of_range = |value: f64| match self.range {
            Some((low, high)) if !(low..=high).contains(&value) => {
                Some(format!("{value} is not between {low} and {high}"))
            }
            _ => None,
        };
        match (answer, &self.is) {
            (Answer::Numbers(values), _) => values.iter().find_map(|value| of_range(*value)),
            (Answer::Probabilities(classes), _) => classes.values().find_map(|value| of_range(*value)),
            (Answer::Labels(labels), OutputKind::Label { classes }) if !classes.is_empty() => labels
                .iter()
                .find(|label| !classes.contains(label))
                .map(|label| format!("`{}` is not one of the classes {}", label.escape_debug(), classes.join(", "))),
            (Answer::Labels(_) | Answer::Failed(_), _) => None,
        }
    }
}

/// The number on which a decision is taken.
fn decisive(answer: &Answer, class: Option<&str>) -> Option<f64> {
    let value = match answer {
        Answer::Numbers(values) => *values.first()?,
        Answer::Probabilities(classes) => *classes.get(class?)?,
        Answer::Labels(_) | Answer::Failed(_) => return None,
    };
    (!value.is_nan()).then_some(value)
}

fn absolute(a: f64, b: f64) -> f64 {
    if a.is_nan() && b.is_nan() {
        return 0.0;
    }
    // An infinity is where it is: no distance from itself, and infinitely far from the rest.
    if a.is_infinite() && a.total_cmp(&b).is_eq() {
        return 0.0;
    }
    let apart = (a - b).abs();
    if apart.is_nan() { f64::INFINITY } else { apart }
}

fn relative(a: f64, b: f64) -> f64 {
    let apart = absolute(a, b);
    if apart == 0.0 || !apart.is_finite() {
        return apart;
    }
    apart / a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> Answer {
        Answer::Numbers(values.to_vec())
    }

    fn classes(of: &[(&str, f64)]) -> Answer {
        Answer::Probabilities(of.iter().map(|(name, p)| ((*name).to_owned(), *p)).collect())
    }

    fn labels(of: &[&str]) -> Answer {
        Answer::Labels(of.iter().map(|name| (*name).to_owned()).collect())
    }

    fn failed(kind: &str) -> Answer {
        Answer::Failed(kind.to_owned())
    }

    #[track_caller]
    fn apart(is: OutputKind, old: &Answer, new: &Answer, want: f64) {
        let contract = OutputContract::of(is);
        for (a, b) in [(old, new), (new, old)] {
            let got = contract.distance(a, b);
            assert!(got.total_cmp(&want).is_eq() || (got - want).abs() < 1e-12, "{a:?} and {b:?}: {got}, not {want}");
        }
    }

    #[test]
    fn every_kind_has_its_distance() {
        let inf = f64::INFINITY;
        let probabilities = || OutputKind::Probabilities { classes: vec!["a".to_owned(), "b".to_owned()] };
        apart(OutputKind::Score, &numbers(&[1.0, 2.0]), &numbers(&[1.5, 1.0]), 1.0);
        apart(OutputKind::Score, &numbers(&[f64::NAN]), &numbers(&[f64::NAN]), 0.0);
        apart(OutputKind::Score, &numbers(&[f64::NAN]), &numbers(&[0.0]), inf);
        apart(OutputKind::Score, &numbers(&[inf]), &numbers(&[inf]), 0.0);
        apart(OutputKind::Score, &numbers(&[inf]), &numbers(&[-inf]), inf);
        apart(OutputKind::Score, &numbers(&[0.0]), &numbers(&[-0.0]), 0.0);
        apart(OutputKind::Score, &numbers(&[0.0]), &numbers(&[0.0, 0.0]), inf);
        apart(OutputKind::Amount, &numbers(&[100.0]), &numbers(&[80.0]), 0.2);
        apart(OutputKind::Amount, &numbers(&[0.0]), &numbers(&[0.0]), 0.0);
        apart(OutputKind::Amount, &numbers(&[-5.0]), &numbers(&[5.0]), 2.0);
        apart(OutputKind::Label { classes: vec![] }, &labels(&["x"]), &labels(&["x"]), 0.0);
        apart(OutputKind::Label { classes: vec![] }, &labels(&["x"]), &labels(&["y"]), 1.0);
        apart(probabilities(), &classes(&[("a", 0.2), ("b", 0.8)]), &classes(&[("b", 0.7), ("a", 0.3)]), 0.1);
        // Swapped labels: as far apart as they can be.
        apart(probabilities(), &classes(&[("a", 0.1), ("b", 0.9)]), &classes(&[("a", 0.9), ("b", 0.1)]), 0.8);
        apart(probabilities(), &classes(&[("a", 1.0)]), &classes(&[("a", 0.6), ("c", 0.4)]), 0.4);
        apart(OutputKind::Score, &failed("Invalid"), &failed("Invalid"), 0.0);
        apart(OutputKind::Score, &failed("Invalid"), &failed("Internal"), inf);
        apart(OutputKind::Score, &failed("Invalid"), &numbers(&[0.0]), inf);
    }

    #[test]
    fn relations_are_what_they_say() {
        let with = |relation| OutputContract { relation, ..OutputContract::of(OutputKind::Score) };
        let holds = |of: &OutputContract, old: f64, new: f64| of.holds(&numbers(&[old]), &numbers(&[new]), 0.01);
        let never_lower = with(Relation::NeverLower);
        assert!(holds(&never_lower, 0.5, 0.9) && holds(&never_lower, 0.5, 0.495) && !holds(&never_lower, 0.5, 0.4));
        assert!(!holds(&never_lower, 0.5, f64::NAN) && !holds(&never_lower, f64::NAN, 0.5));
        let decision = with(Relation::SameDecision { threshold: 0.5, class: None });
        assert!(holds(&decision, 0.6, 0.99) && holds(&decision, 0.499, 0.501) && !holds(&decision, 0.4, 0.6));
        assert!(!holds(&decision, 0.6, f64::NAN));
        let relation = Relation::SameDecision { threshold: 0.5, class: Some("b".to_owned()) };
        let is = OutputKind::Probabilities { classes: vec!["a".to_owned(), "b".to_owned()] };
        let of_class = OutputContract { relation, ..OutputContract::of(is) };
        assert!(of_class.holds(&classes(&[("a", 0.4), ("b", 0.6)]), &classes(&[("a", 0.1), ("b", 0.9)]), 0.01));
        assert!(!of_class.holds(&classes(&[("a", 0.4), ("b", 0.6)]), &classes(&[("a", 0.6), ("b", 0.4)]), 0.01));
    }

    #[test]
    fn what_the_contract_does_not_allow_is_named() {
        let score = OutputContract { range: Some((0.0, 1.0)), ..OutputContract::of(OutputKind::Score) };
        assert_eq!(score.outside(&numbers(&[0.0, 1.0])), None);
        assert_eq!(score.outside(&numbers(&[0.5, 1.5])).unwrap(), "1.5 is not between 0 and 1");
        assert!(score.outside(&numbers(&[f64::NAN])).is_some());
        let label = OutputContract::of(OutputKind::Label { classes: vec!["no".to_owned(), "yes".to_owned()] });
        assert_eq!(label.outside(&labels(&["maybe"])).unwrap(), "`maybe` is not one of the classes no, yes");
    }
}
