//! Two routes run over the same rows, judged, and where they differ the smallest row that shows it.

use std::time::Instant;

use arrow::array::Array;
use featurestore::{CompiledService, Statuses};
use schema::contract::{Answer, ResponseContract};
use schema::json::Cell;
use schema::migration::{Migration, Origin};
use schema::{Dtype, FeatureService, ServiceColumn, Value, pii};
use serde_json::Value as Json;

use super::answers::RowAnswer;
use super::judge::{Bound, judge};
use super::outside::{Outside, Unanswered, outside};
use super::report::{Compared, Counterexample, MovedBy, answer_json, shown_row};
use super::rows::{ProbeRows, Sort};
use super::shrink::{differing, smallest};
use crate::onnx::OnnxError;

/// Rows of which the nearest is looked for.
const NEAREST_OF: usize = 4096;

/// One way from rows of a service version to answers.
pub(crate) type Route<'a> = dyn FnMut(&ProbeRows) -> Result<Vec<RowAnswer>, OnnxError> + 'a;

/// What two routes are compared on, and how.
pub(crate) struct Comparison<'a> {
    /// The service version that the rows are of.
    pub(crate) service: &'a CompiledService,
    /// The rows.
    pub(crate) rows: &'a ProbeRows,
    /// What a value of each field may be.
    pub(crate) typical: &'a [Value],
    /// What the answers are.
    pub(crate) contract: &'a ResponseContract,
    /// Whether that is declared.
    pub(crate) judged: bool,
    /// What a row of an output may be off.
    pub(crate) bound: Bound,
    /// The migration that the new route goes through first.
    pub(crate) migration: Option<Through<'a>>,
    /// The adapter that the old route goes through.
    pub(crate) adapter: Option<Adapted<'a>>,
    /// What to try where no constant of a migration is to blame.
    pub(crate) hint: String,
}

/// An adapter that the old route goes through.
pub(crate) struct Adapted<'a> {
    /// `svc@v3 -> svc@v4`.
    pub(crate) name: String,
    /// The old route without it.
    pub(crate) without: &'a mut Route<'a>,
}

/// A migration that the new route goes through.
pub(crate) struct Through<'a> {
    /// Where it starts.
    pub(crate) from: &'a FeatureService,
    /// Where it ends.
    pub(crate) to: &'a CompiledService,
    /// It.
    pub(crate) migration: &'a Migration,
    /// `svc@v3 -> svc@v4`.
    pub(crate) name: String,
    /// What a value of each field is where it ends.
    pub(crate) typical: &'a [Value],
    /// The rest of the route.
    pub(crate) rest: &'a mut Route<'a>,
}

