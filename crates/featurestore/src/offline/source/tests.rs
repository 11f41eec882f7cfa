//! Sources of every format, read right and wrong; files that come, go and change.

mod damage;
mod formats;
mod layouts;
mod round_trip;

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use schema::definitions::{BadRows, Column, Format, Source};
use schema::error::chain;
use schema::yaml::Place;
use schema::{Dtype, FeatureView, Value};

use super::*;
use crate::offline::query;
use crate::testing::{applied, parquet};

/// A source at `path`, timed by `at`.
pub(crate) fn source(path: &str) -> Source {
    Source {
        name: "rows".parse().unwrap(),
        path: path.to_owned(),
        format: Format::of_path(path),
        columns: Vec::new(),
        partitions: Vec::new(),
        delimiter: None,
        bad_rows: BadRows::Refuse,
        event_time: "at".to_owned(),
        created_time: None,
        deleted: None,
        timezone: None,
        field_mapping: BTreeMap::new(),
        description: None,
        owner: None,
        tags: BTreeMap::new(),
        place: Place::default(),
    }
}

fn columns(text: &str) -> Vec<Column> {
    let column = |text: &str| {
        let (name, dtype) = text.split_once(' ').unwrap();
        Column { name: name.to_owned(), dtype: Dtype::parse(dtype).unwrap() }
    };
    text.split("; ").map(column).collect()
}

/// A project's folder.
struct Folder {
    _temporary: tempfile::TempDir,
    store: OfflineStore,
}

impl Folder {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let store = OfflineStore::new(temporary.path(), &temporary.path().join(".plumb/offline"));
        Self { store, _temporary: temporary }
    }

    fn path(&self) -> &Path {
        self.store.project()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn write_parquet(&self, name: &str, batch: &RecordBatch) {
        self.write(name, "");
        parquet(&self.path().join(name), batch);
    }

    async fn open(&self, source: &Source) -> Result<SourceFiles, OfflineError> {
        open(&self.store, source).await
    }

    /// A query's rows over the source.
    async fn sql(&self, source: &Source, sql: &str) -> Vec<RecordBatch> {
        let files = self.open(source).await.unwrap_or_else(|why| panic!("{}", chain(&why)));
        let context = query::context([&files]).unwrap();
        query::plan(&context, sql).await.unwrap().collect().await.unwrap()
    }

    /// The rows of the source, as SQL sees them.
    #[track_caller]
    fn check(&self, source: &Source, sql: &str, want: expect_test::Expect) {
        want.assert_eq(&format!("{}\n", pretty_format_batches(&block(self.sql(source, sql))).unwrap()));
    }

    /// Why the source cannot be opened, and what to do.
    #[track_caller]
    fn refuses(&self, source: &Source, want: &str) {
        let why = block(self.open(source)).expect_err("it is refused");
        assert_eq!(chain(&why), want);
    }
}

/// Runs to the end; nothing here waits.
fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The view `v` of entity `user` over source `rows`, which is written by hand.
fn view(source: &str, features: &str) -> FeatureView {
    let text = format!(
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\nkind: source\nname: rows\n{source}\n---\n\
         kind: feature_view\nname: v\nentity: user\nsource: rows\n{features}\n"
    );
    applied(text).current_view("v").unwrap().clone()
}

/// The values of a view's history, by column name: keys, then features.
async fn history_rows(folder: &Folder, view: &FeatureView) -> Result<Vec<String>, OfflineError> {
    let history = folder.store.history(view).await?;
    let mut rows = Vec::new();
    let features: Vec<usize> = (0..view.definition.features.len()).collect();
    for unit in history.units() {
        let mut lines: Vec<String> = Vec::new();
        history.scan_order(unit, |batch| {
            for i in 0..batch.len() {
                let keys = batch.keys.iter().map(|key| Value::at(key, i).to_string());
                let time = batch.order(i).map_or("never".to_owned(), |order| order.event_time.to_string());
                lines.push(format!("{} {time}", keys.collect::<Vec<_>>().join(" ")));
            }
            Ok(())
        })?;
        let all: Vec<u32> = (0..u32::try_from(unit.n_rows).unwrap()).collect();
        let columns = history.gather(unit, &features, &all)?;
        for (i, line) in lines.iter_mut().enumerate() {
            columns.iter().for_each(|column| *line += &format!(" {}", Value::at(column, i)));
        }
        rows.extend(lines);
    }
    Ok(rows)
}
