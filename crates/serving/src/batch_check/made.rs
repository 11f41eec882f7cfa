//! Rows that are made from the datatypes of inputs, for a model of which nothing else is known.
//!
//! Some have numbers up to five, some zeros and ones, for an input may be a place in a table and must then be in it; the last
//! ones are all edges, the company that others are tried in. The same inputs give the same rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use super::probe::Random;
use super::{ProbeRow, Rows};
use crate::infer::Port;
use crate::onnx::session::Ran;
use crate::onnx::{Datatype, ModelSession, OnnxError, Outputs, Tensor, TensorData};

/// Rows of each sort.
const EACH: usize = 8;
/// Rows of edges.
const HOSTILE: usize = 2;
/// Free dimensions are so long.
const FREE: i64 = 2;
/// Elements of one input of a row.
const ELEMENTS_MAX: usize = 1 << 20;

/// Rows for some inputs.
#[derive(Debug)]
pub struct MadeRows {
    /// Of each row, a tensor for each input.
    rows: Vec<Vec<Tensor>>,
    n_outputs: usize,
}

/// What the elements of a row are.
#[derive(Debug, Clone, Copy)]
enum Sort {
    /// Numbers from 0 up to this.
    UpTo(usize),
    /// What is hardest on the model, by number.
    Edge(usize),
}

impl MadeRows {
    /// Rows of these inputs, all of which begin with rows, for a model of so many outputs; none if one of them is too large to
    /// be tried.
    pub fn of(inputs: &[Port], n_outputs: usize) -> Option<Self> {
        let mut random = Random::new();
        let sorts = [Sort::UpTo(5), Sort::UpTo(1)].into_iter().flat_map(|sort| [sort; EACH]);
        let sorts = sorts.chain((0..HOSTILE).map(Sort::Edge));
        let mut row = |sort| inputs.iter().map(|port| tensor(port, sort, &mut random)).collect::<Option<Vec<_>>>();
        Some(Self { rows: sorts.map(&mut row).collect::<Option<_>>()?, n_outputs })
    }
}

impl Rows for MadeRows {
    fn n(&self) -> usize {
        self.rows.len()
    }

    fn run(&self, session: &mut ModelSession, rows: &[usize]) -> Result<Outputs, OnnxError> {
        let n_inputs = self.rows.first().map_or(0, Vec::len);
        let input = |at: usize| {
            let tensors: Vec<&Tensor> = rows.iter().map(|row| &self.rows[*row][at]).collect();
            Tensor::concat(&tensors).ok_or_else(|| OnnxError::Columns { reason: "rows of other shapes".to_owned() })
        };
        let inputs = (0..n_inputs).map(input).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<usize> = (0..self.n_outputs).collect();
        let Ran { outputs, .. } = session.infer(&inputs, &all, rows.len())?;
        Outputs { columns: outputs }.of_rows(rows.len())
    }

    fn hostile(&self) -> Range<usize> {
        self.rows.len().saturating_sub(HOSTILE)..self.rows.len()
    }

    fn row(&self, number: usize) -> ProbeRow {
        let values: BTreeMap<String, String> =
            self.rows[number].iter().map(|input| (input.name.to_string(), input.elements().to_string())).collect();
        ProbeRow { number, values }
    }
}

