//! How long the messages of a method may be, and whether they may be compressed.

use axum::http::HeaderMap;
use tonic::codec::{Codec, CompressionEncoding};
use tonic::server::Grpc;

/// Of a method.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frames {
    /// The longest request, decompressed, in bytes; tonic's 4 MB if it is not said.
    pub bytes_max: Option<usize>,
    /// Whether requests may be compressed, and are then answered likewise. Clients say in every call what they could read:
    /// that alone is no wish.
    pub compressed: bool,
}

impl Frames {
    /// As `grpc` is to read a request of these headers, and to answer it.
    pub(super) fn of<T: Codec>(self, mut grpc: Grpc<T>, headers: &HeaderMap) -> Grpc<T> {
        if let Some(bytes_max) = self.bytes_max {
            grpc = grpc.max_decoding_message_size(bytes_max);
        }
        if self.compressed {
            let encoding = headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
            for (name, known) in [("gzip", CompressionEncoding::Gzip), ("deflate", CompressionEncoding::Deflate)] {
                grpc = grpc.accept_compressed(known);
                if encoding == Some(name) {
                    grpc = grpc.send_compressed(known);
                }
            }
        }
        grpc
    }
}
