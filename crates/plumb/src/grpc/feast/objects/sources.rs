//! Where rows come from, twice for each view: its file, and what is pushed to it.

use schema::FeatureView;
use schema::definitions::Format;

use super::Objects;
use crate::feast::messages::core;
use crate::feast::{PUSH_SOURCE, ROWS_SOURCE};

impl Objects<'_> {
    /// The rows of a view as Feast would read them: its own times, whatever its query makes them of.
    pub(super) fn batch_source(&self, view: &FeatureView) -> core::DataSource {
        let source = &view.source;
        let declared = |text: &Option<String>| text.clone().unwrap_or_default();
        core::DataSource {
            r#type: core::SourceType::BatchFile.into(),
            name: format!("{}{ROWS_SOURCE}", view.id.name),
            file_options: Some(core::FileOptions {
                file_format: file_format(source.format),
                uri: source.path.clone(),
                s3_endpoint_override: String::new(),
            }),
            field_mapping: source.field_mapping.clone(),
            description: declared(&source.description),
            tags: source.tags.clone(),
            owner: declared(&source.owner),
            ..self.times(view)
        }
    }

    /// The source by which rows are pushed into a view.
    pub(super) fn push_source(&self, view: &FeatureView) -> core::DataSource {
        core::DataSource {
            r#type: core::SourceType::Push.into(),
            name: format!("{}{PUSH_SOURCE}", view.id.name),
            push_options: Some(core::Empty {}),
            batch_source: Some(Box::new(self.batch_source(view))),
            ..self.times(view)
        }
    }

    fn times(&self, view: &FeatureView) -> core::DataSource {
        core::DataSource {
            timestamp_field: view.definition.event_time.clone(),
            created_timestamp_column: view.definition.created_time.clone().unwrap_or_default(),
            project: self.project.to_owned(),
            ..core::DataSource::default()
        }
    }
}

/// Feast has words for two formats; of a text it is told no format.
fn file_format(format: Format) -> Option<core::FileFormat> {
    let said = Some(core::Empty {});
    match format {
        Format::Parquet => Some(core::FileFormat { parquet_format: said, delta_format: None }),
        Format::Delta => Some(core::FileFormat { parquet_format: None, delta_format: said }),
        Format::Csv | Format::JsonLines => None,
    }
}
