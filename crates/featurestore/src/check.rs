//! Declared definitions against the data: sources that open, columns that exist, queries that yield what is declared,
//! expressions that compile. All mistakes at once, each with its place.

mod feast_fields;

use std::collections::BTreeMap;

use schema::definitions::{Computed, OnDemand, ServiceFeature, Source, View};
use schema::yaml::{Mistake, Place, suggest};
use schema::{AppliedDefinitions, Definitions, Dtype, ErrorKind, FeatureView, SourceName};
use transform::{ComputedFeatures, ExprError, OnDemandFeatures, cast, expr};

use crate::offline::history::History;
use crate::offline::personal::Personal;
use crate::offline::snapshot::Columns;
use crate::offline::source::{self, SourceFiles, Want};
use crate::offline::{OfflineError, OfflineStore, query};

/// What the data shows of declared definitions.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Every mistake, in order of places.
    pub mistakes: Vec<Mistake>,
    /// Rows of the sources that could be opened: each was looked at once, which for an object store is a listing.
    pub rows: BTreeMap<SourceName, u64>,
}

/// Everything that only the data shows. `definitions` have been read without mistakes.
///
/// # Errors
/// A store that sources are in cannot be reached: nobody knows whether that is a mistake.
pub async fn check(store: &OfflineStore, definitions: &Definitions) -> Result<Checked, OfflineError> {
    let (mut mistakes, mut rows) = (Vec::new(), BTreeMap::new());
    // Versions do not matter here: a plan on nothing gives every declared view with its entity and source.
    let all = AppliedDefinitions::default().after(definitions);
    for source in definitions.sources.values() {
        let opened = source::open_for(store, source, Want::Footers).await;
        match opened.map_err(|why| Personal::of_source(definitions, source).hide(why)) {
            Ok(files) => {
                rows.insert(source.name.clone(), files.n_rows());
                check_source(source, &files, &mut mistakes);
                let views = definitions.views.values().filter(|view| view.source == source.name);
                for view in views {
                    if let Some(resolved) = all.current_view(view.name.as_str()) {
                        check_view(view, resolved, &files, &mut mistakes).await;
                    }
                }
            }
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                mistakes.push(mistake(&source.place, &why));
            }
            Err(why) => return Err(why),
        }
    }
    for view in definitions.views.values() {
        let names: Vec<&str> = view.features.iter().map(|f| f.name.as_str()).collect();
        let sees = format!("`request_time` and the view's features {}", schema::yaml::list(&names));
        for (computed, why) in ComputedFeatures::check(view) {
            mistakes.push(wrong_expression("computed feature", computed, &why, &sees));
        }
    }
    for view in definitions.on_demand.values() {
        check_on_demand(definitions, view, &mut mistakes);
    }
    feast_fields::check(definitions, &mut mistakes);
    mistakes.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(Checked { mistakes, rows })
}

fn check_on_demand(definitions: &Definitions, view: &OnDemand, mistakes: &mut Vec<Mistake>) {
    let dtype = |input: &ServiceFeature| definitions.dtype_as(&view.views, input.view.as_str(), input.feature.as_str());
    let Some(inputs) = view.inputs.iter().map(dtype).collect::<Option<Vec<_>>>() else { return };
    let fields = view.request.iter().map(|field| field.name.as_str());
    let names: Vec<&str> = view.inputs.iter().map(|input| input.name.as_str()).chain(fields).collect();
    let sees = format!("`request_time`, inputs and request fields: {}", schema::yaml::list(&names));
    for (feature, why) in OnDemandFeatures::check(view, &inputs) {
        mistakes.push(wrong_expression("on-demand feature", feature, &why, &sees));
    }
}

fn wrong_expression(what: &str, computed: &Computed, why: &ExprError, sees: &str) -> Mistake {
    let hint = match why {
        ExprError::Volatile { .. } => "use `request_time` for the time of the request".to_owned(),
        ExprError::ManyRows { .. } => "compute it in a view's `sql`, which sees all rows of the source".to_owned(),
        ExprError::Type { .. } => "change `type`, or cast in the expression".to_owned(),
        ExprError::Invalid { .. } | ExprError::Evaluate { .. } => format!("an expression sees {sees}"),
    };
    Mistake::new(&computed.place, format!("{what} `{}`: {why}", computed.name)).hint(hint)
}

