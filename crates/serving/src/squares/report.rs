//! What the squares found, for people and for programs: one record, printed, logged and answered.

use std::collections::BTreeMap;
use std::fmt;

use schema::contract::{Answer, Edges};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::judge::Verdict;
use super::rows::Sort;
use super::shrink::differing;
use super::strata::Stratum;

/// Strata that are printed; JSON has all.
const STRATA_SHOWN: usize = 12;

/// One square.
#[derive(Debug, Clone, Serialize)]
pub struct Square {
    /// `compatibility`, `contract` or `anchor`.
    pub check: &'static str,
    /// The service version, or the two that a migration leads between.
    pub at: String,
    /// What is compared, for people.
    pub between: String,
    /// Whether the version may serve as far as this goes.
    pub passed: bool,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
}

/// What became of a square.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Found {
    /// There was nothing to compare with.
    Skipped {
        /// Why.
        why: String,
    },
    /// Both routes are the same code on the same model: comparing them would test nothing.
    ByConstruction {
        /// Why.
        why: String,
    },
    /// It cannot commute whatever the rows are.
    Refused {
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
    /// Both routes were run.
    Compared(Box<Compared>),
}

/// Two routes over the same rows.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// The figures.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether a contract is declared: without one nothing is judged but what was measured is told.
    pub judged: bool,
    /// Answers beyond what the contract declares, a line each, and how many there are of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
    /// Rows that are.
    pub n_outside: usize,
    /// A row that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Counterexample>,
    /// How long it took.
    pub took_ms: u64,
}

/// The smallest row on which the routes differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counterexample {
    /// The fields that are not as in the row beside it, personal ones masked. Empty where every row fails.
    pub row: BTreeMap<String, Json>,
    /// How many fields a row has.
    pub fields: usize,
    /// What the other fields are as.
    pub others: &'static str,
    /// What sort of row it was.
    pub sort: Sort,
    /// The output that differs.
    pub output: String,
    /// What the old route says.
    pub old: Json,
    /// What the new route says.
    pub new: Json,
    /// How far they are apart; none for what has no distance.
    pub distance: Option<f64>,
    /// How far they may be.
    pub limit: f64,
    /// What moves the new answer most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_by: Option<MovedBy>,
    /// What to try.
    pub hint: String,
}

/// One thing of the new route, put otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovedBy {
    /// The field; of an adapter the output.
    pub field: String,
    /// The adapter that changes the old answer, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The migration whose constant it is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Its value.
    pub value: Json,
    /// The value in its place.
    pub instead: Json,
    /// What that changes in the new answer.
    pub change: f64,
}

/// An answer as programs read it.
pub(crate) fn answer_json(answer: &Answer) -> Json {
    let number =
        |value: &f64| serde_json::Number::from_f64(*value).map_or_else(|| Json::from(value.to_string()), Json::Number);
    match answer {
        Answer::Numbers(values) => match &values[..] {
            [one] => number(one),
            many => many.iter().map(number).collect(),
        },
        Answer::Labels(values) => match &values[..] {
            [one] => Json::from(one.clone()),
            many => many.iter().cloned().collect(),
        },
        Answer::Probabilities(classes) => {
            Json::Object(classes.iter().map(|(name, p)| (name.clone(), number(p))).collect())
        }
        Answer::Failed(kind) => json!({ "error": kind }),
    }
}

/// The fields of a row that differ from another, by name.
pub(crate) fn shown_row(
    names: &[String],
    row: &[schema::Value],
    base: &[schema::Value],
    json: impl Fn(usize, &schema::Value) -> Json,
) -> BTreeMap<String, Json> {
    differing(row, base).into_iter().map(|at| (names[at].clone(), json(at, &row[at]))).collect()
}

impl Square {
    /// The row that shows why it is refused.
    pub fn counterexample(&self) -> Option<&Counterexample> {
        match &self.found {
            Found::Compared(compared) => compared.counterexample.as_ref(),
            Found::Skipped { .. } | Found::ByConstruction { .. } | Found::Refused { .. } => None,
        }
    }

    /// What to do about a refusal.
    pub fn hint(&self) -> Option<&str> {
        match &self.found {
            Found::Refused { hint, .. } => Some(hint),
            Found::Compared(compared) => compared.counterexample.as_ref().map(|found| found.hint.as_str()),
            Found::Skipped { .. } | Found::ByConstruction { .. } => None,
        }
    }

    /// Whether it was made: what was skipped was not.
    pub fn was_made(&self) -> bool {
        !matches!(self.found, Found::Skipped { .. })
    }
}

impl Counterexample {
    /// In a line: `amount=5.13 items=17: old 0.017, new 0.998 (limit 0.15)`.
    pub fn line(&self) -> String {
        let Self { old, new, limit, .. } = self;
        format!("{}: old {}, new {} (limit {limit})", self.row_text(), plain(old), plain(new))
    }

    fn row_text(&self) -> String {
        let fields: Vec<String> = self.row.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        if fields.is_empty() { "every row".to_owned() } else { fields.join(" ") }
    }
}

