//! What a training set was made of: enough to make it again, or to say what is no longer as it was.
//!
//! It stands in the file and beside it, so it has a format number, and files of every format stay readable.

use std::collections::BTreeMap;

use schema::Fingerprint;
use serde::{Deserialize, Serialize};

/// The format that this program writes.
pub const FORMAT: u32 = 1;
/// Under which name a file's metadata holds it.
pub const KEY: &str = "plumb.lineage";

/// What a training set was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Of these fields.
    pub format: u32,
    /// The version of the program.
    pub plumb: String,
    /// The spine.
    pub spine: SpineLineage,
    /// The service.
    pub service: ServiceLineage,
    /// Its feature views, each use of one.
    pub views: Vec<ViewLineage>,
    /// How it was built.
    pub options: LineageOptions,
}

/// The rows that were joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpineLineage {
    /// The file, as the user named it; none where the rows came with a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The query, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// What the query could read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceState>,
    /// The column of the instants.
    pub event_time: String,
    /// Rows; not known yet where an answer streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Digest of the rows, whatever file they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Fingerprint>,
}

/// A source that a query could read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// The source.
    pub source: String,
    /// Digest of the state of its data.
    pub data_version: Fingerprint,
    /// The version of the Delta table that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_version: Option<u64>,
}

/// The service that was joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLineage {
    /// Its name; `features` where single features were asked for.
    pub name: String,
    /// Its version, 0 where single features were asked for.
    pub version: u32,
    /// Its meaning.
    pub fingerprint: Fingerprint,
    /// The columns, as `name = view@v1:feature`.
    pub columns: Vec<String>,
}

/// One use of a feature view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewLineage {
    /// What the service calls it.
    pub name: String,
    /// The view version.
    pub view: String,
    /// Its meaning.
    pub fingerprint: Fingerprint,
    /// Digest of the state of its data.
    pub data_version: Fingerprint,
    /// The files of its data, with a digest of the state of each.
    pub files: Vec<(String, Fingerprint)>,
    /// Rows that had been pushed to it: the position in its log.
    pub n_pushed: u64,
    /// The source and the version of the Delta table that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<(String, u64)>,
}

/// How it was built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageOptions {
    /// Whether nulls were replaced by the service's `fill`.
    pub filled: bool,
    /// The column of the labels' times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_time: Option<String>,
}

impl Lineage {
    /// Reads what a file says.
    ///
    /// # Errors
    /// It is of another format, or no lineage.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(other) => return Err(format!("it has format {other}, and this program reads format {FORMAT}")),
            None => return Err("it has no format number".to_owned()),
        }
        serde_json::from_value(value).map_err(|why| why.to_string())
    }

    /// The versions of the Delta tables that it was made of, by the names of their sources.
    pub fn tables(&self) -> BTreeMap<String, u64> {
        let views = self.views.iter().filter_map(|view| view.table.clone());
        let of_source = |state: &SourceState| Some((state.source.clone(), state.table_version?));
        views.chain(self.spine.sources.iter().filter_map(of_source)).collect()
    }

    /// As stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Names the training set: equal for the same rows of the same meaning.
    pub fn id(&self) -> Fingerprint {
        Fingerprint::of_bytes(Self { plumb: String::new(), ..self.clone() }.to_json().as_bytes())
    }

    /// What is no longer as it was, a line each; of the spine only where both digests are known.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.service.fingerprint != now.service.fingerprint {
            let (was, is) = (&self.service, &now.service);
            changes.push(format!(
                "feature service `{}` version {} meant {}, and version {} means {}",
                was.name,
                was.version,
                was.fingerprint.short(),
                is.version,
                is.fingerprint.short()
            ));
        }
        for was in &self.views {
            match now.views.iter().find(|is| is.name == was.name) {
                Some(is) => was.changes(is, &mut changes),
                None => changes.push(format!("feature view `{}` is not used any more", was.view)),
            }
        }
        for was in &self.spine.sources {
            match now.spine.sources.iter().find(|is| is.source == was.source) {
                Some(is) if is.data_version == was.data_version => {}
                Some(_) => changes.push(format!("the data of source `{}`, which the spine reads, changed", was.source)),
                None => changes.push(format!("source `{}`, which the spine could read, is gone", was.source)),
            }
        }
        if self.spine.sql != now.spine.sql {
            changes.push("the query of the spine is another".to_owned());
        }
        if let (Some(was), Some(is)) = (self.spine.digest, now.spine.digest)
            && was != is
        {
            let rows = |spine: &SpineLineage| spine.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
            changes.push(format!(
                "the rows of the spine changed: {} rows of digest {}, now {} of {}",
                rows(&self.spine),
                was.short(),
                rows(&now.spine),
                is.short()
            ));
        }
        changes
    }
}

