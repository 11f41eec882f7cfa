//! Rows of a service version that somebody asked for, or would: logged requests, and entities of history.

use std::path::Path;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use featurestore::offline::{OfflineError, OfflineStore};
use featurestore::retrieve::EntityRows;
use featurestore::training::features_at;
use featurestore::{CompiledService, FeatureRows};
use schema::{Status, Timestamp};

use super::probe_set::Gathered;
use super::rows::{ProbeRows, Sort};
use super::strata;
use crate::prediction_log::read::{LoggedRows, files};
use crate::prediction_log::sample::KeySample;
use crate::promotion::sample;

/// Logged requests of one service version that are compared: enough that a share of one in a thousand shows, and few enough
/// that a promotion of a small model takes less than a second.
pub const LOGGED_MAX: usize = 2048;

/// Logged requests that are looked at where they are told apart, so that of what is rare there are some.
const LOOKED_AT_MAX: usize = 8 * LOGGED_MAX;

/// The newest logged requests of a service version, up to [`LOGGED_MAX`], as they were answered.
///
/// Where the policy tells them apart, they are the newest of each stratum, as many of each as there are and room is.
pub fn logged(compiled: &CompiledService, folder: &Path, stratify_by: Option<&str>) -> Gathered {
    let Some(by) = stratify_by else { return newest_logged(compiled, folder, LOGGED_MAX) };
    let all = newest_logged(compiled, folder, LOOKED_AT_MAX);
    let picked = strata::pick(compiled, &all, by, LOGGED_MAX);
    // Rows that are there can be taken.
    all.take(&picked).unwrap_or_else(|_never| Gathered::none(&compiled.service))
}

/// The newest logged requests of a service version. What of the log cannot be read is not a sample of anything, and is left out.
fn newest_logged(compiled: &CompiledService, folder: &Path, most: usize) -> Gathered {
    let mut all = Gathered::none(&compiled.service);
    let Ok((files, _)) = files(folder) else { return all };
    // Oldest first, as they come.
    for file in files.iter().rev().filter(|file| file.service == compiled.service.fingerprint) {
        let Ok(parts) = file.read(compiled, KeySample::ALL) else { continue };
        for part in parts.into_iter().rev() {
            let room = most - all.rows.len();
            let Ok(rows) = newest(compiled, &part, room) else { continue };
            if rows.rows.is_empty() || all.append(rows).is_err() {
                continue;
            }
            if all.rows.len() >= most {
                return all;
            }
        }
    }
    all
}

/// The last rows of a part of the log, newest first. Rows whose values the store could not give are no rows of the service.
fn newest(compiled: &CompiledService, part: &LoggedRows, most: usize) -> Result<Gathered, ArrowError> {
    let FeatureRows { columns, statuses, .. } = &part.features;
    let known = |row: &usize| statuses.iter().all(|of| of[*row] != Status::Unavailable);
    let rows: Vec<usize> = (0..part.ids.len()).rev().filter(known).take(most).collect();
    let places: UInt64Array = rows.iter().filter_map(|row| u64::try_from(*row).ok()).collect();
    let picked = |column: &ArrayRef| take(column, &places, None);
    let statuses = statuses.iter().map(|of| rows.iter().map(|row| of[*row]).collect()).collect();
    let columns = columns.iter().map(picked).collect::<Result<_, _>>()?;
    let keys = keys(compiled, &part.entities).map(|(name, column)| Ok((name, picked(column)?)));
    Ok(Gathered {
        keys: keys.collect::<Result<_, ArrowError>>()?,
        rows: ProbeRows { columns, statuses, sorts: vec![Sort::Sampled; rows.len()], beside: vec![None; rows.len()] },
    })
}

fn keys<'e>(compiled: &'e CompiledService, entities: &'e EntityRows) -> impl Iterator<Item = (String, &'e ArrayRef)> {
    let of =
        |key: &schema::definitions::JoinKey| Some((key.name.to_string(), entities.columns.get(key.name.as_str())?));
    compiled.keys().into_iter().filter_map(of)
}

/// Rows of history with the keys of whom they are of.
pub fn sampled(compiled: &CompiledService, entities: &EntityRows, there: FeatureRows) -> Gathered {
    let keys = keys(compiled, entities).map(|(name, column)| (name, ArrayRef::clone(column))).collect();
    Gathered { keys, rows: ProbeRows::found(there, Sort::Sampled) }
}

/// Entities of a service version, by the hash of their keys, with their features as of `now`; fields of the request are made
/// up, or null where an expression refuses what was made up.
///
/// # Errors
/// History cannot be read.
pub async fn of_history(
    compiled: &CompiledService,
    offline: &OfflineStore,
    now: Timestamp,
) -> Result<(EntityRows, FeatureRows), OfflineError> {
    let entities = sample::sample(compiled, offline).await?;
    let times = vec![Some(now); entities.n];
    match features_at(offline, compiled, &entities, &times).await {
        // An expression may refuse what was made up for a request field: then nobody says anything.
        Err(OfflineError::Compute { .. }) if !compiled.fields.is_empty() => {
            let silent = sample::without_fields(compiled, entities)?;
            let there = features_at(offline, compiled, &silent, &times).await?.0;
            Ok((silent, there))
        }
        there => Ok((entities, there?.0)),
    }
}
