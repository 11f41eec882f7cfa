//! What a source is like now, told without writing anything: for whoever only wants to know.

use std::collections::BTreeSet;

use schema::Fingerprint;
use schema::definitions::{Format, Source};

use super::super::{OfflineError, OfflineStore};
use super::find::Found;
use super::kept::Kept;
use super::place::Place;
use super::{SourceFiles, Want, find, mirror, open_for, remote, text};

/// A source, as far as it is at hand.
#[derive(Debug)]
pub(crate) enum Look {
    /// Its files, or the copies that are kept of all of them as they are now.
    Whole(Box<SourceFiles>),
    /// There is no copy yet of so many of its files.
    Unread { n_files: usize },
}

impl Look {
    pub(super) fn whole(files: SourceFiles) -> Self {
        Self::Whole(Box::new(files))
    }
}

/// Looks at a source. Texts are not converted and objects are not fetched, but listed.
///
/// # Errors
/// As [`super::open`].
pub(crate) async fn look(store: &OfflineStore, source: &Source) -> Result<Look, OfflineError> {
    let place = Place::parse(&source.path).map_err(|why| find::path_error(source, why))?;
    let opened = match (source.format, place) {
        (Format::Delta, Place::Remote(place)) => return mirror::look(store, source, &place).await,
        (Format::Delta | Format::Parquet, Place::Local(_)) => {
            return open_for(store, source, Want::Footers).await.map(Look::whole);
        }
        (Format::Csv | Format::JsonLines, Place::Local(path)) => {
            let found = find::local(store.project(), source, &path)?;
            let states = found.iter().map(Found::state).collect();
            let Some(kept) = kept(store, source, &states)? else { return Ok(Look::Unread { n_files: states.len() }) };
            text::open(source, &kept, &found).map(|files| (files, kept))
        }
        (format, Place::Remote(place)) => {
            let objects = remote::list(store, source, &place).await?;
            let states = objects.states();
            let Some(kept) = kept(store, source, &states)? else { return Ok(Look::Unread { n_files: states.len() }) };
            let files = match format {
                Format::Parquet | Format::Delta => objects.open(&kept, Want::Footers).await,
                Format::Csv | Format::JsonLines => match objects.fetch(&kept).await {
                    Ok(found) => text::open(source, &kept, &found),
                    Err(why) => Err(why),
                },
            };
            files.map(|files| (files, kept))
        }
    };
    match opened {
        Ok((files, kept)) => SourceFiles::new(source, files, Some(kept)).map(Look::whole),
        // A copy that there is has other types than one that would be made now.
        Err(OfflineError::Write { .. }) => Ok(Look::Unread { n_files: 1 }),
        Err(why) => Err(why),
    }
}

/// The state of a source, where it is known without fetching or converting anything.
///
/// # Errors
/// As [`super::open`].
pub async fn known_version(store: &OfflineStore, source: &Source) -> Result<Option<Fingerprint>, OfflineError> {
    Ok(match look(store, source).await? {
        Look::Whole(files) => Some(files.version()),
        Look::Unread { .. } => None,
    })
}

/// What is kept of the source, if that is something of each of `states`.
fn kept(store: &OfflineStore, source: &Source, states: &BTreeSet<String>) -> Result<Option<Kept>, OfflineError> {
    let Some(kept) = Kept::look(store.folder(), source)? else { return Ok(None) };
    Ok(kept.holds_all(states).then_some(kept))
}
