//! A request, read: JSON, JSON with raw tensors behind it, or raw elements alone.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use serving::infer::check::{dims, elements};
use serving::infer::{Port, TensorModel};
use serving::onnx::{Datatype, Tensor};

use super::{data, lenient};
use crate::oip::inference::Request;
use crate::oip::options::{Input, Options, Output, Value};
use crate::oip::{Refusal, bytes};

/// A request and the client's name for it.
#[derive(Debug)]
pub(super) struct Asked {
    /// The name; may be empty.
    pub id: String,
    /// It.
    pub request: Request,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    parameters: Option<Map<String, Json>>,
    #[serde(borrow, default)]
    inputs: Vec<GivenInput<'a>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<AskedOutput<'a>>>,
}

#[derive(Deserialize)]
struct GivenInput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<Map<String, Json>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AskedOutput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<Map<String, Json>>,
}

/// Reads a body of which the first `json_length` bytes are JSON, or all where that is not said.
///
/// # Errors
/// The client's mistake.
pub(super) fn read(
    body: &[u8],
    json_length: Option<usize>,
    model: &TensorModel,
    deadline: Option<Instant>,
) -> Result<Asked, Refusal> {
    let (json, tail) = match json_length {
        None => (body, &[][..]),
        Some(0) => return raw(body, model, deadline),
        Some(length) => body.split_at_checked(length).ok_or_else(|| {
            Refusal::invalid(format!(
                "Inference-Header-Content-Length is {length}, and the request body has {} bytes",
                body.len()
            ))
        })?,
    };
    let text = std::str::from_utf8(json)
        .map_err(|why| Refusal::invalid(format!("failed to parse the request JSON buffer: {why}")))?;
    // Only who writes what is no JSON pays for a second look.
    let lenient;
    let body: Body<'_> = match serde_json::from_str(text) {
        Ok(body) => body,
        Err(why) => {
            let wrong = || Refusal::invalid(format!("failed to parse the request JSON buffer: {why}"));
            lenient = lenient::strict(text);
            match &lenient {
                Cow::Borrowed(_) => return Err(wrong()),
                Cow::Owned(text) => serde_json::from_str(text).map_err(|_why| wrong())?,
            }
        }
    };
    let options = Options::read(values(body.parameters.as_ref())?)?;
    let mut tail = Tail { bytes: tail, is_said: json_length.is_some() };
    let inputs = body.inputs.into_iter().map(|input| input.read(&mut tail)).collect::<Result<_, _>>()?;
    if !tail.bytes.is_empty() {
        let left = tail.bytes.len();
        return Err(Refusal::invalid(format!(
            "unexpected additional input data for model '{}': {left} bytes",
            model.name()
        )));
    }
    let outputs = body.outputs.unwrap_or_default();
    let output = |output: AskedOutput<'_>| Output::read(output.name.into_owned(), values(output.parameters.as_ref())?);
    let outputs = outputs.into_iter().map(output).collect::<Result<_, _>>()?;
    let id = body.id.map(Cow::into_owned).unwrap_or_default();
    Ok(Asked { id, request: Request { options, inputs, outputs, deadline } })
}

/// Raw tensors that are not read yet.
struct Tail<'a> {
    bytes: &'a [u8],
    /// Whether the request says where they begin.
    is_said: bool,
}

impl GivenInput<'_> {
    fn read(self, tail: &mut Tail<'_>) -> Result<Tensor, Refusal> {
        let Self { name, shape, datatype, parameters, data } = self;
        let input = Input::read(values(parameters.as_ref())?)?;
        let unknown = || {
            Refusal::invalid(format!("input '{name}' has the datatype '{}', which is none", datatype.escape_debug()))
        };
        let datatype = Datatype::parse(&datatype).ok_or_else(unknown)?;
        let n = elements(&name, &shape, datatype).map_err(|why| Refusal::invalid(why.to_string()))?;
        let data = match (input.binary_size, data) {
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(format!("input '{name}' has both data and binary_data_size")));
            }
            (Some(_), None) if !tail.is_said => {
                return Err(Refusal::invalid(format!(
                    "input '{name}' has binary_data_size, and the request no Inference-Header-Content-Length"
                )));
            }
            (Some(size), None) => {
                let left = tail.bytes.len();
                let short = || {
                    Refusal::invalid(format!(
                        "input '{name}' has {size} bytes by binary_data_size, and {left} are left"
                    ))
                };
                let (raw, rest) = tail.bytes.split_at_checked(size).ok_or_else(short)?;
                tail.bytes = rest;
                bytes::read(&name, datatype, n, raw).map_err(|why| Refusal::invalid(why.to_string()))?
            }
            (None, Some(json)) => data::read(&name, datatype, n, json.get())?,
            (None, None) => {
                return Err(Refusal::invalid(format!("input '{name}' has neither data nor binary_data_size")));
            }
        };
        Ok(Tensor { name: name.as_ref().into(), shape, data })
    }
}

