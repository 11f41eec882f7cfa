//! What is known of a model's file on this machine, kept between starts: measurements are made once, and what was spent on
//! trials stays spent.

use std::io;
use std::path::{Path, PathBuf};

use schema::{Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::candidates::Measured;

/// The format of what is stored; what has another is made anew.
const FORMAT: u32 = 1;

/// What is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The format of this.
    pub format: u32,
    /// The file, the runtime and the machine that it is of.
    pub of: String,
    /// How long runs take.
    pub measured: Vec<Measured>,
    /// Ways that are still to be tried, the next one first.
    pub candidates: Vec<Arm>,
    /// Trials so far: each may spend less than the one before.
    pub trials: u32,
    /// The way that was adopted.
    pub adopted: Option<Adopted>,
}

/// A way that won its trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopted {
    /// It.
    pub arm: Arm,
    /// When it won last.
    pub at: Timestamp,
    /// Requests a second, then.
    pub rate: f64,
    /// Rows of a request, then.
    pub rows: f64,
}

/// Where records are.
#[derive(Debug, Clone)]
pub struct Records {
    folder: PathBuf,
}

impl Record {
    /// Of nothing but its measurements.
    pub fn new(of: String, measured: Vec<Measured>, candidates: Vec<Arm>) -> Self {
        Self { format: FORMAT, of, measured, candidates, trials: 0, adopted: None }
    }
}

impl Records {
    /// Those of a folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, of: &str) -> PathBuf {
        self.folder.join(format!("{}.json", Fingerprint::of_bytes(of.as_bytes()).short()))
    }

    /// What is known of it. What cannot be read is not known.
    pub fn get(&self, of: &str) -> Option<Record> {
        let bytes = std::fs::read(self.path(of)).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.format == FORMAT && record.of == of).then_some(record)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, record: &Record) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&mut file, record)?;
        file.persist(self.path(&record.of))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuner::candidates::Size;

    #[test]
    fn a_record_is_read_back_and_what_is_none_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(&folder.path().join("tuner"));
        assert_eq!(records.get("a"), None);
        let sizes = vec![Size { rows: 1, us: 12.5 }];
        let measured = vec![Measured { intra_op: 1, spinning: false, sizes }];
        let mut record = Record::new("a".to_owned(), measured, vec![Arm::default_of(2)]);
        let at = Timestamp::from_nanos(1_700_000_000_000_000_000);
        record.adopted = Some(Adopted { arm: Arm::default_of(1), at, rate: 0.1 + 0.2, rows: 1.5 });
        record.trials = 3;
        records.put(&record).unwrap();
        assert_eq!(records.get("a"), Some(record));
        assert_eq!(records.get("b"), None);
        std::fs::write(records.path("a"), "{").unwrap();
        assert_eq!(records.get("a"), None);
    }
}
