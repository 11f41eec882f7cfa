//! What a request must be, before a session sees it.

use schema::ErrorKind;

use super::Port;
use crate::onnx::{Datatype, Tensor};

/// What a model takes and gives.
#[derive(Debug, Clone)]
pub struct Takes {
    /// The model's name, for messages.
    pub model: String,
    /// Its inputs, in its order.
    pub inputs: Vec<Port>,
    /// Its outputs, in its order.
    pub outputs: Vec<Port>,
    /// The most rows of one request where all tensors begin with rows; `None` where shapes are taken as they are.
    pub rows_max: Option<usize>,
}

/// A request that fits the model.
#[derive(Debug)]
pub struct Asked {
    /// A tensor for each input, in the model's order.
    pub inputs: Vec<Tensor>,
    /// The outputs wanted, by number, in the order of the asking.
    pub outputs: Vec<usize>,
    /// Rows: the first dimension of every input of a model that takes batches, else 1.
    pub rows: usize,
}

/// What is wrong with a request: the client's mistake, in the words that clients know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error(
        "expected {expected} inputs but got {got} inputs for model '{model}'. Got input(s) [{given}], but missing required \
         input(s) [{missing}]. Please provide all required input(s)."
    )]
    Missing { model: String, expected: usize, got: usize, given: String, missing: String },
    #[error("unexpected inference input '{input}' for model '{model}'")]
    UnknownInput { model: String, input: String },
    #[error("input '{input}' already exists in request")]
    InputTwice { input: String },
    #[error("inference input '{input}' data-type is '{got}', but model '{model}' expects '{expected}'")]
    Datatype { model: String, input: String, got: Datatype, expected: Datatype },
    #[error("unexpected shape for input '{input}' for model '{model}'. Expected {expected}, got {got}")]
    Shape { model: String, input: String, expected: String, got: String },
    #[error("input '{input}' batch size does not match other inputs for '{model}': {got} rows, expected {expected}")]
    Rows { model: String, input: String, got: usize, expected: usize },
    #[error("inference request batch-size must be <= {max} for '{model}'")]
    TooManyRows { model: String, max: usize },
    #[error("shape {shape} of input '{input}' causes total element count to exceed maximum size of {max}")]
    Overflow { input: String, shape: String, max: usize },
    #[error("shape {shape} of input '{input}' has a negative dimension")]
    Negative { input: String, shape: String },
    #[error("input '{input}' has {got} elements, its shape {shape} has {expected}")]
    Elements { input: String, got: usize, shape: String, expected: usize },
    #[error("unexpected inference output '{output}' for model '{model}'")]
    UnknownOutput { model: String, output: String },
    #[error("output '{output}' already requested")]
    OutputTwice { output: String },
    #[error("input '{input}' has a NUL character in element {at}, which ONNX Runtime would end the text at")]
    Nul { input: String, at: usize },
}

impl Refused {
    /// What a caller can do about it: send something else.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The most bytes that a tensor may claim: what no request can carry is refused before anything is allocated.
pub const BYTES_MAX: usize = i32::MAX as usize;

// === impl Takes ===

impl Takes {
    /// A request of `inputs`, in any order, for the outputs called `outputs`, or for all where none is named.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check<'o>(&self, inputs: Vec<Tensor>, outputs: impl IntoIterator<Item = &'o str>) -> Result<Asked, Refused> {
        let inputs = self.in_order(inputs)?;
        for (port, tensor) in self.inputs.iter().zip(&inputs) {
            self.fits(port, tensor)?;
        }
        let rows = self.rows(&inputs)?;
        Ok(Asked { inputs, outputs: self.wanted(outputs)?, rows })
    }

