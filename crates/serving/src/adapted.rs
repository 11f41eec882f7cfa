//! What a model says, as clients of an older service version are promised it: its response adapters, backwards.
//!
//! One rule for the gate and for the wire: both go through [`AdapterPath::adapt_back`]. An answer keeps the form that the
//! model gives it, its shape and its type, for older clients count on that too.

use std::sync::Arc;

use half::{bf16, f16};
use schema::AppliedDefinitions;
use schema::applied::Chain;
use schema::contract::{AdapterPath, Answer, OutputKind, OutputKinds};
use schema::{ModelDefinition, migration::ServiceVersion};

use crate::class_order::ClassOrder;
use crate::onnx::{Outputs, Tensor, TensorData};
use crate::squares::words;

/// The adapters on the way from an older service version to a model's own, which are not the identity.
#[derive(Debug, Clone)]
pub struct Back {
    /// What the model's outputs are, in its own words.
    kinds: OutputKinds,
    path: AdapterPath,
}

/// Answers at the model's own version cannot be given at an older one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("answers of the model on `{to}` cannot be given as those of `{from}`: {why}")]
pub struct OneWay {
    /// The older version.
    pub from: ServiceVersion,
    /// The model's own.
    pub to: ServiceVersion,
    /// Why.
    pub why: String,
}

impl Back {
    /// What stands between the answers of a model and clients of where `chain` starts; `None` where nothing does.
    ///
    /// # Errors
    /// [`OneWay`]: an adapter says how answers change, and they do not change back.
    pub fn along(
        model: &ModelDefinition,
        chain: &Chain,
        definitions: &AppliedDefinitions,
    ) -> Result<Option<Self>, OneWay> {
        let path = words::along(model, chain);
        let (Some(from), Some(to)) = (chain.through.first(), chain.through.last()) else { return Ok(None) };
        let (Some(contract), false) = (&model.contract, path.is_identity()) else { return Ok(None) };
        let one_way = |why: String| OneWay { from: from.clone(), to: to.clone(), why };
        let own_words = words::to_contract(Some(model), to, definitions).map_err(|why| one_way(why.to_string()))?;
        let kinds = own_words.older_kinds(&contract.kinds());
        path.check_back(&kinds).map_err(one_way)?;
        Ok(Some(Self { kinds, path }))
    }

    /// The outputs of a run, its classes in the order of the model's own version, as the older version has them.
    pub fn outputs(&self, said: &Outputs) -> Outputs {
        let columns = said.columns.iter().map(|tensor| match self.kinds.get(tensor.name.as_ref()) {
            Some(is) => self.tensor(tensor, is),
            None => tensor.clone(),
        });
        Outputs { columns: columns.collect() }
    }

    fn tensor(&self, tensor: &Tensor, is: &OutputKind) -> Tensor {
        let name = tensor.name.as_ref();
        match is {
            OutputKind::Probabilities { classes } => self.probabilities(tensor, classes),
            OutputKind::Label { .. } => {
                let rows = (0..tensor.rows()).flat_map(|row| tensor.row(row).labels());
                let older: Vec<String> = rows.map(|label| self.path.older_name(name, &label)).collect();
                with(tensor, labels_like(&tensor.data, older))
            }
            OutputKind::Score | OutputKind::Amount => {
                let numbers = (0..tensor.rows()).map(|row| tensor.row(row).numbers());
                // What is no number has nothing to be adapted.
                let Some(numbers) = numbers.collect::<Option<Vec<_>>>() else { return tensor.clone() };
                match self.path.adapt_back(name, Answer::Numbers(numbers.concat())) {
                    Answer::Numbers(older) => with(tensor, numbers_like(&tensor.data, older)),
                    _ => tensor.clone(),
                }
            }
        }
    }

    /// Each class stays where it is under its older name, unless names changed places: then they stand in the order that was
    /// declared.
    fn probabilities(&self, tensor: &Tensor, classes: &[String]) -> Tensor {
        let name = tensor.name.as_ref();
        let here: Vec<String> = classes.iter().map(|class| self.path.older_name(name, class)).collect();
        let there = self.path.older_kinds(&self.kinds);
        let order = match there.get(name) {
            Some(OutputKind::Probabilities { classes }) => ClassOrder::between(name, &here, classes),
            _ => None,
        };
        let mut older = tensor.clone();
        if let Some(order) = order {
            order.arrange_tensor(&mut older);
        }
        older
    }
}

/// The tensor with other elements, as many.
fn with(tensor: &Tensor, data: TensorData) -> Tensor {
    let (name, shape) = (Arc::clone(&tensor.name), tensor.shape.clone());
    Tensor { name, shape, data }
}

/// Numbers in the model's own type; integers that are divided become floats.
fn numbers_like(like: &TensorData, numbers: Vec<f64>) -> TensorData {
    match like {
        #[expect(clippy::cast_possible_truncation, reason = "the model's own type")]
        TensorData::F32(_) => TensorData::F32(numbers.into_iter().map(|value| value as f32).collect()),
        TensorData::F16(_) => TensorData::F16(numbers.into_iter().map(f16::from_f64).collect()),
        TensorData::Bf16(_) => TensorData::Bf16(numbers.into_iter().map(bf16::from_f64).collect()),
        _ => TensorData::F64(numbers),
    }
}

