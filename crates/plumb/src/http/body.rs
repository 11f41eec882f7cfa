//! JSON bodies: read whole, refused in our own words.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The largest body of JSON: what axum reads unless it is told otherwise.
pub const BYTES_MAX: usize = 2 << 20;

/// A body that is JSON of `T`, whatever its content type says.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let ApiBytes(bytes) = ApiBytes::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A body, whole. One that says that it will be too large is not waited for.
#[derive(Debug)]
pub struct ApiBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for ApiBytes {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let too_large = || {
            let failure = Failure::invalid(format!("the body is larger than {} MB", BYTES_MAX >> 20));
            failure.code("body_too_large").hint("split the request")
        };
        if announced(request.headers()) > BYTES_MAX {
            return Err(too_large());
        }
        let read = Bytes::from_request(request, state).await;
        read.map(Self).map_err(|why: BytesRejection| match why.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Failure::invalid(format!("reading the body: {}", why.body_text())).code("body_not_read"),
        })
    }
}

/// How long the body is said to be.
pub fn announced(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// A part of the address.
#[derive(Debug)]
pub struct ApiPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ApiPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(text) = Path::from_request_parts(parts, state).await.map_err(|why: PathRejection| {
            Failure::invalid(format!("the address: {}", why.body_text()))
                .code("wrong_path")
                .hint("names are UTF-8, percent-encoded")
        })?;
        Ok(Self(text))
    }
}

/// Reads JSON, and says where it is wrong.
///
/// # Errors
/// `not_json` for what is no JSON, `wrong_json` for JSON of another shape.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // A list of the fields' values in order would pass for the object.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Failure::invalid("the body is a list, not an object").code("wrong_json"));
    }
    serde_json::from_slice(bytes).map_err(|why| match why.classify() {
        serde_json::error::Category::Data => {
            Failure::invalid(format!("the body has another shape: {why}")).code("wrong_json")
        }
        _ => Failure::invalid(format!("the body is not JSON: {why}"))
            .code("not_json")
            .hint("send Content-Type: application/json"),
    })
}

/// An answer of JSON.
///
/// # Errors
/// It cannot be written: a bug, for answers are made of what JSON has.
pub fn json(body: &impl Serialize) -> Result<Response, Failure> {
    // Most answers fit: growing to it would copy them several times.
    written(body, 2048).map(of_json)
}

/// JSON, of about so many bytes.
///
/// # Errors
/// As [`json`].
pub fn written(body: &impl Serialize, n_bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(n_bytes);
    serde_json::to_writer(&mut bytes, body)
        .map_err(|why| Failure::new(schema::ErrorKind::Internal, format!("writing the answer: {why}")))?;
    Ok(bytes)
}

/// An answer of what is JSON already.
pub fn of_json(bytes: impl Into<Bytes>) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, JSON)], bytes.into()).into_response()
}
