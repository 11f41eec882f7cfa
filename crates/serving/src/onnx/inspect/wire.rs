//! A look at the bytes of a model file before the runtime gets them: external weights, outputs that are no tensors.
//!
//! ONNX is a protocol buffer, and the few fields that matter are found by walking it: [`inside`] is the map. The walk
//! reads no payload, so it costs nothing beside loading. The runtime would follow a tensor's `location` to any file
//! that it can read, which is why this check is not left to it.

use super::super::OnnxError;

/// Deeper than any real graph, less than the stack: the limit of protocol buffers themselves.
const DEPTH_MAX: usize = 100;

/// The messages of `onnx.proto` on the way to what we look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
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
fn inside(message: Message, field: u32) -> Option<Message> {
    use Message::{Attribute, Function, Graph, Input, Model, Node, Output, SparseTensor, Tensor, Type};
    Some(match (message, field) {
        (Model, 7) | (Attribute, 6 | 11) => Graph,
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

/// Refuses what cannot be served from the bytes alone.
pub(crate) fn check(bytes: &[u8]) -> Result<(), OnnxError> {
    if bytes.get(4..8) == Some(b"ORTM") {
        return Err(unloadable("it is in ORT format; give the .onnx file that it was made from"));
    }
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
        let (number, value) = field?;
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
    let mut outside = false;
    for field in Fields(bytes) {
        outside |= matches!(field?, (14, Value::Varint(location)) if location != 0);
    }
    if !outside {
        return Ok(());
    }
    let mut location = &b"another file"[..];
    for field in Fields(bytes) {
        if let (13, Value::Bytes(entry)) = field?
            && text(entry, 1)? == b"location"
        {
            location = text(entry, 2)?;
        }
    }
    Err(OnnxError::ExternalData { tensor: lossy(text(bytes, 8)?), location: lossy(location) })
}

/// The model's inputs and outputs must be dense tensors.
fn value_type(bytes: &[u8], place: &Place<'_>, output: bool) -> Result<(), OnnxError> {
    for field in Fields(bytes) {
        let what = match field?.0 {
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

/// The last string in field `number`; empty if there is none.
fn text(bytes: &[u8], number: u32) -> Result<&[u8], OnnxError> {
    let mut found = &b""[..];
    for field in Fields(bytes) {
        if let (n, Value::Bytes(text)) = field?
            && n == number
        {
            found = text;
        }
    }
    Ok(found)
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn unloadable(reason: &str) -> OnnxError {
    OnnxError::Unloadable { reason: reason.to_owned() }
}

/// A field's value, as far as we look into it.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of one message, in order.
#[derive(Debug)]
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(|| unloadable("it is damaged or not an ONNX file"));
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups (3, 4) are older than ONNX.
            _ => return None,
        };
        Some((number, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = *self.take(1)?.first()?;
            // The tenth byte holds one bit; protocol buffers drop what is beyond.
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
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
        assert!(check(b"\x08\x00\x00\x00ORTM").unwrap_err().to_string().contains("ORT format"));
    }
}
