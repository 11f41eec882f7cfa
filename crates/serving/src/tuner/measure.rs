//! How long runs take, of sessions that are made in some way, and whether their answers are the same.

use std::time::{Duration, Instant};

use super::candidates::{Measured, Size};
use crate::batch_check::made::MadeRows;
use crate::batch_check::{Rows, TOLERANCE};
use crate::infer::TensorModel;
use crate::onnx::session::Ran;
use crate::onnx::{ModelSession, OnnxError, Outputs, SessionOptions};

/// Sizes that are measured: each up to this, doubled from one.
const ROWS_MAX: usize = 64;
/// Runs of a size, of which the one in the middle counts.
const RUNS: usize = 9;

/// Ways of making sessions on so many cores: threads doubled from one, spinning and not.
pub fn options(of: &SessionOptions, cores: usize) -> Vec<SessionOptions> {
    let threads = std::iter::successors(Some(1), |threads| Some(threads * 2)).take_while(|threads| *threads <= cores);
    let spins = |intra_op: usize| if intra_op > 1 { &[false, true][..] } else { &[false] };
    let all = threads.flat_map(|intra_op| spins(intra_op).iter().map(move |spinning| (intra_op, *spinning)));
    all.map(|(intra_op, spinning)| SessionOptions { intra_op, spinning, ..of.clone() }).collect()
}

/// Runs of one session, for as long as this takes at most; of rows of nothing, and nothing of a model that has none.
pub fn measure(
    model: &TensorModel,
    session: &mut ModelSession,
    options: &SessionOptions,
    lasts: Duration,
) -> Option<Measured> {
    let begun = Instant::now();
    let largest = model.rows_max().unwrap_or(1).min(ROWS_MAX);
    let mut sizes = Vec::new();
    for rows in std::iter::successors(Some(1), |rows| Some(rows * 2)).take_while(|rows| *rows <= largest) {
        let inputs = model.zeros(rows)?;
        let mut runs = Vec::new();
        // The first run of a size allocates.
        for run in 0..=RUNS {
            let Ok(Ran { took, .. }) = session.infer(&inputs, &[], rows) else { return None };
            if run > 0 {
                runs.push((took.input + took.infer + took.output).as_secs_f64() * 1e6);
            }
            if begun.elapsed() > lasts && !runs.is_empty() {
                break;
            }
        }
        runs.sort_by(f64::total_cmp);
        sizes.extend(runs.get(runs.len() / 2).map(|us| Size { rows, us: *us }));
        if begun.elapsed() > lasts {
            break;
        }
    }
    (!sizes.is_empty()).then_some(Measured { intra_op: options.intra_op, spinning: options.spinning, sizes })
}

/// Whether two sessions of a model answer alike, as far as it lasts and goes on.
///
/// Row by row the bits must be the same, so that an answer can be made again by either; in company they may differ within a
/// tolerance, as sums have another order in a batch of another size.
///
/// # Errors
/// What differs; that nothing could be compared, or not in time.
pub fn alike(
    model: &TensorModel,
    one: &mut ModelSession,
    other: &mut ModelSession,
    lasts: Duration,
    goes_on: impl Fn() -> bool,
) -> Result<(), String> {
    let began = Instant::now();
    let rows = MadeRows::of(model.inputs(), model.outputs().len());
    let rows = rows.ok_or("its rows are too large to be compared")?;
    let alone = (0..rows.n()).map(|row| (vec![row], 0.0));
    let together = model.batch().map(|_| ((0..rows.hostile().start).collect(), TOLERANCE));
    let mut compared = 0;
    for (batch, tolerance) in alone.chain(together) {
        if began.elapsed() > lasts {
            return Err("its answers take too long to be compared".to_owned());
        }
        if !goes_on() {
            break;
        }
        let (one, other) = (rows.run(one, &batch), rows.run(other, &batch));
        compared += usize::from(one.is_ok());
        differs(&one, &other, tolerance).map_or(Ok(()), |what| Err(format!("for row(s) {batch:?} it {what}")))?;
    }
    if compared == 0 && goes_on() {
        return Err("it answers none of the rows that were made to compare it".to_owned());
    }
    Ok(())
}

fn differs(one: &Result<Outputs, OnnxError>, other: &Result<Outputs, OnnxError>, tolerance: f64) -> Option<String> {
    let (one, other) = match (one, other) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(_), Err(_)) => return None,
        (Ok(_), Err(why)) => return Some(format!("fails: {why}")),
        (Err(_), Ok(_)) => return Some("answers what is refused otherwise".to_owned()),
    };
    one.columns.iter().zip(&other.columns).find_map(|(one, other)| {
        let rows = 0..one.rows().max(other.rows());
        let is_alike = one.shape == other.shape
            && rows.clone().all(|row| {
                let (one, other) = (one.row(row), other.row(row));
                one.same_bits(other) || tolerance > 0.0 && one.distance(other).is_some_and(|apart| apart <= tolerance)
            });
        (!is_alike).then(|| format!("answers another `{}`", one.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_doubled_and_spin_where_there_are_several() {
        let all: Vec<_> = options(&SessionOptions::default(), 4).iter().map(|o| (o.intra_op, o.spinning)).collect();
        assert_eq!(all, [(1, false), (2, false), (2, true), (4, false), (4, true)]);
    }
}
