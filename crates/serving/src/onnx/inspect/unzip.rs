//! The maps that a classifier's scores are zipped into, taken apart again.
//!
//! Exporters end a classifier with `ZipMap` unless they are told otherwise: its output is a sequence of maps from class to
//! score, a row each, which is no tensor and has no place in the Open Inference Protocol. The scores are one matrix before
//! that operator, so a model is run without it: the output keeps its name and is `FP32[N, classes]`, in the order in which
//! the operator names the classes, which [`super::classes`] tells. No score changes, and no map is made for each row.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::proto::{Field, Fields, Value, messages, numbers, text, write_bytes, write_number};
use crate::onnx::OnnxError;

/// What an operator set is called in which `Identity` is; files also leave the name out.
const ONNX: &[u8] = b"ai.onnx";
/// For files of operators of `ai.onnx.ml` alone.
const OPSET: u64 = 13;

/// The model with a tensor for each output that was zipped into maps. Other sequences stay what they are.
///
/// # Errors
/// [`OnnxError::Unloadable`] for bytes that are no model.
pub(crate) fn unzip(model: &[u8]) -> Result<Cow<'_, [u8]>, OnnxError> {
    let mut graphs = Vec::new();
    for graph in messages(model, 7)? {
        graphs.push(Zipped::find(graph)?);
    }
    if graphs.iter().all(|zipped| zipped.outputs.is_empty()) {
        return Ok(Cow::Borrowed(model));
    }
    let mut graphs = graphs.into_iter();
    let (mut out, mut has_identity) = (Vec::with_capacity(model.len()), false);
    for field in Fields(model) {
        match field? {
            Field { number: 7, value: Value::Bytes(graph), .. } => match graphs.next() {
                Some(zipped) => write_bytes(7, &zipped.without(graph)?, &mut out),
                None => write_bytes(7, graph, &mut out),
            },
            Field { number: 8, value: Value::Bytes(opset), raw } => {
                let domain = text(opset, 1)?;
                has_identity |= domain.is_empty() || domain == ONNX;
                out.extend_from_slice(raw);
            }
            Field { raw, .. } => out.extend_from_slice(raw),
        }
    }
    if !has_identity {
        write_bytes(8, &written(|opset| write_number(2, OPSET, opset)), &mut out);
    }
    Ok(Cow::Owned(out))
}

/// The outputs of a graph that are maps, and how many classes each has.
#[derive(Debug, Default)]
struct Zipped<'a> {
    outputs: BTreeMap<&'a [u8], u64>,
}

impl<'a> Zipped<'a> {
    fn find(graph: &'a [u8]) -> Result<Self, OnnxError> {
        let mut outputs = BTreeMap::new();
        let mut used = BTreeSet::new();
        for node in messages(graph, 1)? {
            used.extend(messages(node, 1)?);
            if let Some(n_classes) = n_classes(node)? {
                outputs.insert(text(node, 2)?, n_classes);
            }
        }
        let given = messages(graph, 12)?.into_iter().map(|output| text(output, 1));
        let given = given.collect::<Result<BTreeSet<_>, _>>()?;
        // Whoever works on with the maps needs them.
        outputs.retain(|name, _| given.contains(name) && !used.contains(name));
        Ok(Self { outputs })
    }

    fn without(&self, graph: &[u8]) -> Result<Vec<u8>, OnnxError> {
        let mut out = Vec::with_capacity(graph.len());
        for field in Fields(graph) {
            match field? {
                Field { number: 1, value: Value::Bytes(node), .. }
                    if n_classes(node)?.is_some() && self.outputs.contains_key(text(node, 2)?) =>
                {
                    write_bytes(1, &passing(node)?, &mut out);
                }
                Field { number: 12, value: Value::Bytes(output), raw } => match self.outputs.get(text(output, 1)?) {
                    Some(n_classes) => write_bytes(12, &matrix(text(output, 1)?, *n_classes), &mut out),
                    None => out.extend_from_slice(raw),
                },
                Field { raw, .. } => out.extend_from_slice(raw),
            }
        }
        Ok(out)
    }
}

/// How many classes a node zips scores with, if that is what it does.
fn n_classes(node: &[u8]) -> Result<Option<u64>, OnnxError> {
    if text(node, 4)? != b"ZipMap" || text(node, 7)? != b"ai.onnx.ml" {
        return Ok(None);
    }
    let mut n = 0;
    for attribute in messages(node, 5)? {
        n = n.max(match text(attribute, 1)? {
            b"classlabels_strings" => messages(attribute, 9)?.len(),
            b"classlabels_int64s" => numbers(attribute, 8)?.len(),
            _ => 0,
        });
    }
    Ok(Some(n as u64).filter(|n| *n > 0))
}

/// The scores as they are: `Identity` from what the node takes to what it gave, with its name.
fn passing(zip_map: &[u8]) -> Result<Vec<u8>, OnnxError> {
    let mut out = Vec::new();
    for field in Fields(zip_map) {
        match field? {
            Field { number: 1..=3, raw, .. } => out.extend_from_slice(raw),
            Field { number: 4, .. } => write_bytes(4, b"Identity", &mut out),
            _ => {}
        }
    }
    Ok(out)
}