/// A request that is the elements of the model's one input, and nothing else. All outputs are raw.
fn raw(body: &[u8], model: &TensorModel, deadline: Option<Instant>) -> Result<Asked, Refusal> {
    let [port] = model.inputs() else {
        let (n, model) = (model.inputs().len(), model.name());
        return Err(Refusal::invalid(format!(
            "Raw request must only have 1 input (found {n}) to be deduced for '{model}'"
        )));
    };
    let shape = deduced(port, model, body.len())?;
    let n = elements(&port.name, &shape, port.datatype).map_err(|why| Refusal::invalid(why.to_string()))?;
    // A text has no length before it here: the body is one.
    let data = match port.datatype {
        Datatype::Bytes => {
            let text = String::from_utf8(body.to_vec());
            let why = || bytes::Misread::NotText { input: port.name.as_ref().to_owned(), at: 0 }.to_string();
            serving::onnx::TensorData::Text(vec![text.map_err(|_why| Refusal::invalid(why()))?])
        }
        datatype => bytes::read(&port.name, datatype, n, body).map_err(|why| Refusal::invalid(why.to_string()))?,
    };
    let inputs = vec![Tensor { name: Arc::clone(&port.name), shape, data }];
    let options = Options { is_binary: true, ..Options::default() };
    Ok(Asked { id: String::new(), request: Request { options, inputs, outputs: Vec::new(), deadline } })
}

/// The shape of `n_bytes` bytes: one row of a model that takes batches, and at most one free dimension besides.
fn deduced(port: &Port, model: &TensorModel, n_bytes: usize) -> Result<Vec<i64>, Refusal> {
    let name = &port.name;
    let mut shape = port.shape.clone();
    if let (Some(_), Some(rows)) = (model.rows_max(), shape.first_mut()) {
        *rows = 1;
    }
    let free: Vec<usize> = shape.iter().enumerate().filter(|(_, dim)| **dim < 0).map(|(at, _)| at).collect();
    let fixed =
        shape.iter().filter(|dim| **dim >= 0).try_fold(1_usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?));
    let undeduced = |why: &str| {
        let shape = dims(&port.shape);
        Refusal::invalid(format!(
            "The shape of Raw request input '{name}' can not be deduced because {why}; it is {shape}"
        ))
    };
    if free.len() > 1 {
        return Err(undeduced("there are more than one variable-sized dimension"));
    }
    let Some(width) = port.datatype.width() else {
        free.iter().for_each(|at| shape[*at] = 1);
        return match shape.iter().all(|dim| *dim == 1) {
            true => Ok(shape),
            false => Err(undeduced("BYTES are one element")),
        };
    };
    if let [at] = *free.as_slice() {
        let each = fixed.and_then(|n| n.checked_mul(width)).filter(|each| *each > 0 && n_bytes.is_multiple_of(*each));
        let each =
            each.ok_or_else(|| undeduced(&format!("{n_bytes} bytes are no whole number of its other dimensions")))?;
        shape[at] = i64::try_from(n_bytes / each).unwrap_or(i64::MAX);
    }
    Ok(shape)
}

/// Parameters as either transport has them.
fn values(parameters: Option<&Map<String, Json>>) -> Result<Vec<(&str, Value<'_>)>, Refusal> {
    let mut all = Vec::new();
    for (key, json) in parameters.into_iter().flatten() {
        let wrong = || Refusal::invalid(format!("parameter '{}' is no text, number or truth", key.escape_debug()));
        all.push((key.as_str(), value(key, json).ok_or_else(wrong)?));
    }
    Ok(all)
}

fn value<'j>(key: &str, value: &'j Json) -> Option<Value<'j>> {
    Some(match value {
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::Uint(number),
            (None, Some(number)) => Value::Int(number),
            (None, None) => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::Text(Cow::Borrowed(text)),
        // Headers that a proxy forwards.
        Json::Object(_) | Json::Array(_) | Json::Null if key == "headers" => Value::Bool(false),
        Json::Object(_) | Json::Array(_) | Json::Null => return None,
    })
}
