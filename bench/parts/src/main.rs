//! Parts of a request, measured without the rest of it: what is too short to be seen in requests per second.

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampNanosecondArray};
use schema::definitions::File;
use schema::json::Cell;
use schema::{AppliedDefinitions, Definitions};
use serde_json::json;
use transform::OnDemandFeatures;

const USAGE: &str = "\
usage: parts on-demand BATCHES

on-demand  Ten expressions of an on-demand view on one row, as serving evaluates them for a request of one entity. Prints
           {\"values\": [...], \"ns\": [...]}: what they are for a = 1.5, b = 0.5, n = 4 at 02:00 of the first day, and
           the nanoseconds of an evaluation of all ten, the mean of a batch of 10,000, for each batch.";

/// The view whose expressions are evaluated.
const TEN: &str = include_str!("ten.yaml");
const EVALUATIONS: u32 = 10_000;

/// As plumb has: what is measured is not the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let measured = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["on-demand", batches] => batches.parse().map_err(Failure::from).and_then(on_demand),
        _ => Err(USAGE.into()),
    };
    match measured {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn on_demand(batches: usize) -> Result<serde_json::Value, Failure> {
    let file = File { path: "ten.yaml".to_owned(), text: TEN.to_owned() };
    let definitions = Definitions::read(&[file]).map_err(|problems| format!("{problems:?}"))?;
    let applied = AppliedDefinitions::default().after(&definitions);
    let view = applied.current_on_demand("ten").ok_or("the view is called otherwise")?;
    let ten = OnDemandFeatures::compile(view)?;

    let row: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![1.5])),
        Arc::new(Float64Array::from(vec![0.5])),
        Arc::new(Int64Array::from(vec![4])),
    ];
    let at = TimestampNanosecondArray::from(vec![7_200_000_000_000]).with_timezone("UTC");
    let columns = ten.evaluate(row.clone(), &at)?;
    let features = columns.iter().zip(&view.definition.features);
    let values = features.map(|(column, feature)| json!(Cell::new(column, 0, feature.dtype))).collect::<Vec<_>>();

    let mut ns = Vec::with_capacity(batches);
    for _ in 0..batches {
        let started = Instant::now();
        for _ in 0..EVALUATIONS {
            black_box(ten.evaluate(black_box(row.clone()), black_box(&at))?);
        }
        ns.push(started.elapsed().as_secs_f64() * 1e9 / f64::from(EVALUATIONS));
    }
    Ok(json!({"values": values, "ns": ns}))
}
