//! Rewriting, for whom holds the lease: delete, compact, restore. The table is read anew under the lease.

use std::collections::HashSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{Int64Type, SchemaRef};
use schema::Clock;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::action::{Action, Add};
use super::append::number;
use super::commit::{Intent, commit};
use super::data_file::{FileWriter, discard, in_stored_form};
use super::error::TableError;
use super::lease::RewriteLease;
use super::log::{LiveFile, Snapshot};
use super::protocol::{ARRIVAL_COLUMN, check_removable, check_writable};
use super::selected::{KeySet, Selected};
use super::types::{TableColumn, declared, stored_schema};
use super::{EPOCH, NEXT, TARGET_BYTES, Table, commit_info, millis};

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// The version without the rows; what it was before if there were none.
    pub version: u64,
    /// Rows taken out.
    pub n_rows: u64,
    /// Files that held some of them: each was written anew without them, or went whole.
    pub n_files: usize,
}

/// What a compaction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// The version.
    pub version: u64,
    /// Files that were written together.
    pub n_files_before: usize,
    /// Files that they became.
    pub n_files_after: usize,
    /// Rows in them.
    pub n_rows: u64,
}

/// A rewrite under way.
struct Rewrite<'t> {
    table: &'t Table,
    lease: &'t RewriteLease,
    base: Snapshot,
    writer: FileWriter,
}

