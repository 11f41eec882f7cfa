//! Aggregate conditions of a contract: `{mean: score, segment: country, relative: 0.02}`.

use std::collections::BTreeMap;

use super::Mistakes;
use super::model::number;
use crate::contract::{Aggregate, Apart, Figure, OutputContract, OutputKind, SEGMENT_ROWS_MIN};
use crate::yaml::{Fields, Mistake, Node, list, suggest};

const FIGURES: [&str; 3] = ["mean", "auc", "calibration"];

/// One of them, of outputs that the contract declares.
pub(super) fn aggregate(
    node: Node<'_>,
    outputs: &BTreeMap<String, OutputContract>,
    mistakes: &mut Mistakes,
) -> Option<Aggregate> {
    let mut fields = node.fields("an aggregate condition", mistakes);
    let said: Vec<(&str, Node<'_>)> =
        FIGURES.into_iter().filter_map(|figure| Some((figure, fields.optional(figure)?))).collect();
    let [(figure, named)] = said[..] else {
        let message = format!("an aggregate condition is of one figure: {}", list(&FIGURES));
        mistakes.push(Mistake::new(&node.place(), message).hint("write `{mean: <output>, relative: 0.02}`"));
        return None;
    };
    let output = named.setting(mistakes);
    let class = fields.optional("class").and_then(|node| node.setting(mistakes));
    if let Some(output) = &output {
        is_of_numbers(figure, (output, named), class.as_deref(), outputs, mistakes);
    }
    let figure = match figure {
        "mean" => mean(&mut fields, mistakes),
        "auc" => {
            let (label, at_least, worse_by) = labelled(&mut fields, "at_least", mistakes);
            label.map(|label| Figure::Auc { label, at_least, worse_by })
        }
        _ => {
            let (label, at_most, worse_by) = labelled(&mut fields, "at_most", mistakes);
            label.map(|label| Figure::Calibration { label, at_most, worse_by })
        }
    };
    fields.finish(mistakes);
    Some(Aggregate { output: output?, class, figure: figure? })
}

/// That the output has a number to each row.
fn is_of_numbers(
    figure: &str,
    (output, named): (&str, Node<'_>),
    class: Option<&str>,
    outputs: &BTreeMap<String, OutputContract>,
    mistakes: &mut Mistakes,
) {
    let mut wrong = |message: String, hint: String| mistakes.push(Mistake::new(&named.place(), message).hint(hint));
    match (outputs.get(output).map(|output| &output.is), class) {
        (None, _) => {
            let hint = suggest(output, outputs.keys().map(String::as_str));
            wrong(format!("an aggregate condition names output `{output}`, which the contract does not"), hint);
        }
        (Some(OutputKind::Label { .. }), _) => {
            wrong(
                format!("output `{output}` is a label, which has no {figure}"),
                "name an output of numbers".to_owned(),
            );
        }
        (Some(OutputKind::Score | OutputKind::Amount), _) if figure == "calibration" => {
            wrong(
                format!("output `{output}` is no probability, which alone has a calibration"),
                "name another".to_owned(),
            );
        }
        (Some(OutputKind::Score | OutputKind::Amount), Some(_)) => {
            wrong("a number has no classes".to_owned(), "leave `class` out".to_owned());
        }
        (Some(OutputKind::Probabilities { classes }), class)
            if class.is_none_or(|class| !classes.iter().any(|c| c == class)) =>
        {
            let message = format!("the {figure} of probabilities is of one class, which must be one of `classes`");
            wrong(message, "name it: `class: <class>`".to_owned());
        }
        (Some(OutputKind::Probabilities { .. } | OutputKind::Score | OutputKind::Amount), _) => {}
    }
}

fn mean(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Figure> {
    let place = fields.place().clone();
    let segment = fields.optional("segment").and_then(|node| node.parse(mistakes, str::parse));
    let relative = limit(fields, "relative", mistakes);
    let absolute = limit(fields, "absolute", mistakes);
    let rows = fields.optional("rows_min");
    let rows_min = rows.and_then(|node| node.count(mistakes)).unwrap_or(SEGMENT_ROWS_MIN);
    if let Some(node) = rows.filter(|_| segment.is_none()) {
        mistakes
            .push(Mistake::new(&node.place(), "`rows_min` is of segments").hint("name the `segment`, or leave it out"));
    }
    let apart = match (relative, absolute) {
        (Some(most), None) => Some(Apart::Relative(most)),
        (None, Some(most)) => Some(Apart::Absolute(most)),
        _ => {
            let message = "how far the means may be apart is said as `relative` or as `absolute`";
            mistakes.push(Mistake::new(&place, message).hint("write `relative: 0.02` for two in a hundred"));
            None
        }
    };
    Some(Figure::Mean { segment, apart: apart?, rows_min: rows_min.max(1) })
}

/// The label, and the two limits of which at least one is said.
fn labelled(
    fields: &mut Fields<'_>,
    bound: &'static str,
    mistakes: &mut Mistakes,
) -> (Option<String>, Option<f64>, Option<f64>) {
    let place = fields.place().clone();
    let label = fields.required("label", mistakes).and_then(|node| node.text(mistakes));
    let (own, worse_by) = (limit(fields, bound, mistakes), limit(fields, "worse_by", mistakes));
    if own.is_none() && worse_by.is_none() {
        let message = format!("what the figure must be is said as `{bound}`, as `worse_by`, or as both");
        mistakes.push(Mistake::new(&place, message).hint(format!("write `{bound}: <number>`")));
    }
    (label, own, worse_by)
}

fn limit(fields: &mut Fields<'_>, key: &'static str, mistakes: &mut Mistakes) -> Option<f64> {
    let value = number(fields, key, mistakes)?;
    if value < 0.0 {
        mistakes.push(Mistake::new(fields.place(), format!("`{key}` is {value}, and a limit is 0 or more")));
    }
    Some(value)
}
