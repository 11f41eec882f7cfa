//! Training sets by the rows: the same whatever the memory, and what is said of them is true.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use expect_test::expect;
use schema::AppliedDefinitions;
use schema::sampling::mix;

use super::write::{FileSink, Format, read_about, report_path};
use super::*;
use crate::testing::{applied, parquet};

/// A training set in memory.
#[derive(Debug)]
pub(crate) struct TrainingSet {
    pub(crate) rows: RecordBatch,
    pub(crate) report: Report,
}

#[derive(Default)]
struct Memory {
    schema: Option<SchemaRef>,
    chunks: Vec<RecordBatch>,
}

impl Sink for Memory {
    fn begin(&mut self, schema: &SchemaRef, _: &Lineage) -> Result<(), OfflineError> {
        self.schema = Some(SchemaRef::clone(schema));
        Ok(())
    }

    fn write(&mut self, chunk: &RecordBatch) -> Result<(), OfflineError> {
        self.chunks.push(chunk.clone());
        Ok(())
    }

    fn finish(&mut self, _: &Report) -> Result<(), OfflineError> {
        Ok(())
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Joins a spine that is in memory.
pub(crate) fn in_memory(
    store: &OfflineStore,
    compiled: &CompiledService,
    spine: &RecordBatch,
    options: &Options,
) -> Result<TrainingSet, OfflineError> {
    let spine = Spine::of_batches("spine", spine.schema(), vec![spine.clone()], None)?;
    let mut memory = Memory::default();
    let report = run(build(store, compiled, spine, options, &mut memory, &Watch::nobody()))?;
    let rows = arrow::compute::concat_batches(&memory.schema.unwrap(), &memory.chunks).unwrap();
    Ok(TrainingSet { rows, report })
}

const PROJECT: &str = "
kind: entity
name: user
join_key: k
type: int64
---
kind: source
name: rows
path: rows.parquet
event_time: ts
created_time: created
---
kind: feature_view
name: f
entity: user
source: rows
ttl: 100s
features: [{name: v, type: float64}, {name: word, type: string}]
computed: [{name: double, type: float64, expr: v * 2}]
---
kind: feature_service
name: s
features: ['f:v', 'f:word', 'f:double']
fill: {v: -1.0}
";

struct World {
    folder: tempfile::TempDir,
    store: OfflineStore,
    compiled: CompiledService,
}

fn times(n: usize, of: impl Fn(usize) -> Option<i64>) -> ArrayRef {
    let array: TimestampNanosecondArray = (0..n).map(|i| of(i).map(|s| s * 1_000_000_000)).collect();
    Arc::new(array.with_timezone("UTC"))
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

fn random(i: usize, salt: u64, below: u64) -> i64 {
    i64::try_from(mix(i as u64 ^ (salt << 40)) % below).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn world(project: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let n = 3_000;
    let words: StringArray = (0..n).map(|i| (i % 9 != 0).then(|| format!("w{}", i % 40))).collect();
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new((0..n).map(|i| Some(random(i, 1, 500))).collect::<Int64Array>()) as ArrayRef, true),
        ("ts", times(n, |i| Some(int(i))), true),
        ("created", times(n, |i| (i % 3 != 0).then(|| int(i) + random(i, 2, 60))), true),
        ("v", Arc::new((0..n).map(|i| (i % 7 != 0).then_some(i as f64)).collect::<Float64Array>()), true),
        ("word", Arc::new(words), true),
    ])
    .unwrap();
    parquet(&folder.path().join("rows.parquet"), &rows);
    let definitions = applied(project);
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let store = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    World { folder, store, compiled }
}

fn spine(n: usize) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        // Nulls in the last chunk alone: the mask of a whole block must not reach the chunks before it.
        ("row", Arc::new((0..n).map(|i| (i < 135_000).then(|| int(i))).collect::<Int64Array>()) as ArrayRef, true),
        ("k", Arc::new((0..n).map(|i| (i % 50 != 0).then(|| random(i, 3, 520))).collect::<Int64Array>()), true),
        ("event_time", times(n, |i| (i % 80 != 0).then(|| random(i, 4, 3_100))), true),
    ])
    .unwrap()
}

fn written(world: &World, spine: &Path, format: Format, memory_bytes: usize) -> (Vec<u8>, Vec<u8>, Report) {
    let path = world.folder.path().join("out.file");
    let spine = run(Spine::read(spine, None, &world.store, &AppliedDefinitions::default(), &BTreeMap::new())).unwrap();
    let options = Options { memory_bytes, ..Options::default() };
    let mut sink = FileSink::new(&path, format);
    let report = run(build(&world.store, &world.compiled, spine, &options, &mut sink, &Watch::nobody())).unwrap();
    (std::fs::read(&path).unwrap(), std::fs::read(report_path(&path)).unwrap(), report)
}

