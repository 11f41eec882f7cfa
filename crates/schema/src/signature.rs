//! What a model takes and gives, as its ONNX file says; in `schema` because features and registry both need it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Inputs and outputs of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Inputs, in the file's order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in the file's order.
    pub outputs: Vec<TensorSpec>,
}

/// One named tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// Element type, in Open Inference spelling: `FP32`, `INT64`, `BYTES`.
    pub datatype: String,
    /// Dimensions; -1 for a free one. The first is the batch.
    pub shape: Vec<i64>,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> =
            self.shape.iter().map(|d| if *d < 0 { "N".to_owned() } else { d.to_string() }).collect();
        write!(f, "{}: {}[{}]", self.name, self.datatype, dims.join(", "))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |specs: &[TensorSpec]| specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "({}) -> ({})", list(&self.inputs), list(&self.outputs))
    }
}
