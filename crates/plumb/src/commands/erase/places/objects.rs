//! Copies of objects that are kept of sources elsewhere. They are fetched again, so those that hold somebody are forgotten.

use std::path::Path;

use featurestore::erase::Folders;
use featurestore::offline::source::{forget, objects};
use schema::definitions::Source;

use super::{Kind, Place, Search};
use crate::failure::Failure;

/// Searches the copies of every source, or forgets those of sources where one holds the subject.
pub(super) fn places(search: &Search<'_>, dry_run: bool) -> Result<Vec<Place>, Failure> {
    let offline = search.project.offline.folder();
    let mut places = Vec::new();
    for source in search.subject.sources(search.catalog.definitions()) {
        // A copy does not say in which folder its object is.
        let is_folder = |name: &String| source.partitions.iter().any(|column| column.name == *name);
        let mut is_held = search.columns.iter().flatten().any(is_folder);
        for path in objects(offline, source) {
            let place = one(search, source, &path, offline);
            is_held |= place.found > 0 || place.unsearched;
            if (place.found > 0 || place.unsearched) && !places.iter().any(|known: &Place| known.name == place.name) {
                places.push(place);
            }
        }
        if is_held && !dry_run {
            forget(offline, source)?;
        }
    }
    Ok(places)
}

/// One that cannot be read is damaged, or of a format that the source no longer has: it is forgotten too.
fn one(search: &Search<'_>, source: &Source, path: &Path, offline: &Path) -> Place {
    let name = path.strip_prefix(offline).unwrap_or(path).display().to_string();
    match search.source_file(path, source, Folders::default(), true) {
        Ok(found) => {
            let mut place = Place::of(found.unwrap_or_default(), Kind::Cache, name);
            place.note = Some("a copy of an object; if it is left, somebody is reading it".to_owned());
            place
        }
        Err(why) => Place::unsearched(Kind::Cache, name, schema::error::chain(&why)),
    }
}
