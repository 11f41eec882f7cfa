//! `mlflow-artifacts/…`: files of runs and models, sent and fetched through this server, in constant memory both ways.
//!
//! A file is there when its last byte came and was written to disk, and not before: a client that breaks off leaves nothing,
//! and may send it again.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, StreamExt};
use registry::ArtifactTree;
use registry::artifact_tree::{Draft, Entry, TreeError, TreePath};
use schema::ErrorKind;
use serde_json::{Value, json};

use super::fields::{DROPPED_MAX, Sent};
use super::registered::{self, Registered};
use super::{Code, Refusal, error, wire};
use crate::failure::Failure;
use crate::http::body::announced;

/// Where a file's path begins in its address.
const FILES: &str = "/2.0/mlflow-artifacts/artifacts/";
/// What is read or written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Serves files.
#[derive(Debug)]
pub(super) struct ArtifactFiles {
    /// Where they are.
    pub tree: ArtifactTree,
    /// Those of registered versions.
    pub registered: Registered,
    /// The largest file that is taken.
    pub upload_bytes_max: u64,
}

/// The routes.
pub(super) fn router(files: Arc<ArtifactFiles>) -> Router {
    let file = get(fetch).put(keep).delete(remove);
    Router::new()
        .route("/2.0/mlflow-artifacts/artifacts", get(list))
        .route("/2.0/mlflow-artifacts/artifacts/{*path}", file)
        .route("/2.0/mlflow-artifacts/mpu/{step}/{*path}", post(no_multipart))
        .route("/2.0/mlflow-artifacts/presigned/{*path}", get(no_presigned))
        .method_not_allowed_fallback(error::no_endpoint)
        .with_state(files)
}

async fn list(State(files): State<Arc<ArtifactFiles>>, Sent(fields): Sent) -> Result<Json<Value>, Refusal> {
    let path = TreePath::parse(fields.text("path")?.unwrap_or_default())?;
    let entries = if registered::is_ours(&path) {
        files.registered.list(&path)
    } else {
        let tree = files.tree.clone();
        blocking(move || tree.list(&path)).await??
    };
    Ok(Json(wire::page("files", entries.iter().map(|entry| file(&entry.name, entry)).collect(), None)))
}

/// What is at `path` below a URI of these files, with paths from there; none if the URI is of other files.
pub(super) async fn files_at(tree: &ArtifactTree, uri: &str, path: &str) -> Result<Option<Vec<Value>>, Refusal> {
    // Looked at alone first: a path must not leave the URI either.
    let below = TreePath::parse(path)?;
    let Some(root) = uri.strip_prefix("mlflow-artifacts:/").filter(|root| !root.starts_with('/')) else {
        return Ok(None);
    };
    let at = TreePath::parse(&format!("{root}/{path}"))?;
    let tree = tree.clone();
    let entries = blocking(move || tree.list(&at)).await??;
    let prefix = if below.is_root() { String::new() } else { format!("{}/", path.trim_matches('/')) };
    Ok(Some(entries.iter().map(|entry| file(&format!("{prefix}{}", entry.name), entry)).collect()))
}

fn file(path: &str, entry: &Entry) -> Value {
    match entry.size_bytes {
        Some(size) => json!({ "path": path, "is_dir": false, "file_size": size }),
        None => json!({ "path": path, "is_dir": true }),
    }
}

async fn fetch(State(files): State<Arc<ArtifactFiles>>, uri: Uri) -> Result<Response, Refusal> {
    let path = path_of(&uri)?;
    let (tree, registered) = (files.tree.clone(), files.registered.clone());
    let opened = blocking(move || {
        if registered::is_ours(&path) {
            return registered.open(&path);
        }
        let file = tree.open(&path)?;
        let size = file.metadata().map(|about| about.len());
        Ok(size.map(|size| (file, size)).map_err(|why| TreeError::Io {
            doing: "reading",
            path: path.to_string(),
            source: why.into(),
        })?)
    });
    let (file, size) = opened.await??;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces(file, size))).into_response())
}

