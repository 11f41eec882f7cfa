use proptest::prelude::*;

use super::*;
use crate::command::{Command, NewVersion};
use crate::story::Story;
use crate::tag::Tags;
use crate::version::Origin;

fn create(story: &mut Story, model: &str, tags: &[(&str, &str)]) {
    let tags: Tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    story.tell(Command::CreateModel { model: model.parse().unwrap(), description: None, tags }).unwrap().unwrap();
}

fn add(story: &mut Story, model: &str, source: &str, run: &str, tags: &[(&str, &str)]) {
    let origin = Origin { source: source.to_owned(), run_id: run.to_owned(), ..Origin::default() };
    let tags: Tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let new = NewVersion {
        name: model.parse().unwrap(),
        once: false,
        origin,
        files: Vec::new(),
        servable: None,
        description: None,
        metadata: std::collections::BTreeMap::new(),
        tags,
    };
    story.tell(Command::RegisterVersion(new)).unwrap().unwrap();
}

/// Four models and a prompt, with a version or two each.
fn story() -> Story {
    let mut story = Story::default();
    create(&mut story, "Churn", &[("team", "Growth"), ("a.b", "x")]);
    create(&mut story, "fraud_eu", &[("team", "risk"), ("two words", "y")]);
    create(&mut story, "fraud-us", &[]);
    create(&mut story, "pricing's", &[(IS_PROMPT, "false")]);
    create(&mut story, "greeting", &[(IS_PROMPT, "true"), ("team", "risk")]);
    add(&mut story, "Churn", "s3://b/one", "r1", &[("k", "v")]);
    add(&mut story, "Churn", "s3://b/two", "r2", &[]);
    add(&mut story, "fraud_eu", "runs:/r3/model", "r3", &[("k", "w")]);
    add(&mut story, "greeting", "dummy-source", "", &[(IS_PROMPT, "true")]);
    story
}

