//! Services: features of views, some under other names or by other keys.

use schema::{FeatureName, ServiceName, ViewName};

use super::Import;
use super::yaml::Document;
use crate::feast::messages::core::{FeatureService, FeatureViewProjection};

/// A view as a service reads it.
#[derive(PartialEq, Eq)]
struct Use<'a> {
    name: &'a str,
    view: &'a str,
    /// Join keys that requests call otherwise.
    join_keys: Vec<(&'a str, &'a str)>,
}

impl<'a> Import<'a> {
    pub(super) fn services(&mut self) {
        let registry = self.registry;
        for service in &registry.feature_services {
            if service.spec.as_ref().is_none_or(|spec| spec.project != self.project) {
                continue;
            }
            match self.service(service) {
                Ok(document) => self.services.push(document),
                Err(why) => self.left_out.push(format!("feature service `{}`: {why}", service.name())),
            }
        }
    }

    fn service(&self, service: &'a FeatureService) -> Result<Document, String> {
        let spec = service.spec.as_ref().ok_or("it has no specification")?;
        ServiceName::new(spec.name.as_str()).map_err(|why| why.to_string())?;
        let mut references = Vec::new();
        let mut uses: Vec<Use<'_>> = Vec::new();
        for projection in &spec.features {
            let view = projection.feature_view_name.as_str();
            let known = self.features.get(view).ok_or_else(|| format!("its view `{view}` was left out"))?;
            if projection.version_tag.is_some() {
                return Err(format!("it pins a version of view `{view}`; versions are counted anew here"));
            }
            let used = self.used(projection)?;
            for column in &projection.feature_columns {
                if !known.contains(column.name.as_str()) {
                    return Err(format!("feature `{}` of view `{view}` is not here", column.name));
                }
                references.push((used.name, column.name.as_str()));
            }
            match uses.iter().find(|known| known.name == used.name) {
                Some(known) if *known != used => {
                    return Err(format!("it means two things by `{}`; give one an alias", used.name));
                }
                Some(_) => {}
                None => uses.push(used),
            }
        }
        if references.is_empty() {
            return Err("it has no features".to_owned());
        }
        let mut document = Document::new("feature_service");
        document.text("name", &spec.name);
        document.text("description", &spec.description);
        document.text("owner", &spec.owner);
        document.tags(&spec.tags);
        document.list("views", uses.iter().filter_map(Use::declared));
        document.references(&references);
        Ok(document)
    }

    fn used(&self, projection: &'a FeatureViewProjection) -> Result<Use<'a>, String> {
        let (view, alias) = (projection.feature_view_name.as_str(), projection.feature_view_name_alias.as_str());
        let name = if alias.is_empty() { view } else { alias };
        ViewName::new(name).map_err(|why| why.to_string())?;
        let keys = self.keys.get(view).map(Vec::as_slice).unwrap_or_default();
        let mut renamed = Vec::new();
        for (key, column) in projection.join_key_map.iter().filter(|(key, column)| key != column) {
            if !keys.contains(&key.as_str()) {
                return Err(format!("it renames `{key}`, which is no join key of view `{view}`"));
            }
            FeatureName::new(column.as_str()).map_err(|why| why.to_string())?;
            renamed.push((key.as_str(), column.as_str()));
        }
        Ok(Use { name, view, join_keys: renamed })
    }
}

impl Use<'_> {
    /// What has to be said of it: nothing of a view under its own name and keys.
    fn declared(&self) -> Option<String> {
        let Self { name, view, join_keys } = self;
        let renamed = name != view;
        if !renamed && join_keys.is_empty() {
            return None;
        }
        let alias = if renamed { format!(", as: {name}") } else { String::new() };
        let pairs: Vec<String> = join_keys.iter().map(|(key, column)| format!("{key}: {column}")).collect();
        let keys = if pairs.is_empty() { String::new() } else { format!(", join_keys: {{{}}}", pairs.join(", ")) };
        Some(format!("{{view: {view}{alias}{keys}}}"))
    }
}