#[test]
fn the_bytes_do_not_depend_on_the_memory() {
    let world = world(PROJECT);
    let path = world.folder.path().join("spine.parquet");
    // More than two chunks and than eight of the smallest blocks, and no whole number of either.
    parquet(&path, &spine(140_001));
    for format in [Format::Parquet, Format::Arrow] {
        let (file, report, whole) = written(&world, &path, format, MEMORY_DEFAULT);
        let (again, same, _) = written(&world, &path, format, 0);
        assert_eq!(whole.n_rows, 140_001);
        assert!(file == again, "{format:?}: {} and {} bytes", file.len(), again.len());
        assert!(report == same, "{format:?}");
    }
}

#[test]
fn blocks_are_as_small_as_the_memory_asks_for() {
    let world = world(PROJECT);
    let rows = spine(140_001);
    let spine = Spine::of_batches("spine", rows.schema(), vec![rows], None).unwrap();
    let join = run(Join::open(&world.store, &world.compiled)).unwrap().with_hindsight();
    let mut blocks = Blocks::new(spine, 0, join.bytes_a_row());
    assert_eq!(blocks.count(), Some(9));
    let mut sizes = Vec::new();
    while let Some(block) = run(blocks.next()).unwrap() {
        sizes.push(block.num_rows());
    }
    assert_eq!((sizes.len(), sizes[0], sizes.iter().sum::<usize>()), (9, 16_384, 140_001));
}

#[test]
fn a_file_says_what_it_was_made_of() {
    let world = world(PROJECT);
    for (name, format) in [("a.parquet", Format::Parquet), ("a.arrow", Format::Arrow)] {
        let path = world.folder.path().join(name);
        let rows = spine(100);
        let given = Spine::of_batches("spine", rows.schema(), vec![rows], None).unwrap();
        let mut sink = FileSink::new(&path, format);
        let options = Options::default();
        let report = run(build(&world.store, &world.compiled, given, &options, &mut sink, &Watch::nobody())).unwrap();
        let (lineage, said) = read_about(&path).unwrap();
        assert_eq!(lineage, report.lineage);
        assert_eq!(said["n_rows"], 100);
        assert_eq!((lineage.spine.rows, lineage.views[0].files[0].0.as_str()), (Some(100), "rows.parquet"));
        assert!(lineage.spine.digest.is_some());
        // What stands beside says it too, when the file is gone.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read_about(&path).unwrap().0, report.lineage);
        std::fs::remove_file(report_path(&path)).unwrap();
        assert!(matches!(read_about(&path), Err(OfflineError::NoFile { .. })));
    }
}

#[test]
fn an_empty_spine_has_all_columns() {
    let world = world(PROJECT);
    let empty = spine(10).slice(0, 0);
    let set = in_memory(&world.store, &world.compiled, &empty, &Options::default()).unwrap();
    let names: Vec<String> = set.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!((set.rows.num_rows(), names.join(" ")), (0, "row k event_time v word double".to_owned()));
    let path = world.folder.path().join("empty.csv");
    std::fs::write(&path, "k,event_time\n").unwrap();
    let given = run(Spine::read(&path, None, &world.store, &AppliedDefinitions::default(), &BTreeMap::new())).unwrap();
    let out = world.folder.path().join("empty.parquet");
    let mut sink = FileSink::new(&out, Format::Parquet);
    let options = Options::default();
    let built = run(build(&world.store, &world.compiled, given, &options, &mut sink, &Watch::nobody()));
    assert_eq!(built.unwrap().n_rows, 0);
    assert!(out.is_file());
}

#[test]
fn nothing_is_written_when_nobody_waits() {
    let world = world(PROJECT);
    let rows = spine(1_000);
    let given = Spine::of_batches("spine", rows.schema(), vec![rows], None).unwrap();
    let out = world.folder.path().join("out.parquet");
    let mut sink = FileSink::new(&out, Format::Parquet);
    let (tell, waits) = (|_: u64| {}, || false);
    let watch = Watch::new(&tell, &waits);
    let built = run(build(&world.store, &world.compiled, given, &Options::default(), &mut sink, &watch));
    drop(sink);
    assert!(built.is_err());
    let left: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["rows.parquet"]);
}

