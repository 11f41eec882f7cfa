//! What a model file says of itself, and which files are refused.
//!
//! Invariant: a model is its bytes. What would make the runtime open other files, or hand back what is not a tensor, is
//! refused by [`wire`] before the runtime sees the bytes: weights that are in other files are put into them first, by
//! [`external`], and maps of scores are taken apart, by [`unzip`]. Everything else the runtime itself is asked, by loading the
//! model exactly as it will be served.

pub mod classes;
pub mod external;
pub(crate) mod proto;
pub(crate) mod unzip;
pub(crate) mod wire;

use std::borrow::Cow;
use std::collections::BTreeMap;

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};
use schema::signature::{Signature, TensorSpec};
use serde::{Deserialize, Serialize};

use super::session::build;
use super::{Datatype, OnnxError, Runtime, SessionOptions};

/// A model file, read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Inputs and outputs, with Open Inference datatypes.
    pub signature: Signature,
    /// What its author wrote beside the graph (`metadata_props`).
    pub metadata: BTreeMap<String, String>,
    /// What made it: `skl2onnx`.
    pub producer: Option<String>,
    /// Name of the graph.
    pub graph: Option<String>,
    /// `doc_string` of the model.
    pub description: Option<String>,
    /// `model_version`, a number of its author's.
    pub version: Option<i64>,
    /// Whether its rows may share a run, where that was tried ([`crate::batch_check::made`]).
    #[serde(default)]
    pub batching: Option<bool>,
}

/// Reads a model file by loading it.
///
/// # Errors
/// Of kind `Invalid`: bytes that are no model or that this runtime cannot load, weights in other files, inputs or
/// outputs that are not tensors (`ZipMap` of scores is undone) or of a type that none of ours has (quarters of a float).
pub fn inspect(runtime: &Runtime, bytes: &[u8]) -> Result<ModelFile, OnnxError> {
    let options = SessionOptions::default();
    let session = build(runtime, &servable(bytes)?, 1, &options)?.pop().ok_or_else(|| unloadable("no session"))?;
    let mut file = read(&session).map_err(|why| OnnxError::unloadable(&why))??;
    classes::told(bytes, &mut file.metadata)?;
    Ok(file)
}

/// What the runtime is given of a model file: scores that were zipped into maps are tensors in it.
///
/// # Errors
/// As [`inspect()`], for what is refused unread.
pub(crate) fn servable(bytes: &[u8]) -> Result<Cow<'_, [u8]>, OnnxError> {
    wire::of_onnx(bytes)?;
    let bytes = unzip::unzip(bytes)?;
    wire::check(&bytes)?;
    Ok(bytes)
}

/// What the author wrote beside the graph, read without the runtime.
///
/// # Errors
/// [`OnnxError::Unloadable`] for bytes that are no model.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, OnnxError> {
    let mut found = BTreeMap::new();
    for field in proto::Fields(bytes) {
        if let proto::Field { number: 14, value: proto::Value::Bytes(entry), .. } = field? {
            found.insert(proto::lossy(proto::text(entry, 1)?), proto::lossy(proto::text(entry, 2)?));
        }
    }
    Ok(found)
}

fn read(session: &Session) -> ort::Result<Result<ModelFile, OnnxError>> {
    let about = session.metadata()?;
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let metadata = about.custom_keys()?.into_iter().map(|key| {
        let value = about.custom(&key).unwrap_or_default();
        (key, value)
    });
    let metadata = metadata.collect();
    Ok(signature(session).map(|signature| ModelFile {
        signature,
        metadata,
        producer: said(about.producer()),
        graph: said(about.name()),
        description: said(about.description()),
        // What the runtime says where the file says nothing.
        version: about.version().filter(|version| *version != i64::MAX),
        batching: None,
    }))
}

/// The session's inputs and outputs.
pub(crate) fn signature(session: &Session) -> Result<Signature, OnnxError> {
    let of = |side: &'static str| {
        move |outlet: &Outlet| {
            let (spec, element) = spec(outlet, side)?;
            if Datatype::of(element).is_some() {
                Ok(spec)
            } else {
                Err(OnnxError::ElementType { side, name: spec.name, element: spec.datatype })
            }
        }
    };
    let inputs = session.inputs().iter().map(of("input"));
    let outputs = session.outputs().iter().map(of("output"));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    if outputs.is_empty() {
        return Err(OnnxError::NoOutputs);
    }
    Ok(Signature { inputs: inputs.collect::<Result<_, _>>()?, outputs })
}

fn spec(outlet: &Outlet, side: &'static str) -> Result<(TensorSpec, TensorElementType), OnnxError> {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let shape = shape.iter().map(|dim| (*dim).max(-1)).collect();
            Ok((TensorSpec { name: outlet.name().to_owned(), datatype: datatype(*ty), shape }, *ty))
        }
        other @ (ValueType::Sequence(_) | ValueType::Map { .. } | ValueType::Optional(_)) => {
            Err(OnnxError::NotATensor { side, name: outlet.name().to_owned(), what: format!("a {other}") })
        }
    }
}

