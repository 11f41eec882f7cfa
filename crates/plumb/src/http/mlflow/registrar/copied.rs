//! Sources in buckets that the operator lets versions be copied from: all files below the source are pinned, or the version
//! is refused.

use std::sync::Arc;

use registry::artifact_tree::TreePath;
use registry::{Artifacts, PinnedFile};
use schema::ErrorKind;
use storage::{Bucket, Listed, Place};

use super::Registrar;
use crate::failure::Failure;
use crate::http::mlflow::Refusal;
use crate::http::mlflow::artifacts::blocking;

/// Files of a model, as of a folder on the command line. More are a mistake: a bucket, a data set.
const FILES_MAX: usize = 1_000;
/// Folders below each other.
const DEPTH_MAX: usize = 16;

/// What may be copied.
#[derive(Debug)]
pub(in crate::http::mlflow) struct Copied {
    /// From these folders, and from nowhere else, whatever a client names.
    pub(in crate::http::mlflow) buckets: Vec<Bucket>,
    /// The largest file.
    pub(in crate::http::mlflow) file_bytes_max: u64,
}

impl Copied {
    /// The folder that a source names, if it is in one of these, and in one spelling.
    pub(super) fn find(&self, source: &str) -> Option<Bucket> {
        let place = Place::plain(source).ok()?;
        self.buckets.iter().find_map(|bucket| bucket.below(&place))
    }
}

/// Copies the files below a source; none where nothing lies there yet.
pub(super) async fn pin(this: &Arc<Registrar>, bucket: Bucket) -> Result<Vec<PinnedFile>, Refusal> {
    let this = Arc::clone(this);
    Ok(blocking(move || copy(&bucket, &this.artifacts, this.copied.file_bytes_max)).await??)
}

fn copy(bucket: &Bucket, artifacts: &Artifacts, file_bytes_max: u64) -> Result<Vec<PinnedFile>, Failure> {
    let refused = |why: String| Failure::invalid(format!("`{bucket}` cannot be a model: {why}"));
    let listed = bucket.list(FILES_MAX + 1)?;
    if listed.len() > FILES_MAX {
        return Err(refused(format!("it has more than {FILES_MAX} files")).hint("name the folder of the model alone"));
    }
    let mut objects: Vec<(String, Listed)> =
        files(&listed).map(|listed| (listed.path.clone(), listed.clone())).collect();
    // An object by itself is a model of one file.
    let own_name = bucket.place().path.rsplit('/').next().unwrap_or_default();
    if objects.is_empty()
        && !own_name.is_empty()
        && let Some(size_bytes) = bucket.size("")?
    {
        objects.push((own_name.to_owned(), Listed { path: String::new(), size_bytes }));
    }
    for (name, listed) in &objects {
        let is_plain = TreePath::parse(name).is_ok_and(|path| path.parts().eq(name.split('/')));
        if !is_plain {
            return Err(refused(format!("`{}` is no path of a file below it", name.escape_debug())));
        }
        if name.split('/').count() > DEPTH_MAX {
            return Err(refused(format!("`{name}` lies too deep")));
        }
        if listed.size_bytes > file_bytes_max {
            return Err(refused(format!(
                "`{name}` is larger than {} MB, which is the server's limit",
                file_bytes_max >> 20
            )));
        }
    }
    let changed =
        || Failure::new(ErrorKind::Conflict, format!("`{bucket}` changed while it was read")).hint("try again");
    let mut files = Vec::with_capacity(objects.len());
    for (path, listed) in objects {
        let mut object = bucket.read(&listed.path)?.ok_or_else(changed)?;
        if object.size_bytes() != listed.size_bytes {
            return Err(changed());
        }
        let (digest, size_bytes) = artifacts.put_from(&mut object)?;
        files.push(PinnedFile { path, digest, size_bytes });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What is a file: consoles of stores keep an empty object for each folder.
fn files(listed: &[Listed]) -> impl Iterator<Item = &Listed> {
    let is_folder = |one: &Listed| {
        let inside = format!("{}/", one.path);
        one.size_bytes == 0 && (one.path.is_empty() || listed.iter().any(|other| other.path.starts_with(&inside)))
    };
    listed.iter().filter(move |one| !is_folder(one))
}
