//! How many different values: exact while there are few, then adaptive sampling of their hashes (Flajolet 1990): of a
//! share of the hashes all are kept, and the share is halved whenever there are too many.

use hashbrown::HashSet;

use super::Estimate;

/// Hashes kept; the standard error beyond is about `1.2 / sqrt(KEPT / 2)`.
const KEPT: usize = 32_768;

#[derive(Debug)]
pub(super) struct Distinct {
    kept: HashSet<u64>,
    /// Halvings so far: a hash is kept if its first `level` bits are zero.
    level: u32,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { kept: HashSet::new(), level: 0 }
    }
}

impl Distinct {
    #[inline]
    pub(super) fn add(&mut self, hash: u64) {
        if hash.leading_zeros() < self.level || !self.kept.insert(hash) {
            return;
        }
        while self.kept.len() > KEPT {
            self.level += 1;
            let level = self.level;
            self.kept.retain(|hash| hash.leading_zeros() >= level);
        }
    }

    pub(super) fn end(&self) -> Estimate {
        let value = (self.kept.len() as u64) << self.level;
        let how = match self.level {
            0 => "exact".to_owned(),
            _ => "adaptive sampling, standard error 1 %".to_owned(),
        };
        Estimate { value, how }
    }
}
