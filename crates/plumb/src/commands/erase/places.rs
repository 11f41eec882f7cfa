//! Every place that may hold a person's rows: searched, and emptied where it is the project's to empty.

mod feast;
mod objects;
mod registry;
mod rejected;
mod sets;
mod tables;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use ::registry::Catalog;
use featurestore::erase::text::{self, Found, Wanted};
use featurestore::erase::{Folders, Subject, files};
use featurestore::materialize::numbers;
use featurestore::offline::source;
use featurestore::online::OnlineTable;
use featurestore::online::marks::Marks;
use featurestore::push;
use featurestore::{OfflineError, OnlineStore};
use schema::definitions::{self, Source};
use schema::{FeatureView, Fingerprint};
use serde::{Deserialize, Serialize};
use serving::labels::{self, LabelError, Labels};

use crate::failure::Failure;
use crate::project::Project;

/// What kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The log of pushes, by view version.
    Pushes,
    /// A source's files: not ours, rewritten only when asked to.
    Source,
    /// The Delta table of a source that is written here: all files in its folder, of older versions too, and quarantined
    /// rows.
    Table,
    /// Files made from sources and pushes: snapshots and the like.
    Cache,
    /// A file of the prediction log.
    Predictions,
    /// Labels of entities.
    Labels,
    /// Rows that promotions asked: a set whose rows change has another digest, and is not asked again.
    Probes,
    /// The online store, by view version: cells of all its generations.
    Online,
    /// A training set: named, never changed.
    TrainingSet,
    /// Evidence in the registry's log, which nobody edits: named.
    Registry,
}

impl Kind {
    /// Whether rows left there mean that the erasure is not complete.
    pub(super) fn is_ours_to_empty(self) -> bool {
        !matches!(self, Self::TrainingSet | Self::Registry)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pushes => "pushes",
            Self::Source => "source",
            Self::Table => "table",
            Self::Cache => "cache",
            Self::Predictions => "prediction log",
            Self::Labels => "labels",
            Self::Probes => "probe set",
            Self::Online => "online store",
            Self::TrainingSet => "training set",
            Self::Registry => "registry",
        })
    }
}

/// One place, as a search finds it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Rows of the subject.
    pub(super) found: u64,
    pub(super) note: Option<String>,
    /// Whether nobody can say what is there.
    pub(super) unsearched: bool,
}

impl Place {
    pub(super) fn new(kind: Kind, name: String) -> Self {
        Self { kind, name, found: 0, note: None, unsearched: false }
    }

    /// A text, and what it has. Lines that name the subject and are no rows are for the user to look at.
    fn of(found: Found, kind: Kind, name: String) -> Self {
        let mut place = Self { found: found.rows.n_found, ..Self::new(kind, name) };
        if !found.unclear.is_empty() {
            let lines = found.unclear.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            place.unsearched = true;
            place.note = Some(format!("lines that name it and do not parse: {lines}; correct or remove them"));
        }
        place
    }

    fn unsearched(kind: Kind, name: String, note: String) -> Self {
        Self { note: Some(note), unsearched: true, ..Self::new(kind, name) }
    }
}

/// A search for one subject over all places of a project.
pub(super) struct Search<'p> {
    project: &'p Project,
    catalog: &'p Catalog,
    subject: &'p Subject,
    /// Every version of every view whose keys have the subject's.
    views: Vec<&'p FeatureView>,
    columns: Vec<Vec<String>>,
}

impl<'p> Search<'p> {
    pub(super) fn new(project: &'p Project, catalog: &'p Catalog, subject: &'p Subject) -> Self {
        let definitions = catalog.definitions();
        let all = definitions.views.values().flat_map(|versions| &versions.all);
        let views = all.filter(|view| subject.in_view(view).is_some()).collect();
        Self { project, catalog, subject, views, columns: subject.columns(definitions) }
    }

    pub(super) fn views(&self) -> &[&'p FeatureView] {
        &self.views
    }

