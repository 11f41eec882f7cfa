//! How long predictions are kept: a file goes when all of its rows are older.

use std::path::Path;
use std::time::Duration;

use metrics::counter;
use schema::Timestamp;
use schema::error::chain;
use tracing::warn;
use uuid::Uuid;

use super::read::paths;
use crate::labels::Labels;

/// Removes the files below `folder` that were written longer than `keep` ago, and the labels that came before that.
///
/// What these are of is gone. A row is in a file that was written after it was
/// answered, so none goes too early. What cannot be removed is told, and tried again next time.
pub(super) fn sweep(folder: &Path, keep: Duration, now: Timestamp) {
    let keep = i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX);
    let oldest = now.as_nanos().saturating_sub(keep);
    let forgotten = Labels::existing(folder).and_then(|labels| match labels {
        Some(labels) => labels.forget_before(Timestamp::from_nanos(oldest)),
        None => Ok(0),
    });
    if let Err(why) = forgotten {
        warn!("{}", chain(&why));
    }
    let paths = match paths(folder) {
        Ok(paths) => paths,
        Err(why) => return warn!("{}", chain(&why)),
    };
    for path in paths.iter().filter(|path| written_at(path).is_some_and(|at| at < oldest)) {
        match std::fs::remove_file(path) {
            Ok(()) => counter!("plumb_prediction_log_expired_files_total").increment(1),
            // Another server of the same log was first.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => warn!("removing `{}`, whose predictions are too old: {why}", path.display()),
        }
    }
}

/// Nanoseconds since 1970, as the file's name has them. `None` for what has another name: nobody knows how old it is.
fn written_at(path: &Path) -> Option<i64> {
    let id = Uuid::try_parse(path.file_stem()?.to_str()?).ok()?;
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(i64::from(nanos))
}

#[cfg(test)]
mod tests {
    use schema::Clock;

    use super::*;

    #[test]
    fn files_go_when_they_are_too_old_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let service = folder.path().join("0011");
        std::fs::create_dir_all(&service).unwrap();
        let now = Clock::wall();
        let aged = |hours: i64, end: &str| {
            let at = now.as_nanos() - hours * 3_600_000_000_000;
            let seconds = u64::try_from(at / 1_000_000_000).unwrap();
            let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
            let path = service.join(format!("{id}.{end}"));
            std::fs::write(&path, b"x").unwrap();
            path
        };
        let (old, young) = (aged(25, "parquet"), aged(23, "parquet"));
        let (text, other) = (aged(99, "json"), service.join("mine.parquet"));
        std::fs::write(&other, b"x").unwrap();
        sweep(folder.path(), Duration::from_secs(24 * 3_600), now);
        assert_eq!([&old, &young, &text, &other].map(|path| path.exists()), [false, true, true, true]);
        sweep(&folder.path().join("none"), Duration::ZERO, now);
    }
}
