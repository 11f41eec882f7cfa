//! Answers that a contract does not allow to anything: a class that it does not name, a value out of its range.

use schema::contract::{Answer, OutputContract, ResponseContract};

use super::answers::RowAnswer;
use super::rows::Sort;

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