fn mistake(place: &Place, why: &OfflineError) -> Mistake {
    let mut mistake = Mistake::new(place, schema::error::chain(why));
    mistake.hint = why.hint();
    mistake
}

fn check_source(source: &Source, files: &SourceFiles, mistakes: &mut Vec<Mistake>) {
    let schema = files.schema();
    let mut check = |what: &str, column: &str, fits: &dyn Fn(Option<Dtype>) -> bool, wanted: &str| {
        let Ok(field) = schema.field_with_name(column) else {
            let hint = suggest(column, schema.fields().iter().map(|f| f.name().as_str()));
            let message = format!("`{}` has no column `{column}`, the {what} of source `{}`", source.path, source.name);
            mistakes.push(Mistake::new(&source.place, message).hint(hint));
            return;
        };
        if !fits(Dtype::from_arrow(field.data_type())) {
            let found = cast::describe(field.data_type());
            let message =
                format!("column `{column}` of `{}`, the {what}, is {found}; it must be {wanted}", source.path);
            mistakes.push(Mistake::new(&source.place, message));
        }
    };
    let time = |dtype| matches!(dtype, Some(Dtype::Timestamp | Dtype::Date | Dtype::String));
    check("event time", &source.event_time, &time, "a time");
    if let Some(column) = &source.created_time {
        check("created time", column, &time, "a time");
    }
    if let Some(column) = &source.deleted {
        check("deletion mark", column, &|dtype| dtype == Some(Dtype::Bool), "bool");
    }
    for from in source.field_mapping.keys() {
        if files.columns.iter().all(|column| column.in_file != *from) {
            let hint = suggest(from, files.columns.iter().map(|column| column.in_file.as_str()));
            let message = format!("`field_mapping` renames `{from}`, which `{}` does not have", files.newest());
            mistakes.push(Mistake::new(&source.place, message).hint(hint));
        }
    }
}

async fn check_view(view: &View, resolved: &FeatureView, files: &SourceFiles, mistakes: &mut Vec<Mistake>) {
    let Some(sql) = &view.sql else {
        if let Err(why) = History::in_place(resolved, files.clone()) {
            mistakes.push(mistake(&view.place, &why));
        }
        return;
    };
    let planned = match query::context([files]) {
        Ok(context) => query::plan_view(&context, sql).await,
        Err(why) => Err(why),
    };
    match planned {
        Err(why) => {
            let why = expr::plain(&why);
            let place = place_in_sql(&view.sql_place, &why);
            let mut mistake = Mistake::new(&place, format!("the query of feature view `{}`: {why}", view.name));
            let columns: Vec<String> = files.schema().fields().iter().map(|f| f.name().clone()).collect();
            let columns: Vec<&str> = columns.iter().map(String::as_str).chain(["_row"]).collect();
            mistake.hint =
                Some(format!("it reads table `{}` with columns {}", view.source, schema::yaml::list(&columns)));
            mistakes.push(mistake);
        }
        Ok(frame) => {
            for why in Columns::resolve(resolved, frame.schema().as_arrow()).err().into_iter().flatten() {
                let message = format!("the query of feature view `{}`: {why}", view.name);
                mistakes.push(Mistake::new(&view.sql_place, message));
            }
        }
    }
}

/// The engine says "at Line: 3, Column: 7" within the query; the query starts at `start`.
fn place_in_sql(start: &Place, why: &str) -> Place {
    let number = |label: &str| {
        let (_, tail) = why.split_once(label)?;
        let digits: String = tail.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    };
    match (number("Line:"), number("Column:")) {
        (Some(line), Some(column)) => {
            Place { file: start.file.clone(), line: start.line + line.saturating_sub(1), column }
        }
        _ => start.clone(),
    }
}