/// Open Inference spelling; for types that it has no word for, the runtime's.
fn datatype(element: TensorElementType) -> String {
    Datatype::of(element).map_or_else(|| element.to_string().to_uppercase(), |datatype| datatype.as_str().to_owned())
}

fn unloadable(reason: &str) -> OnnxError {
    OnnxError::Unloadable { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use schema::ErrorKind;

    use super::*;
    use crate::onnx::toy::{self, Graph, Node};

    fn signature_of(bytes: &[u8]) -> String {
        inspect(&toy::runtime(), bytes).unwrap().signature.to_string()
    }

    #[test]
    fn signatures_are_in_open_inference_words() {
        assert_eq!(signature_of(&toy::file("linear")), "(features: FP32[N, 3]) -> (score: FP32[N, 1])");
        assert_eq!(signature_of(&toy::file("fixed_batch")), "(features: FP32[4, 3]) -> (score: FP32[4, 1])");
        assert_eq!(signature_of(&toy::file("string_input")), "(features: BYTES[N, 3]) -> (score: BYTES[N, 3])");
        assert_eq!(
            signature_of(&toy::file("two_inputs")),
            "(total_orders: INT64[N, 1], avg_order_value: FP32[N, 1]) -> (score: FP32[N, 1])"
        );
    }

    #[test]
    fn what_the_author_wrote_is_kept() {
        let graph = Graph::new().input("x", toy::FLOAT, &[-1, 2]).node(Node::new("Identity", &["x"], &["y"]));
        let file =
            inspect(&toy::runtime(), &graph.output("y", toy::FLOAT, &[-1, 2]).metadata("plumb.service", "a").model());
        let file = file.unwrap();
        assert_eq!(file.metadata, BTreeMap::from([("plumb.service".to_owned(), "a".to_owned())]));
        assert_eq!(file.producer.as_deref(), Some("toy"));
        assert_eq!(file.version, None);
    }

    #[test]
    fn damaged_files_are_refused_with_a_reason() {
        for bytes in [toy::file("corrupt"), b"hello".to_vec(), vec![], vec![8, 10], toy::file("linear")[..169].to_vec()]
        {
            let error = inspect(&toy::runtime(), &bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().starts_with("the model cannot be loaded: "), "{error}");
        }
        let error = inspect(&toy::runtime(), b"\x08\x00\x00\x00ORTM").unwrap_err();
        assert!(error.to_string().contains("ORT format"), "{error}");
    }

    #[test]
    fn a_model_that_calls_an_unknown_operator_is_refused() {
        let graph = Graph::new().input("x", toy::FLOAT, &[-1, 2]).node(Node::new("Plumb", &["x"], &["y"]));
        let error = inspect(&toy::runtime(), &graph.output("y", toy::FLOAT, &[-1, 2]).model()).unwrap_err();
        assert!(error.to_string().contains("Plumb"), "{error}");
    }

    #[test]
    fn weights_outside_the_file_are_refused() {
        let graph = Graph::new()
            .input("x", toy::FLOAT, &[-1, 2])
            .external("w", "weights.bin")
            .node(Node::new("Add", &["x", "w"], &["y"]))
            .output("y", toy::FLOAT, &[-1, 2]);
        let error = inspect(&toy::runtime(), &graph.model()).unwrap_err();
        assert_eq!(error.to_string(), "the model keeps tensor `w` outside its file, in `weights.bin`");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().is_some());
    }

    #[test]
    fn sequences_are_refused_with_the_way_out() {
        let graph = Graph::new().input("x", toy::FLOAT, &[-1, 2]);
        let graph = graph.node(Node::new("SequenceConstruct", &["x"], &["z"])).maps("z");
        let error = inspect(&toy::runtime(), &graph.model()).unwrap_err();
        assert_eq!(error.to_string(), "output `z` of the model is a sequence, not a tensor");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().is_some_and(|hint| hint.contains("tensor")));
    }

    #[test]
    fn a_model_that_gives_nothing_is_refused() {
        let graph = Graph::new().input("x", toy::FLOAT, &[-1, 2]).node(Node::new("Identity", &["x"], &["y"]));
        let error = inspect(&toy::runtime(), &graph.model()).unwrap_err();
        assert_eq!(error.to_string(), "the model has no outputs: it answers nothing");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn half_floats_are_answers_and_eighths_are_not() {
        let cast = |to: i32| Node::new("Cast", &["x"], &["y"]).int("to", to.into());
        let graph =
            |to: i32| Graph::new().input("x", toy::FLOAT, &[-1, 2]).node(cast(to)).output("y", to, &[-1, 2]).model();
        assert_eq!(signature_of(&graph(10)), "(x: FP32[N, 2]) -> (y: FP16[N, 2])");
        assert_eq!(signature_of(&graph(16)), "(x: FP32[N, 2]) -> (y: BF16[N, 2])");
        let error = inspect(&toy::runtime(), &graph(17)).unwrap_err();
        assert_eq!(error.to_string(), "output `y` of the model has elements of type F8_E4M3FN");
    }
}
