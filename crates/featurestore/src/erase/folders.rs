//! Files of a person by the names of their folders, `user_id=42/a.parquet`: the folder's value is the key of all rows.

use std::fs::File;
use std::path::Path;

use schema::definitions::Source;
use transform::cast::Zone;

use super::Subject;
use super::subject::typed;
use crate::offline::OfflineError;
use crate::offline::source::{Constant, constants, read_error};

/// What the folders of a file say of each of its rows; of most files nothing.
#[derive(Debug, Clone, Default)]
pub struct Folders(Vec<Constant>);

impl Folders {
    /// That say nothing.
    pub(super) const NONE: Self = Self(Vec::new());

    /// Those of a file of a source: the values of the partitions that it declares.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if the file is in no such folder, or one has no value of the type.
    pub fn of(project: &Path, file: &Path, source: &Source) -> Result<Self, OfflineError> {
        if source.partitions.is_empty() {
            return Ok(Self::default());
        }
        let zone = Zone::named(source.timezone.as_deref()).map_err(|why| read_error(&source.path, why))?;
        let name = file.strip_prefix(project).unwrap_or(file).display().to_string();
        constants(&name, &source.partitions, zone).map(Self).map_err(|why| read_error(&name, why))
    }

    /// Whether a column has the value that a text says, in every row; `None` if no folder has the column.
    pub(super) fn is(&self, column: &str, text: &str) -> Option<bool> {
        let constant = self.0.iter().find(|constant| constant.column == column)?;
        let canonical = |value: &schema::Value| value.canonical(constant.dtype).ok();
        let wanted = typed(text, constant.dtype).and_then(|value| canonical(&value));
        Some(wanted.is_some() && wanted == canonical(&constant.value))
    }

    /// Whether they alone say that every row is the subject's, by one of `lists`.
    pub(super) fn are(&self, subject: &Subject, lists: &[Vec<String>]) -> bool {
        let is = |list: &Vec<String>| {
            list.iter().enumerate().all(|(at, column)| self.is(column, subject.text_at(at)) == Some(true))
        };
        lists.iter().any(is)
    }
}

