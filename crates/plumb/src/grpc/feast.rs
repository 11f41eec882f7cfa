//! `feast.registry.RegistryServer`: what is applied, as Feast's SDK reads it from `registry_type: remote`.
//!
//! Answers come from the catalog in memory, which follows the registry. Only reading is there: definitions are applied by
//! `plumb apply`.

pub mod objects;

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use axum::Router;
use registry::Registry;
use schema::yaml::suggest;
use schema::{AppliedDefinitions, ErrorKind};
use tonic::{Code, Status};

use super::unary::unary;
use crate::feast::messages::core;
use crate::feast::messages::registry as wire;
use crate::feast::{Class, FeastError};
use objects::Objects;

/// The service's name.
pub const SERVICE: &str = "feast.registry.RegistryServer";

/// The applied definitions of one project.
#[derive(Debug)]
pub struct FeastRegistry {
    project: String,
    registry: Arc<Registry>,
}

/// The methods.
pub fn router(feast: Arc<FeastRegistry>) -> Router {
    let mut router = Router::new();
    macro_rules! methods {
        ($($name:literal => $method:ident),* $(,)?) => {$(
            let service = Arc::clone(&feast);
            router = router.route(concat!("/feast.registry.RegistryServer/", $name), unary(move |asked| ready(service.$method(&asked))));
        )*};
    }
    methods! {
        "GetEntity" => get_entity,
        "ListEntities" => list_entities,
        "GetDataSource" => get_data_source,
        "ListDataSources" => list_data_sources,
        "GetFeatureView" => get_feature_view,
        "GetAnyFeatureView" => get_any_feature_view,
        "ListFeatureViews" => list_feature_views,
        "ListAllFeatureViews" => list_all_feature_views,
        "GetFeatureService" => get_feature_service,
        "ListFeatureServices" => list_feature_services,
        "ListOnDemandFeatureViews" => list_nothing,
        "ListStreamFeatureViews" => list_nothing,
        "ListLabelViews" => list_nothing,
        "ListSavedDatasets" => list_nothing,
        "ListValidationReferences" => list_nothing,
        "ListPermissions" => list_nothing,
        "GetProject" => get_project,
        "ListProjects" => list_projects,
        "Proto" => proto,
    }
    router.route("/feast.registry.RegistryServer/Refresh", unary(move |_: wire::Refresh| refresh(Arc::clone(&feast))))
}

/// Reads what other processes applied; the server does so by itself within a second.
async fn refresh(feast: Arc<FeastRegistry>) -> Result<core::Empty, Status> {
    match feast.registry.refresh().await {
        Ok(_) => Ok(core::Empty {}),
        Err(why) => Err(status(&crate::failure::Failure::from(why).into())),
    }
}

impl FeastRegistry {
    /// The registry of `project`.
    pub fn new(project: String, registry: Arc<Registry>) -> Self {
        Self { project, registry }
    }