/// Labels in the model's own type, or as texts where a name is no integer of it.
fn labels_like(like: &TensorData, labels: Vec<String>) -> TensorData {
    macro_rules! integers {
        ($($variant:ident),*) => {
            match like {
                $(TensorData::$variant(_) => {
                    let all = labels.iter().map(|label| label.parse().ok()).collect::<Option<Vec<_>>>();
                    all.map(TensorData::$variant)
                })*
                _ => None,
            }
        };
    }
    integers!(Bool, U8, U16, U32, U64, I8, I16, I32, I64).unwrap_or(TensorData::Text(labels))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schema::contract::{OutputAdapter, ResponseAdapter};

    use super::*;

    fn tensor(name: &str, shape: Vec<i64>, data: TensorData) -> Tensor {
        Tensor { name: name.into(), shape, data }
    }

    fn back(is: OutputKind, adapter: OutputAdapter) -> Back {
        let outputs = BTreeMap::from([("y".to_owned(), adapter)]);
        let path = AdapterPath::of([ResponseAdapter { outputs, back: true }]);
        let kinds = BTreeMap::from([("y".to_owned(), is)]);
        path.check_back(&kinds).unwrap();
        Back { kinds, path }
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
                tensor("y", vec![2, 1], TensorData::F32(vec![150.0, 25.0])),
                tensor("z", vec![2], TensorData::I64(vec![1, 2])),
            ],
        };
        let old = cents.outputs(&said);
        assert!(matches!(&old.columns[0].data, TensorData::F32(values) if values == &[1.5, 0.25]), "{old:?}");
        assert_eq!(old.columns[0].shape, [2, 1]);
        assert!(old.row_same_bits(0, &old, 0) && matches!(&old.columns[1].data, TensorData::I64(v) if v == &[1, 2]));
    }

    #[test]
    fn labels_have_their_old_names() {
        let label = |classes| OutputKind::Label { classes: names(classes) };
        let of = back(label(["ok", "bad"]), relabel(&[("good", "ok")]));
        let said = Outputs { columns: vec![tensor("y", vec![2], TensorData::Text(names(["ok", "bad"])))] };
        let old = of.outputs(&said);
        assert!(matches!(&old.columns[0].data, TensorData::Text(labels) if labels == &["good", "bad"]), "{old:?}");
        // Integers stay integers while they can.
        let said = || Outputs { columns: vec![tensor("y", vec![2, 1], TensorData::I32(vec![1, 0]))] };
        let old = back(label(["0", "1"]), relabel(&[("0", "1"), ("1", "0")])).outputs(&said());
        assert!(matches!(&old.columns[0].data, TensorData::I32(labels) if labels == &[0, 1]), "{old:?}");
        assert_eq!((&old.columns[0].shape, old.columns[0].datatype().as_str()), (&vec![2, 1], "INT32"));
        let old = back(label(["0", "1"]), relabel(&[("no", "0"), ("yes", "1")])).outputs(&said());
        assert!(matches!(&old.columns[0].data, TensorData::Text(labels) if labels == &["yes", "no"]), "{old:?}");
        assert_eq!(old.columns[0].datatype().as_str(), "BYTES");
    }

    #[test]
    fn answers_keep_the_form_that_the_model_gives_them() {
        let classes = |of| OutputKind::Probabilities { classes: names(of) };
        let floats = |of: &Back, shape: Vec<i64>, values: &[f32]| {
            let mut old =
                of.outputs(&Outputs { columns: vec![tensor("y", shape.clone(), TensorData::F32(values.to_vec()))] });
            let column = old.columns.remove(0);
            assert_eq!(column.shape, shape);
            match column.data {
                TensorData::F32(values) => values,
                other => panic!("{other:?}"),
            }
        };
        // The probability of the second class alone: renamed it is the same one, and of names that changed places the other.
        let renamed = back(classes(["ok", "bad"]), relabel(&[("good", "ok")]));
        let swapped = back(classes(["no", "yes"]), relabel(&[("no", "yes"), ("yes", "no")]));
        for shape in [vec![2], vec![2, 1]] {
            assert_eq!(floats(&renamed, shape.clone(), &[0.25, 1.0]), [0.25, 1.0]);
            assert_eq!(floats(&swapped, shape, &[0.25, 1.0]), [0.75, 0.0]);
        }
        let cents = back(OutputKind::Score, OutputAdapter { scale: 100.0, ..OutputAdapter::default() });
        let six = [100.0, 200.0, 300.0, 400.0, 500.0, 600.0];
        assert_eq!(floats(&cents, vec![1, 2, 3], &six), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn probabilities_stand_where_older_clients_look_for_them() {
        let said = || Outputs { columns: vec![tensor("y", vec![1, 2], TensorData::F32(vec![0.25, 0.75]))] };
        let values = |of: Back| match of.outputs(&said()).columns.remove(0).data {
            TensorData::F32(values) => values,
            other => panic!("{other:?}"),
        };
        let classes = |of| OutputKind::Probabilities { classes: names(of) };
        // Only renamed: in their places.
        assert_eq!(values(back(classes(["ok", "bad"]), relabel(&[("good", "ok")]))), [0.25, 0.75]);
        // The names changed places: so do the values.
        assert_eq!(values(back(classes(["no", "yes"]), relabel(&[("no", "yes"), ("yes", "no")]))), [0.75, 0.25]);
    }
}
