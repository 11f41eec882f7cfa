//! A look at the bytes of a model file before the runtime gets them: external weights, outputs that are no tensors.
//!
//! ONNX is a protocol buffer, and the few fields that matter are found by walking it: [`inside`] is the map. The walk
//! reads no payload, so it costs nothing beside loading. The runtime would follow a tensor's `location` to any file
//! that it can read, which is why this check is not left to it.

use super::super::OnnxError;
use super::proto::{Field, Fields, Value, lossy, text, unloadable};

/// Deeper than any real graph, less than the stack: the limit of protocol buffers themselves.
pub(crate) const DEPTH_MAX: usize = 100;

/// The messages of `onnx.proto` on the way to what we look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    Model,
    Training,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Input,
    Output,
    /// The type of a graph's input or output; the flag says output.
    Type(bool),
}

/// Which message field number `field` of `message` holds, where it can lead to something.
pub(crate) fn inside(message: Message, field: u32) -> Option<Message> {
    use Message::{Attribute, Function, Graph, Input, Model, Node, Output, SparseTensor, Tensor, Training, Type};
    Some(match (message, field) {
        (Model, 7) | (Training, 1 | 2) | (Attribute, 6 | 11) => Graph,
        (Model, 20) => Training,
        (Model, 25) => Function,
        (Graph, 1) | (Function, 7) => Node,
        (Graph, 5) | (Attribute, 5 | 10) | (SparseTensor, 1 | 2) => Tensor,
        (Graph, 15) | (Attribute, 22 | 23) => SparseTensor,
        (Node, 5) | (Function, 11) => Attribute,
        (Graph, 11) => Input,
        (Graph, 12) => Output,
        (Input, 2) => Type(false),
        (Output, 2) => Type(true),
        _ => return None,
    })
}

/// Refuses the runtime's own format, which is no protocol buffer.
pub(crate) fn of_onnx(bytes: &[u8]) -> Result<(), OnnxError> {
    if bytes.get(4..8) == Some(b"ORTM") {
        return Err(unloadable("it is in ORT format; give the .onnx file that it was made from"));
    }
    Ok(())
}

/// Refuses what cannot be served from the bytes alone.
pub(crate) fn check(bytes: &[u8]) -> Result<(), OnnxError> {
    walk(Message::Model, bytes, &mut Place::default())
}

/// Where the walk is.
#[derive(Debug, Default)]
struct Place<'a> {
    depth: usize,
    graphs: usize,
    /// Name of the graph input or output around.
    name: &'a [u8],
}

fn walk<'a>(message: Message, bytes: &'a [u8], place: &mut Place<'a>) -> Result<(), OnnxError> {
    if place.depth > DEPTH_MAX {
        return Err(unloadable("its graph is nested too deeply"));
    }
    match message {
        Message::Tensor => return tensor(bytes),
        Message::Type(output) => return value_type(bytes, place, output),
        // Only the outermost graph's inputs and outputs are the model's.
        Message::Input | Message::Output if place.graphs > 1 => return Ok(()),
        Message::Input | Message::Output => place.name = text(bytes, 1)?,
        _ => {}
    }
    place.depth += 1;
    place.graphs += usize::from(message == Message::Graph);
    for field in Fields(bytes) {
        let Field { number, value, .. } = field?;
        if let (Some(next), Value::Bytes(inner)) = (inside(message, number), value) {
            walk(next, inner, place)?;
        }
    }
    place.depth -= 1;
    place.graphs -= usize::from(message == Message::Graph);
    Ok(())
}

/// A tensor must hold its own values. Any `data_location` but the default means it does not.
fn tensor(bytes: &[u8]) -> Result<(), OnnxError> {
    if !is_elsewhere(bytes)? {
        return Ok(());
    }
    let location = entries(bytes)?.into_iter().rev().find(|(key, _)| *key == b"location");
    let location = location.map_or("another file".to_owned(), |(_, location)| lossy(location));
    Err(OnnxError::ExternalData { tensor: lossy(text(bytes, 8)?), location })
}

/// Whether a tensor's values are in another file.
pub(crate) fn is_elsewhere(tensor: &[u8]) -> Result<bool, OnnxError> {
    let mut elsewhere = false;
    for field in Fields(tensor) {
        elsewhere |= matches!(field?, Field { number: 14, value: Value::Varint(location), .. } if location != 0);
    }
    Ok(elsewhere)
}

/// A key and its value.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// Where a tensor says that its values are: `location`, `offset`, `length`.
pub(crate) fn entries(tensor: &[u8]) -> Result<Vec<Entry<'_>>, OnnxError> {
    let mut found = Vec::new();
    for field in Fields(tensor) {
        if let Field { number: 13, value: Value::Bytes(entry), .. } = field? {
            found.push((text(entry, 1)?, text(entry, 2)?));
        }
    }
    Ok(found)
}

/// The model's inputs and outputs must be dense tensors.
fn value_type(bytes: &[u8], place: &Place<'_>, output: bool) -> Result<(), OnnxError> {
    for field in Fields(bytes) {
        let what = match field?.number {
            4 => "a sequence",
            5 => "a map",
            7 => "an opaque value",
            8 => "a sparse tensor",
            9 => "an optional value",
            _ => continue,
        };
        let side = if output { "output" } else { "input" };
        return Err(OnnxError::NotATensor { side, name: lossy(place.name), what: what.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::toy::{Graph, Node};

    #[test]
    fn external_weights_are_found_in_branches_too() {
        let branch = Graph::new().external("inner", "far/away.bin");
        let graph = Graph::new().node(Node::new("If", &["x"], &["y"]).graph("then_branch", &branch));
        let error = check(&graph.model()).unwrap_err();
        assert_eq!(error.to_string(), "the model keeps tensor `inner` outside its file, in `far/away.bin`");
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_or_left_to_the_runtime() {
        let whole = Graph::new().external("w", "w.bin").node(Node::new("Add", &["x", "w"], &["y"])).model();
        for end in 0..whole.len() {
            let _ = check(&whole[..end]);
        }
        assert!(check(b"hello").is_err());
    }
}
