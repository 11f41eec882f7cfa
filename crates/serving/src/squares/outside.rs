//! Answers that a contract does not allow to anything, a class that it does not name, a value out of its range; and rows
//! that are not answered.

use schema::contract::{Answer, OutputContract, ResponseContract};

use super::answers::RowAnswer;
use super::rows::Sort;
use super::statistics::count;

/// Lines that are told.
const LINES_MAX: usize = 3;

/// What was found of golden and sampled rows.
pub(super) struct Outside {
    /// How many rows are answered so.
    pub(super) n_rows: usize,
    /// What is wrong, a line each, each once; not all of it.
    pub(super) lines: Vec<String>,
}

/// Looks for them among what was said to rows of these sorts.
pub(super) fn outside(contract: &ResponseContract, sorts: &[Sort], said: &[RowAnswer]) -> Outside {
    let mut found = Outside { n_rows: 0, lines: Vec::new() };
    for (answers, _) in said.iter().zip(sorts).filter(|(_, sort)| **sort != Sort::Boundary) {
        let why = |((name, output), answer): ((&String, &OutputContract), &Answer)| {
            output.outside(answer).map(|why| format!("output `{name}`: {why}"))
        };
        let Some(why) = contract.outputs.iter().zip(answers).find_map(why) else { continue };
        found.n_rows += 1;
        if found.lines.len() < LINES_MAX && !found.lines.contains(&why) {
            found.lines.push(why);
        }
    }
    found
}

/// Golden and sampled rows that a model fails on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Unanswered {
    /// Golden ones.
    pub(super) golden: usize,
    /// Sampled ones.
    pub(super) sampled: usize,
    /// All sampled ones, answered or not.
    of_sampled: usize,
    /// How it fails on the first.
    how: String,
}

impl Unanswered {
    /// Of rows of these sorts, to which this was said.
    pub(super) fn of<'s>(sorts: &[Sort], said: impl Iterator<Item = &'s RowAnswer>) -> Self {
        let mut found = Self::default();
        for (sort, answers) in sorts.iter().zip(said) {
            let how = answers.iter().find_map(|answer| match answer {
                Answer::Failed(how) => Some(how),
                _ => None,
            });
            found.of_sampled += usize::from(*sort == Sort::Sampled);
            let Some(how) = how.filter(|_| *sort != Sort::Boundary) else { continue };
            match sort {
                Sort::Golden => found.golden += 1,
                Sort::Sampled | Sort::Boundary => found.sampled += 1,
            }
            if found.how.is_empty() {
                found.how.clone_from(how);
            }
        }
        found
    }

    /// Of rows that `old` answers.
    pub(super) fn lost(sorts: &[Sort], old: &[RowAnswer], new: &[RowAnswer]) -> Self {
        let is_answered = |said: &&RowAnswer| said.iter().all(|answer| !matches!(answer, Answer::Failed(_)));
        let nothing = RowAnswer::new();
        Self::of(sorts, old.iter().zip(new).map(|(old, new)| if is_answered(&old) { new } else { &nothing }))
    }

    /// The share of sampled rows.
    pub(super) fn share(&self) -> f64 {
        if self.of_sampled == 0 { 0.0 } else { count(self.sampled) / count(self.of_sampled) }
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let Self { golden, sampled, of_sampled, how } = self;
        format!(
            "{golden} golden and {sampled} of {of_sampled} sampled rows are not answered: the model fails on them ({how})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_a_model_fails_on_are_counted_by_their_sort() {
        let failed = || vec![Answer::Numbers(vec![0.5]), Answer::Failed("Invalid".to_owned())];
        let good = || vec![Answer::Numbers(vec![0.5]), Answer::Numbers(vec![0.5])];
        let sorts = [Sort::Golden, Sort::Sampled, Sort::Sampled, Sort::Boundary];
        let found = Unanswered::of(&sorts, [failed(), failed(), good(), failed()].iter());
        assert_eq!((found.golden, found.sampled), (1, 1));
        assert!((found.share() - 0.5).abs() < 1e-9);
        assert_eq!(
            found.line(),
            "1 golden and 1 of 2 sampled rows are not answered: the model fails on them (Invalid)"
        );
        let lost =
            Unanswered::lost(&sorts, &[failed(), good(), good(), good()], &[failed(), failed(), good(), failed()]);
        assert_eq!((lost.golden, lost.sampled), (0, 1));
        assert!(Unanswered::of(&[], [].iter()).share() <= 0.0);
    }
}
