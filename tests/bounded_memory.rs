//! Memory is bounded by what was asked for, not by the data: a key with as many rows as there are, a spine much larger than
//! `--memory`, a file that is a few kilobytes and means gigabytes. The binary runs under a limit of all that it may write to
//! (`ulimit -d`), and the high-water mark of its resident memory is followed; its answers are computed again here.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::harness::Plumb;
use crate::hostile::Dice;

/// 2024-01-01, in microseconds.
const START: i64 = 1_704_067_200_000_000;

fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: memory\n");
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: k\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: at\n---\n\
         kind: feature_view\nname: v\nentity: user\nsource: rows\nfeatures: [{name: n, type: int64}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['v:n']\n",
    );
    plumb
}

fn ints(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn times(micros: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

/// Writes the same rows so many times.
fn write(plumb: &Plumb, name: &str, columns: Vec<(&str, ArrayRef)>, n_times: usize) {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(plumb.path().join(name)).unwrap(), rows.schema(), None).unwrap();
    for _ in 0..n_times {
        writer.write(&rows).unwrap();
    }
    writer.close().unwrap();
}

/// Runs a command that may write to so many megabytes; its peak resident memory in megabytes.
fn within(plumb: &Plumb, limit_mb: usize, line: &str) -> usize {
    let command = plumb.command(line);
    let limited = format!("ulimit -d {}; exec \"$0\" \"$@\"", limit_mb << 10);
    let mut limited = {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", &limited]).arg(command.get_program()).args(command.get_args());
        bash
    };
    let log = File::create(plumb.path().join("stderr")).unwrap();
    let mut child = limited.stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_kb = peak_kb.max(high.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(ended.success(), "{ended}: {}", plumb.read("stderr"));
    assert!(peak_kb > 0, "nothing was measured");
    peak_kb >> 10
}

/// A column of numbers of a training set.
fn column(path: &Path, name: &str) -> Vec<Option<i64>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader
        .flat_map(|rows| {
            rows.unwrap().column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
        })
        .collect()
}

fn build(plumb: &Plumb, limit_mb: usize, memory: &str, spine: &str) -> usize {
    let path = |name: &str| plumb.path().join(name).display().to_string();
    let line = format!(
        "training-set build --service s --spine {} --out {} --memory {memory}",
        path(spine),
        path("out.parquet")
    );
    within(plumb, limit_mb, &line)
}

/// PIT §5: two hundred thousand rows of one key meet as many of the spine: their product would be forty billion.
#[test]
fn one_key_may_have_all_rows() {
    let n: usize = 200_000;
    let plumb = project();
    let mut dice = Dice(42);
    let mut at: Vec<i64> = (0..n).map(|i| START + i64::try_from(i * 1_000 + dice.below(1_000)).unwrap()).collect();
    let numbers: Vec<i64> = (0..i64::try_from(n).unwrap()).collect();
    write(&plumb, "rows.parquet", vec![("k", ints(vec![7; n])), ("at", times(at.clone())), ("n", ints(numbers))], 1);
    let asked: Vec<i64> = (0..n).map(|_| START + i64::try_from(dice.below(n * 1_000)).unwrap() - 5_000).collect();
    write(&plumb, "spine.parquet", vec![("k", ints(vec![7; n])), ("event_time", times(asked.clone()))], 1);
    plumb.run("apply --yes").ok();
    let peak_mb = build(&plumb, 384, "64MB", "spine.parquet");
    assert!(peak_mb < 250, "{peak_mb} MB");
    at.sort_unstable();
    let want: Vec<Option<i64>> = asked
        .iter()
        .map(|asked| at.partition_point(|at| at <= asked).checked_sub(1).map(|row| i64::try_from(row).unwrap()))
        .collect();
    let got = column(&plumb.path().join("out.parquet"), "n");
    assert_eq!(got.len(), want.len());
    let differs = (0..n).find(|row| got[*row] != want[*row]);
    assert_eq!(differs, None, "{:?}", differs.map(|row| (asked[row], got[row], want[row])));
}

/// A spine four times as long takes hardly more memory, whatever it carries along.
#[test]
fn a_spine_larger_than_memory_streams() {
    let n: usize = 100_000;
    let plumb = project();
    let keys: Vec<i64> = (0..2_000).collect();
    write(
        &plumb,
        "rows.parquet",
        vec![("k", ints(keys.clone())), ("at", times(vec![START; 2_000])), ("n", ints(keys))],
        1,
    );
    plumb.run("apply --yes").ok();
    let mut dice = Dice(7);
    let asked: Vec<i64> = (0..n).map(|_| i64::try_from(dice.below(3_000)).unwrap()).collect();
    // Texts that do not repeat, or they would be kept once.
    let notes: StringArray = (0..n).map(|i| Some(format!("{i:0>120}-{:0>60}", dice.below(1 << 30)))).collect();
    let size_mb = notes.get_array_memory_size() >> 20;
    let columns = || {
        vec![
            ("k", ints(asked.clone())),
            ("event_time", times(vec![START + 1; n])),
            ("note", Arc::new(notes.clone()) as ArrayRef),
        ]
    };
    write(&plumb, "one.parquet", columns(), 2);
    write(&plumb, "four.parquet", columns(), 8);
    let of_one = build(&plumb, 384, "48MB", "one.parquet");
    let of_four = build(&plumb, 384, "48MB", "four.parquet");
    let grown = of_four.saturating_sub(of_one);
    assert!(size_mb >= 17, "{size_mb} MB are no large spine");
    assert!(grown < size_mb * 3, "{} MB more of spine took {grown} MB more: {of_one} and {of_four}", size_mb * 6);
    let got = column(&plumb.path().join("out.parquet"), "n");
    assert_eq!(got.len(), 8 * n);
    for (row, got) in got.iter().enumerate() {
        let key = asked[row % n];
        assert_eq!(*got, (key < 2_000).then_some(key), "{row}");
    }
}

/// FT 21: a file of a few kilobytes that stands for half a gigabyte is read as it streams.
#[test]
fn a_file_that_stands_for_much_more_than_it_is_streams() {
    let plumb = project();
    let n = 1 << 20;
    write(
        &plumb,
        "rows.parquet",
        vec![("k", ints(vec![7; n])), ("at", times(vec![START; n])), ("n", ints(vec![5; n]))],
        20,
    );
    let size = std::fs::metadata(plumb.path().join("rows.parquet")).unwrap().len();
    assert!(size < 400 << 10, "{size} bytes for {} MB", (20 * n * 24) >> 20);
    write(&plumb, "spine.parquet", vec![("k", ints(vec![7, 8])), ("event_time", times(vec![START, START]))], 1);
    plumb.run("apply --yes").ok();
    let peak_mb = build(&plumb, 384, "64MB", "spine.parquet");
    assert!(peak_mb < 250, "{peak_mb} MB");
    assert_eq!(column(&plumb.path().join("out.parquet"), "n"), [Some(5), None]);
    let peak_mb = within(&plumb, 384, "materialize");
    assert!(peak_mb < 250, "{peak_mb} MB");
}
