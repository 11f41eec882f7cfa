//! The sessions that a promotion asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use schema::contract::ResponseContract;

use super::answers::RowAnswer;
use super::release::Binding;
use super::rows::{self, ProbeRows};
use super::{Side, Sides};
use crate::onnx::{Lease, OnnxError};

/// A session of each version, once: both routes may be of one version, and ask it in turns.
pub(super) struct Sessions {
    of_version: BTreeMap<u32, RefCell<Lease>>,
}

impl Sessions {
    /// Waits for one of each.
    pub(super) async fn of(sides: &Sides) -> Self {
        let mut of_version = BTreeMap::new();
        for side in sides.all() {
            if let Entry::Vacant(place) = of_version.entry(side.model.version.version) {
                place.insert(RefCell::new(side.model.pool.checkout().await));
            }
        }
        Self { of_version }
    }

    /// What a side, whose binding it is, says to rows of the binding's service version.
    ///
    /// # Errors
    /// Arrow's; never for rows of that service version.
    pub(super) fn answers(
        &self,
        binding: &Binding,
        side: &Side,
        rows: &ProbeRows,
        contract: &ResponseContract,
    ) -> Result<Vec<RowAnswer>, OnnxError> {
        let lease = self.of_version.get(&side.model.version.version).ok_or_else(|| rows::unmade("no session"))?;
        binding.answers(&mut lease.borrow_mut(), &side.model, rows, contract)
    }
}
