//! From the stored rows of each view to a service's columns: the one path that training and serving share.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, BooleanArray, TimestampNanosecondArray};
use arrow::compute::nullif;
use schema::{Status, Timestamp, Ttl};
use smallvec::SmallVec;
use transform::ExprError;

use crate::compiled::{ColumnSource, CompiledService, CompiledView};

/// The statuses of a feature's values, one a row. A request has few rows: theirs need no memory of their own.
pub type Statuses = SmallVec<[Status; 16]>;

/// What a view has for each row asked: found offline by the join, or online by key.
#[derive(Debug, Clone)]
pub struct ViewRows {
    /// Stored features in the view's order, null where the row is not `Present`.
    pub stored: Vec<ArrayRef>,
    /// `Present`, `OutsideMaxAge`, `NotFound` or `Unavailable`, per row.
    pub statuses: Vec<Status>,
    /// The found row's event time; `None` where none was found.
    pub event_times: Vec<Option<Timestamp>>,
    /// For each stored feature, the rows in which it alone is not there: a store that keeps features apart may lack one.
    /// Empty where rows are whole.
    pub absent: Vec<Vec<bool>>,
}

/// A service's features for `n` rows.
#[derive(Debug, Clone)]
pub struct FeatureRows {
    /// One column per feature of the service, in its order: null unless the status is `Present`.
    pub columns: Vec<ArrayRef>,
    /// For each feature, the status of each row.
    pub statuses: Vec<Statuses>,
    /// For each feature view that the service reads, the event time of each row's answer.
    pub event_times: Vec<Vec<Option<Timestamp>>>,
}

/// The instant of each row, which only expressions ask for.
pub type Instants<'a> = &'a dyn Fn() -> &'a TimestampNanosecondArray;

/// The status that TTL leaves a found row with: the one comparison, both bounds inclusive.
pub fn status_at(event_time: Timestamp, ttl: Option<Ttl>, at: Timestamp) -> Status {
    match ttl {
        Some(ttl) if event_time < at.minus(ttl) => Status::OutsideMaxAge,
        _ => Status::Present,
    }
}

impl ViewRows {
    /// `n` rows of a view whose store could not be asked.
    pub fn unavailable(view: &CompiledView, n: usize) -> Self {
        let mut decoder = view.codec.decoder(n);
        (0..n).for_each(|_| decoder.push_missing());
        let (statuses, event_times) = (vec![Status::Unavailable; n], vec![None; n]);
        Self { stored: decoder.finish(), statuses, event_times, absent: Vec::new() }
    }

    /// The rows of which nobody knows what they say; `None` if there is none.
    fn lost(&self) -> Option<Vec<bool>> {
        let lost = |status: &Status| *status == Status::Unavailable;
        self.statuses.iter().any(lost).then(|| self.statuses.iter().map(lost).collect())
    }

    fn is_absent(&self, feature: usize, row: usize) -> bool {
        self.absent.get(feature).is_some_and(|rows| rows.get(row) == Some(&true))
    }
}

/// Adds the computed features of one view to its stored ones.
fn with_computed<'r>(
    view: &CompiledView,
    rows: &'r ViewRows,
    at: Instants<'_>,
) -> Result<Cow<'r, [ArrayRef]>, ExprError> {
    if view.computed.is_empty() {
        return Ok(Cow::Borrowed(&rows.stored));
    }
    let present: BooleanArray = rows.statuses.iter().map(|status| Some(*status == Status::Present)).collect();
    let mut columns = rows.stored.clone();
    columns.extend(view.computed.evaluate(&rows.stored, at(), &present)?);
    Ok(Cow::Owned(columns))
}

