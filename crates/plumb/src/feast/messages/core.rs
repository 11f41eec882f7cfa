//! Package `feast.core`: the objects of a registry.

use std::collections::BTreeMap;

use prost::Message;

/// `google.protobuf.Empty`, and every message of which we send no field.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// `google.protobuf.Timestamp`: an instant.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A registry file, whole.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Registry {
    #[prost(message, repeated, tag = "1")]
    pub entities: Vec<Entity>,
    #[prost(string, tag = "3")]
    pub registry_schema_version: String,
    #[prost(string, tag = "4")]
    pub version_id: String,
    #[prost(message, optional, tag = "5")]
    pub last_updated: Option<Timestamp>,
    #[prost(message, repeated, tag = "6")]
    pub feature_views: Vec<FeatureView>,
    #[prost(message, repeated, tag = "7")]
    pub feature_services: Vec<FeatureService>,
    #[prost(message, repeated, tag = "8")]
    pub on_demand_feature_views: Vec<OnDemandFeatureView>,
    #[prost(message, repeated, tag = "12")]
    pub data_sources: Vec<DataSource>,
    #[prost(message, repeated, tag = "14")]
    pub stream_feature_views: Vec<NamedObject>,
    #[prost(message, repeated, tag = "17")]
    pub projects: Vec<Project>,
    #[prost(message, repeated, tag = "19")]
    pub label_views: Vec<NamedObject>,
}

/// An object of a kind that we lack: only its name is read.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NamedObject {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<NamedSpec>,
}

/// The first fields of every specification.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NamedSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
}

/// A project.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Project {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<ProjectSpec>,
    #[prost(message, optional, tag = "2")]
    pub meta: Option<Meta>,
}

#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ProjectSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub description: String,
}

/// When an object was made and last changed.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Meta {
    #[prost(message, optional, tag = "1")]
    pub created_timestamp: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub last_updated_timestamp: Option<Timestamp>,
}

/// An entity: one join key.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Entity {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<EntitySpec>,
    #[prost(message, optional, tag = "2")]
    pub meta: Option<Meta>,
}

#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct EntitySpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub value_type: i32,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(string, tag = "4")]
    pub join_key: String,
    #[prost(btree_map = "string, string", tag = "8")]
    pub tags: BTreeMap<String, String>,
    #[prost(string, tag = "9")]
    pub project: String,
    #[prost(string, tag = "10")]
    pub owner: String,
}

/// A feature view.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureView {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<FeatureViewSpec>,
    #[prost(message, optional, tag = "2")]
    pub meta: Option<FeatureViewMeta>,
}

#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureViewSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    /// Names of entities.
    #[prost(string, repeated, tag = "3")]
    pub entities: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub features: Vec<FeatureSpec>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    /// None or zero is for ever.
    #[prost(message, optional, tag = "6")]
    pub ttl: Option<Duration>,
    #[prost(message, optional, tag = "7")]
    pub batch_source: Option<DataSource>,
    #[prost(bool, tag = "8")]
    pub online: bool,
    #[prost(message, optional, tag = "9")]
    pub stream_source: Option<DataSource>,
    #[prost(string, tag = "10")]
    pub description: String,
    #[prost(string, tag = "11")]
    pub owner: String,
    /// Join keys and their types.
    #[prost(message, repeated, tag = "12")]
    pub entity_columns: Vec<FeatureSpec>,
    #[prost(message, optional, tag = "15")]
    pub feature_transformation: Option<FeatureTransformation>,
}

/// What a view's last state was; `state` is left unspecified, so that no client holds features back.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureViewMeta {
    #[prost(message, optional, tag = "1")]
    pub created_timestamp: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub last_updated_timestamp: Option<Timestamp>,
    #[prost(int32, tag = "4")]
    pub current_version_number: i32,
}

/// A column: `feast.core.FeatureSpecV2`.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub value_type: i32,
    #[prost(btree_map = "string, string", tag = "3")]
    pub tags: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub description: String,
}

/// A function on a view's rows: of Python, unless it has no `user_defined_function`.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureTransformation {
    #[prost(message, optional, tag = "1")]
    pub user_defined_function: Option<UserDefinedFunction>,
}

/// A pickled function and its source text.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct UserDefinedFunction {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub body_text: String,
    #[prost(string, tag = "4")]
    pub mode: String,
}