impl Comparison<'_> {
    /// Runs both.
    ///
    /// # Errors
    /// Arrow's; never for rows of the service version. What a model says no to is an answer.
    pub(crate) fn run(mut self, old: &mut Route<'_>, new: &mut Route<'_>) -> Result<Compared, OnnxError> {
        let started = Instant::now();
        let (before, after) = (old(self.rows)?, new(self.rows)?);
        let mut verdict = judge(self.contract, self.bound, (&self.rows.sorts, &self.rows.beside), &before, &after);
        let nothing = Outside { n_rows: 0, lines: Vec::new() };
        let mut beyond = if self.judged { outside(self.contract, &self.rows.sorts, &after) } else { nothing };
        let worst = verdict.worst.clone().filter(|_| self.judged && !verdict.passed);
        let counterexample = match worst {
            Some((row, output)) => Some(self.counterexample(row, &output, &before, &after, old, new)?),
            None => None,
        };
        let lost = Unanswered::lost(&self.rows.sorts, &before, &after);
        let has_lost = lost.golden + lost.sampled > 0;
        if has_lost && !self.judged {
            // What was answered and is not any more is no matter of a contract.
            beyond.lines.push(lost.line());
        }
        verdict.passed = if self.judged { verdict.passed && beyond.n_rows == 0 } else { !has_lost };
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Outside { n_rows: n_outside, lines: outside } = beyond;
        Ok(Compared { verdict, judged: self.judged, outside, n_outside, counterexample, took_ms })
    }

    fn counterexample(
        &mut self,
        worst: usize,
        name: &str,
        before: &[RowAnswer],
        after: &[RowAnswer],
        old: &mut Route<'_>,
        new: &mut Route<'_>,
    ) -> Result<Counterexample, OnnxError> {
        let place = self.contract.outputs.keys().position(|known| known == name).unwrap_or(0);
        let columns = &self.service.service.columns;
        let sort = self.rows.sorts[worst];
        let Some(output) = self.contract.outputs.get(name) else {
            return Err(super::rows::unmade(format!("no output `{name}`")));
        };
        let bound = self.bound;
        let limit = (bound.tolerance)(output);
        let like = self.rows.statuses_of(worst);
        let is_off = |a: &RowAnswer, b: &RowAnswer| bound.is_off(output, sort, &a[place], &b[place]);
        let mut failed = None;
        let mut both = |rows: &[Vec<Value>]| -> Vec<(RowAnswer, RowAnswer)> {
            let asked = ProbeRows::of_values(columns, rows, &like, sort)
                .and_then(|rows| Ok(old(&rows)?.into_iter().zip(new(&rows)?).collect()));
            asked.unwrap_or_else(|why| {
                failed = Some(why);
                Vec::new()
            })
        };
        let (base, others) = self.base(worst, &|row| !is_off(&before[row], &after[row]));
        let dtypes: Vec<Dtype> = columns.iter().map(|column| column.dtype).collect();
        let mut fails = |rows: &[Vec<Value>]| -> Vec<bool> {
            let mut off: Vec<bool> = both(rows).iter().map(|(a, b)| is_off(a, b)).collect();
            off.resize(rows.len(), false);
            off
        };
        let mut start = self.rows.values(worst);
        // What stands for null says more than null: it is a number that can be brought near to others.
        let mut stood_for = start.clone();
        for (value, column) in stood_for.iter_mut().zip(columns) {
            if let (Value::Null, Some(fill)) = (&*value, &column.fill) {
                *value = fill.clone();
            }
        }
        if stood_for != start && fails(std::slice::from_ref(&stood_for)) == [true] {
            start = stood_for;
        }
        // What is written down and read again is the same row; where it is not, the row is shown as it was.
        let row = if fails(std::slice::from_ref(&start)) == [true] {
            smallest(&dtypes, start, &base, &mut fails)
        } else {
            start
        };
        let said = both(std::slice::from_ref(&row)).pop();
        let (a, b) = said.unwrap_or_else(|| (before[worst].clone(), after[worst].clone()));
        if let Some(why) = failed {
            return Err(why);
        }
        let smallest = ProbeRows::of_values(columns, std::slice::from_ref(&row), &like, sort)?;
        // What is at the edge of a type is nobody's value: no default is to blame.
        let is_edge = sort == Sort::Boundary;
        let mut moved_by = if is_edge { None } else { self.moved_by_constant(&smallest, place, &a[place], &b[place])? };
        let by_adapter = if is_edge { None } else { self.moved_by_adapter(&smallest, name, &a[place], &b[place])? };
        let most = |one: &Option<MovedBy>| one.as_ref().map_or(0.0, |one| one.change.abs());
        if most(&by_adapter) > most(&moved_by) {
            moved_by = by_adapter;
        }
        if moved_by.is_none() {
            moved_by = self.moved_by_field(&row, &base, &like, place, (&a[place], &b[place]), new)?;
        }
        let hint = match &moved_by {
            Some(MovedBy { field, migration: Some(migration), instead, .. }) => {
                format!(
                    "set the default of `{field}` to {instead} in the migration {migration}, apply, and promote again"
                )
            }
            Some(MovedBy { field, adapter: Some(adapter), .. }) => {
                format!("correct what the adapter {adapter} does to output `{field}`, apply, and promote again")
            }
            _ if is_edge => {
                "let both answer alike, as by `fill` in the feature service; or, where such rows do not come, say \
                             `edges: told` in the contract"
                    .to_owned()
            }
            _ => self.hint.clone(),
        };
        let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
        let distance = output.distance(&a[place], &b[place]);
        Ok(Counterexample {
            row: shown_row(&names, &row, &base, |at, value| shown(self.service, at, value)),
            fields: columns.len(),
            others,
            sort,
            output: name.to_owned(),
            old: answer_json(&a[place]),
            new: answer_json(&b[place]),
            distance: Some(distance).filter(|distance| distance.is_finite()),
            limit,
            moved_by,
            hint,
        })
    }

    /// The row that a failing one is brought near to: the nearest that passes, golden ones first.
    fn base(&self, worst: usize, passes: &dyn Fn(usize) -> bool) -> (Vec<Value>, &'static str) {
        let start = self.rows.values(worst);
        for (sort, named) in [(Sort::Golden, "a golden row"), (Sort::Sampled, "a sampled row that passes")] {
            let rows = (0..self.rows.len()).filter(|row| self.rows.sorts[*row] == sort && passes(*row));
            let rows = rows.take(NEAREST_OF).map(|row| self.rows.values(row));
            if let Some(nearest) = rows.min_by_key(|row| differing(&start, row).len()) {
                return (nearest, named);
            }
        }
        (self.typical.to_vec(), "usual values")
    }

    /// Which constant of the migration moves the new answer most when it is a usual value instead.
    fn moved_by_constant(
        &mut self,
        row: &ProbeRows,
        place: usize,
        old: &Answer,
        new: &Answer,
    ) -> Result<Option<MovedBy>, OnnxError> {
        let Some(through) = &mut self.migration else { return Ok(None) };
        let (migrated, kept) = row.migrated(through.from, through.migration)?;
        if kept.is_empty() {
            return Ok(None);
        }
        let mut most: Option<MovedBy> = None;
        for (at, origin) in through.migration.origins().iter().enumerate() {
            let Origin::Const { .. } = origin else { continue };
            let field = &through.migration.target().fields()[at];
            let (value, instead) = (Value::at(&migrated.columns[at], 0), &through.typical[at]);
            let Ok(column) = instead.to_array(field.dtype, 1) else { continue };
            let mut changed = migrated.clone();
            changed.columns[at] = column;
            changed.statuses[at] = Statuses::from_elem(schema::Status::Present, 1);
            let Some(answer) = (through.rest)(&changed)?.pop() else { continue };
            let Some(change) = change(old, new, &answer[place]) else { continue };
            if change.abs() > most.as_ref().map_or(0.0, |most| most.change.abs()) {
                most = Some(MovedBy {
                    field: field.name.to_string(),
                    adapter: None,
                    migration: Some(through.name.clone()),
                    value: shown(through.to, at, &value),
                    instead: shown(through.to, at, instead),
                    change,
                });
            }
        }
        Ok(most)
    }

    /// By how much the adapter moves the old answer, where the answer without it is nearer to the new one.
    fn moved_by_adapter(
        &mut self,
        row: &ProbeRows,
        output: &str,
        old: &Answer,
        new: &Answer,
    ) -> Result<Option<MovedBy>, OnnxError> {
        let Some(adapted) = &mut self.adapter else { return Ok(None) };
        let outputs = &self.contract.outputs;
        let place = outputs.keys().position(|known| known == output);
        let (Some(contract), Some(place)) = (outputs.get(output), place) else { return Ok(None) };
        let Some(plain) = (adapted.without)(row)?.pop() else { return Ok(None) };
        if contract.distance(&plain[place], new) >= contract.distance(old, new) {
            return Ok(None);
        }
        Ok(change(new, old, &plain[place]).map(|change| MovedBy {
            field: output.to_owned(),
            adapter: Some(adapted.name.clone()),
            migration: None,
            value: answer_json(old),
            instead: answer_json(&plain[place]),
            change,
        }))
    }

    /// Which field of the reduced row moves the new answer most when it is put back.
    fn moved_by_field(
        &self,
        row: &[Value],
        base: &[Value],
        like: &[schema::Status],
        place: usize,
        (old, new): (&Answer, &Answer),
        route: &mut Route<'_>,
    ) -> Result<Option<MovedBy>, OnnxError> {
        let columns: &[ServiceColumn] = &self.service.service.columns;
        let left = differing(row, base);
        let put_back = |at: &usize| {
            let mut row = row.to_vec();
            row[*at] = base[*at].clone();
            row
        };
        let rows: Vec<Vec<Value>> = left.iter().map(put_back).collect();
        let said = route(&ProbeRows::of_values(columns, &rows, like, Sort::Sampled)?)?;
        let mut most: Option<MovedBy> = None;
        for (at, answer) in left.into_iter().zip(&said) {
            let Some(change) = change(old, new, &answer[place]) else { continue };
            if change.abs() > most.as_ref().map_or(0.0, |most| most.change.abs()) {
                let (value, instead) = (shown(self.service, at, &row[at]), shown(self.service, at, &base[at]));
                let field = columns[at].name.to_string();
                most = Some(MovedBy { field, adapter: None, migration: None, value, instead, change });
            }
        }
        Ok(most)
    }
}