/// A service's columns from the rows of its views and the fields of the request.
///
/// `views` are in the order of [`CompiledService::views`], `fields` in that of [`CompiledService::fields`]; `at` is the
/// instant of each row (the spine time, or the request's), in UTC. An on-demand feature is `Present` or `NullValue`: its
/// expression sees null for every input that is not `Present`. Where an input of its view is `Unavailable`, so is it: what
/// is unknown is not null, and an expression that makes something of null would make something up.
///
/// # Errors
/// [`ExprError::Evaluate`] if a computed or on-demand feature fails on a row.
pub fn assemble(
    compiled: &CompiledService,
    views: Vec<ViewRows>,
    fields: &[ArrayRef],
    at: Instants<'_>,
) -> Result<FeatureRows, ExprError> {
    let whole = compiled.views.iter().zip(&views).map(|(view, rows)| with_computed(view, rows, at));
    let whole = whole.collect::<Result<Vec<_>, _>>()?;
    let mut on_demand: Vec<Vec<ArrayRef>> = Vec::with_capacity(compiled.on_demand.len());
    let lost_rows: Vec<Option<Vec<bool>>> = views.iter().map(ViewRows::lost).collect();
    let mut lost: Vec<Option<BooleanArray>> = Vec::with_capacity(compiled.on_demand.len());
    for view in &compiled.on_demand {
        let inputs = view.inputs.iter().map(|input| column_of(*input, &whole, &on_demand));
        let fields = view.fields.iter().map(|field| &fields[*field]);
        let features = view.features.evaluate(inputs.chain(fields).cloned().collect(), at())?;
        let unknown = unknown(&view.inputs, &lost_rows, &lost);
        on_demand.push(match &unknown {
            None => features,
            Some(unknown) => features.iter().map(|column| without(column, unknown)).collect(),
        });
        lost.push(unknown);
    }
    let mut columns = Vec::with_capacity(compiled.sources.len());
    let mut statuses = Vec::with_capacity(compiled.sources.len());
    for source in &compiled.sources {
        let column = column_of(*source, &whole, &on_demand);
        let nulls = column.nulls();
        let is_null = |row: usize| nulls.is_some_and(|nulls| nulls.is_null(row));
        let of_value = |row: usize| if is_null(row) { Status::NullValue } else { Status::Present };
        statuses.push(match source {
            ColumnSource::Stored { view, feature } => {
                let status = |(row, status): (usize, &Status)| match status {
                    Status::Present if views[*view].is_absent(*feature, row) => Status::NotFound,
                    Status::Present => of_value(row),
                    other => *other,
                };
                views[*view].statuses.iter().enumerate().map(status).collect()
            }
            ColumnSource::OnDemand { view, .. } => {
                let unknown = |row: usize| lost[*view].as_ref().is_some_and(|lost| lost.value(row));
                let status = |row| if unknown(row) { Status::Unavailable } else { of_value(row) };
                (0..column.len()).map(status).collect()
            }
        });
        columns.push(ArrayRef::clone(column));
    }
    Ok(FeatureRows { columns, statuses, event_times: views.into_iter().map(|rows| rows.event_times).collect() })
}

/// The column with null in some of its rows.
fn without(column: &ArrayRef, rows: &BooleanArray) -> ArrayRef {
    nullif(column, rows).expect("both have a row for each that was asked for")
}

/// The rows in which an input is unknown; `None` if there is none.
fn unknown(
    inputs: &[ColumnSource],
    stored: &[Option<Vec<bool>>],
    on_demand: &[Option<BooleanArray>],
) -> Option<BooleanArray> {
    let of_input = |input: &ColumnSource| -> Option<Vec<bool>> {
        match *input {
            ColumnSource::Stored { view, .. } => stored[view].clone(),
            ColumnSource::OnDemand { view, .. } => on_demand[view].as_ref().map(|lost| lost.values().iter().collect()),
        }
    };
    let all = inputs.iter().filter_map(of_input);
    let either = |a: Vec<bool>, b: Vec<bool>| a.into_iter().zip(b).map(|(a, b)| a || b).collect();
    all.reduce(either).map(BooleanArray::from)
}

fn column_of<'a>(
    source: ColumnSource,
    stored: &'a [Cow<'_, [ArrayRef]>],
    on_demand: &'a [Vec<ArrayRef>],
) -> &'a ArrayRef {
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
