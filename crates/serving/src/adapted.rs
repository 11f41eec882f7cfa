//! What a model says, as clients of an older service version are promised it: its response adapters, backwards.
//!
//! One rule for the gate and for the wire: both go through [`ResponseAdapter::adapt_back`].

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::applied::Chain;
use schema::contract::{Answer, Edges, OutputContract, OutputKind, ResponseAdapter, ResponseContract};
use schema::{ModelDefinition, migration::ServiceVersion};

use crate::onnx::{OutputData, OutputTensor, Outputs};
use crate::squares::{adapter_along, read};

/// The adapters on the way from an older service version to a model's own, which are not the identity.
#[derive(Debug, Clone)]
pub struct Back {
    contract: ResponseContract,
    adapter: ResponseAdapter,
}

/// Answers at the model's own version cannot be given at an older one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("answers of the model cannot be given as those of `{from}`: an adapter on the way to `{to}` does not go back")]
pub struct OneWay {
    /// The older version.
    pub from: ServiceVersion,
    /// The model's own.
    pub to: ServiceVersion,
}

impl Back {
    /// What stands between the answers of a model and clients of where `chain` starts; `None` where nothing does.
    ///
    /// # Errors
    /// [`OneWay`]: an adapter says how answers change, and does not say that they change back.
    pub fn along(model: &ModelDefinition, chain: &Chain) -> Result<Option<Self>, OneWay> {
        let adapter = adapter_along(model, chain);
        let (Some(contract), false) = (&model.contract, adapter.is_identity()) else { return Ok(None) };
        match (chain.through.first(), chain.through.last()) {
            (Some(from), Some(to)) if !adapter.goes_back() => Err(OneWay { from: from.clone(), to: to.clone() }),
            _ => Ok(Some(Self { contract: contract.clone(), adapter })),
        }
    }

    /// The outputs of a run as the older version has them.
    pub fn outputs(&self, said: &Outputs) -> Outputs {
        let columns = said.columns.iter().map(|tensor| {
            let name = tensor.name.as_ref();
            match self.contract.outputs.get(name).filter(|_| self.adapter.outputs.contains_key(name)) {
                Some(contract) => self.tensor(said, tensor, contract),
                None => tensor.clone(),
            }
        });
        Outputs { columns: columns.collect() }
    }

    fn tensor(&self, said: &Outputs, tensor: &OutputTensor, contract: &OutputContract) -> OutputTensor {
        let name = tensor.name.as_ref();
        let only = ResponseContract {
            share: 0.0,
            edges: Edges::default(),
            outputs: BTreeMap::from([(name.to_owned(), contract.clone())]),
        };
        let n = tensor.rows();
        let rows = (0..n).filter_map(|row| read(said, row, &only).pop());
        let adapted: Vec<Answer> = rows.map(|answer| self.adapter.adapt_back(name, answer)).collect();
        let mut data: Option<OutputData> = None;
        let mut width = 0;
        for answer in &adapted {
            let (values, labels) = match answer {
                Answer::Numbers(values) => (values.clone(), Vec::new()),
                Answer::Probabilities(classes) => (self.in_order(name, contract, classes), Vec::new()),
                Answer::Labels(labels) => (Vec::new(), labels.clone()),
                // What is no number has nothing to be adapted.
                Answer::Failed(_) => return tensor.clone(),
            };
            width = values.len().max(labels.len());
            append(&mut data, &tensor.data, &values, labels);
        }
        let Some(data) = data.filter(|data| data.len() == n * width) else { return tensor.clone() };
        let mut shape = tensor.shape.clone();
        if let (Some(last), true) = (shape.last_mut(), tensor.shape.len() > 1) {
            *last = i64::try_from(width).unwrap_or(*last);
        }
        OutputTensor { name: Arc::clone(&tensor.name), datatype: data.datatype(), shape, data }
    }

    /// The probabilities of an older version, in the contract's order where its classes are the contract's, and otherwise in
    /// that in which they became those of the contract.
    fn in_order(&self, name: &str, contract: &OutputContract, classes: &BTreeMap<String, f64>) -> Vec<f64> {
        let OutputKind::Probabilities { classes: known } = &contract.is else {
            return classes.values().copied().collect();
        };
        let old_name = |class: &String| match self.adapter.adapt_back(name, Answer::Labels(vec![class.clone()])) {
            Answer::Labels(names) => names.into_iter().next(),
            _ => None,
        };
        if known.iter().all(|class| classes.contains_key(class)) {
            return known.iter().map(|class| classes[class]).collect();
        }
        known.iter().filter_map(|class| classes.get(&old_name(class)?).copied()).collect()
    }
}

