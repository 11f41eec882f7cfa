//! The batch square of a model that is known by its inputs alone: rows that are made from its datatypes, each alone and in
//! company.
//!
//! As [`crate::batch_check`], which has the rows of a feature service. An answer must be the same to the bit or within 1e-6
//! of `max(1, |answer|)`; what cannot be tried shares no run.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use half::{bf16, f16};

use super::Port;
use crate::onnx::session::Ran;
use crate::onnx::{Datatype, ModelSession, OnnxError, Tensor, TensorData};

/// Rows that are tried.
const ROWS: usize = 8;
/// Free dimensions are so long.
const FREE: i64 = 2;
/// Elements of one input of a row.
const ELEMENTS_MAX: usize = 1 << 20;
/// How far an answer may be off in company.
const TOLERANCE: f64 = 1e-6;

/// How long rows are tried: requests of a model that takes longer share no run.
const TRIED_FOR: Duration = Duration::from_secs(2);

/// Why requests share no run.
#[derive(Debug)]
pub enum Unsafe {
    /// The model answers none of the rows that are made.
    Untried(OnnxError),
    /// A row of it is too large to be tried.
    TooLarge,
    /// It takes too long for what is to be tried.
    TooSlow,
    /// An answer depends on the rows beside it.
    Depends {
        /// By number, among the model's outputs.
        output: usize,
    },
    /// An output has another first dimension than the rows that were asked.
    NotRows {
        /// By number, among the model's outputs.
        output: usize,
    },
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untried(why) => write!(f, "no row that could be tried is answered: {}", schema::error::chain(why)),
            Self::TooSlow => f.write_str("it takes too long to be tried"),
            Self::TooLarge => f.write_str("its rows are too large to be tried"),
            Self::Depends { output } => write!(f, "output {output} depends on the rows beside it"),
            Self::NotRows { output } => write!(f, "output {output} has no entry for each row"),
        }
    }
}

/// Whether rows may share a run: of a session that answers `n_outputs` outputs to `inputs`, all of which begin with rows.
///
/// # Errors
/// They may not.
pub fn check(session: &mut ModelSession, inputs: &[Port], n_outputs: usize) -> Result<(), Unsafe> {
    // What stands for a place in a table must be one.
    let modest = rows(inputs, 1).ok_or(Unsafe::TooLarge)?;
    let wild = rows(inputs, 5).ok_or(Unsafe::TooLarge)?;
    let all: Vec<usize> = (0..n_outputs).collect();
    let begun = Instant::now();
    let mut run = |inputs: &[Tensor], n: usize| session.infer(inputs, &all, n).map(|Ran { outputs, .. }| outputs);
    let mut untried = None;
    let mut tried = false;
    for rows in [wild, modest] {
        let mut alone = Vec::with_capacity(ROWS);
        for row in &rows {
            match run(row, 1) {
                Ok(outputs) => alone.push(outputs),
                Err(why) => {
                    untried = Some(why);
                    break;
                }
            }
            if begun.elapsed() > TRIED_FOR {
                return Err(Unsafe::TooSlow);
            }
        }
        if alone.len() < ROWS {
            continue;
        }
        tried = true;
        let order: Vec<usize> = (0..ROWS).rev().chain([0, 0, 3]).collect();
        for company in [(0..ROWS).collect::<Vec<_>>(), order, vec![1, 2], vec![4, 4, 5]] {
            let batch = (0..inputs.len()).map(|at| {
                let tensors: Vec<&Tensor> = company.iter().map(|row| &rows[*row][at]).collect();
                Tensor::concat(&tensors)
            });
            let batch = batch.collect::<Option<Vec<_>>>().ok_or(Unsafe::TooLarge)?;
            let together = run(&batch, company.len()).map_err(Unsafe::Untried)?;
            if begun.elapsed() > TRIED_FOR {
                return Err(Unsafe::TooSlow);
            }
            for (output, together) in together.iter().enumerate() {
                if together.shape.is_empty() || together.rows() != company.len() {
                    return Err(Unsafe::NotRows { output });
                }
                let same = |(at, row): (usize, &usize)| {
                    let apart = alone[*row][output].row(0).distance(together.row(at));
                    apart.is_some_and(|apart| apart <= TOLERANCE)
                };
                if !company.iter().enumerate().all(same) {
                    return Err(Unsafe::Depends { output });
                }
            }
        }
    }
    match untried {
        Some(why) if !tried => Err(Unsafe::Untried(why)),
        _ => Ok(()),
    }
}

