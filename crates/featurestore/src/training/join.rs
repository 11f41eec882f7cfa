//! A service joined with rows: the histories of its views, opened once, and any number of blocks of rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use schema::order::{Known, Visibility};
use schema::{Status, Timestamp, ViewId};
use transform::ExprError;

use crate::assemble::{FeatureRows, ViewRows, assemble};
use crate::compiled::{CompiledService, CompiledView};
use crate::offline::history::History;
use crate::offline::source::read_error;
use crate::offline::{OfflineError, OfflineStore};
use crate::point_in_time::{SLOT_BYTES, SpineIndex, Watch, Winners, find_also};
use crate::retrieve::{EntityRows, RetrieveError};

/// Bytes that a value of variable length is taken to have.
const VARIABLE_BYTES: usize = 64;

/// A service with the histories of its views, as they stood when it was opened.
#[derive(Debug)]
pub struct Join<'c> {
    compiled: &'c CompiledService,
    /// For each use of a view.
    histories: Vec<Arc<History>>,
    hindsight: bool,
}

/// Some rows, joined.
#[derive(Debug)]
pub struct Joined {
    /// Their features.
    pub features: FeatureRows,
    /// What they would be under the other rule of what is known, for the rows (by place) where that may differ.
    pub hindsight: Option<(Vec<u32>, FeatureRows)>,
    /// For each use of a view: history rows read, and of these those without a key or a time.
    pub scanned: Vec<(u64, u64)>,
}

impl<'c> Join<'c> {
    /// Opens the histories.
    ///
    /// # Errors
    /// [`OfflineError`] if one cannot be read.
    pub async fn open(store: &OfflineStore, compiled: &'c CompiledService) -> Result<Self, OfflineError> {
        let mut opened: HashMap<&ViewId, Arc<History>> = HashMap::new();
        let mut histories = Vec::with_capacity(compiled.views.len());
        for used in &compiled.views {
            let id = &used.view.id;
            if !opened.contains_key(id) {
                opened.insert(id, Arc::new(store.history(&used.view).await?));
            }
            histories.extend(opened.get(id).cloned());
        }
        Ok(Self { compiled, histories, hindsight: false })
    }

    /// Looks for rows that hindsight would change, too.
    #[must_use]
    pub fn with_hindsight(self) -> Self {
        Self { hindsight: true, ..self }
    }

    /// Each use of a view with its history.
    pub fn views(&self) -> impl Iterator<Item = (&CompiledView, &History)> {
        self.compiled.views.iter().map(AsRef::as_ref).zip(self.histories.iter().map(AsRef::as_ref))
    }

    /// Rows of history that a block reads.
    pub fn n_history_rows(&self) -> u64 {
        self.histories.iter().map(|history| history.n_rows()).sum()
    }

    /// About how much memory a row of a block takes while it is joined, without its own columns.
    pub fn bytes_a_row(&self) -> usize {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let looks_back = self.views().any(|(used, history)| self.other(used, history).is_some());
        let offers = SLOT_BYTES * workers * if looks_back { 2 } else { 1 };
        // The index and the winners of one view, and what picks their values.
        let index = 8 + 4 + 16 + 4 + 32;
        let winners = (8 + 1 + 16) * if looks_back { 2 } else { 1 } + 8 + 16 + 8;
        let width = |dtype: schema::Dtype| width(&dtype.to_arrow());
        let stored = |used: &CompiledView| -> usize {
            // The values that were read, the same together, and in the order of the rows.
            let features = used.view.definition.features.iter().map(|feature| width(feature.dtype));
            3 * features.sum::<usize>() + 17
        };
        let views: usize = self.compiled.views.iter().map(|used| stored(used)).sum();
        let columns: usize = self.compiled.service.columns.iter().map(|column| width(column.dtype) + 1).sum();
        let keys: usize = self.compiled.keys().iter().map(|key| 2 * width(key.dtype)).sum();
        offers + index + winners + views + columns + keys
    }

    /// The rule of what is known that a view does not have; `None` where both are the same.
    fn other(&self, used: &CompiledView, history: &History) -> Option<Visibility> {
        let knows = used.view.definition.created_time.is_some() || history.n_pushed() > 0;
        let visibility = used.view.visibility();
        let known = match visibility.known {
            Known::AsOf => Known::Event,
            Known::Event => Known::AsOf,
        };
        (self.hindsight && knows).then_some(Visibility { known, ..visibility })
    }