/// Removes a file, and the folders that name somebody and have nothing else.
pub(super) fn remove(path: &Path) -> Result<(), OfflineError> {
    let gone = || {
        std::fs::remove_file(path)?;
        let mut last = path;
        while let Some(folder) = last.parent() {
            let is_partition = folder.file_name().is_some_and(|name| name.to_string_lossy().contains('='));
            if !is_partition || std::fs::remove_dir(folder).is_err() {
                return File::open(folder)?.sync_all();
            }
            last = folder;
        }
        Ok(())
    };
    gone().map_err(|why| OfflineError::Write { path: path.display().to_string(), source: why.into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use schema::definitions::Column;

    use super::*;
    use crate::erase::files::{count_in, rewrite_in};
    use crate::erase::text::{self, Wanted};
    use crate::erase::{Rows, text::Found};
    use crate::testing::{applied, parquet};

    fn source(format: &str) -> Source {
        let text = format!(
            "{{kind: entity, name: user, join_keys: [{{name: uid, type: string}}]}}\n---\n\
             {{kind: source, name: rows, path: rows, format: {format}, event_time: at, partitions: [{{name: uid, type: string}}]}}\n---\n\
             {{kind: feature_view, name: v, entity: user, source: rows, features: [{{name: n, type: int64}}]}}\n"
        );
        applied(&text).current_view("v").unwrap().source.clone()
    }

    fn subject(parts: &[(&str, &str)]) -> Subject {
        Subject::new(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    fn list(names: &[&str]) -> Vec<Vec<String>> {
        vec![names.iter().map(|name| (*name).to_owned()).collect()]
    }

    #[test]
    fn a_folder_is_the_key_of_all_rows() {
        let project = tempfile::tempdir().unwrap();
        let source = source("parquet");
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)]).unwrap();
        let file = |user: &str| {
            let path = project.path().join(format!("rows/uid={user}/a.parquet"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            parquet(&path, &rows);
            path
        };
        let (theirs, others) = (file("Caf%C3%A9"), file("b"));
        let who = subject(&[("uid", "Café")]);
        for (path, n_found) in [(&theirs, 3), (&others, 0)] {
            let folders = Folders::of(project.path(), path, &source).unwrap();
            let found = count_in(&folders, path, &who, &list(&["uid"])).unwrap();
            assert_eq!(found, Some(Rows { n_rows: 3, n_found }));
            assert_eq!(rewrite_in(&folders, path, &who, &list(&["uid"])).unwrap().n_found, n_found);
        }
        assert!(others.is_file() && !theirs.parent().unwrap().exists() && project.path().join("rows").is_dir());
        // The other part of a key is a column: of such a file only rows go.
        let folders = Folders::of(project.path(), &others, &source).unwrap();
        let both = subject(&[("n", "2"), ("uid", "b")]);
        assert_eq!(rewrite_in(&folders, &others, &both, &list(&["n", "uid"])).unwrap().n_found, 1);
        let left = count_in(&folders, &others, &both, &list(&["n", "uid"])).unwrap();
        assert_eq!(left, Some(Rows { n_rows: 2, n_found: 0 }));
        // A file that is in no such folder says of nobody whose it is.
        assert!(Folders::of(project.path(), &project.path().join("rows/a.parquet"), &source).is_err());
    }

    /// The name of the folder is the personal value, whatever is in it.
    #[test]
    fn a_folder_without_rows_goes_too() {
        let project = tempfile::tempdir().unwrap();
        let definitions = applied(
            "{kind: entity, name: user, join_keys: [{name: uid, type: string}]}\n---\n\
             {kind: source, name: rows, path: rows, format: csv, event_time: at, partitions: [{name: uid, type: string}]}\n---\n\
             {kind: feature_view, name: v, entity: user, source: rows, features: [{name: n, type: int64}]}\n",
        );
        let view = definitions.current_view("v").unwrap();
        let who = subject(&[("uid", "Anna")]);
        for (name, text) in [("empty", "at,n\n"), ("broken", "at,n\n1\n"), ("named", "at,n,uid\n2024-01-01,1,other\n")]
        {
            let path = project.path().join(format!("rows/uid=Anna/{name}.csv"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let folders = Folders::of(project.path(), &path, &view.source).unwrap();
            let wanted = Wanted::new(&who, &[view], &view.source).unwrap().in_folders(folders);
            let found = text::count(&path, &wanted, &list(&["uid"])).unwrap().unwrap();
            assert!(found.rows.n_found > 0 && found.unclear.is_empty(), "{name}: {found:?}");
            text::rewrite(&path, &wanted, &list(&["uid"])).unwrap();
            assert!(!path.parent().unwrap().exists(), "{name}");
        }
        let path = project.path().join("rows/uid=Anna/a.parquet");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let none =
            RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef)]).unwrap();
        parquet(&path, &none);
        let folders = Folders::of(project.path(), &path, &source("parquet")).unwrap();
        assert_eq!(rewrite_in(&folders, &path, &who, &list(&["uid"])).unwrap().n_found, 1);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_partition_is_compared_as_its_type() {
        let column = |dtype| Column { name: "uid".to_owned(), dtype };
        let source = Source { partitions: vec![column(schema::Dtype::Int64)], ..source("parquet") };
        let folders = Folders::of(Path::new("/p"), Path::new("/p/rows/uid=042/a.parquet"), &source).unwrap();
        assert_eq!([folders.is("uid", "42"), folders.is("uid", "x")], [Some(true), Some(false)]);
        assert_eq!(folders.is("n", "42"), None);
    }

    #[test]
    fn texts_are_in_folders_too() {
        let definitions = applied(
            "{kind: entity, name: user, join_keys: [{name: uid, type: string}]}\n---\n\
             {kind: source, name: rows, path: rows, format: json_lines, event_time: at, partitions: [{name: uid, type: string}]}\n---\n\
             {kind: feature_view, name: v, entity: user, source: rows, features: [{name: n, type: int64}]}\n",
        );
        let view = definitions.current_view("v").unwrap();
        let project = tempfile::tempdir().unwrap();
        let who = subject(&[("uid", "a")]);
        for (user, n_found) in [("a", 2), ("b", 0)] {
            let path = project.path().join(format!("rows/uid={user}/a.jsonl"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "{\"n\": 1}\n{\"n\": 2}\n").unwrap();
            let folders = Folders::of(project.path(), &path, &view.source).unwrap();
            let wanted = Wanted::new(&who, &[view], &view.source).unwrap().in_folders(folders);
            let want = Found { rows: Rows { n_rows: 2, n_found }, unclear: Vec::new() };
            assert_eq!(text::count(&path, &wanted, &list(&["uid"])).unwrap(), Some(want.clone()));
            assert_eq!(text::rewrite(&path, &wanted, &list(&["uid"])).unwrap(), want);
            assert_eq!(path.exists(), n_found == 0);
        }
    }
}
