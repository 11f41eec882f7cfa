//! What Feast's client asks for: the JSON in a call's descriptor.

use schema::ErrorKind;
use serde::Deserialize;

use super::messages::FlightDescriptor;
use crate::feast::{Class, FeastError};

/// A call, by the name of the SDK's function.
#[derive(Debug, Deserialize)]
#[serde(tag = "api", rename_all = "snake_case")]
pub(super) enum Command {
    GetHistoricalFeatures(Historical),
    GetTableColumnNamesAndTypesFromDataSource(SourceText),
    PullLatestFromTableOrQuery {},
    PullAllFromTableOrQuery {},
    OfflineWriteBatch(Write),
    ValidateDataSource(SourceText),
    Persist {},
    WriteLoggedFeatures {},
}

/// Features as of the rows of a table, or of a query.
#[derive(Debug, Deserialize)]
pub(super) struct Historical {
    pub feature_refs: Vec<String>,
    pub feature_view_names: Vec<String>,
    /// What the references call each view, where it is not by its name.
    #[serde(default)]
    pub name_aliases: Vec<Option<String>>,
    pub project: String,
    #[serde(default)]
    pub full_feature_names: bool,
    #[serde(default)]
    pub entity_df_sql: Option<String>,
}

/// Rows for the history of a view.
#[derive(Debug, Deserialize)]
pub(super) struct Write {
    pub feature_view_names: Vec<String>,
}

/// A source: its message as JSON, in spite of the field's name.
#[derive(Debug, Deserialize)]
pub(super) struct SourceText {
    data_source_proto: String,
}

impl Command {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// It is no command, or none that we know.
    pub(super) fn read(descriptor: Option<&FlightDescriptor>) -> Result<Self, FeastError> {
        let command = descriptor.map(|descriptor| descriptor.command.as_ref()).unwrap_or_default();
        serde_json::from_slice(command).map_err(|why| FeastError {
            kind: ErrorKind::Invalid,
            class: Class::FeastError,
            message: format!("The call's descriptor is no command of Feast's offline store: {why}"),
        })
    }
}

impl Command {
    /// The SDK's function, as the client names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::GetHistoricalFeatures(_) => "get_historical_features",
            Self::GetTableColumnNamesAndTypesFromDataSource(_) => "get_table_column_names_and_types_from_data_source",
            Self::PullLatestFromTableOrQuery {} => "pull_latest_from_table_or_query",
            Self::PullAllFromTableOrQuery {} => "pull_all_from_table_or_query",
            Self::OfflineWriteBatch(_) => "offline_write_batch",
            Self::ValidateDataSource(_) => "validate_data_source",
            Self::Persist {} => "persist",
            Self::WriteLoggedFeatures {} => "write_logged_features",
        }
    }
}

impl SourceText {
    /// The name of the source.
    pub(super) fn name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        serde_json::from_str::<Named>(&self.data_source_proto).ok().map(|source| source.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(command: &str) -> Result<Command, FeastError> {
        Command::read(Some(&FlightDescriptor { kind: 2, command: command.to_owned().into(), path: Vec::new() }))
    }

    #[test]
    fn commands_read_as_the_client_writes_them() {
        let asked = r#"{"command_id": "c", "api": "get_historical_features", "feature_view_names": ["v"], "feature_refs":
            ["v:f"], "project": "p", "full_feature_names": true, "name_aliases": [null], "start_date": "2024-01-01"}"#;
        let Command::GetHistoricalFeatures(asked) = read(asked).unwrap() else { panic!("another command") };
        assert_eq!(
            (asked.feature_refs, asked.name_aliases, asked.full_feature_names),
            (vec!["v:f".to_owned()], vec![None], true)
        );
        let text = r#"{"api": "validate_data_source", "data_source_proto": "{\n  \"batchSource\": {\"name\": \"no\"},\n  \"name\": \"v_push\"\n}"}"#;
        let Command::ValidateDataSource(source) = read(text).unwrap() else { panic!("another command") };
        assert_eq!(source.name().as_deref(), Some("v_push"));
        let pull = r#"{"api": "pull_latest_from_table_or_query", "data_source_name": "v_rows"}"#;
        assert!(matches!(read(pull), Ok(Command::PullLatestFromTableOrQuery {})));
        assert!(read(r#"{"api": "drop_everything"}"#).unwrap_err().message.contains("drop_everything"));
        assert!(Command::read(None).is_err());
    }
}
