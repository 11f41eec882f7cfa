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
    let Command::RegisterVersion(mut new) = new_version(model) else { unreachable!() };
    new.origin = Origin { source: source.to_owned(), run_id: run.to_owned(), ..Origin::default() };
    new.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    story.tell(Command::RegisterVersion(new)).unwrap().unwrap();
}

fn new_version(model: &str) -> Command {
    Command::RegisterVersion(NewVersion {
        name: model.parse().unwrap(),
        once: false,
        origin: Origin::default(),
        files: Vec::new(),
        servable: None,
        description: None,
        metadata: std::collections::BTreeMap::new(),
        tags: Tags::new(),
    })
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
        // Keywords in any case.
        ("name in ('Churn') and name not in ('fraud_eu')", "Churn"),
        ("name Not In ('Churn', 'fraud_eu') AnD name like 'fraud%'", "fraud-us"),
        // Prompts: who does not ask sees none, and a model without the tag is no prompt.
        ("tag.`mlflow.prompt.is_prompt` != 'true'", "Churn fraud-us fraud_eu pricing's"),
        ("tag.`mlflow.prompt.is_prompt` = 'true'", "greeting"),
        ("tag.`mlflow.prompt.is_prompt` = 'false'", "Churn fraud-us fraud_eu pricing's"),
        ("tags.team = 'risk' AND tag.`mlflow.prompt.is_prompt` != 'true'", "fraud_eu"),
        ("tags.team = 'risk' AND tag.`mlflow.prompt.is_prompt` = 'true'", "greeting"),
        ("tag.`mlflow.prompt.is_prompt` != 'false'", "greeting"),
        ("tags.team LIKE 'r%' AND tags.mlflow.prompt.is_prompt != 'false'", "greeting"),
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
        ("version_number >= 2", "Churn/2"),
        ("version_number >= 1 AND version_number < 2", "fraud_eu/1 Churn/1"),
        ("version_number != 1", "Churn/2"),
        ("run_id LIKE 'r%' AND run_id != 'r3'", "Churn/2 Churn/1"),
        ("run_id ilike 'R_'", "fraud_eu/1 Churn/2 Churn/1"),
        ("run_id not in ('r1', 'r2')", "fraud_eu/1"),
        // Prompts, as with models.
        ("tag.`mlflow.prompt.is_prompt` = 'true'", "greeting/1"),
        ("tag.`mlflow.prompt.is_prompt` != 'false'", "greeting/1"),
        ("tag.`mlflow.prompt.is_prompt` != 'true'", "fraud_eu/1 Churn/2 Churn/1"),
        ("tag.`mlflow.prompt.is_prompt` = 'false' AND name = 'Churn'", "Churn/2 Churn/1"),
        ("  AND tag.`mlflow.prompt.is_prompt` != 'true'", "fraud_eu/1 Churn/2 Churn/1"),
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
        ("  AND", "Invalid filter string: clause 2 is empty"),
        ("name = 'a' AND AND name = 'b'", "Invalid filter string: clause 2 is empty"),
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

/// Names of models in this order.
fn models_by(story: &Story, order_by: &[&str]) -> String {
    let page = models(&story.catalog, &query("", order_by)).unwrap();
    page.entries.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn models_are_ordered_by_their_times_and_equals_by_name() {
    let mut story = Story::default();
    // `b`, `d` and `a` of one minute, `c` of an earlier and `e` of a later one.
    for (minute, model) in [(1, "c"), (2, "b"), (2, "d"), (2, "a"), (3, "e")] {
        story.tell_at(
            Command::CreateModel { model: model.parse().unwrap(), description: None, tags: Tags::new() },
            minute,
        );
    }
    for field in ["timestamp", "last_updated_timestamp"] {
        assert_eq!(models_by(&story, &[field]), "c a b d e", "{field}");
        assert_eq!(models_by(&story, &[&format!("{field} ASC"), "name DESC"]), "c d b a e", "{field}");
        assert_eq!(models_by(&story, &[&format!("{field} desc")]), "e a b d c", "{field}");
        assert_eq!(models_by(&story, &[&format!("{field} DESC"), "name DESC"]), "e d b a c", "{field}");
    }
    assert_eq!(models_by(&story, &["name"]), "a b c d e");
    assert_eq!(models_by(&story, &["name DESC"]), "e d c b a");
    // What was made first and changed last comes last.
    story.tell_at(Command::Describe { model: "c".parse().unwrap(), version: None, description: "x".to_owned() }, 4);
    assert_eq!(models_by(&story, &["timestamp"]), "a b d e c");
}

#[test]
fn versions_of_one_time_are_ordered_by_name_and_from_the_highest_number() {
    let mut story = Story::default();
    for model in ["b", "a"] {
        create(&mut story, model, &[]);
    }
    for (minute, model) in [(1, "b"), (2, "a"), (2, "b"), (2, "a"), (2, "b")] {
        story.tell_at(new_version(model), minute);
    }
    for field in ["creation_timestamp", "last_updated_timestamp"] {
        let by = |order_by: &[&str]| found_versions(&story, "", order_by).unwrap();
        assert_eq!(by(&[field]), "b/1 a/2 a/1 b/3 b/2", "{field}");
        assert_eq!(by(&[&format!("{field} DESC")]), "a/2 a/1 b/3 b/2 b/1", "{field}");
        assert_eq!(by(&[&format!("{field} DESC"), "version_number"]), "a/1 a/2 b/2 b/3 b/1", "{field}");
        assert_eq!(by(&[&format!("{field} ASC"), "name DESC"]), "b/1 b/3 b/2 a/2 a/1", "{field}");
        assert_eq!(
            by(&[&format!("{field} DESC"), "name DESC", "version_number ASC"]),
            "b/2 b/3 a/1 a/2 b/1",
            "{field}"
        );
    }
    let by = |order_by: &[&str]| found_versions(&story, "", order_by).unwrap();
    assert_eq!(by(&[]), "a/2 a/1 b/3 b/2 b/1", "last changed first");
    assert_eq!(by(&["version_number"]), "a/1 b/1 a/2 b/2 b/3");
    assert_eq!(by(&["version_number DESC"]), "b/3 a/2 b/2 a/1 b/1");
    assert_eq!(by(&["name"]), "a/2 a/1 b/3 b/2 b/1");
    assert_eq!(by(&["name DESC"]), "b/3 b/2 b/1 a/2 a/1");
    // Both times of a version are its own: one that is described is as old as it was.
    story.tell_at(Command::Describe { model: "a".parse().unwrap(), version: Some(1), description: "x".to_owned() }, 3);
    assert_eq!(found_versions(&story, "", &["creation_timestamp"]).unwrap(), "b/1 a/2 a/1 b/3 b/2");
    assert_eq!(found_versions(&story, "", &[]).unwrap(), "a/1 a/2 b/3 b/2 b/1");
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

/// What is done to versions between two pages.
#[derive(Debug, Clone)]
enum Done {
    Add(usize),
    Delete(usize, u32),
    Describe(usize, u32),
}

/// Every order of three keys, each either way.
fn three_keys() -> impl Strategy<Value = [String; 3]> {
    let fields = ["name", "version_number", "creation_timestamp", "last_updated_timestamp"];
    let picked = prop::sample::subsequence(fields.to_vec(), 3).prop_shuffle();
    (picked, prop::array::uniform3(any::<bool>())).prop_map(|(fields, descending)| {
        std::array::from_fn(|i| format!("{} {}", fields[i], if descending[i] { "DESC" } else { "ASC" }))
    })
}

fn done() -> impl Strategy<Value = Done> {
    prop_oneof![
        (0..3_usize).prop_map(Done::Add),
        (0..3_usize, 1..8_u32).prop_map(|(model, number)| Done::Delete(model, number)),
        (0..3_usize, 1..8_u32).prop_map(|(model, number)| Done::Describe(model, number)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// As above, of versions, in orders of three keys, with writes of the same minute after every page: what nobody touches
    /// comes once and in its place, and nothing that was not described comes twice.
    #[test]
    fn pages_of_versions_neither_skip_nor_repeat(
        before in prop::collection::vec((0..3_usize, 0..3_u64), 1..20),
        meanwhile in prop::collection::vec(prop::collection::vec(done(), 0..3), 0..12),
        size in 1_usize..5,
        order in three_keys(),
    ) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut story = Story::default();
        for name in NAMES {
            create(&mut story, name, &[]);
        }
        for (model, minute) in before {
            story.tell_at(new_version(NAMES[model]), minute);
        }
        let order: Vec<&str> = order.iter().map(String::as_str).collect();
        let all = |story: &Story| -> Vec<String> {
            let page = versions(&story.catalog, &query("", &order)).unwrap();
            page.entries.iter().map(|(model, state)| format!("{}/{}", model.name, state.version.version)).collect()
        };
        let started_with = all(&story);
        let mut touched = std::collections::BTreeSet::new();
        let (mut seen, mut token, mut meanwhile) = (Vec::new(), None::<String>, meanwhile.into_iter());
        loop {
            let query = Query { max_results: size, page_token: token.as_deref(), ..query("", &order) };
            let page = versions(&story.catalog, &query).unwrap();
            prop_assert!(page.entries.len() <= size);
            prop_assert!(page.next.is_none() || page.entries.len() == size);
            let next = page.next.clone();
            seen.extend(page.entries.iter().map(|(model, state)| format!("{}/{}", model.name, state.version.version)));
            for write in meanwhile.next().unwrap_or_default() {
                let (model, number, command) = match write {
                    Done::Add(model) => (model, 0, new_version(NAMES[model])),
                    Done::Delete(model, version) => {
                        (model, version, Command::DeleteVersion { model: NAMES[model].parse().unwrap(), version, evidence: serde_json::Value::Null })
                    }
                    Done::Describe(model, version) => {
                        let (model_name, description) = (NAMES[model].parse().unwrap(), "x".to_owned());
                        (model, version, Command::Describe { model: model_name, version: Some(version), description })
                    }
                };
                if number == 0 || story.catalog.model(NAMES[model]).unwrap().version(number).is_some() {
                    touched.insert(format!("{}/{number}", NAMES[model]));
                    story.tell_at(command, 1);
                }
            }
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        let untouched = |list: &[String]| -> Vec<String> {
            list.iter().filter(|name| started_with.contains(name) && !touched.contains(*name)).cloned().collect()
        };
        prop_assert_eq!(untouched(&seen), untouched(&started_with));
        for (i, name) in seen.iter().enumerate() {
            prop_assert!(touched.contains(name) || !seen[..i].contains(name), "{} came twice", name);
        }
    }
}
