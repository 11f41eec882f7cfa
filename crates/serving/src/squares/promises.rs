//! What clients of older service versions are promised: the budgets of the migrations on their way, pasted (natural
//! transformations, section 3).
//!
//! Every square is judged in the contract's words, so budgets of steps add as they are; what they add up to is told in the
//! unit of the version whose clients it is promised to.

use std::collections::BTreeMap;

use schema::contract::{OutputContract, ResponseContract, ToleranceBudget};
use serde::Serialize;

use super::release::{Binding, Release};

/// What clients of a service version are promised since their version was the model's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promise {
    /// The service version.
    pub at: String,
    /// By output, how far an answer may be from the old one's, in the unit of this version's answers.
    pub tolerance: BTreeMap<String, f64>,
    /// The share of rows that may exceed it.
    pub share: f64,
}

/// A promise for each service version that a release answers and that is not its model's own.
pub(super) fn promises(release: &Release, contract: &ResponseContract) -> Vec<Promise> {
    let promise = |binding: &Binding| {
        let steps = binding.way.as_ref()?.through.len().saturating_sub(1);
        let pasted = |eps: f64| {
            let step = ToleranceBudget { eps, delta: contract.share };
            (0..steps).fold(ToleranceBudget::NONE, |so_far, _| so_far.then(1.0, &step))
        };
        let of = |(name, output): (&String, &OutputContract)| {
            let in_words = pasted(output.across_migrations()).eps;
            (name.clone(), in_words / binding.words.lipschitz(name, &output.is))
        };
        let tolerance = contract.outputs.iter().map(of).collect();
        Some(Promise { at: binding.id().to_string(), tolerance, share: pasted(0.0).delta.min(1.0) })
    };
    release.bindings.iter().filter_map(promise).collect()
}