/// Rows, each with a tensor for each input; none if they are too large. Numbers are between 0 and `spread`.
fn rows(inputs: &[Port], spread: u8) -> Option<Vec<Vec<Tensor>>> {
    let mut state = 7_u32;
    let mut next = move || {
        // Any numbers do, the same ones each time.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut row = || inputs.iter().map(|port| tensor(port, spread, &mut next)).collect::<Option<Vec<_>>>();
    (0..ROWS).map(|_| row()).collect()
}

fn tensor(port: &Port, spread: u8, next: &mut impl FnMut() -> u32) -> Option<Tensor> {
    let mut shape: Vec<i64> = port.shape.iter().map(|dim| if *dim < 0 { FREE } else { *dim }).collect();
    *shape.first_mut()? = 1;
    let n = shape.iter().try_fold(1_usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))?;
    if n > ELEMENTS_MAX {
        return None;
    }
    let mut whole = || u8::try_from(next() % (u32::from(spread) + 1)).unwrap_or(0);
    macro_rules! numbers {
        ($variant:ident, $native:ty) => {
            TensorData::$variant((0..n).map(|_| <$native>::from(whole())).collect())
        };
    }
    let mut fractions = || {
        let eighths = f32::from(whole()) / 8.0;
        f32::from(whole()) + eighths
    };
    let data = match port.datatype {
        Datatype::Bool => TensorData::Bool((0..n).map(|_| whole() == 1).collect()),
        Datatype::Uint8 => numbers!(U8, u8),
        Datatype::Uint16 => numbers!(U16, u16),
        Datatype::Uint32 => numbers!(U32, u32),
        Datatype::Uint64 => numbers!(U64, u64),
        Datatype::Int8 => TensorData::I8((0..n).map(|_| i8::try_from(whole()).unwrap_or(0)).collect()),
        Datatype::Int16 => numbers!(I16, i16),
        Datatype::Int32 => numbers!(I32, i32),
        Datatype::Int64 => numbers!(I64, i64),
        Datatype::Fp16 => TensorData::F16((0..n).map(|_| f16::from_f32(fractions())).collect()),
        Datatype::Bf16 => TensorData::Bf16((0..n).map(|_| bf16::from_f32(fractions())).collect()),
        Datatype::Fp32 => TensorData::F32((0..n).map(|_| fractions()).collect()),
        Datatype::Fp64 => TensorData::F64((0..n).map(|_| f64::from(fractions())).collect()),
        Datatype::Bytes => TensorData::Text((0..n).map(|_| "a".repeat(usize::from(whole()))).collect()),
    };
    Some(Tensor { name: Arc::clone(&port.name), shape, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::toy::{self, Graph, Node};
    use crate::onnx::{SessionPool, inspect};

    #[track_caller]
    fn found(bytes: &[u8]) -> String {
        let signature = inspect(&toy::runtime(), bytes).unwrap().signature;
        let ports: Vec<Port> = signature.inputs.iter().map(|spec| Port::of(spec).unwrap()).collect();
        let pool = SessionPool::load(&toy::runtime(), bytes, 1).unwrap();
        let checked = check(&mut pool.try_checkout().unwrap(), &ports, signature.outputs.len());
        checked.map_or_else(|why| why.to_string(), |()| "safe".to_owned())
    }

    #[test]
    fn rows_that_depend_on_each_other_share_no_run() {
        assert_eq!(found(&toy::file("linear")), "safe");
        assert_eq!(found(&toy::file("two_inputs")), "safe");
        assert_eq!(found(&toy::file("string_input")), "safe");
        assert_eq!(found(&toy::file("batch_mean")), "output 0 depends on the rows beside it");
        let sum = Graph::new().input("x", toy::FLOAT, &[-1, 2]).node(Node::new("Shape", &["x"], &["y"]));
        assert_eq!(found(&sum.output("y", toy::INT64, &[-1]).model()), "output 0 has no entry for each row");
    }

    #[test]
    fn places_in_a_table_are_tried_too() {
        let table = |n: i64| {
            let values: Vec<f32> = (0..4).map(|at: u8| f32::from(at)).collect();
            let n_values = usize::try_from(n).unwrap();
            let graph = Graph::new().input("at", toy::INT64, &[-1, 1]).floats("table", &[n], &values[..n_values]);
            let graph = graph.node(Node::new("Gather", &["table", "at"], &["y"]));
            found(&graph.output("y", toy::FLOAT, &[-1, 1]).model())
        };
        assert_eq!(table(2), "safe");
        assert!(table(1).starts_with("no row that could be tried is answered: "), "{}", table(1));
    }
}
