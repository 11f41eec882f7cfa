//! How what is online stands to a view's history today, told without running its query, copying anything or writing
//! anything.

use std::fmt;

use schema::FeatureView;
use schema::definitions::Source;

use super::history::History;
use super::personal::Personal;
use super::source::{Look, look};
use super::{OfflineError, OfflineStore};
use crate::online::marks::Contents;
use crate::push::log::PushLog;

/// What came since a generation was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Current,
    /// History only grew.
    Grew {
        /// In the source.
        arrived: Arrived,
        /// Rows that were pushed.
        n_pushed: u64,
    },
    /// What it was made of has changed, or is a query's to decide.
    Changed,
    /// Texts or objects that were never read as they are now.
    Unread {
        /// Files of the source.
        n_files: usize,
    },
}

/// What a source has more than it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// So many files.
    Files(usize),
    /// So many rows, of a table that numbers them.
    Rows(usize),
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(n) => write!(f, "{n} files"),
            Self::Rows(n) => write!(f, "{n} rows of its table"),
        }
    }
}

/// What there is of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// All of it is at hand.
    Whole {
        /// Files.
        n_files: usize,
        /// Rows.
        n_rows: u64,
    },
    /// Texts or objects that were never read as they are now.
    Unread {
        /// Files.
        n_files: usize,
    },
}

impl OfflineStore {
    /// Looks at a source: of Parquet files footers are read, texts and objects are listed.
    ///
    /// # Errors
    /// [`OfflineError`] if it is missing, or what was looked at cannot be read.
    pub async fn glance(&self, source: &Source) -> Result<Glance, OfflineError> {
        Ok(match look(self, source).await? {
            Look::Whole(files) => Glance::Whole { n_files: files.files.len(), n_rows: files.n_rows() },
            Look::Unread { n_files } => Glance::Unread { n_files },
        })
    }

    /// Whether some process holds the lease of a view version now. A process that was killed has given it up.
    pub fn is_leased(&self, view: &FeatureView) -> bool {
        super::lease::is_held(&self.folder_of(view))
    }

    /// How the history of a view version stands to `before`, a state of it. With `None` nothing is compared, but the source
    /// is looked at all the same: an answer means that what is at hand of it can be read.
    ///
    /// # Errors
    /// [`OfflineError`] if the source cannot be read, or lacks a column that the view declares.
    pub async fn standing(&self, view: &FeatureView, before: Option<&Contents>) -> Result<Standing, OfflineError> {
        let files = match look(self, &view.source).await.map_err(|why| Personal::of_view(view).hide(why))? {
            Look::Whole(files) => files,
            Look::Unread { n_files } => return Ok(Standing::Unread { n_files }),
        };
        let n_pushed = match PushLog::existing(self.folder())? {
            Some(log) => log.n_rows(view)?,
            None => 0,
        };
        let version = files.version();
        // Says, too, whether the declared columns are there.
        let now = if view.definition.sql.is_none() { Some(History::in_place(view, *files)?) } else { None };
        let arrived = |before: &Contents| now.as_ref().and_then(|now| now.arrived_since(before));
        Ok(match before {
            None => Standing::Changed,
            Some(before) if before.n_pushed > n_pushed => Standing::Changed,
            Some(before) if before.version == version && before.n_pushed == n_pushed => Standing::Current,
            Some(before) if before.version == version => {
                Standing::Grew { arrived: Arrived::Files(0), n_pushed: n_pushed - before.n_pushed }
            }
            Some(before) => match arrived(before) {
                Some(arrived) => Standing::Grew { arrived, n_pushed: n_pushed - before.n_pushed },
                None => Standing::Changed,
            },
        })
    }
}
