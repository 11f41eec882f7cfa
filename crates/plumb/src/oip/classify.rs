//! The classification extension: of an output, the classes with the greatest values.

use std::sync::Arc;

use serving::onnx::{Tensor, TensorData};

use super::Refusal;

/// For each row of `scores`, the `k` greatest values, largest first, as texts `value:index` or `value:index:label`.
///
/// Of equal values the first is first; NaN is last. One dimension is rows where the model's tensors begin with rows, and else one row.
///
/// # Errors
/// The output is not of numbers, or has more than rows and classes.
pub fn classify(scores: &Tensor, k: usize, labels: Option<&[String]>, has_rows: bool) -> Result<Tensor, Refusal> {
    let name = &scores.name;
    let is_one_row = scores.shape.len() == 1 && !has_rows;
    let (rows, width) = match *scores.shape.as_slice() {
        [rows] if has_rows => (rows, 1),
        [width] => (1, width),
        [rows, width] => (rows, width),
        _ => return Err(Refusal::invalid(format!("output '{name}' has no classes: its shape is {:?}", scores.shape))),
    };
    let width = usize::try_from(width).unwrap_or(0);
    let k = k.min(width);
    let labels = labels.filter(|labels| labels.len() == width);
    let mut texts = Vec::new();
    for row in 0..usize::try_from(rows).unwrap_or(0) {
        let values = if is_one_row { scores.elements() } else { scores.row(row) };
        let Some(numbers) = values.numbers() else {
            let datatype = scores.datatype();
            return Err(Refusal::invalid(format!("output '{name}' has no classes: its elements are {datatype}")));
        };
        let shown = values.labels();
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        let is_nan = |at: &usize| numbers[*at].is_nan();
        order.sort_by(|a, b| is_nan(a).cmp(&is_nan(b)).then(numbers[*b].total_cmp(&numbers[*a])));
        texts.extend(order.into_iter().take(k).map(|at| match labels {
            Some(labels) => format!("{}:{at}:{}", shown[at], labels[at]),
            None => format!("{}:{at}", shown[at]),
        }));
    }
    let k = i64::try_from(k).unwrap_or(i64::MAX);
    let shape = if is_one_row { vec![k] } else { vec![rows, k] };
    Ok(Tensor { name: Arc::clone(name), shape, data: TensorData::Text(texts) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(shape: &[i64], data: Vec<f32>) -> Tensor {
        Tensor { name: "y".into(), shape: shape.to_vec(), data: TensorData::F32(data) }
    }

    fn texts(tensor: &Tensor) -> Vec<&str> {
        match &tensor.data {
            TensorData::Text(texts) => texts.iter().map(String::as_str).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_greatest_are_first_with_their_numbers() {
        let y = scores(&[2, 3], vec![0.1, 0.7, 0.2, f32::NAN, 0.5, 0.5]);
        let top = classify(&y, 2, None, true).unwrap();
        assert_eq!(top.shape, [2, 2]);
        assert_eq!(texts(&top), ["0.7:1", "0.2:2", "0.5:1", "0.5:2"]);
        let labels = ["a", "b", "c"].map(str::to_owned);
        let top = classify(&y, 9, Some(&labels), true).unwrap();
        assert_eq!(top.shape, [2, 3]);
        assert_eq!(texts(&top)[..3], ["0.7:1:b", "0.2:2:c", "0.1:0:a"]);
        assert_eq!(texts(&top)[5], "NaN:0:a");
    }

    #[test]
    fn one_dimension_is_one_row_and_what_has_no_classes_is_refused() {
        let top = classify(&scores(&[3], vec![1.0, 3.0, 2.0]), 1, None, false).unwrap();
        assert_eq!((top.shape.as_slice(), texts(&top)), ([1].as_slice(), vec!["3:1"]));
        let rows = classify(&scores(&[3], vec![1.0, 3.0, 2.0]), 1, None, true).unwrap();
        assert_eq!((rows.shape.as_slice(), texts(&rows)), ([3, 1].as_slice(), vec!["1:0", "3:0", "2:0"]));
        assert!(classify(&scores(&[1, 1, 1], vec![1.0]), 1, None, false).is_err());
        let words = Tensor { name: "y".into(), shape: vec![1, 1], data: TensorData::Text(vec!["a".to_owned()]) };
        assert_eq!(
            classify(&words, 1, None, true).unwrap_err().message,
            "output 'y' has no classes: its elements are BYTES"
        );
    }
}
