//! In what state a history is, and what came since another.

use schema::{FeatureView, Fingerprint};

use super::{History, Unit};
use crate::erase::tombstones::state_without;
use crate::offline::OfflineError;
use crate::offline::source::version_of;
use crate::offline::standing::Arrived;
use crate::offline::table::source::{OfTable, arrivals};
use crate::online::marks::Contents;
use crate::push::log::PushLog;
use crate::push::rows::PushedRows;
use crate::ties::Tied;

impl History {
    /// Digest of the state of the data that this is a history of.
    pub fn data_version(&self) -> Fingerprint {
        let base = state_without(self.data_version, self.erased.as_ref());
        match self.n_pushed() {
            0 => base,
            n => Fingerprint::of(&serde_json::json!([base, n])),
        }
    }

    /// What of the data a generation made from this history holds.
    pub fn contents(&self) -> Contents {
        // Rows may tie across files where that is an error, and a query gives other rows each time.
        let grows = self.in_place && self.tied.is_none();
        let n_files = if grows { self.n_known() } else { 0 };
        Contents { version: self.data_version, n_files, n_pushed: self.n_pushed() }
    }

    /// How many there are of what only grows in number: rows that arrived in a table that numbers them, else files.
    fn n_known(&self) -> usize {
        let arrived = self.table.as_ref().and_then(OfTable::next).and_then(|next| usize::try_from(next).ok());
        arrived.unwrap_or(self.n_base)
    }

    /// The row groups that may hold what came after `before`, if all of `before` is still there, unchanged, and came
    /// first. What was there before may be among them.
    pub fn since(&self, before: &Contents) -> Option<Vec<Unit>> {
        let (known, grew) = (before.n_files, self.arrived_since(before).is_some());
        let units = self.units().into_iter();
        match () {
            () if before.n_pushed > self.n_pushed() => None,
            // Pushed rows may tie with any of the others.
            () if self.tied == Some(Tied::Times) => None,
            () if before.version == self.data_version => Some(units.filter(|unit| unit.file >= self.n_base).collect()),
            () if grew => Some(units.filter(|unit| self.is_behind(*unit, known)).collect()),
            () => None,
        }
    }

    /// What the source has behind `before`, if all of that is still there, unchanged, and came first.
    pub(in super::super) fn arrived_since(&self, before: &Contents) -> Option<Arrived> {
        let known = before.n_files;
        let more = self.contents().n_files.checked_sub(known)?;
        let grew = known > 0 && self.version_of_first(known) == before.version;
        let is_numbered = self.table.as_ref().is_some_and(|table| table.next().is_some());
        grew.then_some(if is_numbered { Arrived::Rows(more) } else { Arrived::Files(more) })
    }

    /// The data version of the first `known` of [`Self::n_known`].
    fn version_of_first(&self, known: usize) -> Fingerprint {
        match &self.table {
            Some(table) if table.next().is_some() => table.digest_up_to(known as u64),
            _ => version_of(&self.files[..known]),
        }
    }

    /// Whether a row group may hold what came behind the first `known`.
    fn is_behind(&self, unit: Unit, known: usize) -> bool {
        let numbered = self.table.as_ref().is_some_and(|table| table.next().is_some());
        if unit.file >= self.n_base || !numbered {
            return unit.file >= known.min(self.n_base);
        }
        let numbers = arrivals(&self.files[unit.file].metadata, unit.group..unit.group + 1);
        numbers.is_none_or(|(_, last)| last >= known as u64)
    }

    /// Rows that were pushed since it was opened.
    ///
    /// # Errors
    /// [`OfflineError::Write`] if the log cannot be read.
    pub(crate) fn pushed_since(&self, view: &FeatureView) -> Result<Vec<PushedRows>, OfflineError> {
        let log = self.log.as_deref().map(PushLog::existing).transpose()?.flatten();
        log.map_or_else(|| Ok(Vec::new()), |log| log.rows_since(view, self.n_pushed))
    }
}
