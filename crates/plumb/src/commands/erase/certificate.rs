//! What an erasure found, removed and left: a file that is begun before the first removal and finished with the proof.
//! It names the key by its salted digest only.

use std::fmt;
use std::path::{Path, PathBuf};

use featurestore::OfflineStore;
use featurestore::erase::{Subject, Tombstone};
use featurestore::offline::whole;
use schema::{BoxError, Clock, ErrorKind, Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};

use super::places::{Kind, Place};
use super::short;
use crate::config::actor;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

const FORMAT: u32 = 1;
const FOLDER: &str = "erasures";

/// The record of one erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Certificate {
    format: u32,
    project: String,
    /// The join keys that were named, without their values.
    keys: Vec<String>,
    /// Digests of the key under the project's salt, one for each type that view versions give it.
    digests: Vec<Fingerprint>,
    requested_by: String,
    requested_at: Timestamp,
    /// When every place had been searched again.
    completed_at: Option<Timestamp>,
    /// Whether that search found nothing in any place that is the project's to empty.
    pub(super) complete: bool,
    places: Vec<Recorded>,
    /// The state of each source afterwards.
    data_versions: Vec<(String, Fingerprint)>,
    #[serde(skip)]
    path: PathBuf,
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    kind: Kind,
    name: String,
    /// Rows found before anything was removed.
    found: u64,
    /// Rows found afterwards; `None` before that search, and where none was possible.
    left: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Recorded {
    fn is_left(&self) -> bool {
        self.kind.is_ours_to_empty() && self.left != Some(0)
    }
}

impl Certificate {
    /// What a search found, with nothing removed and nothing written.
    pub(super) fn dry(project: &str, subject: &Subject, places: Vec<Place>) -> Self {
        let mut certificate = Self {
            format: FORMAT,
            project: project.to_owned(),
            keys: subject.names(),
            digests: Vec::new(),
            requested_by: actor(),
            requested_at: Clock::wall(),
            completed_at: None,
            complete: false,
            places: Vec::new(),
            data_versions: Vec::new(),
            path: PathBuf::new(),
        };
        certificate.merge(places);
        certificate
    }

    /// Whether no search found anything.
    pub(super) fn is_of_nobody(&self) -> bool {
        self.places.iter().all(|place| place.found == 0)
    }

    /// The one that was begun for these tombstones, or a new one.
    pub(super) fn begin(project: &Project, subject: &Subject, tombstones: &[Tombstone]) -> Result<Self, Failure> {
        let path = folder(&project.offline).join(format!("{}.json", short(tombstones)));
        if path.is_file() {
            let mut known = read(&path)?;
            (known.completed_at, known.complete) = (None, false);
            return Ok(known);
        }
        let digests = tombstones.iter().map(|tombstone| tombstone.digest).collect();
        Ok(Self { digests, path, ..Self::dry(&project.config.project, subject, Vec::new()) })
    }

    /// Records what is there, before anything of it is removed.
    pub(super) fn found(&mut self, places: Vec<Place>, project: &Project) -> Result<(), Failure> {
        self.merge(places);
        self.write(project)
    }

    /// What was found before stays: a run that was killed has removed a part of it.
    fn merge(&mut self, places: Vec<Place>) {
        for Place { kind, name, found, note, .. } in places {
            match self.places.iter_mut().find(|known| known.kind == kind && known.name == name) {
                Some(known) => (known.found, known.note) = (known.found.max(found), note),
                None => self.places.push(Recorded { kind, name, found, left: None, note }),
            }
        }
    }

