//! Sources: files, Delta tables, and objects of the stores that we have.

use schema::SourceName;
use schema::definitions::Format;

use super::yaml::Document;
use crate::feast::messages::core::{DataSource, FeatureViewSpec, SourceType};

/// Object stores that sources may be in.
const STORES: [&str; 6] = ["file://", "s3://", "gs://", "az://", "abfs://", "abfss://"];

/// Where a view's rows come from.
pub(super) struct Source<'a> {
    pub name: String,
    pub document: Document,
    pub times: Times<'a>,
}

/// Its columns of times; the created time's is empty without one.
pub(super) struct Times<'a> {
    pub event: &'a str,
    pub created: &'a str,
}

impl<'a> Times<'a> {
    /// Those that there are.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'a str> {
        [self.event, self.created].into_iter().filter(|column| !column.is_empty())
    }
}

/// The file that a view is materialized from; a push source's own.
pub(super) fn source(spec: &FeatureViewSpec) -> Result<Source<'_>, String> {
    let source = spec.batch_source.as_ref().ok_or("it has no batch source")?;
    let source =
        if source.r#type() == SourceType::Push { source.batch_source.as_deref().unwrap_or(source) } else { source };
    let Some(file) = source.file_options.as_ref().filter(|_| source.r#type() == SourceType::BatchFile) else {
        return Err(format!("its source `{}` is {:?}, not a file", source.name, source.r#type()));
    };
    if file.uri.contains("://") && !STORES.iter().any(|store| file.uri.starts_with(store)) {
        return Err(format!("its source `{}` is in no store that is read here: {}", source.name, file.uri));
    }
    let name = source_name(source, &spec.name);
    let mut document = Document::new("source");
    if !file.s3_endpoint_override.is_empty() {
        document.comment(&format!("plumb.yaml: storage: {{s3: {{endpoint: \"{}\"}}}}", file.s3_endpoint_override));
    }
    document.text("name", &name);
    document.text("description", &source.description);
    document.text("owner", &source.owner);
    document.tags(&source.tags);
    let path = file.uri.strip_prefix("file://").unwrap_or(&file.uri);
    document.text("path", path);
    let format = file.file_format.unwrap_or_default();
    if format.delta_format.is_some() {
        document.text("format", "delta");
    } else if format.parquet_format.is_some() && Format::of_path(path) != Format::Parquet {
        document.text("format", "parquet");
    }
    document.text("event_time", &source.timestamp_field);
    document.text("created_time", &source.created_timestamp_column);
    document.map("field_mapping", &source.field_mapping);
    let times = Times { event: &source.timestamp_field, created: &source.created_timestamp_column };
    Ok(Source { name, document, times })
}

/// Feast names a source by its path unless told otherwise.
fn source_name(source: &DataSource, view: &str) -> String {
    match SourceName::new(source.name.as_str()) {
        Ok(name) => name.to_string(),
        Err(_) => format!("{view}_source"),
    }
}
