//! Training sets: named, never changed. Files of the project that say what they are, files anywhere that the registry
//! recorded, and answers, whose rows are with whoever asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use featurestore::erase::{Rows, files};
use featurestore::training::write::{Format, read_about};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use registry::TrainingSet;

use super::{Kind, Place, Search};
use crate::failure::Failure;

/// Those that hold rows of the subject, and those of which nobody here can say.
pub(super) fn places(search: &Search<'_>) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    for path in in_project(search)? {
        seen.insert(path.canonicalize().unwrap_or_else(|_gone| path.clone()));
        places.extend(file(search, &path)?);
    }
    let recorded = || search.catalog.training_sets().filter(|set| has_keys(search, set));
    for set in recorded().filter(|set| set.answered.is_none()) {
        let path = PathBuf::from(&set.path);
        if !seen.insert(path.clone()) {
            continue;
        }
        match path.is_file() {
            true => places.extend(file(search, &path)?),
            false => {
                let note = "recorded, and not there any more: if it was moved, build it again or delete it".to_owned();
                places.push(Place::unsearched(Kind::TrainingSet, set.path.clone(), note));
            }
        }
    }
    for set in recorded().filter(|set| set.answered.is_some()) {
        let name = format!("{} for `{}` version {}", set.path, set.service, set.service_version);
        let note = format!("{} rows went to whoever asked: to be built again or deleted there", set.n_rows);
        places.push(Place::unsearched(Kind::TrainingSet, name, note));
    }
    Ok(places)
}

/// The training sets in the project's folder.
fn in_project(search: &Search<'_>) -> Result<Vec<PathBuf>, Failure> {
    let folder = &search.project.folder;
    let is_hidden = |path: &PathBuf| {
        let inside = path.strip_prefix(folder).unwrap_or(path);
        inside.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
    };
    let found = files::under(folder, &["parquet", "arrow"])?;
    Ok(found
        .into_iter()
        .filter(|path| !is_hidden(path) && (read_about(path).is_ok() || says_its_service(path)))
        .collect())
}

/// Whether it was built before files said what they were made of.
fn says_its_service(path: &Path) -> bool {
    let opened = std::fs::File::open(path).ok().and_then(|file| ParquetRecordBatchReaderBuilder::try_new(file).ok());
    let about = opened.and_then(|opened| opened.metadata().file_metadata().key_value_metadata().cloned());
    about.into_iter().flatten().any(|entry| entry.key == "plumb.service_fingerprint")
}

/// The subject's rows in one.
fn file(search: &Search<'_>, path: &Path) -> Result<Option<Place>, Failure> {
    let name = path.strip_prefix(&search.project.folder).unwrap_or(path).display().to_string();
    let counted = match Format::of(path) {
        Some(Format::Arrow) => files::count_arrow(path, search.subject, &search.columns),
        _ => files::count(path, search.subject, &search.columns),
    };
    let found = match counted {
        Ok(found) => found,
        Err(why) => {
            return Ok(Some(Place::unsearched(Kind::TrainingSet, name, schema::error::chain(&why))));
        }
    };
    Ok(found.filter(|rows: &Rows| rows.n_found > 0).map(|rows| {
        let mut place = Place::new(Kind::TrainingSet, name);
        place.found = rows.n_found;
        place.note = Some("named, not changed, nor its report: build it again or delete both".to_owned());
        place
    }))
}

/// Whether one of its entities has the subject's keys.
fn has_keys(search: &Search<'_>, set: &TrainingSet) -> bool {
    let names = search.subject.names();
    set.keys.iter().any(|keys| names.iter().all(|name| keys.columns.iter().any(|(own, _)| own == name)))
}
