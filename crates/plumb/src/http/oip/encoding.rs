//! Compressed bodies, both ways: `gzip`, and `deflate` in its zlib wrapper.

use std::io::{Read, Write};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use super::reply::Reply;
use crate::oip::{Cause, Refusal};

/// Replies shorter than this are not compressed: it would take longer than to send them.
const BYTES_MIN: usize = 1_024;

/// The body as it was before it was compressed.
///
/// # Errors
/// It grows beyond `bytes_max`, is broken, or compressed in a way that is not known.
pub(super) fn plain(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter().flat_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        value.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut encodings = encodings.by_ref().filter(|word| !word.is_empty() && word != "identity");
    let (encoding, more) = (encodings.next(), encodings.next());
    match (encoding.as_deref(), more) {
        (None, _) => Ok(body),
        (Some("gzip" | "x-gzip"), None) => grown(MultiGzDecoder::new(body.as_ref()), bytes_max),
        (Some("deflate"), None) => grown(ZlibDecoder::new(body.as_ref()), bytes_max),
        (Some(other), _) => {
            let other = other.escape_debug();
            Err(Refusal::invalid(format!(
                "Content-Encoding '{other}' is not supported: gzip and deflate are, one at a time"
            )))
        }
    }
}

fn grown(decoder: impl Read, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let broken = |why: std::io::Error| Refusal::invalid(format!("the compressed body is broken: {why}"));
    decoder.take(one_more).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() > bytes_max {
        let mb = bytes_max >> 20;
        return Err(Refusal::new(Cause::TooLarge, format!("the request, decompressed, is larger than {mb} MB")));
    }
    Ok(bytes.into())
}

/// A reply, compressed where the client asks for that and it is worth it.
pub(super) fn fitting(headers: &HeaderMap, mut reply: Reply) -> Response {
    let asked = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let compressed = match asked.and_then(accepted) {
        Some(encoding) if reply.body.len() >= BYTES_MIN => {
            let level = Compression::fast();
            let bytes = match encoding {
                "gzip" => written(GzEncoder::new(Vec::new(), level), &reply.body, GzEncoder::finish),
                _ => written(ZlibEncoder::new(Vec::new(), level), &reply.body, ZlibEncoder::finish),
            };
            bytes.ok().map(|bytes| (encoding, bytes))
        }
        _ => None,
    };
    let encoding = compressed.map(|(encoding, bytes)| {
        reply.body = bytes;
        encoding
    });
    let mut response = reply.into_response();
    if let Some(encoding) = encoding {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn written<W: Write>(
    mut encoder: W,
    body: &[u8],
    finish: fn(W) -> std::io::Result<Vec<u8>>,
) -> std::io::Result<Vec<u8>> {
    encoder.write_all(body)?;
    finish(encoder)
}

/// The first of our encodings that the client takes: `gzip;q=0` is one that it does not.
fn accepted(asked: &str) -> Option<&'static str> {
    let mut words = asked.split(',').filter_map(|word| {
        let (name, parameters) = word.split_once(';').unwrap_or((word, ""));
        let quality = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        let is_taken = quality.is_ok_and(|quality| quality > 0.0);
        let known = ["gzip", "deflate"].into_iter().find(|known| name.trim().eq_ignore_ascii_case(known));
        known.filter(|_| is_taken)
    });
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(encoding: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap())])
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        written(GzEncoder::new(Vec::new(), Compression::best()), bytes, GzEncoder::finish).unwrap()
    }

    #[test]
    fn bodies_are_what_they_were() {
        let zlib = written(ZlibEncoder::new(Vec::new(), Compression::fast()), b"abc", ZlibEncoder::finish).unwrap();
        for (encoding, body) in
            [("gzip", gzip(b"abc")), ("GZip, identity", gzip(b"abc")), ("deflate", zlib), ("identity", b"abc".to_vec())]
        {
            assert_eq!(plain(&headers(encoding), body.into(), 3).unwrap(), "abc", "{encoding}");
        }
        assert_eq!(plain(&HeaderMap::new(), Bytes::from_static(b"abc"), 3).unwrap(), "abc");
    }

    #[test]
    fn a_bomb_is_not_read_to_its_end() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 10_000);
        let refused = plain(&headers("gzip"), bomb.into(), 1 << 20).unwrap_err();
        assert_eq!(
            (refused.cause, refused.message.as_str()),
            (Cause::TooLarge, "the request, decompressed, is larger than 1 MB")
        );
    }

    #[test]
    fn what_is_broken_or_unknown_is_refused() {
        for (encoding, body) in
            [("gzip", b"abc".to_vec()), ("deflate", b"abc".to_vec()), ("gzip", gzip(b"abc")[..9].to_vec())]
        {
            let refused = plain(&headers(encoding), body.into(), 99).unwrap_err();
            assert!(refused.message.starts_with("the compressed body is broken: "), "{refused:?}");
        }
        for encoding in ["br", "gzip, gzip"] {
            let refused = plain(&headers(encoding), Bytes::new(), 99).unwrap_err();
            assert!(refused.message.contains("is not supported"), "{refused:?}");
        }
    }

    #[test]
    fn replies_are_compressed_as_the_client_asks() {
        for (asked, given) in [
            ("gzip", Some("gzip")),
            ("deflate, gzip", Some("deflate")),
            ("br, GZIP;q=0.5", Some("gzip")),
            ("gzip;q=0, deflate", Some("deflate")),
            ("gzip;q=0", None),
            ("identity", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(accepted(asked), given, "{asked}");
        }
    }
}
