//! The declared definitions: they can be read, and are what is applied.

use std::path::Path;

use featurestore::plan::{Surroundings, plan};
use registry::Catalog;
use schema::Definitions;

use super::finding::{Findings, Level};
use crate::failure::Failure;
use crate::project::{files, said_of_foreign};

const CHECK: &str = "definitions";

/// Looks; `None` where they cannot be read. Whether the data is as declared is said by the checks of sources and views.
pub(super) fn look(folder: &Path, catalog: Option<&Catalog>, found: &mut Findings) -> Option<Definitions> {
    let about = folder.display().to_string();
    let read = |found: &mut Findings| -> Result<Definitions, Failure> {
        let files = files(folder)?;
        if let Some(said) = said_of_foreign(&files) {
            found.add(Level::Ok, CHECK, about.clone(), format!("{said}, and left alone"));
        }
        Ok(Definitions::read(&files)?)
    };
    let declared = match read(found) {
        Ok(declared) => declared,
        Err(why) => {
            found.failed(CHECK, about, why);
            return None;
        }
    };
    let Some(catalog) = catalog else { return Some(declared) };
    let plan = plan(catalog.definitions(), &declared, &Surroundings::default());
    match plan.changes.len() {
        0 => found.add(Level::Ok, CHECK, about, "what is declared is applied"),
        n => {
            let says = format!("{n} of them are declared otherwise than applied");
            found.advise(Level::Warning, CHECK, about, says, "plumb plan, then plumb apply");
        }
    }
    Some(declared)
}
