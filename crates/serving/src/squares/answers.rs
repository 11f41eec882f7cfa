//! What a model says to rows, along the path that serves: filled, run in its batches, and read as its contract reads it.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use featurestore::training::fill_all;
use schema::contract::{Answer, Edges, OutputContract, OutputKind, ResponseContract};
use schema::signature::{Signature, TensorSpec};

use super::rows::ProbeRows;
use crate::fleet::LoadedModel;
use crate::onnx::{ModelSession, OutputRow, Outputs};

/// Rows of one run: what a request of a usual size has, and far below what would hold other requests up.
const RUN_ROWS: usize = 256;

/// What was said to one row, by the contract's outputs in their order.
pub(crate) type RowAnswer = Vec<Answer>;

/// What `model` says to `rows`, which are of its own service. A row that fails, fails alone.
pub(crate) fn answers(
    session: &mut ModelSession,
    model: &LoadedModel,
    rows: &ProbeRows,
    contract: &ResponseContract,
) -> Vec<RowAnswer> {
    let n = rows.len();
    let filled = fill_all(&model.compiled, &rows.columns);
    let mut said = Vec::with_capacity(n);
    let mut at = 0;
    while at < n {
        let end = if model.batching { n.min(at + RUN_ROWS) } else { at + 1 };
        match &filled {
            Ok(columns) => said.extend(run(session, model, columns, at..end, contract)),
            Err(why) => said.extend((at..end).map(|_| failed(contract, why))),
        }
        at = end;
    }
    said
}

fn run(
    session: &mut ModelSession,
    model: &LoadedModel,
    columns: &[ArrayRef],
    rows: std::ops::Range<usize>,
    contract: &ResponseContract,
) -> Vec<RowAnswer> {
    match session.run(&model.plan, columns, rows.clone()) {
        Ok(outputs) => (0..rows.len()).map(|row| read(&outputs, row, contract)).collect(),
        Err(why) if rows.len() == 1 => vec![failed(contract, why.kind())],
        // One of them is to blame: the others have an answer.
        Err(_) => rows.flat_map(|row| run(session, model, columns, row..row + 1, contract)).collect(),
    }
}

fn failed(contract: &ResponseContract, kind: impl std::fmt::Debug) -> RowAnswer {
    vec![Answer::Failed(format!("{kind:?}")); contract.outputs.len()]
}

/// A row of a run as the contract sees it.
pub(crate) fn read(outputs: &Outputs, row: usize, contract: &ResponseContract) -> RowAnswer {
    let one = |(name, output): (&String, &OutputContract)| match outputs.get(name) {
        Some(tensor) => answer(tensor.row(row), output),
        None => Answer::Failed(format!("no output `{name}`")),
    };
    contract.outputs.iter().map(one).collect()
}

fn answer(row: OutputRow<'_>, contract: &OutputContract) -> Answer {
    match &contract.is {
        OutputKind::Label { .. } => Answer::Labels(row.labels()),
        OutputKind::Score | OutputKind::Amount => {
            row.numbers().map_or_else(|| Answer::Failed("not a number".to_owned()), Answer::Numbers)
        }
        OutputKind::Probabilities { classes } => match (row.numbers().as_deref(), &classes[..]) {
            (Some(values), classes) if values.len() == classes.len() => {
                Answer::Probabilities(classes.iter().cloned().zip(values.iter().copied()).collect())
            }
            // The usual short form of two classes: the probability of the second.
            (Some([p]), [no, yes]) => Answer::Probabilities(BTreeMap::from([(no.clone(), 1.0 - p), (yes.clone(), *p)])),
            (Some(values), classes) => Answer::Failed(format!("{} values for {} classes", values.len(), classes.len())),
            (None, _) => Answer::Failed("not a number".to_owned()),
        },
    }
}

/// What a model's outputs are taken for where nothing is declared: floats are scores, the rest are labels. Nothing of it is
/// judged.
pub fn undeclared(signature: &Signature) -> ResponseContract {
    let one = |output: &TensorSpec| {
        let is = if is_float(&output.datatype) { OutputKind::Score } else { OutputKind::Label { classes: Vec::new() } };
        (output.name.clone(), OutputContract::of(is))
    };
    ResponseContract { share: 0.0, edges: Edges::default(), outputs: signature.outputs.iter().map(one).collect() }
}

/// That a model gives what its contract declares.
///
/// # Errors
/// The first output that it does not give so, and what it gives.
pub fn fits(contract: &ResponseContract, signature: &Signature) -> Result<(), String> {
    for (name, output) in &contract.outputs {
        let Some(given) = signature.outputs.iter().find(|given| given.name == *name) else {
            let names: Vec<&str> = signature.outputs.iter().map(|given| given.name.as_str()).collect();
            return Err(format!("the contract declares output `{name}`, the model gives {}", names.join(", ")));
        };
        let width: i64 = given.shape.iter().skip(1).product();
        let is_known = given.shape.iter().skip(1).all(|dim| *dim >= 0);
        let wrong = match &output.is {
            OutputKind::Probabilities { .. } if !is_float(&given.datatype) => {
                Some("probabilities are floats".to_owned())
            }
            OutputKind::Probabilities { classes } => {
                let n = i64::try_from(classes.len()).unwrap_or(i64::MAX);
                let fits = !is_known || width == n || (width == 1 && n == 2);
                (!fits).then(|| format!("the contract names {n} classes"))
            }
            OutputKind::Score | OutputKind::Amount if matches!(given.datatype.as_str(), "BYTES" | "BOOL") => {
                Some("scores and amounts are numbers".to_owned())
            }
            OutputKind::Label { .. } if is_float(&given.datatype) => Some("labels are integers or texts".to_owned()),
            OutputKind::Score | OutputKind::Amount | OutputKind::Label { .. } => None,
        };
        if let Some(wrong) = wrong {
            return Err(format!("output {given} is not what the contract declares: {wrong}"));
        }
    }
    Ok(())
}

fn is_float(datatype: &str) -> bool {
    datatype.starts_with("FP") || datatype.starts_with("BF")
}
