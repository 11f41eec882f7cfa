//! What several squares one after the other may add up to (natural transformations, section 3).

use serde::{Deserialize, Serialize};

/// How far answers may be apart, and on which share of rows farther.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToleranceBudget {
    /// The distance.
    pub eps: f64,
    /// The share, from 0 to 1.
    pub delta: f64,
}

impl ToleranceBudget {
    /// Nothing may differ.
    pub const NONE: Self = Self { eps: 0.0, delta: 0.0 };

    /// Of two squares pasted together: the first one's answers are adapted by the second one's adapter, which stretches
    /// distances by at most `lipschitz`. Shares add, by the union bound.
    #[must_use]
    pub fn then(self, lipschitz: f64, next: &Self) -> Self {
        Self { eps: next.eps + lipschitz * self.eps, delta: self.delta + next.delta }
    }
}
