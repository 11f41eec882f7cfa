//! What a model says to rows, along the path that serves: filled, run in its batches, and read as its contract reads it.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::ArrayRef;
use featurestore::training::fill_all;
use schema::ErrorKind;
use schema::contract::{
    AdapterPath, Answer, Edges, OutputContract, OutputKind, OutputKinds, Outside, ResponseContract,
};
use schema::signature::{Signature, TensorSpec};

use super::rows::ProbeRows;
use crate::fleet::LoadedModel;
use crate::onnx::{ModelSession, Outputs, TensorRow};

/// Rows of one run: what a request of a usual size has, and far below what would hold other requests up.
const RUN_ROWS: usize = 256;

/// What was said to one row, by the contract's outputs in their order.
pub(crate) type RowAnswer = Vec<Answer>;

/// What `model` says to `rows`, which are of its own service. A row that fails, fails alone.
pub(crate) fn answers(
    session: &mut ModelSession,
    model: &LoadedModel,
    rows: &ProbeRows,
    reading: &Reading,
) -> Vec<RowAnswer> {
    let n = rows.len();
    let filled = fill_all(&model.compiled, &rows.columns);
    let mut said = Vec::with_capacity(n);
    let mut at = 0;
    while at < n {
        let end = if model.batching { n.min(at + RUN_ROWS) } else { at + 1 };
        match &filled {
            Ok(columns) => said.extend(run(session, model, columns, at..end, reading)),
            Err(why) => said.extend((at..end).map(|_| failed(reading, why.kind()))),
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
    reading: &Reading,
) -> Vec<RowAnswer> {
    match session.run(&model.plan, columns, rows.clone()) {
        Ok(outputs) => (0..rows.len()).map(|row| reading.read(&outputs, row)).collect(),
        Err(why) if rows.len() == 1 => vec![failed(reading, why.kind())],
        // One of them is to blame: the others have an answer.
        Err(_) => rows.flat_map(|row| run(session, model, columns, row..row + 1, reading)).collect(),
    }
}

fn failed(reading: &Reading, kind: ErrorKind) -> RowAnswer {
    vec![Answer::Failed(format!("{kind:?}")); reading.kinds.len()]
}

/// How a version's outputs are read: as what they are in the contract, with the names that the version has for classes.
#[derive(Debug)]
pub(crate) struct Reading {
    kinds: OutputKinds,
}

impl Reading {
    /// `words` leads from the version's answers to the contract's. `named` are the classes of the model's file, in the order
    /// of its probabilities; without, their order is that of the contract.
    pub(crate) fn of(contract: &ResponseContract, words: &AdapterPath, named: Option<&[String]>) -> Self {
        let mut kinds = words.older_kinds(&contract.kinds());
        let found = classifier(&kinds).zip(named);
        let found = found.map(|((name, declared), named)| (name.clone(), in_words(named, declared)));
        if let Some((name, classes)) = found {
            kinds.insert(name, OutputKind::Probabilities { classes });
        }
        Self { kinds }
    }

    /// A row of a run, by the contract's outputs in their order.
    pub(crate) fn read(&self, outputs: &Outputs, row: usize) -> RowAnswer {
        let one = |(name, is): (&String, &OutputKind)| match outputs.get(name) {
            Some(tensor) => answer(tensor.row(row), is),
            None => Answer::Failed(format!("no output `{name}`")),
        };
        self.kinds.iter().map(one).collect()
    }
}

/// The output that has probabilities and its classes, where one alone does: of several, a file does not say whose classes it
/// names.
pub(crate) fn classifier(kinds: &OutputKinds) -> Option<(&String, &[String])> {
    let mut all = kinds.iter().filter_map(|(name, is)| match is {
        OutputKind::Probabilities { classes } => Some((name, &classes[..])),
        _ => None,
    });
    all.next().filter(|_| all.next().is_none())
}

/// The classes that a file names, in the words of its version, whose classes are `declared`: names that are mere codes, from 0
/// on, stand for these.
pub(crate) fn in_words(named: &[String], declared: &[String]) -> Vec<String> {
    let code = |name: &String| {
        let code: usize = name.parse().ok().filter(|code: &usize| code.to_string() == *name)?;
        declared.get(code).cloned()
    };
    let is_declared = named.iter().any(|name| declared.contains(name));
    let decoded: Option<Vec<String>> = named.iter().map(code).collect();
    decoded.filter(|_| !is_declared && named.len() == declared.len()).unwrap_or_else(|| named.to_vec())
}

/// One output of one row, as what it is.
pub(crate) fn answer(row: TensorRow<'_>, is: &OutputKind) -> Answer {
    match is {
        OutputKind::Label { .. } => Answer::Labels(row.labels()),
        OutputKind::Score | OutputKind::Amount => {
            row.numbers().map_or_else(|| Answer::Failed("not a number".to_owned()), Answer::Numbers)
        }
        OutputKind::Probabilities { classes } => probabilities(row, classes),
    }
}

fn probabilities(row: TensorRow<'_>, classes: &[String]) -> Answer {
    match (row.numbers().as_deref(), classes) {
        (Some(values), classes) if values.len() == classes.len() => {
            Answer::Probabilities(classes.iter().cloned().zip(values.iter().copied()).collect())
        }
        // The usual short form of two classes: the probability of the second.
        (Some([p]), [no, yes]) => Answer::Probabilities(BTreeMap::from([(no.clone(), 1.0 - p), (yes.clone(), *p)])),
        (Some(values), classes) => Answer::Failed(format!("{} values for {} classes", values.len(), classes.len())),
        (None, _) => Answer::Failed("not a number".to_owned()),
    }
}

/// How the classes that a file names differ from those of the contract, if they do; their order is no difference. An older
/// version need not have those yet that came later.
fn other_classes(output: &str, words: &AdapterPath, named: &[String], declared: &[String]) -> Option<String> {
    let newer: Vec<String> = named.iter().map(|class| words.newer_name(output, class)).collect();
    let (in_file, in_contract) = (newer.iter().collect::<BTreeSet<_>>(), declared.iter().collect::<BTreeSet<_>>());
    let fits = if words.is_identity() { in_file == in_contract } else { in_file.is_subset(&in_contract) };
    if fits && in_file.len() == named.len() {
        return None;
    }
    let becomes = if newer == named { String::new() } else { format!(", which become {}", newer.join(", ")) };
    let (declared, named) = (declared.join(", "), named.join(", "));
    Some(format!("the contract names the classes {declared}, the model's file {named}{becomes}"))
}

/// What a model's outputs are taken for where nothing is declared: floats are scores, the rest are labels. Nothing of it is
/// judged.
pub fn undeclared(signature: &Signature) -> ResponseContract {
    let one = |output: &TensorSpec| {
        let is = if is_float(&output.datatype) { OutputKind::Score } else { OutputKind::Label { classes: Vec::new() } };
        (output.name.clone(), OutputContract::of(is))
    };
    ResponseContract {
        share: 0.0,
        edges: Edges::default(),
        outside: Outside::default(),
        outputs: signature.outputs.iter().map(one).collect(),
        aggregates: Vec::new(),
    }
}

/// That a model gives what its contract declares. `words` leads from its answers to the contract's; `classes` are those that
/// its file names.
///
/// # Errors
/// The first output that it does not give so, and what it gives.
pub fn fits(
    contract: &ResponseContract,
    words: &AdapterPath,
    signature: &Signature,
    classes: Option<&[String]>,
) -> Result<(), String> {
    let own = words.older_kinds(&contract.kinds());
    let named = classifier(&own).zip(classes).map(|((_, declared), named)| in_words(named, declared));
    let named = named.as_deref();
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
                // An older version may be without those that came later.
                let n = named.filter(|_| !words.is_identity()).map_or(classes.len(), <[String]>::len);
                let n = i64::try_from(n).unwrap_or(i64::MAX);
                let fits = !is_known || width == n || (width == 1 && n == 2);
                let other = || named.and_then(|named| other_classes(name, words, named, classes));
                (!fits).then(|| format!("the contract names {n} classes")).or_else(other)
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

#[cfg(test)]
mod tests {
    use schema::contract::{OutputAdapter, ResponseAdapter};

    use super::*;
    use crate::onnx::{Tensor, TensorData};

    fn classes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn contract(names: &[&[&str]]) -> ResponseContract {
        let of = |(at, names): (usize, &&[&str])| {
            (format!("p{at}"), OutputContract::of(OutputKind::Probabilities { classes: classes(names) }))
        };
        ResponseContract {
            share: 0.0,
            edges: Edges::default(),
            outside: Outside::default(),
            outputs: names.iter().enumerate().map(of).collect(),
            aggregates: Vec::new(),
        }
    }

    fn said(values: &[f32]) -> Outputs {
        let shape = vec![1, i64::try_from(values.len()).unwrap()];
        let tensor =
            |name: &str| Tensor { name: name.into(), shape: shape.clone(), data: TensorData::F32(values.to_vec()) };
        Outputs { columns: vec![tensor("p0"), tensor("p1")] }
    }

    fn of(pairs: &[(&str, f64)]) -> Answer {
        Answer::Probabilities(pairs.iter().map(|(class, p)| ((*class).to_owned(), *p)).collect())
    }

    #[test]
    fn probabilities_are_read_by_the_names_that_the_file_has() {
        let contract = contract(&[&["no", "yes"]]);
        let read = |values: &[f32], named: &[&str]| {
            let named = (!named.is_empty()).then(|| classes(named));
            Reading::of(&contract, &AdapterPath::IDENTITY, named.as_deref()).read(&said(values), 0).remove(0)
        };
        assert_eq!(read(&[0.75, 0.25], &[]), of(&[("no", 0.75), ("yes", 0.25)]));
        assert_eq!(read(&[0.25, 0.75], &["yes", "no"]), read(&[0.75, 0.25], &["no", "yes"]));
        assert_eq!(read(&[0.25], &["no", "yes"]), of(&[("no", 0.75), ("yes", 0.25)]));
        assert_eq!(read(&[0.25], &["yes", "no"]), of(&[("no", 0.25), ("yes", 0.75)]));
        // Codes stand for the names that are declared; other names are names.
        assert_eq!(read(&[0.25, 0.75], &["0", "1"]), of(&[("no", 0.25), ("yes", 0.75)]));
        assert_eq!(read(&[0.25, 0.75], &["1", "0"]), of(&[("no", 0.75), ("yes", 0.25)]));
        for named in [["1", "2"], ["00", "1"], ["no", "1"]] {
            assert_eq!(read(&[0.25, 0.75], &named), of(&[(named[0], 0.25), (named[1], 0.75)]));
        }
    }

    #[test]
    fn of_two_classifiers_nobody_knows_whose_classes_are_named() {
        let contract = contract(&[&["no", "yes"], &["a", "b"]]);
        let named = classes(&["yes", "no"]);
        let answers = Reading::of(&contract, &AdapterPath::IDENTITY, Some(&named)).read(&said(&[0.75, 0.25]), 0);
        assert_eq!(answers, [of(&[("no", 0.75), ("yes", 0.25)]), of(&[("a", 0.75), ("b", 0.25)])]);
    }

    #[test]
    fn classes_that_the_contract_does_not_name_are_a_misfit() {
        let spec = TensorSpec { name: "p0".to_owned(), datatype: "FP32".to_owned(), shape: vec![-1, 2] };
        let signature = Signature { inputs: vec![], outputs: vec![spec] };
        let of_words = |words: &AdapterPath, declared: &[&str], named: &[&str]| {
            fits(&contract(&[declared]), words, &signature, Some(&classes(named)))
        };
        let fits = |named: &[&str]| of_words(&AdapterPath::IDENTITY, &["no", "yes"], named);
        assert_eq!(fits(&["yes", "no"]), Ok(()));
        // Codes are no names.
        for named in [["0", "1"], ["1", "0"]] {
            assert_eq!(fits(&named), Ok(()));
        }
        for named in [&["no", "maybe"][..], &["no", "no"], &["no", "yes", "yes"]] {
            let why = fits(named).unwrap_err();
            assert!(why.ends_with(&format!("the model's file {}", named.join(", "))), "{why}");
        }
        // A model of an older version has its words for them, and none yet for what came later.
        let relabel = BTreeMap::from([("good".to_owned(), "ok".to_owned())]);
        let adapter = OutputAdapter { relabel, classes: classes(&["ok", "bad", "unsure"]), scale: 1.0 };
        let outputs = BTreeMap::from([("p0".to_owned(), adapter)]);
        let words = AdapterPath::of([ResponseAdapter { outputs, back: false }]);
        let newer = ["ok", "bad", "unsure"];
        assert_eq!(of_words(&words, &newer, &["bad", "good"]), Ok(()));
        let why = of_words(&words, &newer, &["bad", "fine"]).unwrap_err();
        assert!(why.ends_with("the model's file bad, fine"), "{why}");
        let why = of_words(&words, &newer, &["ok", "good"]).unwrap_err();
        assert!(why.ends_with("the model's file ok, good, which become ok, ok"), "{why}");
    }
}
