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

    /// The probabilities of an older version, in the order in which its classes became those of the contract.
    fn in_order(&self, name: &str, contract: &OutputContract, classes: &BTreeMap<String, f64>) -> Vec<f64> {
        let OutputKind::Probabilities { classes: known } = &contract.is else {
            return classes.values().copied().collect();
        };
        let old_name = |class: &String| match self.adapter.adapt_back(name, Answer::Labels(vec![class.clone()])) {
            Answer::Labels(names) => names.into_iter().next(),
            _ => None,
        };
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
