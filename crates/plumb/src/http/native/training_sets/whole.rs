//! A training set that is judged before its first byte is sent: kept in a file without a name until it is whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use featurestore::training::Report;
use featurestore::training::write::REPORT_KEY;
use futures::stream;
use schema::{BoxError, ErrorKind};

use crate::failure::Failure;
use crate::http::building::{IpcStream, Pieces};

/// Bytes that are read from the file at a time.
const PART_BYTES: usize = 1 << 20;

/// The stream of a training set that ended without a leak. Its schema has the report in its metadata.
///
/// # Errors
/// Whatever ends the build, `leakage` too.
pub(super) async fn body(mut pieces: Pieces<Bytes>) -> Result<Body, Failure> {
    let mut file = tempfile::tempfile().map_err(kept)?;
    // How the stream begins is written again, with the report.
    let mut is_head = true;
    while let Some(piece) = pieces.next().await? {
        if !std::mem::take(&mut is_head) {
            tokio::task::block_in_place(|| file.write_all(&piece)).map_err(kept)?;
        }
    }
    let Some(report) = &pieces.report else {
        return Err(Failure::new(ErrorKind::Internal, "the training set has no report"));
    };
    let head = head(&pieces, report).map_err(|why| Failure::new(ErrorKind::Internal, why.to_string()))?;
    file.seek(SeekFrom::Start(0)).map_err(kept)?;
    let parts = stream::try_unfold((file, Some(head)), |(mut file, head)| async move {
        if let Some(head) = head {
            return Ok(Some((head, (file, None))));
        }
        let part = tokio::task::block_in_place(|| read(&mut file))?;
        Ok::<_, std::io::Error>((!part.is_empty()).then_some((part, (file, None))))
    });
    Ok(Body::from_stream(parts))
}

fn head(pieces: &Pieces<Bytes>, report: &Report) -> Result<Bytes, BoxError> {
    let mut schema = pieces.schema.as_ref().clone();
    schema.metadata.insert(REPORT_KEY.to_owned(), serde_json::to_string(report)?);
    Ok(IpcStream::head(&Arc::new(schema))?.into())
}

fn read(file: &mut File) -> std::io::Result<Bytes> {
    let mut part = Vec::with_capacity(PART_BYTES);
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

fn kept(why: std::io::Error) -> Failure {
    Failure::new(ErrorKind::Unavailable, format!("keeping the training set until it is whole: {why}"))
        .code("environment")
        .hint("ask without `fail_on_leakage`, or make room in the folder of temporary files")
}
