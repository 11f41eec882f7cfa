//! Sources: their files are there and can be read. Of Parquet files every one that is damaged is named.

use std::fs::File;
use std::path::Path;

use featurestore::offline::personal::Personal;
use featurestore::offline::source::{local_files, open_file};
use featurestore::offline::standing::Glance;
use featurestore::{OfflineError, OfflineStore};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use registry::Catalog;
use schema::definitions::{Format, Source};
use schema::{BoxError, Definitions, FeatureView};

use super::finding::{Findings, Level};

const CHECK: &str = "source";

/// Looks at the declared sources, and at others that view versions in use were declared with; those that cannot be read.
/// With `deep` every row of Parquet files is decoded.
pub(super) async fn look(
    offline: &OfflineStore,
    declared: Option<&Definitions>,
    catalog: Option<&Catalog>,
    deep: bool,
    found: &mut Findings,
) -> Vec<Source> {
    let mut sources: Vec<&Source> = declared.map(|all| all.sources.values().collect()).unwrap_or_default();
    let versions = catalog.into_iter().flat_map(|catalog| catalog.definitions().views.values());
    for view in versions.flat_map(|versions| &versions.all).filter(|view| is_read(catalog, view)) {
        if !sources.iter().any(|known| is_same(known, &view.source)) {
            sources.push(&view.source);
        }
    }
    let mut unreadable = Vec::new();
    for source in sources {
        let about = format!("{} ({})", source.name, source.path);
        let damaged = damaged(offline.project(), source, deep);
        if !damaged.is_empty() {
            for why in damaged {
                let says = schema::error::chain(&why);
                let todo = "write the file again, or restore it; until then nothing is made of this source";
                found.advise(Level::Failed, CHECK, about.clone(), says, todo);
            }
            unreadable.push(source.clone());
            continue;
        }
        match offline.glance(source).await {
            Ok(Glance::Whole { n_files, n_rows }) => {
                let read = if deep && is_local_parquet(offline.project(), source) { ", each of them read" } else { "" };
                found.add(Level::Ok, CHECK, about, format!("{n_files} files, {n_rows} rows{read}"));
            }
            Ok(Glance::Unread { n_files }) => {
                let says = format!("{n_files} files, not all of them read yet as they are now");
                found.add(Level::Ok, CHECK, about, says);
            }
            Err(why) => {
                let applied = catalog.map(|catalog| Personal::of_all(catalog.definitions())).unwrap_or_default();
                let declared = declared.map(|all| Personal::of_source(all, source)).unwrap_or_default();
                found.failed(CHECK, about, declared.hide(applied.hide(why)));
                unreadable.push(source.clone());
            }
        }
    }
    unreadable
}

/// Whether both name the same files, read in the same way.
pub(super) fn is_same(a: &Source, b: &Source) -> bool {
    (&a.name, &a.path, a.format) == (&b.name, &b.path, b.format)
}

fn is_read(catalog: Option<&Catalog>, view: &FeatureView) -> bool {
    let is_used = catalog.is_some_and(|catalog| !catalog.pins(&view.id).is_empty());
    is_used && view.definition.online.feast().is_none()
}

fn is_local_parquet(project: &Path, source: &Source) -> bool {
    source.format == Format::Parquet && matches!(local_files(project, source), Ok(Some(_)))
}

/// What is wrong with each Parquet file of this machine.
fn damaged(project: &Path, source: &Source, deep: bool) -> Vec<OfflineError> {
    if source.format != Format::Parquet {
        return Vec::new();
    }
    // That there are none, or that the path is wrong, is said by whoever looks at the whole.
    let Ok(Some(files)) = local_files(project, source) else { return Vec::new() };
    let mut damaged = Vec::new();
    for path in files {
        match open_file(project, path, 0) {
            Err(why) => damaged.push(why),
            Ok(file) if deep => {
                if let Err(source) = read_all(&file.path) {
                    damaged.push(OfflineError::Read { path: file.name, source });
                }
            }
            Ok(_) => {}
        }
    }
    damaged
}

fn read_all(path: &Path) -> Result<(), BoxError> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        batch?;
    }
    Ok(())
}
