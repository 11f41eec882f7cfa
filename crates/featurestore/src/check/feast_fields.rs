//! Fields of Feast's Redis. A feature's is four bytes of a hash of its name, and all views of an entity share one hash: where
//! two names have the same field, Feast overwrites one feature with the other, and nobody can tell which is there.

use std::collections::HashMap;

use schema::Definitions;
use schema::definitions::{Feature, JoinKey, View};
use schema::yaml::Mistake;

use crate::online::feast_redis::{field, versioned};

/// A feature, by its name there.
struct Held<'a> {
    name: String,
    view: &'a View,
    feature: &'a Feature,
}

/// Adds a mistake for every feature whose field another feature has too.
pub(super) fn check(definitions: &Definitions, mistakes: &mut Vec<Mistake>) {
    let mut known: HashMap<(Vec<String>, [u8; 4]), Held<'_>> = HashMap::new();
    for view in definitions.views.values() {
        let Some(rows) = view.online.feast() else { continue };
        let named = versioned(rows.view.as_deref().unwrap_or(view.name.as_str()), rows.version);
        let entity = definitions.entities.get(view.entity.as_str());
        let said = |key: &JoinKey| format!("{} {}", key.name, key.dtype);
        let mut keys: Vec<String> = entity.map(|entity| entity.keys.iter().map(said).collect()).unwrap_or_default();
        keys.sort();
        for feature in &view.features {
            let name = format!("{named}:{}", feature.name);
            let place = (keys.clone(), field(&named, feature.name.as_str()));
            match known.get(&place) {
                Some(other) if other.name != name => {
                    let message = format!(
                        "Feast's Redis has one field for feature `{}` of feature view `{}` and `{}` of `{}`: one \
                         overwrites the other",
                        feature.name, view.name, other.feature.name, other.view.name
                    );
                    let hint = "rename one of them in Feast, or serve its view from the project's own store";
                    mistakes.push(Mistake::new(&feature.place, message).hint(hint));
                }
                Some(_) => {}
                None => drop(known.insert(place, Held { name, view, feature })),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::testing::declared;

    /// The names `ds:f64366` and `ds:f126595` have one hash.
    #[track_caller]
    fn check_of(views: &str, want: &Expect) {
        let text = format!(
            "{{kind: entity, name: a, join_key: k, type: int64}}\n---\n{{kind: entity, name: b, join_key: k, type: int64}}\n\
             ---\n{{kind: entity, name: c, join_key: k, type: int32}}\n\
             ---\n{{kind: source, name: s, path: s.parquet, event_time: t}}\n{views}"
        );
        let definitions = declared(text);
        let mut mistakes = Vec::new();
        check(&definitions, &mut mistakes);
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        want.assert_eq(&told.join("\n"));
    }

    fn view(name: &str, entity: &str, online: &str, features: &[&str]) -> String {
        let features: Vec<String> = features.iter().map(|f| format!("{{name: {f}, type: int64}}")).collect();
        let features = features.join(", ");
        format!(
            "---\n{{kind: feature_view, name: {name}, entity: {entity}, source: s{online}, features: [{features}]}}\n"
        )
    }

    #[test]
    fn two_names_of_one_field_are_refused() {
        let feast = ", online: {kind: feast}";
        check_of(
            &view("ds", "a", feast, &["f64366", "f126595"]),
            &expect![[r#"
            p.yaml:9:117: Feast's Redis has one field for feature `f126595` of feature view `ds` and `f64366` of `ds`: one overwrites the other
              hint: rename one of them in Feast, or serve its view from the project's own store"#]],
        );
        let other = ", online: {kind: feast, view: ds}";
        let two = view("ds", "a", feast, &["f64366"]) + &view("other", "b", other, &["f126595"]);
        check_of(
            &two,
            &expect![[r#"
            p.yaml:11:101: Feast's Redis has one field for feature `f126595` of feature view `other` and `f64366` of `ds`: one overwrites the other
              hint: rename one of them in Feast, or serve its view from the project's own store"#]],
        );
    }

    #[test]
    fn other_hashes_other_stores_and_the_same_feature_are_no_matter() {
        let feast = ", online: {kind: feast}";
        let other = ", online: {kind: feast, view: ds}";
        check_of(&view("ds", "a", "", &["f64366", "f126595"]), &expect![[""]]);
        // Another key type is another hash.
        let two = view("ds", "a", feast, &["f64366"]) + &view("other", "c", other, &["f126595"]);
        check_of(&two, &expect![[""]]);
        let same = view("ds", "a", feast, &["f64366"]) + &view("other", "b", other, &["f64366"]);
        check_of(&same, &expect![[""]]);
        let versions = view("ds", "a", feast, &["f64366"])
            + &view("other", "b", ", online: {kind: feast, view: ds, version: 2}", &["f126595"]);
        check_of(&versions, &expect![[""]]);
    }
}
