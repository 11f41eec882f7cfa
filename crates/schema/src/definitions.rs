//! What a project declares: entities, sources, feature views and feature services, as read from its YAML files.
//!
//! Declared things have no version yet; [`crate::applied`] gives them one. Every mistake of a folder is reported at
//! once, each with its place ([`crate::yaml::Mistake`]).

mod ahead;
mod any_view;
mod check;
mod foreign;
mod model;
mod on_demand;
mod read;
mod serving;
mod ties;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use serde::{Deserialize, Serialize};

use crate::applied::AppliedDefinitions;
use crate::dtype::Dtype;
use crate::migration::{MigrateFrom, MigrationStep};
use crate::name::{CONSTANT_KEY, EntityName, FeatureName, ModelName, ServiceName, SourceName, ViewName};
use crate::order::Known;
use crate::time::Ttl;
use crate::value::Value;
use crate::yaml::{Mistake, Place};

pub use ahead::{Ahead, latest, too_far};
pub use any_view::{AnyView, ViewAlias};
pub use foreign::foreign;
pub use model::{DeclaredAdapter, DeclaredModel, NamedService};
pub use on_demand::{OnDemand, RequestField};
pub use serving::{FeastRows, OnError, Serving};
pub use ties::Ties;

/// The column that SQL over a source sees besides the source's own: the row's arrival number, `uint64`.
pub const ROW_COLUMN: &str = "_row";
/// The name by which a computed feature refers to the instant it is asked for.
pub const REQUEST_TIME: &str = "request_time";

type Mistakes = Vec<Mistake>;

/// Everything that a project declares, cross-references checked.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// Entities by name.
    pub entities: BTreeMap<EntityName, Entity>,
    /// Sources by name.
    pub sources: BTreeMap<SourceName, Source>,
    /// Feature views by name.
    pub views: BTreeMap<ViewName, View>,
    /// On-demand views by name; no feature view has the same name.
    pub on_demand: BTreeMap<ViewName, OnDemand>,
    /// Feature services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// Models by name.
    pub models: BTreeMap<ModelName, DeclaredModel>,
}

/// One file of a project, as handed in by whoever does the IO.
#[derive(Debug, Clone)]
pub struct File {
    /// Path relative to the project, for messages.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A kind of thing that features describe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Its name.
    pub name: EntityName,
    /// What identifies one, in order.
    pub keys: Vec<JoinKey>,
    /// For people; no part of the meaning.
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether its keys say who a person is; recorded, no part of the meaning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pii: bool,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// One join key of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinKey {
    /// Column name in views and requests.
    pub name: FeatureName,
    /// Its type; spine columns of narrower integers are widened to it.
    pub dtype: Dtype,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, which is the table's name in SQL.
    pub name: SourceName,
    /// A file, a folder of them, a pattern of files, or a Delta table's folder: relative to the project, or a URL of an
    /// object store. Files are ordered by path: that is arrival order.
    pub path: String,
    /// What stands at `path`.
    #[serde(default, skip_serializing_if = "Format::is_parquet")]
    pub format: Format,
    /// Types of columns, where the format has none of its own or the table does not exist yet. Empty elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// Columns whose values are in the names of folders, `day=2024-01-31/`; folders are walked to any depth then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Column>,
    /// What separates the fields of a CSV file; a comma unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// What happens to rows of a text that do not parse.
    #[serde(default, skip_serializing_if = "BadRows::is_refuse")]
    pub bad_rows: BadRows,
    /// Column of the event time.
    pub event_time: String,
    /// Column of the time at which the row became known.
    pub created_time: Option<String>,
    /// Boolean column that marks a row as a deletion of its key.
    pub deleted: Option<String>,
    /// Time zone of timestamp columns that carry none, an IANA name; UTC unless given.
    pub timezone: Option<String>,
    /// Renames: column in the file to column in the product.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub field_mapping: BTreeMap<String, String>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// What a source's files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Parquet files.
    #[default]
    Parquet,
    /// Texts with a header line, columns separated by commas.
    Csv,
    /// A JSON object on each line.
    JsonLines,
    /// A Delta table.
    Delta,
}

/// What happens to rows of a text that do not parse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    /// The first one is an error.
    #[default]
    Refuse,
    /// They are left out, counted, and kept aside with the reasons.
    Reject,
}

/// A column of a source and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the files, whatever letters it has.
    pub name: String,
    /// Its type.
    pub dtype: Dtype,
}

/// A feature view: the history of some features of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: ViewName,
    /// Whose features.
    pub entity: EntityName,
    /// The source that it reads.
    pub source: SourceName,
    /// A query over the source; without one the source's columns are the features.
    pub sql: Option<String>,
    /// Column of the event time in the query's result (or the source).
    pub event_time: String,
    /// Column of the created time.
    pub created_time: Option<String>,
    /// Integer column that orders rows of one event and created time; the row's position unless given.
    pub sequence: Option<String>,
    /// Boolean column that marks deletions.
    pub deleted: Option<String>,
    /// How long a row stays good; for ever unless given.
    pub ttl: Option<Ttl>,
    /// Which rows an instant may use.
    pub known: Known,
    /// Use only rows strictly before the instant.
    pub strict_before: bool,
    /// What a request gets when the online store cannot be read; no part of the meaning.
    #[serde(default, skip_serializing_if = "OnError::is_error")]
    pub on_error: OnError,
    /// Where its rows are served from; no part of the meaning.
    #[serde(default, skip_serializing_if = "Serving::is_own")]
    pub online: Serving,
    /// How far ahead of now its rows may come; no part of the meaning.
    #[serde(default, skip_serializing_if = "Ahead::is_as_project")]
    pub max_skew: Ahead,
    /// What becomes of rows that only their positions order; no part of the meaning.
    #[serde(default, skip_serializing_if = "Ties::is_last")]
    pub ties: Ties,
    /// Stored features, in order.
    pub features: Vec<Feature>,
    /// Features computed when asked for, in order.
    pub computed: Vec<Computed>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub owner: Option<String>,
    /// For people.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
    /// Where its query stands.
    #[serde(skip)]
    pub sql_place: Place,
}