impl ViewLineage {
    fn changes(&self, now: &Self, changes: &mut Vec<String>) {
        let view = &self.view;
        if self.fingerprint != now.fingerprint {
            changes.push(format!("feature view `{view}` means something else: {}", now.view));
            return;
        }
        if self.data_version == now.data_version {
            return;
        }
        let before = changes.len();
        let digest = |files: &[(String, Fingerprint)], name: &String| {
            files.iter().find(|(known, _)| known == name).map(|(_, digest)| *digest)
        };
        for (name, was) in &self.files {
            match digest(&now.files, name) {
                None => changes.push(format!("feature view `{view}`: file `{name}` is gone")),
                Some(is) if is != *was => changes.push(format!("feature view `{view}`: file `{name}` changed")),
                Some(_) => {}
            }
        }
        let new = now.files.iter().filter(|(name, _)| digest(&self.files, name).is_none());
        changes.extend(new.map(|(name, _)| format!("feature view `{view}`: file `{name}` is new")));
        if now.n_pushed != self.n_pushed {
            let (was, is) = (self.n_pushed, now.n_pushed);
            changes.push(format!("feature view `{view}`: {was} rows had been pushed, now there are {is}"));
        }
        if changes.len() == before {
            changes.push(format!("feature view `{view}`: its data changed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Lineage {
        Lineage::parse(include_str!("../../testdata/lineage/v1.json")).unwrap()
    }

    /// `testdata/lineage/v1.json` was written when the format was new.
    #[test]
    fn lineage_of_format_1_is_read_for_ever() {
        let lineage = stored();
        assert_eq!(lineage.to_json(), include_str!("../../testdata/lineage/v1.json").trim());
        assert_eq!(lineage.views[0].files[0].0, "data/orders.parquet");
        assert_eq!(lineage.id().short(), lineage.clone().id().short());
        let other = Lineage::parse(&lineage.to_json().replacen("\"format\":1", "\"format\":2", 1)).unwrap_err();
        assert_eq!(other, "it has format 2, and this program reads format 1");
    }

    #[test]
    fn what_changed_is_named() {
        let was = stored();
        assert_eq!(was.changes(&was), Vec::<String>::new());
        let other = Fingerprint::of_bytes(b"other");
        let mut now = was.clone();
        now.plumb = "99".to_owned();
        assert_eq!(was.changes(&now), Vec::<String>::new());
        assert_eq!(was.id(), now.id());
        now.views[0].data_version = other;
        now.views[0].files[0].1 = other;
        now.views[0].files.push(("data/more.parquet".to_owned(), other));
        now.views[0].n_pushed = 7;
        now.spine.digest = Some(other);
        now.spine.rows = Some(11);
        now.service.fingerprint = other;
        let said = was.changes(&now).join("\n");
        for part in [
            "feature view `user_features@v1`: file `data/orders.parquet` changed",
            "feature view `user_features@v1`: file `data/more.parquet` is new",
            "feature view `user_features@v1`: 3 rows had been pushed, now there are 7",
            "the rows of the spine changed: 10 rows of digest",
            "feature service `repeat_purchase_v1` version 1 meant",
        ] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert_ne!(was.id(), now.id());
    }
}
