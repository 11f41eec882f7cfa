//! `plumb replay`: what was answered online, computed again from history, value by value.

use std::borrow::Cow;
use std::process::ExitCode;

use featurestore::replay::{ReplayError, State, recompute};
use featurestore::{CompiledService, FeatureRows};
use schema::{ErrorKind, Timestamp, Value, pii};
use serde::Serialize;

use super::features::mask;
use crate::cli::{Format, ReplayArgs};
use crate::failure::{Failure, GONE};
use crate::output;
use crate::project::Project;
use crate::replay::{Asked, Digests, Token, ViewState, meaning};

/// Differences printed.
const SHOWN_MAX: usize = 20;

/// What replaying a token found.
#[derive(Debug, Serialize)]
struct Replayed {
    /// Whether every value, status and event time is the one that was answered.
    equal: bool,
    as_of: Timestamp,
    /// Sequence number of the definitions that answered.
    definitions: u64,
    asked: Vec<String>,
    rows: usize,
    views: Vec<ReplayedView>,
    differences: Vec<Difference>,
    /// What history says, by feature.
    features: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct ReplayedView {
    view: String,
    /// The generation that answered; `None` where nothing did that can be replayed.
    generation: Option<u64>,
    /// What of the data was used.
    data: &'static str,
}

/// One place at which history says otherwise.
#[derive(Debug, Serialize)]
struct Difference {
    row: Option<usize>,
    feature: Option<String>,
    what: String,
}

/// The features that are not shown, by place.
struct Hidden(Vec<bool>);

impl Hidden {
    fn of(compiled: &CompiledService, show_pii: bool) -> Self {
        Self((0..compiled.service.columns.len()).map(|i| !show_pii && compiled.is_personal(i)).collect())
    }

    fn shown(&self, value: Value, feature: usize) -> Cow<'static, str> {
        pii::shown(value.to_string(), self.0[feature])
    }
}

