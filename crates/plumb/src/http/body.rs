//! JSON bodies: read whole, refused in our own words.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// A body that is JSON of `T`, whatever its content type says.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|why: BytesRejection| {
            if why.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Failure::invalid("the body is larger than 2 MB")
                    .code("body_too_large")
                    .hint("split the request");
            }
            Failure::invalid(format!("reading the body: {}", why.body_text())).code("body_not_read")
        })?;
        parse(&bytes).map(Self)
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
    let bytes = serde_json::to_vec(body)
        .map_err(|why| Failure::new(schema::ErrorKind::Internal, format!("writing the answer: {why}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}