/// An on-demand feature view.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OnDemandFeatureView {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<OnDemandFeatureViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OnDemandFeatureViewSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(message, repeated, tag = "3")]
    pub features: Vec<FeatureSpec>,
    #[prost(message, optional, tag = "5")]
    pub user_defined_function: Option<UserDefinedFunction>,
    #[prost(message, optional, tag = "10")]
    pub feature_transformation: Option<FeatureTransformation>,
    #[prost(string, tag = "11")]
    pub mode: String,
}

/// A feature service.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureService {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<FeatureServiceSpec>,
    #[prost(message, optional, tag = "2")]
    pub meta: Option<Meta>,
}

#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureServiceSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(message, repeated, tag = "3")]
    pub features: Vec<FeatureViewProjection>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub tags: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub description: String,
    #[prost(string, tag = "6")]
    pub owner: String,
}

/// Some features of a view.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FeatureViewProjection {
    #[prost(string, tag = "1")]
    pub feature_view_name: String,
    #[prost(message, repeated, tag = "2")]
    pub feature_columns: Vec<FeatureSpec>,
    #[prost(string, tag = "3")]
    pub feature_view_name_alias: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub join_key_map: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub timestamp_field: String,
    #[prost(string, tag = "7")]
    pub created_timestamp_column: String,
    /// The view's version, where it is not the current one.
    #[prost(int32, optional, tag = "10")]
    pub version_tag: Option<i32>,
    #[prost(string, tag = "11")]
    pub view_type: String,
}

/// Where rows come from.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DataSource {
    #[prost(enumeration = "SourceType", tag = "1")]
    pub r#type: i32,
    #[prost(btree_map = "string, string", tag = "2")]
    pub field_mapping: BTreeMap<String, String>,
    #[prost(string, tag = "3")]
    pub timestamp_field: String,
    #[prost(string, tag = "5")]
    pub created_timestamp_column: String,
    #[prost(message, optional, tag = "11")]
    pub file_options: Option<FileOptions>,
    #[prost(string, tag = "17")]
    pub data_source_class_type: String,
    #[prost(string, tag = "20")]
    pub name: String,
    #[prost(string, tag = "21")]
    pub project: String,
    #[prost(message, optional, tag = "22")]
    pub push_options: Option<Empty>,
    #[prost(string, tag = "23")]
    pub description: String,
    #[prost(btree_map = "string, string", tag = "24")]
    pub tags: BTreeMap<String, String>,
    #[prost(string, tag = "25")]
    pub owner: String,
    /// A push source's own.
    #[prost(message, optional, boxed, tag = "26")]
    pub batch_source: Option<Box<DataSource>>,
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the variants are their names")]
pub enum SourceType {
    Invalid = 0,
    BatchFile = 1,
    BatchBigquery = 2,
    StreamKafka = 3,
    StreamKinesis = 4,
    BatchRedshift = 5,
    Custom = 6,
    Request = 7,
    BatchSnowflake = 8,
    Push = 9,
    BatchTrino = 10,
    BatchSpark = 11,
    BatchAthena = 12,
    BatchIceberg = 13,
}

/// A file or a folder of them.
#[derive(Clone, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FileOptions {
    #[prost(message, optional, tag = "1")]
    pub file_format: Option<FileFormat>,
    #[prost(string, tag = "2")]
    pub uri: String,
    #[prost(string, tag = "3")]
    pub s3_endpoint_override: String,
}

/// The format of files.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FileFormat {
    #[prost(message, optional, tag = "1")]
    pub parquet_format: Option<Empty>,
    #[prost(message, optional, tag = "2")]
    pub delta_format: Option<Empty>,
}

macro_rules! named {
    ($($message:ty),*) => {$(
        impl $message {
            /// Its name; empty without a specification.
            pub fn name(&self) -> &str {
                self.spec.as_ref().map_or("", |spec| spec.name.as_str())
            }
        }
    )*};
}
named!(Entity, FeatureView, FeatureService, OnDemandFeatureView, NamedObject, Project);

macro_rules! tagged {
    ($($message:ty),*) => {$(
        impl $message {
            /// Its tags; none without a specification.
            pub fn tags(&self) -> &BTreeMap<String, String> {
                static NONE: BTreeMap<String, String> = BTreeMap::new();
                self.spec.as_ref().map_or(&NONE, |spec| &spec.tags)
            }
        }
    )*};
}
tagged!(Entity, FeatureView, FeatureService);

#[cfg(test)]
mod tests;