fn tensor(port: &Port, sort: Sort, random: &mut Random) -> Option<Tensor> {
    let mut shape: Vec<i64> = port.shape.iter().map(|dim| if *dim < 0 { FREE } else { *dim }).collect();
    *shape.first_mut()? = 1;
    let n = shape.iter().try_fold(1_usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))?;
    if n > ELEMENTS_MAX {
        return None;
    }
    let mut whole = |up_to: usize| u8::try_from(random.below(up_to + 1)).unwrap_or(0);
    macro_rules! integers {
        ($variant:ident, $native:ty) => {
            TensorData::$variant(match sort {
                Sort::UpTo(most) => (0..n).map(|_| <$native>::try_from(whole(most)).unwrap_or_default()).collect(),
                Sort::Edge(0) => vec![<$native>::MAX; n],
                Sort::Edge(_) => vec![<$native>::MIN; n],
            })
        };
    }
    // Eighths: every sum of them is exact.
    let mut floats = || -> Vec<f32> {
        match sort {
            Sort::UpTo(most) => (0..n).map(|_| f32::from(whole(most)) * 1.125).collect(),
            Sort::Edge(0) => vec![f32::NAN; n],
            Sort::Edge(_) => vec![f32::NEG_INFINITY; n],
        }
    };
    let data = match port.datatype {
        Datatype::Bool => TensorData::Bool((0..n).map(|_| whole(1) == 1).collect()),
        Datatype::Uint8 => integers!(U8, u8),
        Datatype::Uint16 => integers!(U16, u16),
        Datatype::Uint32 => integers!(U32, u32),
        Datatype::Uint64 => integers!(U64, u64),
        Datatype::Int8 => integers!(I8, i8),
        Datatype::Int16 => integers!(I16, i16),
        Datatype::Int32 => integers!(I32, i32),
        Datatype::Int64 => integers!(I64, i64),
        Datatype::Fp16 => TensorData::F16(floats().into_iter().map(f16::from_f32).collect()),
        Datatype::Bf16 => TensorData::Bf16(floats().into_iter().map(bf16::from_f32).collect()),
        Datatype::Fp32 => TensorData::F32(floats()),
        Datatype::Fp64 => TensorData::F64(floats().into_iter().map(f64::from).collect()),
        Datatype::Bytes => TensorData::Text(match sort {
            Sort::UpTo(most) => (0..n).map(|_| "a".repeat(usize::from(whole(most)))).collect(),
            Sort::Edge(0) => vec![String::new(); n],
            Sort::Edge(_) => vec!["\u{1f980}".repeat(300); n],
        }),
    };
    Some(Tensor { name: Arc::clone(&port.name), shape, data })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{BatchCheck, Verdict, check_made};
    use super::*;
    use crate::onnx::toy::{self, Graph, Node};
    use crate::onnx::{SessionPool, inspect};

    fn found(bytes: &[u8], lasts: Duration) -> BatchCheck {
        let signature = inspect(&toy::runtime(), bytes).unwrap().signature;
        let ports: Vec<Port> = signature.inputs.iter().map(|spec| Port::of(spec).unwrap()).collect();
        let pool = SessionPool::load(&toy::runtime(), bytes, 1).unwrap();
        let rows = MadeRows::of(&ports, signature.outputs.len()).unwrap();
        check_made(&mut pool.try_checkout().unwrap(), &rows, lasts)
    }

    fn batching(bytes: &[u8]) -> bool {
        found(bytes, Duration::from_secs(60)).batching()
    }

    #[test]
    fn rows_that_depend_on_each_other_share_no_run() {
        for safe in ["linear", "two_inputs", "string_input"] {
            assert!(batching(&toy::file(safe)), "{safe}: {}", found(&toy::file(safe), Duration::from_secs(60)));
        }
        assert!(matches!(found(&toy::file("batch_mean"), Duration::from_secs(60)).verdict, Verdict::Unsafe(_)));
        let sizes = Graph::new().input("x", toy::FLOAT, &[-1, 2]).node(Node::new("Shape", &["x"], &["y"]));
        assert!(!batching(&sizes.output("y", toy::INT64, &[-1]).model()), "an output has no entry for each row");
    }

    #[test]
    fn places_in_a_table_are_tried_too() {
        let table = |values: &[f32]| {
            let n = i64::try_from(values.len()).unwrap();
            let graph = Graph::new().input("at", toy::INT64, &[-1, 1]).floats("table", &[n], values);
            let graph = graph.node(Node::new("Gather", &["table", "at"], &["y"]));
            graph.output("y", toy::FLOAT, &[-1, 1]).model()
        };
        let two = found(&table(&[0.5, 1.5]), Duration::from_secs(60));
        assert!(two.batching() && two.refused > 0, "{two}");
    }

    #[test]
    fn what_takes_too_long_is_not_found_to_be_safe() {
        let late = found(&toy::file("linear"), Duration::ZERO);
        assert!(!late.batching());
        assert!(late.to_string().contains("it takes too long to be tried"), "{late}");
    }

    #[test]
    fn a_row_that_is_too_large_is_not_made() {
        let port = |shape: &[i64]| Port { name: "x".into(), datatype: Datatype::Fp32, shape: shape.to_vec() };
        assert!(MadeRows::of(&[port(&[-1, 1 << 21])], 1).is_none());
        let rows = MadeRows::of(&[port(&[-1, 3, -1])], 1).unwrap();
        assert_eq!((rows.n(), rows.hostile()), (2 * EACH + HOSTILE, 2 * EACH..2 * EACH + HOSTILE));
        assert_eq!(rows.rows[0][0].shape, [1, 3, FREE]);
        assert!(rows.row(17).values["x"].starts_with("[-inf"), "{}", rows.row(17));
    }
}