    fn in_order(&self, given: Vec<Tensor>) -> Result<Vec<Tensor>, Refused> {
        let mut slots: Vec<Option<Tensor>> = self.inputs.iter().map(|_| None).collect();
        let (mut names, got) = (Vec::new(), given.len());
        for tensor in given {
            let Some(at) = self.inputs.iter().position(|port| port.is(&tensor)) else {
                let input = tensor.name.as_ref().to_owned();
                return Err(Refused::UnknownInput { model: self.model.clone(), input });
            };
            names.push(format!("'{}'", tensor.name));
            if let Some(twice) = slots[at].replace(tensor) {
                return Err(Refused::InputTwice { input: twice.name.as_ref().to_owned() });
            }
        }
        let missing: Vec<String> = (self.inputs.iter().zip(&slots))
            .filter(|(_, slot)| slot.is_none())
            .map(|(port, _)| format!("'{}'", port.name))
            .collect();
        if missing.is_empty() {
            return Ok(slots.into_iter().flatten().collect());
        }
        let (given, missing, expected) = (names.join(","), missing.join(","), self.inputs.len());
        Err(Refused::Missing { model: self.model.clone(), expected, got, given, missing })
    }

    fn fits(&self, port: &Port, tensor: &Tensor) -> Result<(), Refused> {
        let input = || port.name.as_ref().to_owned();
        let model = || self.model.clone();
        if tensor.datatype() != port.datatype {
            let (got, expected) = (tensor.datatype(), port.datatype);
            return Err(Refused::Datatype { model: model(), input: input(), got, expected });
        }
        if !port.takes(&tensor.shape) {
            let (expected, got) = (dims(&port.shape), dims(&tensor.shape));
            return Err(Refused::Shape { model: model(), input: input(), expected, got });
        }
        let expected = elements(&port.name, &tensor.shape, port.datatype)?;
        let got = tensor.data.len();
        if got != expected {
            return Err(Refused::Elements { input: input(), got, shape: dims(&tensor.shape), expected });
        }
        match tensor.data.first_nul() {
            Some(at) => Err(Refused::Nul { input: input(), at }),
            None => Ok(()),
        }
    }

    fn rows(&self, inputs: &[Tensor]) -> Result<usize, Refused> {
        let (Some(max), Some(first)) = (self.rows_max, inputs.first()) else { return Ok(1) };
        let expected = first.rows();
        let model = || self.model.clone();
        if let Some(other) = inputs.iter().find(|tensor| tensor.rows() != expected) {
            let (input, got) = (other.name.as_ref().to_owned(), other.rows());
            return Err(Refused::Rows { model: model(), input, got, expected });
        }
        match expected {
            rows if rows > max => Err(Refused::TooManyRows { model: model(), max }),
            rows => Ok(rows),
        }
    }

    fn wanted<'o>(&self, names: impl IntoIterator<Item = &'o str>) -> Result<Vec<usize>, Refused> {
        let mut wanted = Vec::new();
        for name in names {
            let Some(at) = self.outputs.iter().position(|port| port.name.as_ref() == name) else {
                return Err(Refused::UnknownOutput { model: self.model.clone(), output: name.to_owned() });
            };
            if wanted.contains(&at) {
                return Err(Refused::OutputTwice { output: name.to_owned() });
            }
            wanted.push(at);
        }
        Ok(if wanted.is_empty() { (0..self.outputs.len()).collect() } else { wanted })
    }
}

/// How many elements a tensor of `shape` has. A text is counted with the length that stands before it on the wire.
///
/// # Errors
/// A dimension is negative, or the elements would take more than [`BYTES_MAX`].
pub fn elements(input: &str, shape: &[i64], datatype: Datatype) -> Result<usize, Refused> {
    let input = || input.to_owned();
    if shape.iter().any(|dim| *dim < 0) {
        return Err(Refused::Negative { input: input(), shape: dims(shape) });
    }
    // A dimension of 0 makes the product 0 wherever it stands; the others must be possible nevertheless.
    let width = datatype.width().unwrap_or(size_of::<u32>());
    let mut others = shape.iter().filter(|dim| **dim != 0);
    let claimed = others.try_fold(1_usize, |product, dim| product.checked_mul(usize::try_from(*dim).ok()?));
    let claimed = claimed.filter(|n| n.checked_mul(width).is_some_and(|bytes| bytes <= BYTES_MAX));
    let is_empty = shape.contains(&0);
    match claimed {
        Some(_) if is_empty => Ok(0),
        Some(n) => Ok(n),
        None => Err(Refused::Overflow { input: input(), shape: dims(shape), max: BYTES_MAX }),
    }
}

/// `[-1,3]`.
pub fn dims(shape: &[i64]) -> String {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(","))
}

#[cfg(test)]
mod tests;
