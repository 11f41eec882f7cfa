//! Package `feast.registry`: requests and answers of the registry's server.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use super::core;

/// `Get<Kind>Request`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Get {
    /// Of what.
    #[prost(string, tag = "1")]
    pub name: String,
    /// In which project.
    #[prost(string, tag = "2")]
    pub project: String,
}

/// `List<Kind>Request`. Filters other than tags, pages and sorting, which the SDK does not send, are not read.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct List {
    /// In which project.
    #[prost(string, tag = "1")]
    pub project: String,
    /// Only items with all of these.
    #[prost(btree_map = "string, string", tag = "3")]
    pub tags: BTreeMap<String, String>,
}

/// `GetProjectRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetProject {
    /// Of what.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `ListProjectsRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListProjects {}

/// `RefreshRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Refresh {
    /// In which project.
    #[prost(string, tag = "1")]
    pub project: String,
}

/// `ListEntitiesResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Entities {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub entities: Vec<core::Entity>,
}

/// `ListDataSourcesResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct DataSources {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub data_sources: Vec<core::DataSource>,
}

/// `ListFeatureViewsResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct FeatureViews {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub feature_views: Vec<core::FeatureView>,
}

/// `ListAllFeatureViewsResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct AllFeatureViews {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub feature_views: Vec<AnyFeatureView>,
}

/// `ListFeatureServicesResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct FeatureServices {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub feature_services: Vec<core::FeatureService>,
}

/// `ListProjectsResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Projects {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub projects: Vec<core::Project>,
}

/// `GetAnyFeatureViewResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct AnyFeatureViewResponse {
    /// The view.
    #[prost(message, optional, tag = "1")]
    pub any_feature_view: Option<AnyFeatureView>,
}

/// A view of any kind.
#[derive(Clone, PartialEq, Message)]
pub struct AnyFeatureView {
    /// The view.
    #[prost(oneof = "AnyKind", tags = "1")]
    pub any_feature_view: Option<AnyKind>,
}

/// The kinds of views that we have.
#[derive(Clone, PartialEq, Oneof)]
pub enum AnyKind {
    /// Stored features.
    #[prost(message, tag = "1")]
    FeatureView(core::FeatureView),
}

impl From<core::FeatureView> for AnyFeatureView {
    fn from(view: core::FeatureView) -> Self {
        Self { any_feature_view: Some(AnyKind::FeatureView(view)) }
    }
}