/// What a spine of a few rows is refused with.
#[track_caller]
fn refused(spine: &[(&str, ArrayRef)], words: &[&str]) {
    let world = world(PROJECT);
    let columns = spine.iter().map(|(name, column)| (*name, ArrayRef::clone(column), true));
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let why = in_memory(&world.store, &world.compiled, &rows, &Options::default()).unwrap_err();
    let said = format!("{why}; {}", why.hint().unwrap_or_default());
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn a_spine_that_does_not_fit_is_named_with_both_sides() {
    let keys = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let at = || times(1, |_| Some(1));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let wrong = "column `k` is string, but the join key of entity `user` is int64";
    refused(&[("k", texts), ("event_time", at())], &[wrong]);
    refused(&[("k", keys()), ("when", at())], &["it has no column `event_time`", "--event-time"]);
    refused(&[("kk", keys()), ("event_time", at())], &["it has no column `k`, the join key", "did you mean `kk`?"]);
    refused(&[("k", keys()), ("event_time", keys())], &["column `event_time` is int64, but a time is needed"]);
    let taken = ["column `v` has the name of a feature of service `s` (of feature view `f`)", "rename"];
    refused(&[("k", keys()), ("event_time", at()), ("v", keys())], &taken);
}

#[test]
fn hindsight_is_kept_out_by_default_and_a_leak_where_asked_for() {
    let spine = RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(Int64Array::from(vec![1, 1, 2])) as ArrayRef, true),
        ("event_time", times(3, |i| Some([50, 200, 50][i])), true),
    ])
    .unwrap();
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(Int64Array::from(vec![1, 1, 2])) as ArrayRef, true),
        ("ts", times(3, |i| Some([10, 40, 45][i])), true),
        ("created", times(3, |i| [None, Some(100), Some(46)][i]), true),
        ("v", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])), true),
        ("word", Arc::new(StringArray::from(vec!["a", "a", "b"])), true),
    ])
    .unwrap();
    let told = |project: &str| {
        let world = world(project);
        parquet(&world.folder.path().join("rows.parquet"), &rows);
        let set = in_memory(&world.store, &world.compiled, &spine, &Options::default()).unwrap();
        let leakage = set.report.leakage;
        format!("{leakage}leaks: {}", leakage.leaks())
    };
    // Row 0 is asked at 50; the row of 40 arrived at 100.
    let project = PROJECT.replace("ttl: 100s", "ttl: 1000s");
    expect![[r#"
        kept out: `v` would have known 1 rows better with hindsight (known: event); row 0: 1.0, otherwise 2.0
        kept out: `double` would have known 1 rows better with hindsight (known: event); row 0: 2.0, otherwise 4.0
        leaks: false"#]]
    .assert_eq(&told(&project));
    expect![[r#"
        LEAK `v` has values in 1 rows that were not known yet; row 0: 2.0, otherwise 1.0
        LEAK `double` has values in 1 rows that were not known yet; row 0: 4.0, otherwise 2.0
        leaks: true"#]]
    .assert_eq(&told(&project.replace("ttl: 1000s", "ttl: 1000s\nknown: event")));
}

#[test]
fn rows_of_the_instant_and_after_the_label_are_told() {
    let world = world(PROJECT);
    // The rows of history themselves, as spines are made that leak; labels came five seconds before.
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new((0..300).map(|i| Some(random(i, 1, 500))).collect::<Int64Array>()) as ArrayRef, true),
        ("event_time", times(300, |i| Some(int(i) + if i % 3 == 0 { 0 } else { 60 })), true),
        ("labelled", times(300, |i| Some(int(i) - 5)), true),
    ])
    .unwrap();
    let plain = in_memory(&world.store, &world.compiled, &rows, &Options::default()).unwrap().report;
    assert!(plain.leakage.same_instant.is_empty(), "a third is not most");
    assert!(plain.leakage.after_label.is_empty(), "nobody said when labels became known");
    let options = Options { label_time: Some("labelled".to_owned()), ..Options::default() };
    let told = in_memory(&world.store, &world.compiled, &rows, &options).unwrap().report.leakage;
    let found = &told.after_label[0];
    assert_eq!((found.view.as_str(), found.first[0]), ("f", 0));
    assert!(found.rows > 250 && told.leaks(), "{found:?}");
    let same = RecordBatch::try_new(
        rows.schema(),
        vec![ArrayRef::clone(rows.column(0)), times(300, |i| Some(int(i))), ArrayRef::clone(rows.column(2))],
    );
    let same = in_memory(&world.store, &world.compiled, &same.unwrap(), &Options::default()).unwrap();
    let leakage = same.report.leakage;
    assert!(leakage.same_instant[0].rows >= 100, "{leakage:?}");
    assert!(!leakage.leaks(), "a suspicion is no leak");
}
