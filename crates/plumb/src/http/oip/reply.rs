//! An answer as JSON, with raw tensors behind it where they were asked for.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serving::infer::TensorModel;
use serving::onnx::{Datatype, Tensor, TensorData};

use super::JSON_LENGTH;
use crate::config::NonFiniteFloat;
use crate::oip::inference::Answer;
use crate::oip::{Cause, Refusal, bytes};

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// JSON, and perhaps raw tensors.
    pub body: Vec<u8>,
    /// How much of the body is JSON, where tensors follow.
    pub json_length: Option<usize>,
}

/// Writes an answer.
///
/// # Errors
/// An output is of half floats and not asked for as binary data.
pub(super) fn write(
    model: &TensorModel,
    id: &str,
    answer: &Answer,
    non_finite: NonFiniteFloat,
) -> Result<Reply, Refusal> {
    let mut json = Vec::with_capacity(512);
    json.extend_from_slice(b"{\"model_name\":");
    text(&mut json, model.name().as_str())?;
    json.extend_from_slice(b",\"model_version\":\"");
    json.extend_from_slice(model.version().to_string().as_bytes());
    json.push(b'"');
    if !id.is_empty() {
        json.extend_from_slice(b",\"id\":");
        text(&mut json, id)?;
    }
    json.extend_from_slice(b",\"outputs\":[");
    for (at, (tensor, is_binary)) in answer.outputs.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        output(&mut json, tensor, *is_binary, non_finite)?;
    }
    json.extend_from_slice(b"]}");
    let mut reply = Reply { json_length: None, body: json };
    let mut raw = answer.outputs.iter().filter(|(_, is_binary)| *is_binary).peekable();
    if raw.peek().is_some() {
        reply.json_length = Some(reply.body.len());
    }
    raw.for_each(|(tensor, _)| bytes::write(&tensor.data, &mut reply.body));
    Ok(reply)
}

fn output(json: &mut Vec<u8>, tensor: &Tensor, is_binary: bool, non_finite: NonFiniteFloat) -> Result<(), Refusal> {
    json.extend_from_slice(b"{\"name\":");
    text(json, &tensor.name)?;
    json.extend_from_slice(b",\"datatype\":\"");
    json.extend_from_slice(tensor.datatype().as_str().as_bytes());
    json.extend_from_slice(b"\",\"shape\":");
    text(json, &tensor.shape)?;
    if is_binary {
        let size = bytes::n_bytes(&tensor.data);
        json.extend_from_slice(format!(",\"parameters\":{{\"binary_data_size\":{size}}}}}").as_bytes());
        return Ok(());
    }
    json.extend_from_slice(b",\"data\":");
    data(json, tensor, non_finite)?;
    json.push(b'}');
    Ok(())
}

fn data(json: &mut Vec<u8>, tensor: &Tensor, non_finite: NonFiniteFloat) -> Result<(), Refusal> {
    match &tensor.data {
        TensorData::Bool(data) => text(json, data),
        TensorData::U8(data) => text(json, data),
        TensorData::U16(data) => text(json, data),
        TensorData::U32(data) => text(json, data),
        TensorData::U64(data) => text(json, data),
        TensorData::I8(data) => text(json, data),
        TensorData::I16(data) => text(json, data),
        TensorData::I32(data) => text(json, data),
        TensorData::I64(data) => text(json, data),
        TensorData::Text(data) => text(json, data),
        TensorData::F32(data) => floats(json, data, non_finite, |x| lacking(f64::from(x))),
        TensorData::F64(data) => floats(json, data, non_finite, lacking),
        TensorData::F16(_) => Err(halves(tensor, Datatype::Fp16)),
        TensorData::Bf16(_) => Err(halves(tensor, Datatype::Bf16)),
    }
}

fn halves(tensor: &Tensor, datatype: Datatype) -> Refusal {
    Refusal::invalid(format!(
        "output '{}' is {datatype}, which JSON has no numbers for: ask for it as binary data",
        tensor.name
    ))
}

/// How a float that JSON lacks is called.
fn lacking(x: f64) -> Option<&'static str> {
    match x {
        x if x.is_nan() => Some("NaN"),
        x if x.is_finite() => None,
        x if x > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

fn floats<T: Copy + Serialize>(
    json: &mut Vec<u8>,
    data: &[T],
    non_finite: NonFiniteFloat,
    lacking: impl Fn(T) -> Option<&'static str>,
) -> Result<(), Refusal> {
    if non_finite == NonFiniteFloat::Null {
        // The writer writes null.
        return text(json, data);
    }
    json.push(b'[');
    for (at, x) in data.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        match lacking(*x) {
            Some(token) => json.extend_from_slice(token.as_bytes()),
            None => text(json, x)?,
        }
    }
    json.push(b']');
    Ok(())
}

fn text(json: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Refusal> {
    serde_json::to_writer(json, value)
        .map_err(|why| Refusal::new(Cause::Internal, format!("writing the answer: {why}")))
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
        let mut response = Response::new(Body::from(self.body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, if self.json_length.is_some() { BYTES } else { JSON });
        if let Some(length) = self.json_length {
            headers.insert(JSON_LENGTH, length.into());
        }
        response
    }
}