fn query<'q>(filter: &'q str, order_by: &[&'q str]) -> Query<'q> {
    Query { filter, order_by: order_by.to_vec(), max_results: 100, page_token: None }
}

fn found(story: &Story, filter: &str) -> Result<String, String> {
    let page = models(&story.catalog, &query(filter, &[])).map_err(|why| why.to_string())?;
    Ok(page.entries.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(" "))
}

fn found_versions(story: &Story, filter: &str, order_by: &[&str]) -> Result<String, String> {
    let page = versions(&story.catalog, &query(filter, order_by)).map_err(|why| why.to_string())?;
    let name = |(model, state): &(&Model, &VersionState)| format!("{}/{}", model.name, state.version.version);
    Ok(page.entries.iter().map(name).collect::<Vec<_>>().join(" "))
}

#[test]
fn the_language_says_what_mlflow_says_it_does() {
    let story = story();
    for (filter, want) in [
        ("", "Churn fraud-us fraud_eu pricing's"),
        ("name = 'Churn'", "Churn"),
        ("name = \"Churn\"", "Churn"),
        ("attribute.name != 'Churn'", "fraud-us fraud_eu pricing's"),
        ("name LIKE 'fraud_eu'", "fraud_eu"),
        ("name LIKE 'fraud_u%'", "fraud-us"),
        ("name like 'fraud%' and name LIKE '%eu'", "fraud_eu"),
        ("name LIKE 'churn'", ""),
        ("name ILIKE 'CHURN'", "Churn"),
        ("name = 'pricing''s'", "pricing's"),
        ("name IN ('Churn', 'fraud-us')", "Churn fraud-us"),
        ("name NOT IN ('Churn')", "fraud-us fraud_eu pricing's"),
        ("tags.team = 'risk'", "fraud_eu"),
        ("tag.team != 'risk'", "Churn"),
        ("tags.`a.b` = 'x'", "Churn"),
        ("tags.a.b = 'x'", "Churn"),
        ("tags.\"two words\" = 'y'", "fraud_eu"),
        ("tags.`two words`='y' AND name ILIKE 'FRAUD%'", "fraud_eu"),
        ("tags.team ILIKE 'gr%'", "Churn"),
        // Prompts: who does not ask sees none, and a model without the tag is no prompt.
        ("tag.`mlflow.prompt.is_prompt` != 'true'", "Churn fraud-us fraud_eu pricing's"),
        ("tag.`mlflow.prompt.is_prompt` = 'true'", "greeting"),
        ("tag.`mlflow.prompt.is_prompt` = 'false'", "Churn fraud-us fraud_eu pricing's"),
        ("tags.team = 'risk' AND tag.`mlflow.prompt.is_prompt` != 'true'", "fraud_eu"),
        ("tags.team = 'risk' AND tag.`mlflow.prompt.is_prompt` = 'true'", "greeting"),
    ] {
        assert_eq!(found(&story, filter).as_deref(), Ok(want), "{filter}");
    }
}

#[test]
fn versions_are_found_by_number_run_and_source() {
    let story = story();
    for (filter, want) in [
        ("", "fraud_eu/1 Churn/2 Churn/1"),
        ("name = 'Churn'", "Churn/2 Churn/1"),
        ("version_number > 1", "Churn/2"),
        ("version_number = '2'", "Churn/2"),
        ("version_number <= 1 AND name = 'Churn'", "Churn/1"),
        ("run_id IN ('r1','r3')", "fraud_eu/1 Churn/1"),
        ("run_id NOT IN ('r1')", "fraud_eu/1 Churn/2"),
        ("source_path LIKE 's3://%'", "Churn/2 Churn/1"),
        ("tags.k != 'v'", "fraud_eu/1"),
    ] {
        assert_eq!(found_versions(&story, filter, &[]).as_deref(), Ok(want), "{filter}");
    }
    let ordered = found_versions(&story, "", &["name DESC", "version_number"]);
    assert_eq!(ordered.as_deref(), Ok("fraud_eu/1 Churn/1 Churn/2"));
}

#[test]
fn what_is_not_of_the_language_is_said() {
    let story = story();
    for (filter, want) in [
        ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string: OR"),
        ("(name = 'a')", "Invalid clause(s) in filter string: ( name = a )"),
        ("name = 'a' AND", "Invalid filter string: clause 2 is empty"),
        ("name", "Invalid clause(s) in filter string: name"),
        ("name = 'a' 'b'", "Invalid clause(s) in filter string: name = a b"),
        ("name = a", "Expected a quoted string value for attribute 'name', found `a`"),
        ("name = 'a", "Invalid filter string: a ' is not closed in `'a`"),
        ("name > 'a'", "Invalid comparator '>' for attribute 'name': valid ones are =, !=, LIKE, ILIKE, IN, NOT IN"),
        ("tags.x IN ('a')", "Invalid comparator 'IN' for tag 'x': valid ones are =, !=, LIKE, ILIKE"),
        (
            "attributes.name = 'a'",
            "Invalid attribute key 'attributes.name' specified. Valid keys are an attribute's name",
        ),
        ("nome = 'a'", "Invalid attribute key 'nome' specified. Valid keys are [\"name\"]"),
        ("name IN ('a' 'b')", "Expected a list of quoted strings in brackets for attribute 'name', found `b`"),
        ("name IN ()", "Expected a list of quoted strings in brackets for attribute 'name', found `)`"),
    ] {
        let why = found(&story, filter).unwrap_err();
        assert!(why.starts_with(want), "{filter}: {why}");
    }
    for (filter, want) in [
        ("version_number = 'one'", "Expected an integer for attribute 'version_number', found `one`"),
        ("version_number LIKE '1'", "Invalid comparator 'LIKE' for attribute 'version_number'"),
        (
            "source_path IN ('a')",
            "Invalid comparator 'IN' for attribute 'source_path': valid ones are =, !=, LIKE, ILIKE",
        ),
    ] {
        let why = found_versions(&story, filter, &[]).unwrap_err();
        assert!(why.starts_with(want), "{filter}: {why}");
    }
    for (order_by, want) in [
        (&["name", "name DESC"][..], "`order_by` contains duplicate fields: 'name'"),
        (&["stage"], "Invalid order_by entity 'stage'."),
        (&["name UP"], "Invalid order_by clause 'name UP'"),
        (&["name ASC DESC"], "Invalid order_by clause"),
        (&[""], "Invalid order_by clause ''"),
    ] {
        let why = found_versions(&story, "", order_by).unwrap_err();
        assert!(why.starts_with(want), "{order_by:?}: {why}");
    }
}

#[test]
fn a_token_is_of_one_order() {
    let story = story();
    let first = Query { max_results: 1, ..query("", &["name DESC"]) };
    let token = models(&story.catalog, &first).unwrap().next.unwrap();
    let other = Query { page_token: Some(&token), ..query("", &["name"]) };
    assert_eq!(models(&story.catalog, &other).unwrap_err(), SearchError::OtherOrder);
    for bad in ["%", "eyJvZmZzZXQiOjF9", "a"] {
        let query = Query { page_token: Some(bad), ..query("", &[]) };
        assert_eq!(models(&story.catalog, &query).unwrap_err(), SearchError::Token, "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written between two pages: what stays where it is comes once.
    #[test]
    fn pages_neither_skip_nor_repeat(
        names in prop::collection::btree_set("[a-f]{1,3}", 1..20),
        later in prop::collection::btree_set("[a-f]{1,3}", 0..10),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        size in 1_usize..6,
        descending in any::<bool>(),
    ) {
        let mut story = Story::default();
        for name in &names {
            create(&mut story, name, &[]);
        }
        let order = if descending { ["name DESC"] } else { ["name"] };
        let mut seen: Vec<String> = Vec::new();
        let (mut token, mut written) = (None::<String>, false);
        let all: Vec<&String> = names.iter().collect();
        let mut deleted = std::collections::BTreeSet::new();
        loop {
            let query = Query { max_results: size, page_token: token.as_deref(), ..query("", &order) };
            let page = models(&story.catalog, &query).unwrap();
            prop_assert!(page.entries.len() <= size);
            let next = page.next.clone();
            seen.extend(page.entries.iter().map(|model| model.name.to_string()));
            if !written {
                written = true;
                for name in later.difference(&names) {
                    create(&mut story, name, &[]);
                }
                for index in &gone {
                    let name = all[index.index(all.len())];
                    if deleted.insert(name.clone()) {
                        story.tell(Command::DeleteModel { model: name.parse().unwrap() }).unwrap();
                    }
                }
            }
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        if descending {
            sorted.reverse();
        }
        sorted.dedup();
        prop_assert_eq!(&sorted, &seen);
        for name in names.difference(&deleted) {
            prop_assert!(seen.contains(name), "{} was passed over", name);
        }
    }
}
