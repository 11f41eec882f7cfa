//! Probabilities in the order that the contract promises, whatever order the model's file has.
//!
//! Clients read a row of probabilities by position. Squares compare by the names of classes, so a version that has them in
//! another order may be promoted: its answers are put in order before anybody sees them.

use std::collections::BTreeSet;

use half::{bf16, f16};
use schema::contract::OutputKinds;

use crate::onnx::{Outputs, Tensor, TensorData};
use crate::squares::{classifier, in_words};

/// How the columns of a classifier's output become those of its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassOrder {
    output: String,
    /// For each class of the contract, its column in the output.
    columns: Vec<usize>,
}

impl ClassOrder {
    /// `kinds` are the outputs as the contract has them, in the words of the model's version; `named` the classes of its file,
    /// in the order of its probabilities. `None` where they are in order already, and where the file names others: then
    /// nothing is known of their order. Classes that came later are not in an older file.
    pub fn of(kinds: &OutputKinds, named: &[String]) -> Option<Self> {
        let (output, declared) = classifier(kinds)?;
        let named = &in_words(named, declared);
        Self::between(output, named, declared.iter().filter(|class| named.contains(class)))
    }

    /// What puts columns of the classes `from` in the order of `to`.
    pub(crate) fn between<'c>(output: &str, from: &[String], to: impl IntoIterator<Item = &'c String>) -> Option<Self> {
        let column = |class: &String| from.iter().position(|known| known == class);
        let columns: Vec<usize> = to.into_iter().map(column).collect::<Option<_>>()?;
        let is_permutation = columns.len() == from.len() && columns.iter().collect::<BTreeSet<_>>().len() == from.len();
        let is_in_order = columns.iter().copied().eq(0..from.len());
        (is_permutation && !is_in_order).then(|| Self { output: output.to_owned(), columns })
    }

    /// Puts the answers of a run in order.
    pub fn arrange(&self, outputs: &mut Outputs) {
        if let Some(tensor) = outputs.columns.iter_mut().find(|tensor| tensor.name.as_ref() == self.output) {
            self.arrange_tensor(tensor);
        }
    }

    /// Puts the columns of its output in order.
    pub(crate) fn arrange_tensor(&self, tensor: &mut Tensor) {
        let width = tensor.width();
        match (&mut tensor.data, self.columns.len()) {
            (TensorData::F32(data), n) if n == width => permute(data, &self.columns),
            (TensorData::F64(data), n) if n == width => permute(data, &self.columns),
            (TensorData::F16(data), n) if n == width => permute(data, &self.columns),
            (TensorData::Bf16(data), n) if n == width => permute(data, &self.columns),
            // Two classes in the other order, of which the second is told alone.
            (TensorData::F32(data), 2) if width == 1 => data.iter_mut().for_each(|p| *p = 1.0 - *p),
            (TensorData::F64(data), 2) if width == 1 => data.iter_mut().for_each(|p| *p = 1.0 - *p),
            (TensorData::F16(data), 2) if width == 1 => data.iter_mut().for_each(|p| *p = f16::ONE - *p),
            (TensorData::Bf16(data), 2) if width == 1 => data.iter_mut().for_each(|p| *p = bf16::ONE - *p),
            _ => {}
        }
    }
}

fn permute<T: Copy>(data: &mut [T], columns: &[usize]) {
    let mut before = Vec::with_capacity(columns.len());
    for row in data.chunks_exact_mut(columns.len()) {
        before.clear();
        before.extend_from_slice(row);
        for (value, column) in row.iter_mut().zip(columns) {
            *value = before[*column];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schema::contract::OutputKind;

    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    fn order(declared: &[&str], named: &[&str]) -> Option<ClassOrder> {
        let is = OutputKind::Probabilities { classes: names(declared) };
        ClassOrder::of(&BTreeMap::from([("p".to_owned(), is)]), &names(named))
    }

    fn arranged(order: &ClassOrder, width: i64, data: TensorData) -> TensorData {
        let rows = i64::try_from(data.len()).unwrap() / width;
        let tensor = Tensor { name: "p".into(), shape: vec![rows, width], data };
        let other = Tensor { name: "label".into(), ..tensor.clone() };
        let mut outputs = Outputs { columns: vec![other.clone(), tensor] };
        order.arrange(&mut outputs);
        assert_eq!(outputs.columns[0].data.len(), other.data.len());
        assert!((0..other.rows()).all(|row| outputs.columns[0].row(row).same_bits(other.row(row))), "of other outputs");
        outputs.columns.remove(1).data
    }

    #[test]
    fn probabilities_come_in_the_order_of_the_contract() {
        let order = order(&["a", "b", "c"], &["c", "a", "b"]).unwrap();
        let TensorData::F32(data) = arranged(&order, 3, TensorData::F32(vec![0.5, 0.25, 0.125, 5.0, 2.0, 1.0])) else {
            panic!()
        };
        assert_eq!(data, [0.25, 0.125, 0.5, 2.0, 1.0, 5.0]);
        let TensorData::F64(data) = arranged(&order, 3, TensorData::F64(vec![0.5, 0.25, 0.125])) else { panic!() };
        assert_eq!(data, [0.25, 0.125, 0.5]);
    }

    #[test]
    fn the_probability_of_the_second_class_alone_becomes_that_of_the_other() {
        let order = order(&["no", "yes"], &["yes", "no"]).unwrap();
        let TensorData::F32(data) = arranged(&order, 1, TensorData::F32(vec![0.25, 1.0])) else { panic!() };
        assert_eq!(data, [0.75, 0.0]);
    }

    #[test]
    fn nothing_is_moved_where_the_order_is_right_or_not_known() {
        assert_eq!(order(&["no", "yes"], &["no", "yes"]), None);
        assert_eq!(order(&["no", "yes"], &["0", "1"]), None);
        assert_eq!(order(&["no", "yes"], &["1", "0"]), order(&["no", "yes"], &["yes", "no"]));
        for named in [&["no"][..], &["no", "maybe"], &["no", "yes", "maybe"], &["no", "no"], &[]] {
            assert_eq!(order(&["no", "yes"], named), None, "{named:?}");
        }
        // Of the classes that the file has.
        assert_eq!(order(&["a", "b", "c"], &["b", "a"]), order(&["a", "b"], &["b", "a"]));
        let order = order(&["a", "b", "c"], &["c", "a", "b"]).unwrap();
        let TensorData::F32(data) = arranged(&order, 2, TensorData::F32(vec![0.5, 0.25])) else { panic!() };
        assert_eq!(data, [0.5, 0.25], "of another width");
    }
}
