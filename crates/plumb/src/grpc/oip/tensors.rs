//! Tensors in messages: raw, or each element in the field of its type.

use std::borrow::Cow;
use std::time::Instant;

use serving::infer::TensorModel;
use serving::infer::check::elements;
use serving::onnx::{Datatype, Tensor, TensorData};

use crate::oip::Refusal;
use crate::oip::bytes;
use crate::oip::inference::{Answer, Request};
use crate::oip::messages::infer::{self as wire, ModelInferRequest, ModelInferResponse, Parameters};
use crate::oip::options::{Input, Options, Output, Value};

/// Reads a request.
///
/// # Errors
/// Its tensors are none, or their parameters.
pub(super) fn request(asked: ModelInferRequest, deadline: Option<Instant>) -> Result<Request, Refusal> {
    let ModelInferRequest { parameters, inputs, outputs, raw, .. } = asked;
    let options = Options::read(values(&parameters))?;
    let n_raw = raw.len();
    if n_raw > 0 && n_raw != inputs.len() {
        let n = inputs.len();
        return Err(Refusal::invalid(format!(
            "expected number of raw inputs to be {n} (one for each input, and no contents), got {n_raw}"
        )));
    }
    let mut raw = raw.into_iter();
    let inputs = inputs.into_iter().map(|input| tensor(input, raw.next().as_deref())).collect::<Result<_, _>>()?;
    let output = |asked: wire::RequestedOutput| Output::read(asked.name, values(&asked.parameters));
    let outputs = outputs.into_iter().map(output).collect::<Result<_, _>>()?;
    Ok(Request { options, inputs, outputs, deadline })
}

/// Writes an answer. All of its tensors are raw: clients read no others.
pub(super) fn response(model: &TensorModel, id: String, answer: Answer) -> ModelInferResponse {
    let (mut outputs, mut raw) = (Vec::new(), Vec::new());
    for (tensor, _) in answer.outputs {
        let mut elements = Vec::new();
        bytes::write(&tensor.data, &mut elements);
        raw.push(elements);
        outputs.push(wire::Tensor {
            name: tensor.name.as_ref().to_owned(),
            datatype: tensor.datatype().to_string(),
            shape: tensor.shape,
            parameters: Parameters::new(),
            contents: None,
        });
    }
    ModelInferResponse {
        model_name: model.name().to_string(),
        model_version: model.version().to_string(),
        id,
        parameters: Parameters::new(),
        outputs,
        raw,
    }
}

fn values(parameters: &Parameters) -> impl Iterator<Item = (&str, Value<'_>)> {
    parameters.iter().filter_map(|(key, parameter)| {
        let value = match parameter.choice.as_ref()? {
            wire::ParameterChoice::Bool(truth) => Value::Bool(*truth),
            wire::ParameterChoice::Int64(number) => Value::Int(*number),
            wire::ParameterChoice::Uint64(number) => Value::Uint(*number),
            wire::ParameterChoice::Double(number) => Value::Float(*number),
            wire::ParameterChoice::String(text) => Value::Text(Cow::Borrowed(text)),
        };
        Some((key.as_str(), value))
    })
}

fn tensor(input: wire::Tensor, raw: Option<&[u8]>) -> Result<Tensor, Refusal> {
    let wire::Tensor { name, datatype, shape, parameters, contents } = input;
    Input::read(values(&parameters))?;
    let unknown =
        || Refusal::invalid(format!("input '{name}' has the datatype '{}', which is none", datatype.escape_debug()));
    let datatype = Datatype::parse(&datatype).ok_or_else(unknown)?;
    let n = elements(&name, &shape, datatype).map_err(|why| Refusal::invalid(why.to_string()))?;
    let data = match (raw, contents) {
        (Some(_), Some(contents)) if contents != wire::Contents::default() => {
            return Err(Refusal::invalid(format!(
                "contents field must not be specified when using raw_input_contents for '{name}'"
            )));
        }
        (Some(raw), _) => bytes::read(&name, datatype, n, raw).map_err(|why| Refusal::invalid(why.to_string()))?,
        (None, contents) => typed(&name, datatype, n, contents.unwrap_or_default())?,
    };
    Ok(Tensor { name: name.into(), shape, data })
}