    /// Records what the last search found, and whether that is nothing.
    pub(super) fn finish(
        &mut self,
        left: Vec<Place>,
        data_versions: Vec<(String, Fingerprint)>,
        project: &Project,
    ) -> Result<(), Failure> {
        for known in &mut self.places {
            // A file that is no more holds nothing.
            known.left = Some(0);
        }
        for Place { kind, name, found, note, unsearched } in left {
            let left = (!unsearched).then_some(found);
            match self.places.iter_mut().find(|known| known.kind == kind && known.name == name) {
                Some(known) => (known.left, known.note) = (left, note),
                None => self.places.push(Recorded { kind, name, found, left, note }),
            }
        }
        self.data_versions = data_versions;
        self.complete = !self.places.iter().any(Recorded::is_left);
        self.completed_at = Some(Clock::wall());
        self.write(project)
    }

    fn write(&self, project: &Project) -> Result<(), Failure> {
        let folder = folder(&project.offline);
        let write = || -> Result<(), BoxError> {
            std::fs::create_dir_all(&folder)?;
            let mut out = whole::begin_erasing(&folder)?;
            serde_json::to_writer_pretty(out.as_file_mut(), self)?;
            Ok(whole::finish(out, &self.path)?)
        };
        write().map_err(|why| {
            Failure::new(ErrorKind::Unavailable, format!("writing the certificate `{}`: {why}", self.path.display()))
        })
    }
}

fn folder(offline: &OfflineStore) -> PathBuf {
    offline.folder().join(FOLDER)
}

fn read(path: &Path) -> Result<Certificate, Failure> {
    let run = || -> Result<Certificate, BoxError> {
        let found: Certificate = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        if found.format != FORMAT {
            return Err(format!("its format is {}, and this version reads {FORMAT}", found.format).into());
        }
        Ok(Certificate { path: path.to_path_buf(), ..found })
    };
    run().map_err(|why| Failure::invalid(format!("reading the certificate `{}`: {why}", path.display())))
}

/// Erasures that were begun and left something: their digests, and what is left where it is known. Who is allowed again is
/// not to be erased any more.
///
/// # Errors
/// A certificate cannot be read.
pub fn unfinished(offline: &OfflineStore) -> Result<Vec<String>, Failure> {
    let Ok(entries) = std::fs::read_dir(folder(offline)) else { return Ok(Vec::new()) };
    let standing: Vec<Fingerprint> = offline.tombstones()?.all().iter().map(|tombstone| tombstone.digest).collect();
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let certificate = read(&path)?;
        if !certificate.complete && certificate.digests.iter().any(|digest| standing.contains(digest)) {
            let left = certificate.places.iter().filter(|place| place.is_left()).map(|place| place.name.clone());
            let digest = certificate.digests.first().map(Fingerprint::short).unwrap_or_default();
            let left: Vec<String> = left.collect();
            found.push(format!("{digest} (keys {}): {}", certificate.keys.join(", "), left.join(", ")));
        }
    }
    found.sort();
    Ok(found)
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.places.iter().filter(|place| place.found > 0 || place.is_left() || place.note.is_some());
        let left = |place: &Recorded| match (place.left, self.completed_at) {
            (Some(left), _) => left.to_string(),
            (None, Some(_)) => "not searched".to_owned(),
            (None, None) => String::new(),
        };
        let rows = rows.map(|place| {
            let note = place.note.clone().unwrap_or_default();
            [place.kind.to_string(), place.name.clone(), place.found.to_string(), left(place), note]
        });
        let table = output::table(["PLACE", "NAME", "ROWS FOUND", "LEFT", "NOTE"], rows);
        f.write_str(&table)?;
        match (self.completed_at, self.complete) {
            (None, _) => writeln!(f, "nothing was changed"),
            (Some(_), true) => {
                writeln!(f, "erased, and every place searched again; certificate: {}", self.path.display())
            }
            (Some(_), false) => writeln!(f, "NOT all of it is gone: see LEFT; certificate: {}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_the_first_format_stay_readable() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/erasure/v1.json");
        let found = read(&path).unwrap();
        assert_eq!((found.keys.as_slice(), found.complete), (["user_id".to_owned()].as_slice(), true));
        assert_eq!((found.places[0].kind, found.places[0].found, found.places[0].left), (Kind::Pushes, 2, Some(0)));
    }
}
