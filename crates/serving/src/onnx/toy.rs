//! For tests: the small models of `models/test`, and more of them made here, an operator or two each.
//!
//! A model file is a protocol buffer, of which this writes the few fields that the runtime needs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    missing_docs,
    reason = "it is for tests, which fail at once"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array};
use schema::{Dtype, ServiceColumn, Value, ViewId};

use super::{InputPlan, Outputs, Runtime, TensorRow, inspect};

/// Element types, as ONNX numbers them.
pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;
pub const STRING: i32 = 8;

pub fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

/// A file of `models/test`.
pub fn file(name: &str) -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/test");
    std::fs::read(models.join(name).with_extension("onnx")).unwrap()
}

/// A service's column without fill.
pub fn column(name: &str, dtype: Dtype) -> ServiceColumn {
    filled(name, dtype, None)
}

pub fn filled(name: &str, dtype: Dtype, fill: Option<Value>) -> ServiceColumn {
    let view = ViewId { name: "view".parse().unwrap(), version: 1 };
    ServiceColumn { name: name.parse().unwrap(), view, alias: None, feature: name.parse().unwrap(), dtype, fill }
}

/// float32 columns of these names.
pub fn float_columns(names: &[&str]) -> Vec<ServiceColumn> {
    names.iter().map(|name| column(name, Dtype::Float32)).collect()
}

/// The plan of a model over float32 columns.
pub fn plan(model: &[u8], names: &[&str]) -> InputPlan {
    InputPlan::fit(&inspect(&runtime(), model).unwrap().signature, &float_columns(names)).unwrap()
}

/// float32 columns from rows.
pub fn floats(rows: &[&[f32]]) -> Vec<ArrayRef> {
    let width = rows.first().map_or(0, |row| row.len());
    let column = |at: usize| Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row[at]))) as ArrayRef;
    (0..width).map(column).collect()
}

/// What `linear.onnx` answers.
pub fn linear(row: &[f32]) -> f32 {
    0.5 * row[0] - 0.25 * row[1] + 2.0 * row[2] + 0.125
}

/// The output `score`, one float a row.
pub fn scores(outputs: &Outputs) -> Vec<f32> {
    let score = outputs.get("score").unwrap();
    let one = |i| match score.row(i) {
        TensorRow::F32([x]) => *x,
        other => panic!("{other:?}"),
    };
    (0..score.rows()).map(one).collect()
}

/// A classifier's output as skl2onnx makes it by default: a sequence of maps from class to score.
pub fn zip_map() -> Vec<u8> {
    let zip_map = Node::new("ZipMap", &["x"], &["z"]).domain("ai.onnx.ml").ints("classlabels_int64s", &[0, 1]);
    Graph::new().input("x", FLOAT, &[-1, 2]).node(zip_map).maps("z").model()
}

#[derive(Debug, Clone)]
enum Field {
    Int(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    fn signed(value: i64) -> Self {
        Self::Int(value.cast_unsigned())
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn message(fields: &[(u64, Field)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, field) in fields {
        match field {
            Field::Int(value) => {
                varint(number << 3, &mut out);
                varint(*value, &mut out);
            }
            Field::Bytes(bytes) => {
                varint(number << 3 | 2, &mut out);
                varint(u64::try_from(bytes.len()).unwrap(), &mut out);
                out.extend(bytes);
            }
        }
    }
    out
}

/// A tensor kept in another file.
fn elsewhere(name: &str, element: i32, shape: &[i64], entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tensor: Vec<_> = shape.iter().map(|dim| (1, Field::signed(*dim))).collect();
    tensor.extend([(2, Field::signed(element.into())), (8, Field::text(name))]);
    let entry = |(key, value): &(&str, &str)| message(&[(1, Field::text(key)), (2, Field::text(value))]);
    tensor.extend(entries.iter().map(|one| (13, Field::Bytes(entry(one)))));
    tensor.push((14, Field::Int(1)));
    message(&tensor)
}

/// One operator.
#[derive(Debug)]
pub struct Node {
    fields: Vec<(u64, Field)>,
}

impl Node {
    pub fn new(operator: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let named = |number: u64, names: &[&str]| names.iter().map(|n| (number, Field::text(n))).collect::<Vec<_>>();
        let mut fields = [named(1, inputs), named(2, outputs)].concat();
        fields.push((4, Field::text(operator)));
        Self { fields }
    }

    pub fn domain(mut self, domain: &str) -> Self {
        self.fields.push((7, Field::text(domain)));
        self
    }

    fn attribute(mut self, name: &str, kind: u64, mut value: Vec<(u64, Field)>) -> Self {
        value.extend([(1, Field::text(name)), (20, Field::Int(kind))]);
        self.fields.push((5, Field::Bytes(message(&value))));
        self
    }

    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, 2, vec![(3, Field::signed(value))])
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, 7, values.iter().map(|value| (8, Field::signed(*value))).collect())
    }