/// JSON without quotes round a text, and short numbers.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.as_f64().filter(|_| number.is_f64()).map_or_else(|| number.to_string(), short),
        Json::Object(fields) => fields.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Four digits that matter.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&value.abs()) {
        let text = format!("{value:.4}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        text.to_owned()
    } else {
        format!("{value:.3e}")
    }
}

fn percent(share: f64) -> String {
    format!("{} %", short(100.0 * share))
}

/// Each stratum with a bound of its own, those that are refused first.
fn strata(f: &mut fmt::Formatter<'_>, all: &[Stratum], allowed: f64) -> fmt::Result {
    let refused = all.iter().filter(|stratum| !stratum.passed);
    let in_order = refused.clone().chain(all.iter().filter(|stratum| stratum.passed));
    let (n, n_refused, allowed) = (all.len(), refused.count(), percent(allowed));
    writeln!(
        f,
        "        of {n} strata of sampled rows {n_refused} are off in more than the {allowed} that are allowed"
    )?;
    for Stratum { name, rows, off, upper_bound, passed, .. } in in_order.take(STRATA_SHOWN) {
        let sign = if *passed { "ok" } else { "x " };
        let bound = upper_bound.map_or_else(String::new, |bound| format!(" (95 % upper bound {})", percent(bound)));
        writeln!(f, "        {sign} {name}: {off} of {rows} rows are off{bound}")?;
    }
    match n.saturating_sub(STRATA_SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "        and {more} more strata"),
    }
}

impl fmt::Display for Square {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, at, between, passed, found } = self;
        let sign = match found {
            Found::Skipped { .. } => "- ",
            _ if *passed => "ok",
            _ => "x ",
        };
        write!(f, "  {sign}  {check:<15} {at}: ")?;
        match found {
            Found::Skipped { why } => writeln!(f, "not compared, {why}"),
            Found::ByConstruction { why } => writeln!(f, "holds by construction, {why}"),
            Found::Refused { why, hint } => writeln!(f, "{why}\n        try: {hint}"),
            Found::Compared(compared) => write!(f, "{between}, {compared}"),
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, judged, outside, n_outside, counterexample, took_ms } = self;
        let Verdict {
            golden, boundary, edges, sampled, share_allowed, upper_bound, output, median, p99, limit, ..
        } = verdict;
        let rows = golden.rows + boundary.rows + sampled.rows;
        let figure = |value: &Option<f64>| value.map_or_else(|| "none".to_owned(), short);
        let limit_text = if *judged { format!(" (limit {})", short(*limit)) } else { String::new() };
        writeln!(
            f,
            "`{output}` median {}, p99 {}{limit_text}, {rows} rows, {took_ms} ms",
            figure(median),
            figure(p99)
        )?;
        if !judged {
            writeln!(f, "        nothing is judged: no contract is declared (`kind: model`)")?;
            return outside.iter().try_for_each(|line| writeln!(f, "        but {line}"));
        }
        for (sort, tally) in [("golden", golden), ("boundary", boundary)] {
            if tally.off > 0 {
                let none = match (sort, edges) {
                    ("golden", _) => "none may",
                    (_, Edges::Judged) => "they are to agree in kind",
                    (_, Edges::Told) => "they are told, not judged",
                };
                writeln!(f, "        {} of {} {sort} rows do not agree: {none}", tally.off, tally.rows)?;
            }
        }
        if !verdict.strata.is_empty() {
            strata(f, &verdict.strata, *share_allowed)?;
        } else if sampled.rows > 0 {
            let bound = upper_bound.map_or_else(String::new, |bound| format!("95 % upper bound {}, ", percent(bound)));
            let (off, n) = (sampled.off, sampled.rows);
            writeln!(f, "        {off} of {n} sampled rows are off ({bound}allowed {})", percent(*share_allowed))?;
        }
        for line in outside {
            writeln!(f, "        {line}")?;
        }
        if *n_outside > outside.len() {
            writeln!(f, "        {n_outside} rows are answered beyond what the contract declares")?;
        }
        let Some(found) = counterexample else { return Ok(()) };
        let reduced = format!("{} fields reduced to {}", found.fields, found.row.len());
        writeln!(f, "      smallest row ({reduced})  {}", found.row_text())?;
        writeln!(f, "        old  {}={}", found.output, plain(&found.old))?;
        writeln!(f, "        new  {}={}", found.output, plain(&found.new))?;
        if let Some(MovedBy { field, adapter: Some(adapter), value, instead, .. }) = &found.moved_by {
            let (value, instead) = (plain(value), plain(instead));
            writeln!(f, "        the adapter {adapter} made {field}={value} of {instead}, which is nearer")?;
        } else if let Some(MovedBy { field, migration, value, instead, change, .. }) = &found.moved_by {
            let filled = match migration {
                Some(migration) => format!("the migration {migration} filled {field}={}; ", plain(value)),
                None => String::new(),
            };
            let (change, instead) = (short(*change), plain(instead));
            writeln!(f, "        {filled}the new answer moves most with `{field}`: by {change} when it is {instead}")?;
        }
        writeln!(f, "        try: {}", found.hint)
    }
}
