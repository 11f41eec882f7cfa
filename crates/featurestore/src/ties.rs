//! Rows of one key that nothing but their positions orders, where that is an error: found by whoever looks for the greatest
//! row, and judged here, for the online store and for training sets alike.
//!
//! A row that is there twice, with the same values, decides nothing: it is no tie. A tie matters only where one of its rows
//! is an answer.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use hashbrown::HashMap;
use schema::{EntityKey, FeatureView, RowOrder, Timestamp, Value, pii};

use crate::codec::RowCodec;
use crate::offline::OfflineError;
use crate::offline::history::{History, Unit};

/// What two rows of one key have in common when they are tied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tied {
    /// Event time, created time and the user's sequence.
    Order,
    /// Event time and created time: the view says `ties: error`.
    Times,
}

impl Tied {
    /// Whether it is of rows at these places.
    #[inline]
    pub(crate) fn is(self, one: &RowOrder, other: &RowOrder) -> bool {
        self.place(one) == self.place(other)
    }

    fn place(self, order: &RowOrder) -> RowOrder {
        match self {
            Self::Order => *order,
            Self::Times => RowOrder { sequence: 0, ..*order },
        }
    }
}

/// Two rows that are tied, as people read of them.
#[derive(Debug)]
pub struct Tie {
    /// `user_id=7`, masked where it says who a person is.
    key: String,
    event_time: Timestamp,
    created_time: Option<Timestamp>,
    /// The user's own, where there is one.
    pub(crate) sequence: Option<u64>,
    /// Rows and their files.
    rows: [String; 2],
}

impl Display for Tie {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { key, event_time, created_time, sequence, rows: [one, other] } = self;
        write!(f, "{key} with event time {event_time}")?;
        if let Some(created_time) = created_time {
            write!(f, ", created time {created_time}")?;
        }
        if let Some(sequence) = sequence {
            write!(f, ", sequence {sequence}")?;
        }
        write!(f, " that say different things: {one} and {other}")
    }
}

/// A key and a place.
type At = (Vec<u8>, RowOrder);

/// The first row found at a place.
struct First {
    row: u64,
    said: Vec<u8>,
}

/// Refuses ties: `rows` are the greatest rows of places at which others stand too.
///
/// Reads the history twice more, keys and times; the values of tied rows alone.
///
/// # Errors
/// [`OfflineError::Tie`] if two rows of one place say different things; [`OfflineError`] if the history cannot be read.
pub(crate) fn refuse(view: &FeatureView, history: &History, rows: &[u64]) -> Result<(), OfflineError> {
    let Some(tied) = history.refuses_ties().filter(|_| !rows.is_empty()) else { return Ok(()) };
    let wanted: BTreeSet<u64> = rows.iter().copied().collect();
    let mut places: HashMap<At, Option<First>> = HashMap::new();
    let holds = |unit: &Unit| wanted.range(rows_of(unit)).next().is_some();
    for unit in history.units().into_iter().filter(holds) {
        each(history, unit, tied, |row, at, _| {
            if wanted.contains(&row) {
                places.insert(at, None);
            }
        })?;
    }
    let codec = RowCodec::new(view.definition.features.iter().map(|feature| feature.dtype));
    let features: Vec<usize> = (0..view.definition.features.len()).collect();
    for unit in history.units() {
        let mut found: Vec<(u64, At, bool)> = Vec::new();
        each(history, unit, tied, |row, at, deleted| {
            if places.contains_key(&at) {
                found.push((row, at, deleted));
            }
        })?;
        let offset = |row: u64| u32::try_from(row - unit.first_row).unwrap_or(u32::MAX);
        let offsets: Vec<u32> = found.iter().map(|(row, _, _)| offset(*row)).collect();
        if offsets.is_empty() {
            continue;
        }
        let values = history.gather(unit, &features, &offsets)?;
        for (i, (row, at, deleted)) in found.into_iter().enumerate() {
            // A deletion says nothing but that.
            let said = if deleted { Vec::new() } else { codec.encode(&values, i) };
            match places.get_mut(&at) {
                Some(first @ None) => *first = Some(First { row, said }),
                Some(Some(first)) if first.said != said => {
                    return Err(error(view, history, tied, &at.1, [first.row, row]));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The rows of a row group, their keys and places, and whether they are deletions.
fn each(history: &History, unit: Unit, tied: Tied, mut each: impl FnMut(u64, At, bool)) -> Result<(), OfflineError> {
    history.scan_order(unit, |batch| {
        EntityKey::each(&batch.keys, batch.len(), |i, key| {
            if let Some((key, order)) = key.zip(batch.order(i)) {
                each(batch.first_row + i as u64, (key.to_vec(), tied.place(&order)), batch.deleted(i));
            }
        });
        Ok(())
    })
}

fn rows_of(unit: &Unit) -> Range<u64> {
    unit.first_row..unit.first_row + unit.n_rows as u64
}

fn error(view: &FeatureView, history: &History, tied: Tied, order: &RowOrder, rows: [u64; 2]) -> OfflineError {
    let place = |row: u64| {
        let (file, row) = history.locate(row).unwrap_or_default();
        format!("row {row} of `{file}`")
    };
    let tie = Tie {
        key: key_of(view, history, rows[0]).unwrap_or_else(|_unread| "unreadable".to_owned()),
        event_time: order.event_time,
        created_time: order.created_time,
        sequence: (tied == Tied::Order).then_some(order.sequence),
        rows: rows.map(place),
    };
    OfflineError::Tie { view: view.id.name.to_string(), tie: Box::new(tie) }
}

/// The key of a row as people read it, masked where it says who a person is.
fn key_of(view: &FeatureView, history: &History, wanted: u64) -> Result<String, OfflineError> {
    let mut parts = Vec::new();
    if let Some(unit) = history.units().into_iter().find(|unit| rows_of(unit).contains(&wanted)) {
        history.scan_order(unit, |batch| {
            let at = wanted.checked_sub(batch.first_row).and_then(|at| usize::try_from(at).ok());
            let Some(at) = at.filter(|at| *at < batch.len()) else { return Ok(()) };
            for (key, column) in view.keys().iter().zip(&batch.keys) {
                let value = pii::shown(Value::at(column, at).shown(key.dtype), view.entity.pii);
                parts.push(format!("{}={value}", key.name));
            }
            Ok(())
        })?;
    }
    Ok(parts.join(", "))
}