    pub fn texts(self, name: &str, values: &[&str]) -> Self {
        self.attribute(name, 8, values.iter().map(|value| (9, Field::text(value))).collect())
    }

    pub fn floats(self, name: &str, values: &[f32]) -> Self {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.attribute(name, 6, vec![(7, Field::Bytes(raw))])
    }

    /// A float tensor kept in another file.
    pub fn elsewhere(self, name: &str, shape: &[i64], entries: &[(&str, &str)]) -> Self {
        self.attribute(name, 4, vec![(5, Field::Bytes(elsewhere("", FLOAT, shape, entries)))])
    }

    pub fn graph(self, name: &str, graph: &Graph) -> Self {
        self.attribute(name, 5, vec![(6, Field::Bytes(message(&graph.fields)))])
    }
}

/// A graph, and the model around it.
#[derive(Debug)]
pub struct Graph {
    fields: Vec<(u64, Field)>,
    metadata: Vec<(String, String)>,
}

impl Graph {
    pub fn new() -> Self {
        Self { fields: vec![(2, Field::text("toy"))], metadata: Vec::new() }
    }

    pub fn node(mut self, node: Node) -> Self {
        self.fields.push((1, Field::Bytes(message(&node.fields))));
        self
    }

    fn tensor_value(mut self, number: u64, name: &str, element: i32, shape: &[i64]) -> Self {
        let dim = |dim: &i64| {
            let dim = if *dim < 0 { (2, Field::text("N")) } else { (1, Field::signed(*dim)) };
            (1, Field::Bytes(message(&[dim])))
        };
        let shape = message(&shape.iter().map(dim).collect::<Vec<_>>());
        let tensor = message(&[(1, Field::signed(element.into())), (2, Field::Bytes(shape))]);
        let kind = message(&[(1, Field::Bytes(tensor))]);
        self.fields.push((number, Field::Bytes(message(&[(1, Field::text(name)), (2, Field::Bytes(kind))]))));
        self
    }

    /// `element` by ONNX's numbers; -1 is a free dimension.
    pub fn input(self, name: &str, element: i32, shape: &[i64]) -> Self {
        self.tensor_value(11, name, element, shape)
    }

    pub fn output(self, name: &str, element: i32, shape: &[i64]) -> Self {
        self.tensor_value(12, name, element, shape)
    }

    /// An output that is a sequence of maps from a number to a float.
    pub fn maps(mut self, name: &str) -> Self {
        let float = message(&[(1, Field::Int(1))]);
        let map = message(&[(1, Field::Int(7)), (2, Field::Bytes(message(&[(1, Field::Bytes(float))])))]);
        let sequence = message(&[(1, Field::Bytes(message(&[(5, Field::Bytes(map))])))]);
        let kind = message(&[(4, Field::Bytes(sequence))]);
        self.fields.push((12, Field::Bytes(message(&[(1, Field::text(name)), (2, Field::Bytes(kind))]))));
        self
    }

    /// A constant.
    pub fn floats(self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        self.constant(name, FLOAT, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub fn int64s(self, name: &str, shape: &[i64], values: &[i64]) -> Self {
        self.constant(name, INT64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn constant(mut self, name: &str, element: i32, shape: &[i64], raw: Vec<u8>) -> Self {
        let mut tensor: Vec<_> = shape.iter().map(|dim| (1, Field::signed(*dim))).collect();
        tensor.extend([(2, Field::signed(element.into())), (8, Field::text(name)), (9, Field::Bytes(raw))]);
        self.fields.push((5, Field::Bytes(message(&tensor))));
        self
    }

    /// A constant of two floats kept in another file.
    pub fn external(self, name: &str, location: &str) -> Self {
        self.elsewhere(name, &[2], &[("location", location)])
    }

    /// A float constant kept in another file: `location`, `offset`, `length`.
    pub fn elsewhere(self, name: &str, shape: &[i64], entries: &[(&str, &str)]) -> Self {
        self.elsewhere_of(name, FLOAT, shape, entries)
    }

    pub fn elsewhere_of(mut self, name: &str, element: i32, shape: &[i64], entries: &[(&str, &str)]) -> Self {
        self.fields.push((5, Field::Bytes(elsewhere(name, element, shape, entries))));
        self
    }

    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The file's bytes.
    pub fn model(&self) -> Vec<u8> {
        let opset = |domain: &str, version: u64| message(&[(1, Field::text(domain)), (2, Field::Int(version))]);
        let mut model = vec![
            (1, Field::Int(10)),
            (2, Field::text("toy")),
            (7, Field::Bytes(message(&self.fields))),
            (8, Field::Bytes(opset("", 18))),
            (8, Field::Bytes(opset("ai.onnx.ml", 3))),
        ];
        for (key, value) in &self.metadata {
            model.push((14, Field::Bytes(message(&[(1, Field::text(key)), (2, Field::text(value))]))));
        }
        message(&model)
    }
}