impl Table {
    /// Takes the rows of these keys out of all live files. Older versions hold them until a vacuum.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn delete_keys(&self, keys: KeySet, lease: &RewriteLease) -> Result<Deleted, TableError> {
        self.delete(&Selected { keys: Some(keys), times: None }, lease)
    }

    /// How many live rows are selected.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn count_selected(&self, selected: &Selected) -> Result<u64, TableError> {
        let base = self.log.load(None)?;
        let columns = self.declared_in(&base)?;
        let looked_at = self.looked_at(selected, &columns)?;
        base.files.iter().map(|file| self.selected_in(&base, file, selected, &looked_at)).sum()
    }

    /// Takes the selected rows out of all live files. Older versions hold them until a vacuum.
    ///
    /// # Errors
    /// [`TableError::Columns`] if the table has not the selection's columns; [`TableError::Conflict`] if files went
    /// meanwhile; [`TableError`] if it cannot be read or written.
    pub fn delete(&self, selected: &Selected, lease: &RewriteLease) -> Result<Deleted, TableError> {
        let base = self.log.load(None)?;
        check_removable(&self.name, &base)?;
        let columns = self.declared_in(&base)?;
        let looked_at = self.looked_at(selected, &columns)?;
        let schema = stored_schema(&columns);
        let writer = FileWriter::new(self, SchemaRef::clone(&schema), TARGET_BYTES, true);
        let mut rewrite = Rewrite { table: self, lease, base, writer };
        let (mut gone, mut n_rows) = (Vec::new(), 0);
        for file in rewrite.base.files.clone() {
            let fail = |why: String| self.data_file_error(rewrite.base.version, &file.add.path, why);
            let n_selected = self.selected_in(&rewrite.base, &file, selected, &looked_at)?;
            if n_selected == 0 {
                continue;
            }
            n_rows += n_selected;
            for rows in self.read(rewrite.base.version, &file, None)? {
                let rows = rows.map_err(|why| fail(why.to_string()))?;
                let kept =
                    not(&selected.rows(&rows, &looked_at).map_err(fail)?).map_err(|why| fail(why.to_string()))?;
                let rows = filter_record_batch(&rows, &kept).map_err(|why| fail(why.to_string()))?;
                rewrite.writer.write(&in_stored_form(&rows, &schema).map_err(fail)?)?;
            }
            // What stays of a file stays between the files that stand around it.
            rewrite.writer.cut()?;
            gone.push(file);
        }
        let n_files = gone.len();
        if n_files == 0 {
            return Ok(Deleted { version: rewrite.base.version, n_rows: 0, n_files: 0 });
        }
        let epoch = rewrite.base.arrivals().map_or(0, |arrivals| arrivals.epoch) + 1;
        let metrics = json!({ "numDeletedRows": n_rows, "numRemovedFiles": n_files });
        let info = commit_info("DELETE", selected.told(), metrics);
        let actions = vec![info, Action::txn(EPOCH, number(epoch))];
        Ok(Deleted { version: rewrite.commit(actions, &gone, true)?, n_rows, n_files })
    }

    /// Writes small neighbours together into files of about `target` bytes. No row changes, nor its place.
    ///
    /// # Errors
    /// [`TableError::Conflict`] if files went meanwhile; [`TableError::Broken`] if the rows are not the same afterwards, then
    /// the version before is restored.
    pub fn compact(&self, target: u64, lease: &RewriteLease) -> Result<Compacted, TableError> {
        let base = self.log.load(None)?;
        check_writable(&self.name, &base)?;
        let schema = stored_schema(&declared(&self.name, &base.metadata.schema_string)?);
        let mut files = Vec::with_capacity(base.files.len());
        for file in &base.files {
            files.push((self.first_arrival(&base, file)?, file.clone()));
        }
        files.sort_by_key(|(first, _)| *first);
        let files: Vec<LiveFile> = files.into_iter().map(|(_, file)| file).collect();
        let groups = together(&files.iter().map(|file| file.add.size).collect::<Vec<_>>(), target);
        let version = base.version;
        // The target is one of what is read: a group makes one file.
        let writer = FileWriter::new(self, SchemaRef::clone(&schema), u64::MAX, false);
        let mut rewrite = Rewrite { table: self, lease, base, writer };
        if groups.is_empty() {
            return Ok(Compacted { version, n_files_before: 0, n_files_after: 0, n_rows: 0 });
        }
        let (mut gone, mut n_rows) = (Vec::new(), 0);
        let n_files_after = groups.len();
        for group in groups {
            for file in &files[group] {
                let fail = |why: String| self.data_file_error(version, &file.add.path, why);
                let mut n_read = 0;
                for rows in self.read(version, file, None)? {
                    let rows = rows.map_err(|why| fail(why.to_string()))?;
                    let rows = in_stored_form(&rows, &schema).map_err(fail)?;
                    n_read += rows.num_rows() as u64;
                    rewrite.writer.write(&rows)?;
                }
                if file.add.n_rows().is_some_and(|told| told != n_read) {
                    return Err(fail(format!("it holds {n_read} rows, and the log says otherwise")));
                }
                n_rows += n_read;
                gone.push(file.clone());
            }
            rewrite.writer.cut()?;
        }
        let n_files_before = gone.len();
        let metrics = json!({ "numAddedFiles": n_files_after, "numRemovedFiles": n_files_before });
        let info = commit_info("OPTIMIZE", json!({ "targetSize": target }), metrics);
        let version = rewrite.commit(vec![info], &gone, false)?;
        self.check_same_rows(version, lease)?;
        Ok(Compacted { version, n_files_before, n_files_after, n_rows })
    }

    /// Makes the rows of an older version the table's again; arrival numbers go on from where they are, and an append that
    /// was done since counts as not done.
    ///
    /// # Errors
    /// [`TableError::DataFile`] if a file of that version is gone; [`TableError::Conflict`] if anything was written meanwhile.
    pub fn restore(&self, to: u64, lease: &RewriteLease) -> Result<u64, TableError> {
        let (then, base) = (self.log.load(Some(to))?, self.log.load(None)?);
        check_removable(&self.name, &base)?;
        let paths = |files: &[LiveFile]| files.iter().map(|file| file.add.path.clone()).collect::<HashSet<_>>();
        let (before, after) = (paths(&base.files), paths(&then.files));
        let back: Vec<&LiveFile> = then.files.iter().filter(|file| !before.contains(&file.add.path)).collect();
        if let Some(lost) = back.iter().find(|file| !self.root.join(file.add.file().unwrap_or_default()).is_file()) {
            return Err(self.data_file_error(to, &lost.add.path, "it is gone, by a vacuum or otherwise"));
        }
        let arrivals = base.arrivals();
        let next = arrivals.map_or(0, |arrivals| arrivals.next);
        let epoch = arrivals.map_or(0, |arrivals| arrivals.epoch) + 1;
        let mut actions = vec![commit_info("RESTORE", json!({ "version": to }), json!({}))];
        actions.push(Action::txn(NEXT, number(next)));
        actions.push(Action::txn(EPOCH, number(epoch)));
        // Whose rows are gone may append them again, and whose rows are back did.
        let told = base
            .txns
            .iter()
            .filter(|(app, done)| ![NEXT, EPOCH].contains(&app.as_str()) && then.txns.get(*app) != Some(*done));
        actions.extend(told.map(|(app, _)| Action::txn(app, then.txns.get(app).copied().unwrap_or(0))));
        let now = millis(Clock::wall());
        let gone = base.files.iter().filter(|file| !after.contains(&file.add.path));
        actions.extend(gone.map(|file| Action::remove(&file.add, now, true)));
        actions.extend(back.iter().map(|file| Action::add(Add { data_change: true, ..file.add.clone() })));
        commit(&self.log, &base, Intent::Replace(lease), &actions)
    }

    /// The table's columns, if it was made here.
    fn declared_in(&self, base: &Snapshot) -> Result<Vec<TableColumn>, TableError> {
        self.columns_of(base)?.ok_or_else(|| TableError::Foreign { table: self.name.clone() })
    }

    /// The columns that a selection looks at.
    fn looked_at<'c>(
        &self,
        selected: &Selected,
        columns: &'c [TableColumn],
    ) -> Result<Vec<&'c TableColumn>, TableError> {
        let no_column = |name: String| TableError::Columns {
            table: self.name.clone(),
            why: format!("there is no column `{name}`"),
        };
        selected.columns(columns).map_err(no_column)
    }

    /// How many rows of a file are selected. Most files hold none of them: their other columns are not read.
    fn selected_in(
        &self,
        base: &Snapshot,
        file: &LiveFile,
        selected: &Selected,
        looked_at: &[&TableColumn],
    ) -> Result<u64, TableError> {
        let fail = |why: String| self.data_file_error(base.version, &file.add.path, why);
        let names: Vec<String> =
            looked_at.iter().flat_map(|column| [Some(column.name.clone()), column.rest()]).flatten().collect();
        let mut n_selected = 0;
        for rows in self.read(base.version, file, Some(&names))? {
            let rows = rows.map_err(|why| fail(why.to_string()))?;
            n_selected += selected.rows(&rows, looked_at).map_err(fail)?.true_count() as u64;
        }
        Ok(n_selected)
    }

    /// The arrival number of a file's first row.
    fn first_arrival(&self, base: &Snapshot, file: &LiveFile) -> Result<i64, TableError> {
        let stats: Option<Json> = file.add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok());
        if let Some(first) = stats.and_then(|stats| stats["minValues"][ARRIVAL_COLUMN].as_i64()) {
            return Ok(first);
        }
        let fail = |why: String| self.data_file_error(base.version, &file.add.path, why);
        let mut first = i64::MAX;
        for rows in self.read(base.version, file, Some(&[ARRIVAL_COLUMN.to_owned()]))? {
            let rows: RecordBatch = rows.map_err(|why| fail(why.to_string()))?;
            let numbers = rows.column_by_name(ARRIVAL_COLUMN).and_then(|c| c.as_primitive_opt::<Int64Type>());
            let numbers = numbers.ok_or_else(|| fail("it has no arrival numbers".to_owned()))?;
            first = first.min(arrow::compute::min(numbers).unwrap_or(i64::MAX));
        }
        Ok(first)
    }

    /// That a compaction, which is `version`, changed no row; else the version before is restored.
    fn check_same_rows(&self, version: u64, lease: &RewriteLease) -> Result<(), TableError> {
        let count = |version| -> Result<u64, TableError> {
            let snapshot = self.log.load(Some(version))?;
            snapshot.files.iter().map(|file| self.count(&snapshot, file)).sum()
        };
        let (before, after) = (count(version - 1)?, count(version)?);
        if before == after {
            return Ok(());
        }
        let restored = self.restore(version - 1, lease)?;
        Err(TableError::Broken { table: self.name.clone(), before, after, restored })
    }

    /// The rows of a file, as the file says.
    fn count(&self, snapshot: &Snapshot, file: &LiveFile) -> Result<u64, TableError> {
        let fail = |why: String| self.data_file_error(snapshot.version, &file.add.path, why);
        let opened = std::fs::File::open(self.root.join(file.add.file().unwrap_or_default()));
        let opened = opened.map_err(|why| fail(why.to_string()))?;
        let footer = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&opened);
        let n_rows = footer.map_err(|why| fail(why.to_string()))?.file_metadata().num_rows();
        u64::try_from(n_rows).map_err(|why| fail(why.to_string()))
    }
}

