//! Whether clients of one service version can be answered as another (natural transformations, section 5), in the words of
//! schema registries: along declared migrations, never by name.

use std::fmt;

use super::migrations::Migrations;
use crate::migration::ServiceVersion;

/// Which total migrations there are between an older version and a newer one. One that refuses rows is not total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compatibility {
    /// From the older to the newer: the newer model answers the older version's clients.
    pub backward: bool,
    /// From the newer to the older.
    pub forward: bool,
}

impl Migrations {
    /// How a newer version stands to an older one.
    pub fn compatibility(&self, older: &ServiceVersion, newer: &ServiceVersion) -> Compatibility {
        let is_total = |from, to| {
            let chain = self.between(from, to).ok().flatten();
            chain.is_some_and(|chain| chain.migration.is_total())
        };
        Compatibility { backward: is_total(older, newer), forward: is_total(newer, older) }
    }
}

impl Compatibility {
    /// What holds of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { backward: self.backward && other.backward, forward: self.forward && other.forward }
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.backward, self.forward) {
            (true, true) => "FULL",
            (true, false) => "BACKWARD",
            (false, true) => "FORWARD",
            (false, false) => "NONE",
        })
    }
}
