//! What a model's contract promises of its answers, held against each answer that is given.
//!
//! A promotion has tried rows that were logged, sampled and made. Rows that come later may still be answered outside the
//! contract: NaN where a range is declared, a value beyond it, a class that nobody named. That is counted, or refused where the
//! contract says so, which is the model's fault and not the client's.

use std::fmt;

use metrics::{Counter, counter};
use registry::ModelVersion;
use schema::contract::{OutputContract, OutputKind, Outside, ResponseContract};

use crate::onnx::{Outputs, Tensor, TensorData};
use crate::squares::answer;

/// The promises of a version, as far as one answer can break them.
pub struct Promised {
    outputs: Vec<(String, OutputContract, Counter)>,
    outside: Outside,
}

/// An answer that breaks one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The row.
    pub row: usize,
    /// Of which output.
    pub output: String,
    /// What is wrong.
    pub why: String,
}

impl Promised {
    /// Those of `contract`, if it promises anything of one answer, for a version that speaks in its words.
    pub fn of(version: &ModelVersion, contract: &ResponseContract) -> Option<Self> {
        let is_promise = |output: &OutputContract| {
            output.range.is_some() || matches!(&output.is, OutputKind::Label { classes } if !classes.is_empty())
        };
        let counted = |name: &str| {
            let (model, number) = (version.name.to_string(), version.version.to_string());
            let labels = [("model", model), ("version", number), ("output", name.to_owned())];
            counter!("plumb_outside_contract_total", &labels)
        };
        let outputs = contract.outputs.iter().filter(|(_, output)| is_promise(output));
        let outputs: Vec<_> = outputs.map(|(name, output)| (name.clone(), output.clone(), counted(name))).collect();
        (!outputs.is_empty()).then_some(Self { outputs, outside: contract.outside })
    }

    /// Counts rows that break a promise.
    ///
    /// # Errors
    /// The first of them, where the contract says that it is no answer.
    pub fn check(&self, answered: &Outputs) -> Result<(), Broken> {
        let mut first: Option<Broken> = None;
        for (name, output, counter) in &self.outputs {
            let Some(tensor) = answered.columns.iter().find(|tensor| tensor.name.as_ref() == name) else { continue };
            let broken = (0..tensor.rows()).filter_map(|row| Some((row, why(output, tensor, row)?)));
            let mut n = 0;
            for (row, why) in broken {
                n += 1;
                if first.as_ref().is_none_or(|first| row < first.row) {
                    first = Some(Broken { row, output: name.clone(), why });
                }
            }
            counter.increment(n);
        }
        first.filter(|_| self.outside == Outside::Refused).map_or(Ok(()), Err)
    }
}

/// What is wrong with a row. The usual answer, which is a few floats within a range, is looked at where it lies.
fn why(output: &OutputContract, tensor: &Tensor, row: usize) -> Option<String> {
    let beyond = |value: f64| {
        let (low, high) = output.range?;
        (!(low..=high).contains(&value)).then(|| format!("{value} is not between {low} and {high}"))
    };
    let width = tensor.width();
    let place = row * width..(row + 1) * width;
    match &tensor.data {
        TensorData::F32(data) => data.get(place)?.iter().find_map(|value| beyond(f64::from(*value))),
        TensorData::F64(data) => data.get(place)?.iter().find_map(|value| beyond(*value)),
        _ => output.outside(&answer(tensor.row(row), &output.is)),
    }
}

impl PartialEq for Promised {
    fn eq(&self, other: &Self) -> bool {
        let of = |promised: &Self| -> Vec<(String, OutputContract)> {
            promised.outputs.iter().map(|(name, output, _)| (name.clone(), output.clone())).collect()
        };
        self.outside == other.outside && of(self) == of(other)
    }
}

impl fmt::Debug for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promises of {} outputs, {:?}", self.outputs.len(), self.outside)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fleet::tests::{World, adds};

    fn tensor(name: &str, width: i64, data: TensorData) -> Tensor {
        let rows = i64::try_from(data.len()).unwrap() / width;
        Tensor { name: name.into(), shape: vec![rows, width], data }
    }

    /// The version of a model that nobody asks.
    async fn version() -> ModelVersion {
        let world = World::new().await;
        world.register("m", "model.onnx", &adds(1.0)).await;
        world.version("m", 1)
    }

    /// An output: its name, what it is, its range.
    type Declared = (&'static str, OutputKind, Option<(f64, f64)>);

    fn contract(outside: Outside, outputs: &[Declared]) -> ResponseContract {
        let one = |(name, is, range): &Declared| {
            ((*name).to_owned(), OutputContract { range: *range, ..OutputContract::of(is.clone()) })
        };
        let outputs: BTreeMap<String, OutputContract> = outputs.iter().map(one).collect();
        ResponseContract {
            share: 0.0,
            edges: schema::contract::Edges::Judged,
            outside,
            outputs,
            aggregates: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_first_row_that_breaks_a_promise_is_named() {
        let version = version().await;
        let label = OutputKind::Label { classes: vec!["no".to_owned(), "yes".to_owned()] };
        let share = Some((0.0, 1.0));
        let promises = [("label", label, None), ("p", OutputKind::Score, share), ("free", OutputKind::Score, None)];
        let promised = Promised::of(&version, &contract(Outside::Refused, &promises)).unwrap();
        let check = |p: Vec<f32>, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            let free = TensorData::F32(vec![f32::NAN; p.len() / 2]);
            let columns = vec![
                tensor("label", 1, TensorData::Text(labels)),
                tensor("p", 2, TensorData::F32(p)),
                tensor("free", 1, free),
            ];
            promised.check(&Outputs { columns }).map_err(|broken| (broken.row, broken.output, broken.why))
        };
        assert_eq!(check(vec![0.0, 1.0, 0.5, 0.5], &["no", "yes"]), Ok(()));
        let broken = |row, output: &str, why: &str| Err((row, output.to_owned(), why.to_owned()));
        assert_eq!(check(vec![0.0, 1.0, 0.5, f32::NAN], &["no", "yes"]), broken(1, "p", "NaN is not between 0 and 1"));
        assert_eq!(check(vec![-0.5, 1.0, 7.0, 0.0], &["no", "yes"]), broken(0, "p", "-0.5 is not between 0 and 1"));
        let of_label = "`maybe` is not one of the classes no, yes";
        assert_eq!(check(vec![0.0, 1.0, 7.0, 0.0], &["maybe", "yes"]), broken(0, "label", of_label));
        // Other types are looked at too.
        let halves = tensor("p", 1, TensorData::F16(vec![half::f16::from_f32(2.0)]));
        assert!(promised.check(&Outputs { columns: vec![halves] }).is_err());
    }

    #[tokio::test]
    async fn what_is_told_is_answered() {
        let version = version().await;
        let told = contract(Outside::Told, &[("p", OutputKind::Score, Some((0.0, 1.0)))]);
        let promised = Promised::of(&version, &told).unwrap();
        let columns = vec![tensor("p", 1, TensorData::F64(vec![0.5, 2.0, f64::INFINITY]))];
        assert_eq!(promised.check(&Outputs { columns }), Ok(()));
        assert_eq!(promised, Promised::of(&version, &told).unwrap());
        assert_ne!(promised, Promised::of(&version, &ResponseContract { outside: Outside::Refused, ..told }).unwrap());
    }

    #[tokio::test]
    async fn of_a_contract_that_promises_nothing_of_one_answer_nothing_is_checked() {
        let open = contract(Outside::Refused, &[("p", OutputKind::Score, None)]);
        assert!(Promised::of(&version().await, &open).is_none());
    }
}
