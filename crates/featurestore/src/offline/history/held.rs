//! A history as it was when something was made from it: the files that were there then, and no others.

use schema::Fingerprint;

use super::History;
use crate::offline::source::version_of;
use crate::online::marks::Contents;

/// A state of a view's history, as far as a token holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// The first bytes of the digest of all of it but pushes.
    pub version: [u8; 8],
    /// Files of a source that is read in place and may only have grown; 0 for other histories.
    pub n_files: u64,
    /// Rows that were pushed.
    pub n_pushed: u64,
}

impl From<&Contents> for Held {
    fn from(contents: &Contents) -> Self {
        let mut version = [0; 8];
        version.copy_from_slice(&contents.version.as_bytes()[..8]);
        Self { version, n_files: contents.n_files as u64, n_pushed: contents.n_pushed }
    }
}

impl Held {
    /// Whether a digest is the one that is held.
    pub fn is(&self, version: &Fingerprint) -> bool {
        version.as_bytes().starts_with(&self.version)
    }
}

impl History {
    /// This history without what came to its source since; `None` if what was there then has changed or is gone. Pushes
    /// stay, also later ones: the time at which each became known is theirs.
    #[must_use]
    pub fn when(&self, held: &Held) -> Option<Self> {
        if self.n_pushed() < held.n_pushed {
            return None;
        }
        if held.is(&self.data_version) {
            return Some(self.clone());
        }
        let n_files = usize::try_from(held.n_files).ok().filter(|n| (1..=self.n_base).contains(n))?;
        let before = version_of(&self.files[..n_files]);
        if !self.in_place || !held.is(&before) {
            return None;
        }
        let mut then = self.clone();
        then.files.drain(n_files..self.n_base);
        (then.n_base, then.data_version) = (n_files, before);
        Some(then)
    }
}