/// A stored feature of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name, which is its column's.
    pub name: FeatureName,
    /// Its type.
    pub dtype: Dtype,
    /// For people.
    pub description: Option<String>,
    /// Whether it says something of a person; recorded, no part of the meaning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pii: bool,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// A feature that is an expression: over its view's stored features and the request's time, or over the inputs and
/// request fields of an on-demand view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    /// Its name.
    pub name: FeatureName,
    /// The type of its values.
    pub dtype: Dtype,
    /// A SQL expression; deterministic functions only.
    pub expr: String,
    /// For people.
    pub description: Option<String>,
    /// Whether it says something of a person; recorded, no part of the meaning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pii: bool,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// A feature service: the ordered features that one model eats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Views that it reads under another name, or by other names of their join keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewAlias>,
    /// The features, in the model's order; wildcards are written out.
    pub features: Vec<ServiceFeature>,
    /// What the model sees in place of null, by the feature's name in the service.
    pub fill: BTreeMap<FeatureName, Value>,
    /// How rows of an older service become rows of this one.
    pub migrate_from: BTreeMap<MigrateFrom, Vec<MigrationStep>>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub owner: Option<String>,
    /// For people.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// One feature of a service, or one input of an on-demand view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFeature {
    /// The view it comes from: its name, or its alias where the feature stands.
    pub view: ViewName,
    /// Its name there.
    pub feature: FeatureName,
    /// Its name in the service, or in the view's expressions.
    pub name: FeatureName,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

impl Definitions {
    /// Reads and checks all files of a project.
    ///
    /// `.yaml` files hold definitions, several documents a file; other files are texts that they name (`sql: x.sql`).
    ///
    /// # Errors
    /// Every mistake of every file, in file order.
    pub fn read(files: &[File]) -> Result<Self, Vec<Mistake>> {
        Self::read_after(files, None)
    }

    /// As [`Self::read`], where these definitions are applied: what names versions that there cannot be is a mistake too,
    /// and told with all others.
    ///
    /// # Errors
    /// Every mistake of every file, in file order.
    pub fn read_over(files: &[File], applied: &AppliedDefinitions) -> Result<Self, Vec<Mistake>> {
        Self::read_after(files, Some(applied))
    }

    fn read_after(files: &[File], applied: Option<&AppliedDefinitions>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let (definitions, broken) = read::read(files, &mut mistakes);
        check::check(&definitions, &broken, &mut mistakes);
        if let Some(applied) = applied {
            check::check_versions(&definitions, applied, &broken, &mut mistakes);
        }
        mistakes.sort_by(|a, b| a.place.cmp(&b.place));
        if mistakes.is_empty() { Ok(definitions) } else { Err(mistakes) }
    }
}

impl Definitions {
    fn count(&self) -> usize {
        let views = self.views.len() + self.on_demand.len();
        self.entities.len() + self.sources.len() + views + self.services.len() + self.models.len()
    }
}

impl JoinKey {
    /// Whether it is the key of an entity without keys, whose value is always the empty text.
    pub fn is_constant(&self) -> bool {
        self.name.as_str() == CONSTANT_KEY
    }

    /// The values of a constant key in `n` rows.
    pub fn constants(n: usize) -> ArrayRef {
        Arc::new(StringArray::from(vec![""; n]))
    }
}

impl Format {
    /// Every format by the name that definitions use.
    pub const ALL: [(&'static str, Self); 4] =
        [("parquet", Self::Parquet), ("csv", Self::Csv), ("json_lines", Self::JsonLines), ("delta", Self::Delta)];

    /// What a path's ending says; Parquet if it says nothing.
    pub fn of_path(path: &str) -> Self {
        let end = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, end)| end);
        match end.to_ascii_lowercase().as_str() {
            "csv" => Self::Csv,
            "jsonl" | "ndjson" | "json" => Self::JsonLines,
            _ => Self::Parquet,
        }
    }

    /// Whether its files are texts, which say no types.
    pub fn is_text(self) -> bool {
        match self {
            Self::Csv | Self::JsonLines => true,
            Self::Parquet | Self::Delta => false,
        }
    }

    fn is_parquet(&self) -> bool {
        *self == Self::Parquet
    }
}

impl BadRows {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
    fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

impl View {
    /// The dtype of a stored or computed feature.
    pub fn dtype_of(&self, feature: &str) -> Option<Dtype> {
        let stored = self.features.iter().find(|f| f.name.as_str() == feature).map(|f| f.dtype);
        stored.or_else(|| self.computed.iter().find(|c| c.name.as_str() == feature).map(|c| c.dtype))
    }

    /// All feature names: stored, then computed.
    pub fn feature_names(&self) -> impl Iterator<Item = &FeatureName> {
        self.features.iter().map(|f| &f.name).chain(self.computed.iter().map(|c| &c.name))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests;