    /// Those, and every version whose query yields the subject's columns as features: files of theirs were rewritten too.
    pub(super) fn copied(&self) -> Vec<&'p FeatureView> {
        let yields = |view: &FeatureView, name: &String| {
            let mut keys = view.keys().iter().map(|key| key.name.as_str());
            keys.any(|key| key == name) || view.definition.features.iter().any(|feature| feature.name.as_str() == name)
        };
        let all = self.catalog.definitions().views.values().flat_map(|versions| &versions.all);
        all.filter(|view| {
            let is_rewritten = || self.columns.iter().any(|list| list.iter().all(|name| yields(view, name)));
            self.subject.in_view(view).is_some() || view.definition.sql.is_some() && is_rewritten()
        })
        .collect()
    }

    /// Searches every place.
    pub(super) async fn run(&self, online: &dyn OnlineStore) -> Result<Vec<Place>, Failure> {
        let mut places = self.pushes(true)?;
        places.extend(self.sources(true)?);
        places.extend(tables::places(self, true)?);
        places.extend(self.caches(true)?);
        places.extend(rejected::places(self));
        places.extend(rejected::left_behind(self));
        places.extend(self.predictions(true)?);
        places.extend(self.online(online, true).await?);
        places.extend(feast::places(self).await);
        places.extend(sets::places(self)?);
        places.extend(registry::places(self));
        Ok(places)
    }

    /// Removes what is found, records before what is made from them.
    pub(super) async fn remove(&self, online: &dyn OnlineStore, rewrite_sources: bool) -> Result<(), Failure> {
        self.pushes(false)?;
        if rewrite_sources {
            self.sources(false)?;
        }
        tables::places(self, false)?;
        self.caches(false)?;
        rejected::remove(self)?;
        self.predictions(false)?;
        self.online(online, false).await?;
        Ok(())
    }

    /// The state of each source, as far as it is known here: opening one would bring back copies of rows that were just
    /// forgotten.
    pub(super) async fn data_versions(&self) -> Vec<(String, Fingerprint)> {
        let mut versions = Vec::new();
        for source in self.subject.sources(self.catalog.definitions()) {
            if let Ok(Some(version)) = source::known_version(&self.project.offline, source).await {
                versions.push((source.name.to_string(), version));
            }
        }
        versions
    }

    fn pushes(&self, dry_run: bool) -> Result<Vec<Place>, Failure> {
        let Some(log) = self.project.offline.existing_pushes()? else { return Ok(Vec::new()) };
        let mut places = Vec::new();
        for view in &self.views {
            let Some(keys) = self.subject.in_view(view) else { continue };
            let mut place = Place::new(Kind::Pushes, view.id.to_string());
            place.found = log.erase(view, &keys, dry_run)?;
            if !dry_run {
                push::discard_files(&self.project.offline.folder_of(view))?;
            }
            places.push(place);
        }
        Ok(places)
    }

    /// Its sources that are files.
    fn sources_of_files(&self) -> impl Iterator<Item = &'p Source> {
        let sources = self.subject.sources(self.catalog.definitions());
        sources.into_iter().filter(|source| source.format != definitions::Format::Delta)
    }

    /// Its sources that are Delta tables.
    fn sources_of_tables(&self) -> impl Iterator<Item = &'p Source> {
        let sources = self.subject.sources(self.catalog.definitions());
        sources.into_iter().filter(|source| source.format == definitions::Format::Delta)
    }

    fn sources(&self, dry_run: bool) -> Result<Vec<Place>, Failure> {
        let mut places = Vec::new();
        let mut seen = BTreeSet::new();
        for source in self.sources_of_files() {
            let named = |file: &Path| {
                let inside = file.strip_prefix(&self.project.folder).unwrap_or(file);
                format!("{}: {}", source.name, inside.display())
            };
            let files = match source_files(&self.project.folder, source) {
                Ok(files) => files,
                Err(why) => {
                    places.push(Place::unsearched(Kind::Source, format!("{}: {}", source.name, source.path), why));
                    continue;
                }
            };
            for file in files {
                if !seen.insert(file.clone()) {
                    continue;
                }
                let name = named(&file);
                let folders = Folders::of(&self.project.folder, &file, source);
                let searched = folders.and_then(|folders| self.source_file(&file, source, folders, dry_run));
                places.push(match searched {
                    Ok(Some(found)) => {
                        let mut place = Place::of(found, Kind::Source, name);
                        if place.found > 0 && !place.unsearched {
                            place.note = Some("not ours: rewritten with --rewrite-sources".to_owned());
                        }
                        place
                    }
                    Ok(None) => {
                        let why = format!(
                            "it has no column {}: name the one that says so in the source's `field_mapping`",
                            super::said(&self.subject.names())
                        );
                        Place::unsearched(Kind::Source, name, why)
                    }
                    // Nobody can say who is in it; it was not changed.
                    Err(why @ OfflineError::Read { .. }) => {
                        Place::unsearched(Kind::Source, name, schema::error::chain(&why))
                    }
                    Err(why) => return Err(why.into()),
                });
            }
        }
        Ok(places)
    }

    /// The subject's rows of one file of a source.
    fn source_file(
        &self,
        file: &Path,
        source: &Source,
        folders: Folders,
        dry_run: bool,
    ) -> Result<Option<Found>, OfflineError> {
        let (subject, columns) = (self.subject, self.columns.as_slice());
        match source.format {
            definitions::Format::Parquet | definitions::Format::Delta => {
                let counted = files::count_in(&folders, file, subject, columns)?;
                let rows = match counted {
                    Some(_) if !dry_run => Some(files::rewrite_in(&folders, file, subject, columns)?),
                    counted => counted,
                };
                Ok(rows.map(|rows| Found { rows, unclear: Vec::new() }))
            }
            definitions::Format::Csv | definitions::Format::JsonLines => {
                let wanted = self.wanted(source)?.in_folders(folders);
                if dry_run {
                    text::count(file, &wanted, columns)
                } else {
                    text::rewrite(file, &wanted, columns).map(Some)
                }
            }
        }
    }

    /// The subject in texts of a source.
    fn wanted(&self, source: &Source) -> Result<Wanted<'_>, OfflineError> {
        Wanted::new(self.subject, &self.views, source)
    }

    fn caches(&self, dry_run: bool) -> Result<Vec<Place>, Failure> {
        let folder = self.project.offline.folder();
        let files = files::parquet_under(folder)?;
        let mut places = self.parquet(&files, folder, Kind::Cache, &self.columns, dry_run)?;
        places.extend(objects::places(self, dry_run)?);
        Ok(places)
    }

    fn predictions(&self, dry_run: bool) -> Result<Vec<Place>, Failure> {
        let config = &self.project.config;
        let logged = |list: &Vec<String>| list.iter().map(|name| format!("key.{name}")).collect();
        let columns: Vec<Vec<String>> = self.columns.iter().map(logged).collect();
        let mut places = Vec::new();
        if let Some(labels) = Labels::existing(&config.predictions).map_err(|why| unsearchable(&why))? {
            let mut place = Place::new(Kind::Labels, labels::FILE.to_owned());
            place.found = labels.erase(self.subject, &self.columns, dry_run).map_err(|why| unsearchable(&why))?;
            places.push(place);
        }
        for (folder, kind) in [(&config.predictions, Kind::Predictions), (&config.probes, Kind::Probes)] {
            places.extend(self.parquet(&files::parquet_under(folder)?, folder, kind, &columns, dry_run)?);
        }
        Ok(places)
    }

    fn parquet(
        &self,
        paths: &[PathBuf],
        folder: &Path,
        kind: Kind,
        columns: &[Vec<String>],
        dry_run: bool,
    ) -> Result<Vec<Place>, Failure> {
        let mut places = Vec::new();
        for path in paths {
            let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
            let found = if dry_run {
                files::count(path, self.subject, columns)
            } else {
                files::rewrite(path, self.subject, columns).map(Some)
            };
            match found {
                Ok(Some(rows)) if rows.n_found > 0 => {
                    places.push(Place { found: rows.n_found, ..Place::new(kind, name) });
                }
                Ok(_) => {}
                // Somebody else removed it since the folder was listed.
                Err(_) if !path.exists() => {}
                Err(why) if dry_run => {
                    let note = format!("{}; remove the file", schema::error::chain(&why));
                    places.push(Place::unsearched(kind, name, note));
                }
                // It is among what the last search names.
                Err(OfflineError::Read { .. }) => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(places)
    }

    async fn online(&self, online: &dyn OnlineStore, dry_run: bool) -> Result<Vec<Place>, Failure> {
        let mut places = Vec::new();
        for view in &self.views {
            let Some(keys) = self.subject.in_view(view) else { continue };
            let marks = Marks::read(online, view).await?;
            // Marks may be lost while rows are not.
            let known = numbers::next(&self.project.offline.folder_of(view))?.unwrap_or(1);
            let numbers = 1..marks.numbers().end.max(known);
            let tables: Vec<OnlineTable> = numbers.map(|number| OnlineTable::generation(view, number)).collect();
            let report = online.erase(&tables, &keys, dry_run).await?;
            let mut place = Place::new(Kind::Online, view.id.to_string());
            place.found = report.found as u64;
            if report.unreadable > 0 {
                let (n, view) = (report.unreadable, &view.id.name);
                place.note = Some(format!("{n} keys are too long to be told apart: plumb materialize {view} --fresh"));
                place.unsearched = true;
            }
            places.push(place);
        }
        Ok(places)
    }
}

/// The files of a source on this machine, in order of their names.
fn source_files(project: &Path, source: &Source) -> Result<Vec<PathBuf>, String> {
    let files = source::local_files(project, source).map_err(|why| schema::error::chain(&why))?;
    files.ok_or_else(|| "it is not on this machine: remove its rows where it is".to_owned())
}

fn unsearchable(why: &LabelError) -> Failure {
    Failure::new(why.kind(), schema::error::chain(why))
}