/// Elements out of the field of their type.
fn typed(name: &str, datatype: Datatype, n: usize, contents: wire::Contents) -> Result<TensorData, Refusal> {
    let wire::Contents { bools, ints, int64s, uints, uint64s, fp32s, fp64s, bytes } = contents;
    let lengths = [
        ("bool_contents", bools.len()),
        ("int_contents", ints.len()),
        ("int64_contents", int64s.len()),
        ("uint_contents", uints.len()),
        ("uint64_contents", uint64s.len()),
        ("fp32_contents", fp32s.len()),
        ("fp64_contents", fp64s.len()),
        ("bytes_contents", bytes.len()),
    ];
    let own = match datatype {
        Datatype::Bool => "bool_contents",
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => "int_contents",
        Datatype::Int64 => "int64_contents",
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => "uint_contents",
        Datatype::Uint64 => "uint64_contents",
        Datatype::Fp32 => "fp32_contents",
        Datatype::Fp64 => "fp64_contents",
        Datatype::Bytes => "bytes_contents",
        Datatype::Fp16 | Datatype::Bf16 => "raw_input_contents",
    };
    if own == "raw_input_contents" {
        return Err(Refusal::invalid(format!(
            "input '{name}' is {datatype}, which is sent in raw_input_contents alone"
        )));
    }
    if let Some((field, _)) = lengths.iter().find(|(field, n)| *n > 0 && *field != own) {
        return Err(Refusal::invalid(format!("input '{name}' is {datatype} and has {field}: its elements are {own}")));
    }
    let got: usize = lengths.iter().map(|(_, n)| n).sum();
    if got != n {
        return Err(Refusal::invalid(format!("unexpected number of elements {got} for input '{name}', expecting {n}")));
    }
    /// Each in a narrower type.
    fn narrow<W: Copy + std::fmt::Display, N: TryFrom<W>>(
        name: &str,
        datatype: Datatype,
        wide: &[W],
    ) -> Result<Vec<N>, Refusal> {
        let one = |(at, element): (usize, &W)| {
            let out =
                || Refusal::invalid(format!("element {at} of input '{name}' is {element}, which {datatype} has not"));
            N::try_from(*element).map_err(|_why| out())
        };
        wide.iter().enumerate().map(one).collect()
    }
    Ok(match datatype {
        Datatype::Bool => TensorData::Bool(bools),
        Datatype::Int8 => TensorData::I8(narrow(name, datatype, &ints)?),
        Datatype::Int16 => TensorData::I16(narrow(name, datatype, &ints)?),
        Datatype::Int32 => TensorData::I32(ints),
        Datatype::Int64 => TensorData::I64(int64s),
        Datatype::Uint8 => TensorData::U8(narrow(name, datatype, &uints)?),
        Datatype::Uint16 => TensorData::U16(narrow(name, datatype, &uints)?),
        Datatype::Uint32 => TensorData::U32(uints),
        Datatype::Uint64 => TensorData::U64(uint64s),
        Datatype::Fp32 => TensorData::F32(fp32s),
        Datatype::Fp64 => TensorData::F64(fp64s),
        Datatype::Bytes | Datatype::Fp16 | Datatype::Bf16 => {
            let text = |(at, bytes): (usize, Vec<u8>)| {
                let input = name.to_owned();
                String::from_utf8(bytes)
                    .map_err(|_why| Refusal::invalid(bytes::Misread::NotText { input, at }.to_string()))
            };
            TensorData::Text(bytes.into_iter().enumerate().map(text).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
mod tests;