/// The first `size` bytes of a file.
fn pieces(file: File, size: u64) -> impl Stream<Item = std::io::Result<Bytes>> {
    futures::stream::try_unfold((file, size), async |(file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let read = blocking(move || {
            let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
            let mut file = file;
            file.read_exact(&mut piece).map(|()| (piece, file))
        });
        let (piece, file) = read.await.map_err(|refusal| std::io::Error::other(refusal.message))??;
        let left = left.saturating_sub(piece.len() as u64);
        Ok(Some((Bytes::from(piece), (file, left))))
    })
}

async fn keep(
    State(files): State<Arc<ArtifactFiles>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let path = path_of(&uri)?;
    if registered::is_ours(&path) {
        return Err(registered::read_only(&path));
    }
    let mut sent = body.into_data_stream();
    let max = files.upload_bytes_max;
    if announced(&headers) as u64 > max {
        if announced(&headers) <= DROPPED_MAX {
            drop_all(sent).await;
        }
        return Err(too_large(max));
    }
    let (tree, at) = (files.tree.clone(), path.clone());
    let mut draft = blocking(move || tree.draft(&at)).await??;
    let (mut piece, mut seen) = (Vec::new(), 0_u64);
    while let Some(bytes) = sent.next().await {
        let bytes = bytes.map_err(|why| Refusal::new(Code::BadRequest, format!("the file broke off: {why}")))?;
        seen = seen.saturating_add(bytes.len() as u64);
        if seen > max {
            drop_all(sent).await;
            return Err(too_large(max));
        }
        piece.extend_from_slice(&bytes);
        if piece.len() >= PIECE_BYTES {
            draft = written(draft, std::mem::take(&mut piece), &path).await?;
        }
    }
    let draft = written(draft, piece, &path).await?;
    let tree = files.tree.clone();
    blocking(move || tree.keep(draft, &path)).await??;
    Ok(Json(json!({})))
}

async fn written(mut draft: Draft, piece: Vec<u8>, path: &TreePath) -> Result<Draft, Refusal> {
    let path = path.to_string();
    blocking(move || match draft.write(&piece) {
        Ok(()) => Ok(draft),
        Err(why) => Err(Refusal::from(TreeError::Io { doing: "writing", path, source: why.into() })),
    })
    .await?
}

/// Takes what is still sent, up to a limit, so that the client reads the refusal instead of a broken connection.
async fn drop_all(mut sent: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin) {
    let mut dropped = 0_usize;
    while let Some(Ok(bytes)) = sent.next().await {
        dropped = dropped.saturating_add(bytes.len());
        if dropped > DROPPED_MAX {
            break;
        }
    }
}

fn too_large(max: u64) -> Refusal {
    Refusal::invalid(format!("the file is larger than {} MB, which is the server's limit", max >> 20))
}

async fn remove(State(files): State<Arc<ArtifactFiles>>, uri: Uri) -> Result<Json<Value>, Refusal> {
    let path = path_of(&uri)?;
    if registered::is_ours(&path) {
        return Err(registered::read_only(&path));
    }
    let tree = files.tree.clone();
    blocking(move || tree.remove(&path)).await??;
    Ok(Json(json!({})))
}

async fn no_multipart() -> Refusal {
    let message = "Multipart upload is not supported for the current artifact repository";
    Refusal::new(Code::NotImplemented, message)
}

async fn no_presigned() -> Refusal {
    Refusal::new(Code::NotImplemented, "Presigned URLs are not supported for the current artifact repository")
}

/// The path as it was sent: decoded by nobody else before.
fn path_of(uri: &Uri) -> Result<TreePath, Refusal> {
    let path = uri.path();
    let at = path.find(FILES).map(|at| at + FILES.len()).ok_or(TreeError::Path)?;
    Ok(TreePath::parse(&path[at..])?)
}

/// Work that waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    #[expect(clippy::disallowed_methods, reason = "files are read and written by blocking calls")]
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|why| Failure::new(ErrorKind::Internal, format!("reading or writing a file: {why}")))?)
}

#[cfg(test)]
mod tests;