    /// Joins rows: `rows` holds what a request would say, keys and fields, in the declared dtypes; `times[i]` is the
    /// instant of row `i`.
    ///
    /// # Errors
    /// [`OfflineError`] if `rows` lacks a column, history cannot be read, or the watch is stopped.
    pub fn rows(
        &self,
        rows: &EntityRows,
        times: &[Option<Timestamp>],
        watch: &Watch<'_>,
    ) -> Result<Joined, OfflineError> {
        let compiled = self.compiled;
        let missing = |why: RetrieveError| OfflineError::Spine {
            what: format!("rows for service `{}`", compiled.service.name),
            hint: why.hint().unwrap_or_default(),
            why: why.to_string(),
        };
        let fields = rows.fields_of(compiled).map_err(missing)?;
        let (mut views, mut others) = (Vec::new(), Vec::new());
        let mut scanned = Vec::with_capacity(compiled.views.len());
        for (used, history) in self.views() {
            let keys = rows.keys_of(used).map_err(missing)?;
            let index = SpineIndex::new(&keys, times);
            let (winners, other) = find_also(&used.view, history, &index, self.other(used, history), watch)?;
            drop(index);
            scanned.push((winners.n_scanned, winners.n_rejected));
            others.push(match other {
                Some(other) => differing(used, history, &winners, &other)?,
                None => None,
            });
            views.push(winners.gather(&used.view, history)?);
            watch.check()?;
        }
        // The rows are some of the spine's: what is said of one is its instant.
        let compute = |place: &dyn Fn(usize) -> usize, source: ExprError| {
            let time = source.row().and_then(|row| times.get(place(row)).copied().flatten());
            let row = time.map(|time| format!(", for a row at {time}")).unwrap_or_default();
            let what = format!("service `{}`{row}", compiled.service.name);
            OfflineError::Compute { what, source: source.in_row(|_| None) }
        };
        let at: TimestampNanosecondArray = times.iter().map(|t| t.map(Timestamp::as_nanos)).collect();
        let at = at.with_timezone("UTC");
        let hindsight = hindsight(&views, others)?;
        let hindsight = hindsight.map(|(picked, views)| -> Result<_, OfflineError> {
            let places = UInt32Array::from(picked.clone());
            let pick = |column: &ArrayRef| take(column, &places, None).map_err(|why| read_error("rows", why));
            let fields = fields.iter().map(pick).collect::<Result<Vec<_>, _>>()?;
            let at: TimestampNanosecondArray =
                picked.iter().map(|row| times[*row as usize].map(Timestamp::as_nanos)).collect();
            let at = at.with_timezone("UTC");
            let features =
                assemble(compiled, views, &fields, &|| &at).map_err(|why| compute(&|row| picked[row] as usize, why))?;
            Ok((picked, features))
        });
        let hindsight = hindsight.transpose()?;
        let features = assemble(compiled, views, &fields, &|| &at).map_err(|why| compute(&|row| row, why))?;
        Ok(Joined { features, hindsight, scanned })
    }
}

/// The rows of a view for which hindsight names another row, with that row's values.
fn differing(
    used: &CompiledView,
    history: &History,
    winners: &Winners,
    other: &Winners,
) -> Result<Option<(Vec<u32>, ViewRows)>, OfflineError> {
    let rows = winners.differs(other);
    if rows.is_empty() {
        return Ok(None);
    }
    let values = other.of_rows(&rows).gather(&used.view, history)?;
    Ok(Some((rows, values)))
}

/// Some rows, by place, and what every view has for them.
type Picked = (Vec<u32>, Vec<ViewRows>);

/// All views as hindsight has them, at the rows where it has another row of any view.
fn hindsight(views: &[ViewRows], others: Vec<Option<(Vec<u32>, ViewRows)>>) -> Result<Option<Picked>, OfflineError> {
    let mut picked: Vec<u32> = others.iter().flatten().flat_map(|(rows, _)| rows.iter().copied()).collect();
    picked.sort_unstable();
    picked.dedup();
    if picked.is_empty() {
        return Ok(None);
    }
    let fail = |why: arrow::error::ArrowError| read_error("history", why);
    let places = UInt32Array::from(picked.clone());
    let view = |(has, other): (&ViewRows, Option<(Vec<u32>, ViewRows)>)| -> Result<ViewRows, OfflineError> {
        let pick = |column: &ArrayRef| take(column, &places, None).map_err(fail);
        let mut stored = has.stored.iter().map(pick).collect::<Result<Vec<_>, _>>()?;
        let mut statuses: Vec<Status> = picked.iter().map(|row| has.statuses[*row as usize]).collect();
        let mut event_times: Vec<_> = picked.iter().map(|row| has.event_times[*row as usize]).collect();
        let Some((rows, other)) = other else {
            return Ok(ViewRows { stored, statuses, event_times, absent: Vec::new() });
        };
        let n = u32::try_from(picked.len()).unwrap_or(u32::MAX);
        let mut from: Vec<u32> = (0..n).collect();
        for (i, row) in (0_u32..).zip(&rows) {
            let Ok(at) = picked.binary_search(row) else { continue };
            from[at] = n + i;
            statuses[at] = other.statuses[i as usize];
            event_times[at] = other.event_times[i as usize];
        }
        let from = UInt32Array::from(from);
        for (column, other) in stored.iter_mut().zip(&other.stored) {
            let both = concat(&[column.as_ref(), other.as_ref()]).map_err(fail)?;
            *column = take(&both, &from, None).map_err(fail)?;
        }
        Ok(ViewRows { stored, statuses, event_times, absent: Vec::new() })
    };
    let views = views.iter().zip(others).map(view).collect::<Result<_, _>>()?;
    Ok(Some((picked, views)))
}

/// Bytes of a value in memory.
fn width(found: &DataType) -> usize {
    match found {
        DataType::FixedSizeList(item, n) => usize::try_from(*n).unwrap_or(0) * width(item.data_type()),
        DataType::Boolean => 1,
        other => other.primitive_width().unwrap_or(VARIABLE_BYTES),
    }
}
