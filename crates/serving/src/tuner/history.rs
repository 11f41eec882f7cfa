//! What the tuner decided, and on what evidence: a line of JSON for each, the newest last.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use schema::Timestamp;
use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::candidates::Measured;
use super::trial::Verdict;

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are what they are called")]
pub enum Decision {
    /// Runs were measured; these ways are worth a trial.
    Measured { measured: Vec<Measured>, candidates: Vec<Arm> },
    /// A way is not tried, because of this.
    LeftOut { arm: Arm, why: String },
    /// A trial begins, with so much of the probability of being wrong.
    TrialBegan { trial: u32, arm: Arm, against: Arm, alpha: f64 },
    /// It has ended.
    TrialEnded {
        trial: u32,
        arm: Arm,
        verdict: Verdict,
        blocks: u32,
        /// The mean logarithm of what a request cost before over what it costs.
        gain: f64,
        e_gain: f64,
        e_late: f64,
        /// What was late, in microseconds.
        late_us: f64,
    },
    /// This way is in use from here on, because of this.
    Uses { arm: Arm, why: String },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured { candidates, .. } if candidates.is_empty() => {
                f.write_str("measured; nothing is likely to be better than the default")
            }
            Self::Measured { candidates, .. } => {
                let arms: Vec<String> = candidates.iter().map(Arm::to_string).collect();
                write!(f, "measured; may be better than the default: {}", arms.join("; "))
            }
            Self::LeftOut { arm, why } => write!(f, "not tried: {arm}: {why}"),
            Self::TrialBegan { trial, arm, against, alpha } => {
                write!(f, "trial {trial} of {arm} against {against}, alpha {alpha:.4}")
            }
            Self::TrialEnded { trial, arm, verdict, blocks, gain, e_gain, e_late, late_us } => {
                let verdict = match verdict {
                    Verdict::Better => "better",
                    Verdict::Late => "late",
                    Verdict::NotBetter => "not shown to be better",
                    Verdict::Unfinished => "not finished, for want of requests",
                };
                write!(
                    f,
                    "trial {trial} of {arm}: {verdict} after {blocks} blocks; mean gain {:.1} %, evidence of gain {e_gain:.3}, \
                     of being later than {late_us:.0} us {e_late:.3}",
                    gain.exp_m1() * 100.0
                )
            }
            Self::Uses { arm, why } => write!(f, "uses {arm}: {why}"),
        }
    }
}

/// The file.
#[derive(Debug, Clone)]
pub struct History {
    path: PathBuf,
}

/// Bytes after which the file begins anew; the one before is kept.
const BYTES_MAX: u64 = 4 << 20;

impl History {
    /// The history of a folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("history.jsonl") }
    }

    fn before(&self) -> PathBuf {
        self.path.with_extension("1.jsonl")
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, entry: &Entry) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() > BYTES_MAX) {
            std::fs::rename(&self.path, self.before())?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // In one piece: servers of one project may share the file.
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(&line)
    }

    /// The last `limit` lines, the oldest of them first; of one model where one is named. Lines that are none are left out.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn last(&self, model: Option<&str>, limit: usize) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        for path in [self.before(), self.path.clone()] {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                Err(why) => return Err(why),
            };
            for line in BufReader::new(file).split(b'\n') {
                let Ok(entry) = serde_json::from_slice::<Entry>(&line?) else { continue };
                if model.is_none_or(|model| entry.model == model) {
                    found.push(entry);
                }
            }
        }
        found.drain(..found.len().saturating_sub(limit));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(model: &str, version: u32) -> Entry {
        let (arm, why) = (Arm::default_of(2), "because".to_owned());
        Entry {
            at: Timestamp::from_nanos(i64::from(version)),
            model: model.to_owned(),
            version,
            decision: Decision::Uses { arm, why },
        }
    }

    #[test]
    fn the_last_lines_of_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::new(&folder.path().join("tuner"));
        assert_eq!(history.last(None, 10).unwrap(), []);
        for version in 1..5 {
            history.add(&entry("a", version)).unwrap();
            history.add(&entry("b", version)).unwrap();
        }
        assert_eq!(history.last(Some("a"), 2).unwrap(), [entry("a", 3), entry("a", 4)]);
        assert_eq!(history.last(None, 3).unwrap(), [entry("b", 3), entry("a", 4), entry("b", 4)]);
        // One that broke off.
        OpenOptions::new().append(true).open(&history.path).unwrap().write_all(b"{\"at\":\xff\n").unwrap();
        history.add(&entry("a", 9)).unwrap();
        assert_eq!(history.last(Some("a"), 1).unwrap(), [entry("a", 9)]);
    }

    #[test]
    fn a_file_that_is_full_begins_anew_and_the_one_before_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::new(folder.path());
        history.add(&entry("a", 1)).unwrap();
        let file = OpenOptions::new().write(true).open(&history.path).unwrap();
        file.set_len(BYTES_MAX + 1).unwrap();
        history.add(&entry("a", 2)).unwrap();
        assert_eq!(history.last(None, 10).unwrap(), [entry("a", 1), entry("a", 2)]);
    }
}
