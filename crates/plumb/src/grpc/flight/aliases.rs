//! Views by other names. The client says which view an alias stands for, but not by which columns it joins: that is what
//! the feature services say that declare it.

use std::collections::BTreeSet;

use schema::definitions::ViewAlias;
use schema::yaml::Place;
use schema::{AppliedDefinitions, ErrorKind, ViewName};

use super::command::Historical;
use super::refusal;
use crate::feast::FeastError;

impl Historical {
    /// The aliases among the views, each once. One that no service declares joins by the view's own keys.
    ///
    /// # Errors
    /// One that is no name; one that services declare by different columns, unless just one of them has these features.
    pub(super) fn aliases(&self, definitions: &AppliedDefinitions) -> Result<Vec<ViewAlias>, FeastError> {
        let pairs = self.feature_view_names.iter().zip(&self.name_aliases);
        let pairs: BTreeSet<(&str, &str)> =
            pairs.filter_map(|(view, alias)| Some((alias.as_deref()?, view.as_str()))).collect();
        pairs.into_iter().map(|(alias, view)| self.alias(alias, view, definitions)).collect()
    }

    fn alias(&self, alias: &str, view: &str, definitions: &AppliedDefinitions) -> Result<ViewAlias, FeastError> {
        let name = |text: &str| ViewName::new(text).map_err(|why| refusal(ErrorKind::Invalid, &why.to_string()));
        let own = ViewAlias { name: name(alias)?, view: name(view)?, join_keys: [].into(), place: Place::default() };
        let mut declared: Vec<(&ViewAlias, bool)> = Vec::new();
        for service in definitions.services.values().filter_map(schema::applied::Versions::current) {
            let found = service.definition.views.iter().find(|known| known.name == own.name && known.view == own.view);
            let columns = service.columns.iter().map(|column| format!("{}:{}", column.use_name(), column.feature));
            let asked: BTreeSet<String> = self.feature_refs.iter().cloned().collect();
            declared.extend(found.map(|found| (found, columns.collect::<BTreeSet<_>>() == asked)));
        }
        let exact = declared.iter().any(|(_, same)| *same);
        let mut ways = declared.into_iter().filter(|(_, same)| *same || !exact).map(|(alias, _)| alias);
        let Some(first) = ways.next() else { return Ok(own) };
        if ways.any(|other| other.join_keys != first.join_keys) {
            let message = format!(
                "Feature services join view {view} as {alias} by different columns, and Feast's client does not say which \
                 it means; ask for all features of one service, or give the view another alias in one of them"
            );
            return Err(refusal(ErrorKind::Invalid, &message));
        }
        Ok(first.clone())
    }
}