/// An output of floats, a row of `n_classes` for each row.
fn matrix(name: &[u8], n_classes: u64) -> Vec<u8> {
    const FLOAT: u64 = 1;
    let classes = written(|dim| write_number(1, n_classes, dim));
    let shape = written(|shape| {
        write_bytes(1, &[], shape);
        write_bytes(1, &classes, shape);
    });
    let tensor = written(|tensor| {
        write_number(1, FLOAT, tensor);
        write_bytes(2, &shape, tensor);
    });
    written(|output| {
        write_bytes(1, name, output);
        write_bytes(2, &written(|kind| write_bytes(1, &tensor, kind)), output);
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::inspect::classes;
    use crate::onnx::toy::{self, FLOAT, Graph, INT64, Node};
    use crate::onnx::{ModelSession, TensorRow, inspect};

    fn zip_map(from: &str, to: &str) -> Node {
        Node::new("ZipMap", &[from], &[to]).domain("ai.onnx.ml").texts("classlabels_strings", &["no", "yes"])
    }

    fn linear() -> Graph {
        let classifier = Node::new("LinearClassifier", &["x"], &["label", "scores"])
            .domain("ai.onnx.ml")
            .floats("coefficients", &[-1.0, 0.0, 1.0, 0.5])
            .floats("intercepts", &[0.25, -0.25])
            .texts("classlabels_strings", &["no", "yes"]);
        Graph::new().input("x", FLOAT, &[-1, 2]).node(classifier)
    }

    #[test]
    fn the_scores_are_what_they_were_before_they_were_zipped() {
        let plain = linear().output("label", toy::STRING, &[-1]).output("scores", FLOAT, &[-1, 2]).model();
        let zipped = linear().node(zip_map("scores", "z")).output("label", toy::STRING, &[-1]).maps("z").model();
        let file = inspect(&toy::runtime(), &zipped).unwrap();
        assert_eq!(file.signature.to_string(), "(x: FP32[N, 2]) -> (label: BYTES[N], z: FP32[N, 2])");
        assert_eq!(classes::read(&file.metadata), Some(vec!["no".to_owned(), "yes".to_owned()]));
        let rows = toy::floats(&[&[0.5, 1.0], &[-2.0, f32::NAN], &[0.0, -0.0]]);
        let answered = |model: &[u8]| {
            let mut session = ModelSession::load(&toy::runtime(), model, 1, &crate::onnx::SessionOptions::default())
                .unwrap()
                .pop()
                .unwrap();
            session.run(&toy::plan(model, &["a", "b"]), &rows, 0..3).unwrap().columns
        };
        let (plain, zipped) = (answered(&plain), answered(&zipped));
        for row in 0..3 {
            assert!(plain[1].row(row).same_bits(zipped[1].row(row)), "{row}");
            assert!(matches!(zipped[1].row(row), TensorRow::F32([_, _])));
        }
    }

    #[test]
    fn a_file_of_machine_learning_operators_alone_gets_the_one_it_lacks() {
        let whole = toy::zip_map();
        let mut model = Vec::new();
        for field in Fields(&whole) {
            let Field { number, value, raw } = field.unwrap();
            if !matches!(value, Value::Bytes(opset) if number == 8 && text(opset, 1).unwrap().is_empty()) {
                model.extend_from_slice(raw);
            }
        }
        assert!(model.len() < whole.len());
        let file = inspect(&toy::runtime(), &model).unwrap();
        assert_eq!(file.signature.to_string(), "(x: FP32[N, 2]) -> (z: FP32[N, 2])");
    }

    #[test]
    fn what_is_no_output_or_is_worked_on_with_stays() {
        let untouched = |model: &[u8]| assert!(matches!(unzip(model).unwrap(), Cow::Borrowed(_)));
        untouched(&linear().output("label", toy::STRING, &[-1]).model());
        untouched(&linear().node(zip_map("scores", "z")).output("label", toy::STRING, &[-1]).model());
        let used = linear().node(zip_map("scores", "z")).node(Node::new("SequenceLength", &["z"], &["n"]));
        untouched(&used.maps("z").output("n", INT64, &[]).model());
        // Another's operator of that name, and one that names no classes.
        let other = |node: Node| linear().node(node).maps("z").model();
        untouched(&other(Node::new("ZipMap", &["scores"], &["z"]).domain("mine").ints("classlabels_int64s", &[0, 1])));
        untouched(&other(Node::new("ZipMap", &["scores"], &["z"]).domain("ai.onnx.ml")));
    }

    #[test]
    fn several_are_taken_apart_each_with_its_classes() {
        let three = Node::new("ZipMap", &["y"], &["b"]).domain("ai.onnx.ml").ints("classlabels_int64s", &[5, 6, 7]);
        let graph = Graph::new().input("x", FLOAT, &[-1, 2]).input("y", FLOAT, &[-1, 3]);
        let graph = graph.node(zip_map("x", "a")).node(three).maps("a").maps("b");
        let file = inspect(&toy::runtime(), &graph.model()).unwrap();
        assert_eq!(file.signature.outputs.len(), 2);
        assert!(file.signature.to_string().ends_with("-> (a: FP32[N, 2], b: FP32[N, 3])"), "{}", file.signature);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_or_left_to_the_runtime() {
        let whole = linear().node(zip_map("scores", "z")).maps("z").model();
        for end in 0..whole.len() {
            let _ = unzip(&whole[..end]);
        }
    }
}