/// Replays a token.
///
/// # Errors
/// It is no token; it is of other definitions; the data that it was answered from is gone.
pub async fn replay(project: &Project, format: Format, args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let token = Token::read(&args.token).map_err(|why| {
        Failure::invalid(format!("this is no replay token: {why}"))
            .code("wrong_token")
            .hint("copy `replay_token` of an answer whole, from `pl1.` on, or one of `prediction_ids`")
    })?;
    let catalog = project.registry.catalog();
    let compiled =
        token.asked.compile(catalog.definitions()).map_err(|why| changed(&token, &schema::error::chain(&why)))?;
    let hidden = Hidden::of(&compiled, args.show_pii);
    let misfit = || changed(&token, "the definitions under these names mean something else");
    let meanings: Vec<[u8; 8]> = compiled.views.iter().map(|view| meaning(&view.view)).collect();
    if meanings != token.meanings || token.digests.features.len() != compiled.service.columns.len() {
        return Err(misfit());
    }
    let entities = token.entities(&compiled).ok_or_else(misfit)?;

    let held = |state: &ViewState| match state {
        ViewState::Held { held, .. } => State::Held(*held),
        ViewState::Without => State::Without,
    };
    let today = |state: &ViewState| match state {
        ViewState::Held { .. } => State::Today,
        ViewState::Without => State::Without,
    };
    let then: Vec<State> = token.views.iter().map(held).collect();
    let mut found = recompute(&project.offline, &compiled, &entities, token.as_of, &then).await.map_err(gone)?;
    let mut differences = compare(&token, &compiled, &found, &hidden);
    let mut data = "as it was";
    if !differences.is_empty() {
        // Rows may have been on their way online when it was answered: then it was answered from newer data.
        let now: Vec<State> = token.views.iter().map(today).collect();
        let newer = recompute(&project.offline, &compiled, &entities, token.as_of, &now).await.map_err(gone)?;
        if compare(&token, &compiled, &newer, &hidden).is_empty() {
            (found, differences, data) = (newer, Vec::new(), "as it is now");
        }
    }
    let views = compiled.views.iter().zip(&token.views).map(|(view, state)| match state {
        ViewState::Held { generation, .. } => {
            ReplayedView { view: view.view.id.to_string(), generation: Some(*generation), data }
        }
        ViewState::Without => {
            ReplayedView { view: view.view.id.to_string(), generation: None, data: "answered without it: not compared" }
        }
    });
    let asked = match &token.asked {
        Asked::Service { name, version } => vec![format!("{name}@v{version}")],
        Asked::Features(references) => references.clone(),
    };
    let replayed = Replayed {
        equal: differences.is_empty(),
        as_of: token.as_of,
        definitions: token.definitions,
        asked,
        rows: entities.n,
        views: views.collect(),
        differences,
        features: said(&compiled, &found, entities.n, &hidden),
    };
    let json = serde_json::to_value(&replayed).map_err(|why| Failure::invalid(why.to_string()))?;
    output::answer(format, &json, || table(&replayed, &compiled, &found, &hidden));
    Ok(if replayed.equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn changed(token: &Token, why: &str) -> Failure {
    let message = format!("the token is of definitions {}, which are not applied any more: {why}", token.definitions);
    Failure::new(ErrorKind::NotFound, message).code(GONE).hint("apply the definitions that it was answered with")
}

fn gone(why: ReplayError) -> Failure {
    let failure = Failure::new(why.kind(), schema::error::chain(&why));
    match why {
        ReplayError::Gone { .. } => failure
            .code(GONE)
            .hint("files of the source were changed or removed since; a source that only grows can be replayed"),
        ReplayError::Offline { source, .. } => Failure { hint: source.hint(), ..failure },
        ReplayError::Request(_) | ReplayError::Compute { .. } => failure,
    }
}

/// Where history says otherwise.
fn compare(token: &Token, compiled: &CompiledService, found: &FeatureRows, hidden: &Hidden) -> Vec<Difference> {
    let mut differences = Vec::new();
    for ((view, state), (then, now)) in
        compiled.views.iter().zip(&token.views).zip(token.event_times.iter().zip(&found.event_times))
    {
        for (row, (then, now)) in then.iter().zip(now).enumerate() {
            if then != now && *state != ViewState::Without {
                let said =
                    |time: &Option<Timestamp>| time.map_or_else(|| "no row".to_owned(), |t| format!("the row of {t}"));
                let what = format!("view `{}` answered with {}, history has {}", view.name, said(then), said(now));
                differences.push(Difference { row: Some(row), feature: None, what });
            }
        }
    }
    let digests = Digests::of(compiled, found, token.n_rows());
    let other = |a: &[u32], b: &[u32]| -> Vec<usize> {
        a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
    };
    let rows = other(&token.digests.rows, &digests.rows);
    let features = other(&token.digests.features, &digests.features);
    for row in &rows {
        for feature in &features {
            let value = hidden.shown(Value::at(&found.columns[*feature], *row), *feature);
            let status = found.statuses[*feature][*row];
            // With one row or one feature it is this one; otherwise some of these.
            let certain = if rows.len() == 1 || features.len() == 1 { "" } else { "perhaps: " };
            let what = format!("{certain}another value or status was answered; history says {value} {status}");
            let feature = Some(compiled.service.columns[*feature].name.to_string());
            differences.push(Difference { row: Some(*row), feature, what });
        }
    }
    differences
}

fn said(
    compiled: &CompiledService,
    found: &FeatureRows,
    n: usize,
    hidden: &Hidden,
) -> serde_json::Map<String, serde_json::Value> {
    let columns = compiled.service.columns.iter().enumerate();
    let one = |(i, column): (usize, &schema::ServiceColumn)| {
        let cell = |row| serde_json::json!(schema::json::Cell::new(&found.columns[i], row, column.dtype));
        let mut values: serde_json::Value = (0..n).map(cell).collect();
        if hidden.0[i] {
            mask(&mut values);
        }
        let statuses: Vec<&str> = found.statuses[i].iter().map(|status| status.as_str()).collect();
        (column.name.to_string(), serde_json::json!({ "values": values, "statuses": statuses }))
    };
    columns.map(one).collect()
}

fn table(replayed: &Replayed, compiled: &CompiledService, found: &FeatureRows, hidden: &Hidden) -> String {
    let rows = (0..replayed.rows).flat_map(|row| {
        compiled.service.columns.iter().enumerate().map(move |(i, column)| {
            let (value, status) = (hidden.shown(Value::at(&found.columns[i], row), i), found.statuses[i][row]);
            [row.to_string(), column.name.to_string(), value.into_owned(), status.to_string()]
        })
    });
    let table = output::table(["ROW", "FEATURE", "HISTORY SAYS", "STATUS"], rows);
    let of = format!("{} as of {}", replayed.asked.join(", "), replayed.as_of);
    if replayed.equal {
        return format!("{table}{of}: history says what was answered, value by value\n");
    }
    let shown = replayed.differences.iter().take(SHOWN_MAX);
    let shown = shown.map(|difference| {
        let row = difference.row.map(|row| format!("row {row}")).unwrap_or_default();
        let feature = difference.feature.as_ref().map(|name| format!(", feature `{name}`")).unwrap_or_default();
        format!("  {row}{feature}: {}\n", difference.what)
    });
    format!("{table}{of}: history says otherwise\n{}", shown.collect::<String>())
}