impl Rewrite<'_> {
    /// Commits what was written in place of `gone`.
    fn commit(self, mut actions: Vec<Action>, gone: &[LiveFile], data_change: bool) -> Result<u64, TableError> {
        let adds = self.writer.finish()?;
        let files: Vec<String> = adds.iter().map(|add| add.path.clone()).collect();
        let now = millis(Clock::wall());
        actions.extend(gone.iter().map(|file| Action::remove(&file.add, now, data_change)));
        actions.extend(adds.into_iter().map(Action::add));
        let done = commit(&self.table.log, &self.base, Intent::Rewrite(self.lease), &actions);
        if matches!(done, Err(TableError::Conflict { .. })) {
            discard(&self.table.root, &self.table.disk, files.iter().map(String::as_str));
        }
        done
    }
}

impl Selected {
    /// For the log, which outlives what is deleted: how many keys, not which.
    fn told(&self) -> Json {
        let mut told = json!({});
        if let Some(set) = &self.keys {
            let columns: Vec<&str> = set.columns.iter().map(|(name, _)| name.as_str()).collect();
            told["predicate"] = json!(format!("{} keys of {}", set.keys.len(), columns.join(", ")));
        }
        if let Some(range) = &self.times {
            let bound = |time: Option<schema::Timestamp>| time.map_or("..".to_owned(), |time| time.to_string());
            told["times"] = json!(format!("{} in [{}, {})", range.column, bound(range.from), bound(range.to)));
        }
        told
    }
}

/// Runs of neighbours that are small enough to be written together, at least two each. Pure.
fn together(sizes: &[u64], target: u64) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut sum) = (0, 0_u64);
    for (at, size) in sizes.iter().enumerate() {
        if sum.saturating_add(*size) > target {
            groups.push(start..at);
            (start, sum) = (at, 0);
        }
        sum = sum.saturating_add(*size);
    }
    groups.push(start..sizes.len());
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::together;

    #[test]
    fn small_neighbours_are_written_together() {
        let check = |sizes: &[u64], want: &[(usize, usize)]| {
            let found: Vec<_> = together(sizes, 10).into_iter().map(|group| (group.start, group.end)).collect();
            assert_eq!(found, want);
        };
        check(&[], &[]);
        check(&[4], &[]);
        check(&[4, 4, 4, 4, 4], &[(0, 2), (2, 4)]);
        check(&[4, 12, 4, 4], &[(2, 4)]);
        check(&[12, 12], &[]);
        check(&[1, 1, 1], &[(0, 3)]);
        check(&[5, 5, 1], &[(0, 2)]);
    }
}
