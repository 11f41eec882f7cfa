//! From the stored rows of each view to a service's columns: the one path that training and serving share.

use arrow::array::{Array, ArrayRef, BooleanArray, TimestampNanosecondArray};
use schema::{Status, Timestamp, Ttl};
use transform::ExprError;

use crate::compiled::{ColumnSource, CompiledService, CompiledView};

/// What a view has for each row asked: found offline by the join, or online by key.
#[derive(Debug, Clone)]
pub struct ViewRows {
    /// Stored features in the view's order, null where the row is not `Present`.
    pub stored: Vec<ArrayRef>,
    /// `Present`, `OutsideMaxAge` or `NotFound`, per row.
    pub statuses: Vec<Status>,
    /// The found row's event time; `None` where none was found.
    pub event_times: Vec<Option<Timestamp>>,
}

/// A service's features for `n` rows.
#[derive(Debug, Clone)]
pub struct FeatureRows {
    /// One column per feature of the service, in its order: null unless the status is `Present`.
    pub columns: Vec<ArrayRef>,
    /// For each feature, the status of each row.
    pub statuses: Vec<Vec<Status>>,
    /// For each feature view that the service reads, the event time of each row's answer.
    pub event_times: Vec<Vec<Option<Timestamp>>>,
}

/// The status that TTL leaves a found row with: the one comparison, both bounds inclusive.
pub fn status_at(event_time: Timestamp, ttl: Option<Ttl>, at: Timestamp) -> Status {
    match ttl {
        Some(ttl) if event_time < at.minus(ttl) => Status::OutsideMaxAge,
        _ => Status::Present,
    }
}

/// Adds the computed features of one view to its stored ones.
fn with_computed(
    view: &CompiledView,
    rows: &ViewRows,
    at: &TimestampNanosecondArray,
) -> Result<Vec<ArrayRef>, ExprError> {
    let present: BooleanArray = rows.statuses.iter().map(|status| Some(*status == Status::Present)).collect();
    let mut columns = rows.stored.clone();
    columns.extend(view.computed.evaluate(&rows.stored, at, &present)?);
    Ok(columns)
}

/// A service's columns from the rows of its views and the fields of the request.
///
/// `views` are in the order of [`CompiledService::views`], `fields` in that of [`CompiledService::fields`]; `at` is the
/// instant of each row (the spine time, or the request's). An on-demand feature is `Present` or `NullValue`: its
/// expression sees null for every input that is not `Present`.
///
/// # Errors
/// [`ExprError::Evaluate`] if a computed or on-demand feature fails on a row.
pub fn assemble(
    compiled: &CompiledService,
    views: Vec<ViewRows>,
    fields: &[ArrayRef],
    at: &TimestampNanosecondArray,
) -> Result<FeatureRows, ExprError> {
    let whole = compiled.views.iter().zip(&views).map(|(view, rows)| with_computed(view, rows, at));
    let whole = whole.collect::<Result<Vec<_>, _>>()?;
    let mut on_demand: Vec<Vec<ArrayRef>> = Vec::with_capacity(compiled.on_demand.len());
    for view in &compiled.on_demand {
        let inputs = view.inputs.iter().map(|input| column_of(*input, &whole, &on_demand));
        let fields = view.fields.iter().map(|field| &fields[*field]);
        let features = view.features.evaluate(inputs.chain(fields).cloned().collect(), at)?;
        on_demand.push(features);
    }
    let mut columns = Vec::with_capacity(compiled.sources.len());
    let mut statuses = Vec::with_capacity(compiled.sources.len());
    for source in &compiled.sources {
        let column = column_of(*source, &whole, &on_demand);
        let of_value = |row: usize| if column.is_null(row) { Status::NullValue } else { Status::Present };
        statuses.push(match source {
            ColumnSource::Stored { view, .. } => {
                let status = |(row, status): (usize, &Status)| match status {
                    Status::Present => of_value(row),
                    other => *other,
                };
                views[*view].statuses.iter().enumerate().map(status).collect()
            }
            ColumnSource::OnDemand { .. } => (0..column.len()).map(of_value).collect(),
        });
        columns.push(ArrayRef::clone(column));
    }
    Ok(FeatureRows { columns, statuses, event_times: views.into_iter().map(|rows| rows.event_times).collect() })
}

fn column_of<'a>(source: ColumnSource, stored: &'a [Vec<ArrayRef>], on_demand: &'a [Vec<ArrayRef>]) -> &'a ArrayRef {
    match source {
        ColumnSource::Stored { view, feature } => &stored[view][feature],
        ColumnSource::OnDemand { view, feature } => &on_demand[view][feature],
    }
}

impl FeatureRows {
    /// The event time of the row behind one value; an on-demand feature has none of its own.
    pub fn event_time(&self, compiled: &CompiledService, column: usize, row: usize) -> Option<Timestamp> {
        match compiled.sources[column] {
            ColumnSource::Stored { view, .. } => self.event_times[view][row],
            ColumnSource::OnDemand { .. } => None,
        }
    }
}