    /// Calls `read` with what is applied, if that is what is asked for.
    fn of<T>(&self, project: &str, read: impl FnOnce(&Objects<'_>) -> Result<T, Status>) -> Result<T, Status> {
        let catalog = self.registry.catalog();
        let nothing = AppliedDefinitions::default();
        // A client of another project finds nothing here, as in a registry that several projects share.
        let here = project.is_empty() || project == self.project;
        let definitions = if here { catalog.definitions() } else { &nothing };
        read(&Objects::new(if here { &self.project } else { project }, definitions))
    }

    fn get_entity(&self, asked: &wire::Get) -> Result<core::Entity, Status> {
        self.of(&asked.project, |objects| {
            let found = objects.entities().into_iter().find(|entity| entity.name() == asked.name);
            let names = || objects.entities().iter().map(|entity| entity.name().to_owned()).collect();
            found.ok_or_else(|| self.unknown("Entity", asked, Class::EntityNotFoundException, names()))
        })
    }

    fn list_entities(&self, asked: &wire::List) -> Result<wire::Entities, Status> {
        self.of(&asked.project, |objects| {
            Ok(wire::Entities { entities: tagged(objects.entities(), &asked.tags, core::Entity::tags) })
        })
    }

    fn get_data_source(&self, asked: &wire::Get) -> Result<core::DataSource, Status> {
        self.of(&asked.project, |objects| {
            let found = objects.data_sources().into_iter().find(|source| source.name == asked.name);
            let names = || objects.data_sources().into_iter().map(|source| source.name).collect();
            found.ok_or_else(|| self.unknown("Data source", asked, Class::DataSourceObjectNotFoundException, names()))
        })
    }

    fn list_data_sources(&self, asked: &wire::List) -> Result<wire::DataSources, Status> {
        self.of(&asked.project, |objects| {
            Ok(wire::DataSources { data_sources: tagged(objects.data_sources(), &asked.tags, |source| &source.tags) })
        })
    }

    fn get_feature_view(&self, asked: &wire::Get) -> Result<core::FeatureView, Status> {
        self.of(&asked.project, |objects| {
            objects.feature_view(&asked.name).ok_or_else(|| self.unknown_view(objects, asked))
        })
    }

    /// What `get_historical_features` asks for each view, and looks for the features in.
    fn get_any_feature_view(&self, asked: &wire::Get) -> Result<wire::AnyFeatureViewResponse, Status> {
        let feature_view = self.of(&asked.project, |objects| {
            objects.feature_view_to_read(&asked.name).ok_or_else(|| self.unknown_view(objects, asked))
        })?;
        Ok(wire::AnyFeatureViewResponse { any_feature_view: Some(feature_view.into()) })
    }

    fn unknown_view(&self, objects: &Objects<'_>, asked: &wire::Get) -> Status {
        let names = objects.feature_views().iter().map(|view| view.name().to_owned()).collect();
        self.unknown("Feature view", asked, Class::FeatureViewNotFoundException, names)
    }

    fn list_feature_views(&self, asked: &wire::List) -> Result<wire::FeatureViews, Status> {
        self.of(&asked.project, |objects| {
            Ok(wire::FeatureViews {
                feature_views: tagged(objects.feature_views(), &asked.tags, core::FeatureView::tags),
            })
        })
    }

    fn list_all_feature_views(&self, asked: &wire::List) -> Result<wire::AllFeatureViews, Status> {
        let wire::FeatureViews { feature_views } = self.list_feature_views(asked)?;
        Ok(wire::AllFeatureViews { feature_views: feature_views.into_iter().map(Into::into).collect() })
    }

    fn get_feature_service(&self, asked: &wire::Get) -> Result<core::FeatureService, Status> {
        self.of(&asked.project, |objects| {
            let names = || objects.feature_services().iter().map(|service| service.name().to_owned()).collect();
            objects
                .feature_service(&asked.name)
                .ok_or_else(|| self.unknown("Feature service", asked, Class::FeatureServiceNotFoundException, names()))
        })
    }

    fn list_feature_services(&self, asked: &wire::List) -> Result<wire::FeatureServices, Status> {
        self.of(&asked.project, |objects| {
            let services = objects.feature_services();
            Ok(wire::FeatureServices { feature_services: tagged(services, &asked.tags, core::FeatureService::tags) })
        })
    }

    /// Kinds that we have none of.
    #[expect(clippy::unnecessary_wraps, reason = "a method like the others")]
    fn list_nothing(&self, _: &wire::List) -> Result<core::Empty, Status> {
        Ok(core::Empty {})
    }

    fn get_project(&self, asked: &wire::GetProject) -> Result<core::Project, Status> {
        if asked.name == self.project {
            return Ok(objects::project(&self.project));
        }
        let message = format!("Project {} does not exist: there is `{}`", asked.name, self.project);
        Err(status(&FeastError { kind: ErrorKind::NotFound, class: Class::ProjectObjectNotFoundException, message }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "a method like the others")]
    fn list_projects(&self, _: &wire::ListProjects) -> Result<wire::Projects, Status> {
        Ok(wire::Projects { projects: vec![objects::project(&self.project)] })
    }

    fn proto(&self, _: &core::Empty) -> Result<core::Registry, Status> {
        self.of("", |objects| Ok(objects.registry()))
    }

    fn unknown(&self, what: &str, asked: &wire::Get, class: Class, known: Vec<String>) -> Status {
        let wire::Get { name, project, .. } = asked;
        let hint = if project.is_empty() || *project == self.project {
            suggest(name, known.iter().map(String::as_str))
        } else {
            format!("this server has project `{}`", self.project)
        };
        let message = format!("{what} {name} does not exist in project {project}: {hint}");
        status(&FeastError { kind: ErrorKind::NotFound, class, message })
    }
}

/// The items that have all of `tags`.
fn tagged<T>(items: Vec<T>, tags: &BTreeMap<String, String>, of: impl Fn(&T) -> &BTreeMap<String, String>) -> Vec<T> {
    let has = |item: &T| tags.iter().all(|(name, value)| of(item).get(name) == Some(value));
    items.into_iter().filter(has).collect()
}

/// An error on the wire. The client raises it again as its class.
fn status(error: &FeastError) -> Status {
    let code = match error.kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Timeout => Code::Unavailable,
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::CheckFailed | ErrorKind::Internal => Code::Internal,
    };
    Status::new(code, error.detail())
}
