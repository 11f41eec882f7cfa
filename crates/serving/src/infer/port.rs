//! An input or an output of a model.

use std::sync::Arc;

use schema::signature::TensorSpec;

use crate::onnx::{Datatype, Tensor};

/// An input or an output of a model, as its file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: Arc<str>,
    /// Its element type.
    pub datatype: Datatype,
    /// Dimensions, -1 for a free one. None at all where the file does not say how many there are, and for a scalar.
    pub shape: Vec<i64>,
}

impl Port {
    /// The port of a signature; `None` if its datatype is no tensor's.
    pub fn of(spec: &TensorSpec) -> Option<Self> {
        let datatype = Datatype::parse(&spec.datatype)?;
        Some(Self { name: spec.name.as_str().into(), datatype, shape: spec.shape.clone() })
    }

    /// Whether a tensor of this shape may be one of this port's.
    pub fn takes(&self, shape: &[i64]) -> bool {
        let fits = |(declared, given): (&i64, &i64)| *declared < 0 || declared == given;
        self.shape.is_empty() || self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }

    /// Whether the first dimension is free: the rows of a batch.
    pub fn has_rows(&self) -> bool {
        self.shape.first().is_some_and(|rows| *rows < 0)
    }

    /// Whether `tensor` is called as this.
    pub fn is(&self, tensor: &Tensor) -> bool {
        self.name == tensor.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_fits_where_every_fixed_dimension_does() {
        let port = |shape: &[i64]| Port { name: "x".into(), datatype: Datatype::Fp32, shape: shape.to_vec() };
        for (declared, given, fits) in [
            (&[-1, 3][..], &[7, 3][..], true),
            (&[-1, 3], &[0, 3], true),
            (&[-1, 3], &[7, 4], false),
            (&[-1, 3], &[3], false),
            (&[-1, 3], &[1, 3, 1], false),
            (&[4, -1], &[4, 0], true),
            (&[4, -1], &[1, 4], false),
            // A scalar, or a file that does not say.
            (&[], &[], true),
            (&[], &[2, 2], true),
        ] {
            assert_eq!(port(declared).takes(given), fits, "{declared:?} {given:?}");
        }
    }
}