/// A value of a feature; masked where it is personal.
fn shown(service: &CompiledService, at: usize, value: &Value) -> Json {
    if service.is_personal(at) {
        return Json::from(pii::shown(value.to_string(), true).into_owned());
    }
    let dtype = service.service.columns[at].dtype;
    let Ok(column) = value.to_array(dtype, 1) else { return Json::from(value.to_string()) };
    let column: &dyn Array = &column;
    serde_json::to_value(Cell::new(column, 0, dtype)).unwrap_or_else(|_unwritable| Json::from(value.to_string()))
}

/// By how much another answer differs from the new one: in the class in which old and new differ most. `None` where there
/// is no number to it.
fn change(old: &Answer, new: &Answer, other: &Answer) -> Option<f64> {
    let difference = match (old, new, other) {
        (Answer::Numbers(old), Answer::Numbers(new), Answer::Numbers(other)) => {
            let apart = |at: &usize| (old.get(*at).unwrap_or(&0.0) - new[*at]).abs();
            let at = (0..new.len()).max_by(|a, b| apart(a).total_cmp(&apart(b)))?;
            other.get(at)? - new[at]
        }
        (Answer::Probabilities(old), Answer::Probabilities(new), Answer::Probabilities(other)) => {
            let apart = |name: &String| (old.get(name).unwrap_or(&0.0) - new[name]).abs();
            let class = new.keys().max_by(|a, b| apart(a).total_cmp(&apart(b)))?;
            other.get(class)? - new[class]
        }
        (Answer::Labels(_), Answer::Labels(new), Answer::Labels(other)) => f64::from(u8::from(new != other)),
        _ => return None,
    };
    difference.is_finite().then_some(difference)
}