/// Adds a row in the type of the model's output; labels that are no integers any more are texts.
fn append(data: &mut Option<OutputData>, like: &OutputData, values: &[f64], labels: Vec<String>) {
    if !labels.is_empty() {
        if let OutputData::Text(all) = data.get_or_insert_with(|| OutputData::Text(Vec::new())) {
            all.extend(labels);
        }
        return;
    }
    let empty = || match like {
        OutputData::F32(_) => OutputData::F32(Vec::new()),
        _ => OutputData::F64(Vec::new()),
    };
    match data.get_or_insert_with(empty) {
        #[expect(clippy::cast_possible_truncation, reason = "the model's own type")]
        OutputData::F32(all) => all.extend(values.iter().map(|value| *value as f32)),
        OutputData::F64(all) => all.extend(values),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use schema::contract::OutputAdapter;

    use super::*;

    fn tensor(name: &str, shape: Vec<i64>, data: OutputData) -> OutputTensor {
        OutputTensor { name: name.into(), datatype: data.datatype(), shape, data }
    }

    fn back(is: OutputKind, adapter: OutputAdapter) -> Back {
        let outputs = BTreeMap::from([("y".to_owned(), OutputContract::of(is))]);
        Back {
            contract: ResponseContract { share: 0.0, edges: Edges::Judged, outputs },
            adapter: ResponseAdapter { outputs: BTreeMap::from([("y".to_owned(), adapter)]), back: true },
        }
    }

    fn relabel(names: &[(&str, &str)]) -> OutputAdapter {
        let relabel = names.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        OutputAdapter { relabel, ..OutputAdapter::default() }
    }

    fn names(of: [&str; 2]) -> Vec<String> {
        of.map(str::to_owned).to_vec()
    }

    #[test]
    fn numbers_are_in_the_old_unit_and_other_outputs_as_they_are() {
        let cents = back(OutputKind::Amount, OutputAdapter { scale: 100.0, ..OutputAdapter::default() });
        let said = Outputs {
            columns: vec![
                tensor("y", vec![2, 1], OutputData::F32(vec![150.0, 25.0])),
                tensor("z", vec![2], OutputData::I64(vec![1, 2])),
            ],
        };
        let old = cents.outputs(&said);
        assert!(matches!(&old.columns[0].data, OutputData::F32(values) if values == &[1.5, 0.25]), "{old:?}");
        assert_eq!(old.columns[0].shape, [2, 1]);
        assert!(old.row_same_bits(0, &old, 0) && matches!(&old.columns[1].data, OutputData::I64(v) if v == &[1, 2]));
    }

    #[test]
    fn labels_have_their_old_names() {
        let of = back(OutputKind::Label { classes: Vec::new() }, relabel(&[("good", "ok")]));
        let said = Outputs { columns: vec![tensor("y", vec![2], OutputData::Text(names(["ok", "bad"])))] };
        let old = of.outputs(&said);
        assert!(matches!(&old.columns[0].data, OutputData::Text(labels) if labels == &["good", "bad"]), "{old:?}");
    }

    #[test]
    fn probabilities_stand_where_older_clients_look_for_them() {
        let said = || Outputs { columns: vec![tensor("y", vec![1, 2], OutputData::F32(vec![0.25, 0.75]))] };
        let values = |of: Back| match of.outputs(&said()).columns.remove(0).data {
            OutputData::F32(values) => values,
            other => panic!("{other:?}"),
        };
        let classes = |of| OutputKind::Probabilities { classes: names(of) };
        // Only renamed: in their places.
        assert_eq!(values(back(classes(["ok", "bad"]), relabel(&[("good", "ok")]))), [0.25, 0.75]);
        // The names changed places: so do the values.
        assert_eq!(values(back(classes(["no", "yes"]), relabel(&[("no", "yes"), ("yes", "no")]))), [0.75, 0.25]);
    }
}
