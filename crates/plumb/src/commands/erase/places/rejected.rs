//! What is beside the rows: reasons why rows of texts do not parse, which quote values of nobody knows whom, and files that
//! writers left when they were killed, which nobody reads.

use std::path::Path;
use std::time::Duration;

use featurestore::offline::source::{forget, reasons};
use featurestore::offline::whole;
use schema::definitions::Source;

use super::{Kind, Place, Search};
use crate::commands::doctor::unnamed;
use crate::failure::Failure;

/// A file without its name that was not written to for so long is nobody's any more.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);

/// Reasons, whosever they are: they go with the copies that they are of, which are made again.
pub(super) fn places(search: &Search<'_>) -> Vec<Place> {
    let offline = search.project.offline.folder();
    let mut places = Vec::new();
    for path in sources(search).into_iter().flat_map(|source| reasons(offline, source)) {
        let n = std::fs::read_to_string(&path).map_or(0, |text| text.lines().count() as u64);
        let mut place = Place::new(Kind::Cache, path.strip_prefix(offline).unwrap_or(&path).display().to_string());
        place.found = n;
        place.note = Some("rows that do not parse, of anybody; if any are left, somebody is reading them".to_owned());
        if !places.iter().any(|known: &Place| known.name == place.name) {
            places.push(place);
        }
    }
    places
}

/// Files that may be a killed writer's. They are not looked into: they have no end.
pub(super) fn left_behind(search: &Search<'_>) -> Vec<Place> {
    let files = folders(search).into_iter().flat_map(|folder| unnamed(folder, Duration::ZERO));
    let place = |path: std::path::PathBuf| {
        let note = "somebody is writing it, or was killed: run the same again in an hour, or remove it".to_owned();
        Place::unsearched(Kind::Cache, path.display().to_string(), note)
    };
    files.map(place).collect()
}

/// Removes both.
pub(super) fn remove(search: &Search<'_>) -> Result<(), Failure> {
    let offline = search.project.offline.folder();
    for source in sources(search) {
        if !reasons(offline, source).is_empty() {
            forget(offline, source)?;
        }
    }
    for folder in folders(search) {
        for path in unnamed(folder, Duration::ZERO) {
            let is_ours = path.file_name().is_some_and(|name| whole::is_of_erasure(&name.to_string_lossy()));
            if is_ours || unnamed(folder, LEFT_AFTER).contains(&path) {
                drop(std::fs::remove_file(&path));
            }
        }
    }
    Ok(())
}

fn folders<'s>(search: &'s Search<'_>) -> [&'s Path; 2] {
    [search.project.offline.folder(), &search.project.config.predictions]
}

fn sources<'s>(search: &'s Search<'_>) -> Vec<&'s Source> {
    search.subject.sources(search.catalog.definitions())
}
