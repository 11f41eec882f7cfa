//! Whoever is named is erased, and nobody beside: names with commas, bytes, folders that are a key, people whose rows are
//! in Feast's Redis, and whoever may come again.

use featurestore::online::feast_redis::{encode_time, encode_value, entity_key, field, time_field};
use featurestore::online::testing::TestRedis;
use schema::{Dtype, Timestamp, Value};
use serde_json::{Value as Json, json};

use crate::harness::Plumb;

/// Users of a text, in a view and in one by query.
fn project(key: &str, rows: &[&str]) -> Plumb {
    let plumb = Plumb::empty();
    // By their values they are texts.
    let typed = if key == "bytes" { "columns: [{name: name, type: bytes}]\n" } else { "" };
    plumb.write("plumb.yaml", "project: named\n");
    plumb.write(
        "features.yaml",
        &format!(
            "kind: entity\nname: user\njoin_key: name\ntype: {key}\n---\n\
             kind: source\nname: rows\npath: rows.csv\nevent_time: at\n{typed}---\n\
             kind: feature_view\nname: plain\nentity: user\nsource: rows\nfeatures: [{{name: n, type: int64}}]\n---\n\
             kind: feature_view\nname: asked\nentity: user\nsource: rows\nevent_time: at\n\
             sql: 'SELECT \"name\", at, n AS m FROM rows'\nfeatures: [{{name: m, type: int64}}]\n"
        ),
    );
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    plumb.write("rows.csv", &format!("name,at,n\n{rows}"));
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb
}

fn statuses(plumb: &Plumb, feature: &str, entity: &str) -> Json {
    let name = feature.split_once(':').unwrap().1;
    plumb.json(&format!("features get {feature} --entity '{entity}'"))["features"][name]["statuses"].clone()
}

/// The places of an answer of `erase` where something was found or is left: kind, rows found, rows left.
fn places(answer: &Json) -> Vec<(String, u64, Option<u64>)> {
    let places = answer["erased"].as_array().unwrap().iter().flat_map(|one| one["places"].as_array().unwrap());
    let told = |place: &Json| {
        (place["kind"].as_str().unwrap().to_owned(), place["found"].as_u64().unwrap(), place["left"].as_u64())
    };
    places.map(told).filter(|(_, found, left)| *found > 0 || *left != Some(0)).collect()
}

#[test]
fn a_name_with_a_comma_is_one_name() {
    let rows = [r#""Smith, Anna",2024-01-01,1"#, "Smith,2024-01-01,2", r#"" Anna",2024-01-01,3"#, "Anna,2024-01-01,4"];
    let plumb = project("string", &rows);
    let all = r#"name="Smith, Anna",Smith, Anna,Anna"#;
    assert_eq!(statuses(&plumb, "plain:n", all), json!(["PRESENT", "PRESENT", "PRESENT", "PRESENT"]));
    plumb.run(r#"features get plain:n --entity 'name="Smith'"#).fails(2, &["a quote is not closed", "Smith, Anna"]);
    let done = plumb.run("erase --entity 'name=Smith, Anna' --yes --rewrite-sources");
    done.ok();
    assert_eq!(statuses(&plumb, "plain:n", all), json!(["NOT_FOUND", "PRESENT", "PRESENT", "PRESENT"]));
    assert!(!plumb.read("rows.csv").contains("Smith, Anna") && plumb.read("rows.csv").contains("\" Anna\""));
    // Several people: the key again.
    plumb.run("erase --entity name=Smith --entity name=Anna --yes --rewrite-sources").ok();
    assert_eq!(plumb.read("rows.csv"), "name,at,n\n\" Anna\",2024-01-01,3\n");
    let nobody = plumb.run("erase --entity name=Smith,Anna --yes");
    assert!(nobody.stderr.contains("is one value; for several write --entity name=.. again"), "{}", nobody.stderr);
}

#[test]
fn bytes_are_written_one_way_and_dates_are_dates() {
    let plumb = project("bytes", &["ab01,2024-01-01,1", "6162,2024-01-01,2"]);
    assert_eq!(
        statuses(&plumb, "plain:n", "name=ab01,AB01,6162,61"),
        json!(["PRESENT", "PRESENT", "PRESENT", "NOT_FOUND"])
    );
    let table = plumb.run("features get plain:n --entity name=AB01").stdout;
    assert!(table.contains("name=ab01"), "{table}");
    plumb.run("features get plain:n --entity name=ab").ok();
    plumb.run("features get plain:n --entity name=device").fails(2, &["the join key is bytes", "hexadecimal"]);
    plumb.run("features explain plain --entity name=ab01").ok();
    plumb.run("features explain plain --entity name=device").fails(2, &["the join key is bytes", "hexadecimal"]);
    plumb.run("erase --entity name=device --yes").fails(2, &["none of the key's type", "name bytes"]);
    plumb.run("erase --entity name=AB01 --yes --rewrite-sources").ok();
    assert_eq!(statuses(&plumb, "plain:n", "name=ab01,6162"), json!(["NOT_FOUND", "PRESENT"]));
    assert_eq!(plumb.read("rows.csv"), "name,at,n\n6162,2024-01-01,2\n");

    let plumb = project("date", &["2024-01-01,2024-01-01,1"]);
    let table = plumb.run("features get plain:n --entity name=2024-01-01").stdout;
    assert!(table.contains("name=2024-01-01"), "{table}");
}

#[test]
fn who_is_allowed_again_comes_back_from_a_query() {
    let plumb = project("string", &["a,2024-01-01,1", "b,2024-01-01,2"]);
    let both = |want: &str| {
        for feature in ["plain:n", "asked:m"] {
            assert_eq!(statuses(&plumb, feature, "name=a,b"), json!([want, "PRESENT"]), "{feature}");
        }
    };
    both("PRESENT");
    assert_eq!(plumb.run("erase --entity name=a --yes").code, 1, "the source is the user's");
    plumb.run("materialize --fresh").ok();
    both("NOT_FOUND");
    plumb.run("erase --entity name=a --allow-again").ok();
    plumb.run("materialize").ok();
    both("PRESENT");
    plumb.run("materialize --fresh").ok();
    both("PRESENT");
}

#[test]
fn a_folder_that_is_the_key_is_the_persons() {
    let plumb = project("string", &["x,2024-01-01,1"]);
    plumb.edit(
        "features.yaml",
        "path: rows.csv\n",
        "path: rows\nformat: csv\npartitions: [{name: name, type: string}]\n",
    );
    for (user, rows) in [("a", "2024-01-01,1\n2024-01-02,2\n"), ("b", "2024-01-01,3\n")] {
        plumb.write(&format!("rows/name={user}/part.csv"), &format!("at,n\n{rows}"));
    }
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    assert_eq!(statuses(&plumb, "asked:m", "name=a,b"), json!(["PRESENT", "PRESENT"]));
    let told = plumb.run("erase --entity name=a --yes --output json");
    let left: Vec<_> = places(&told.json()).into_iter().filter(|(_, _, left)| *left != Some(0)).collect();
    assert_eq!((told.code, left), (1, vec![("source".to_owned(), 2, Some(2))]), "{}", told.json());
    plumb.run("erase --entity name=a --yes --rewrite-sources").ok();
    assert!(!plumb.path().join("rows/name=a").exists() && plumb.path().join("rows/name=b/part.csv").is_file());
    plumb.run("materialize --fresh").ok();
    assert_eq!(statuses(&plumb, "asked:m", "name=a,b"), json!(["NOT_FOUND", "PRESENT"]));
}

#[test]
fn rows_in_feasts_redis_are_feasts_to_remove() {
    let redis = TestRedis::spawn();
    let plumb = Plumb::empty();
    plumb.write(
        "plumb.yaml",
        &format!("project: named\nfeast: {{project: shop, url: \"{}\", timeout: 10s}}\n", redis.url()),
    );
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows.csv\nevent_time: at\n---\n\
         kind: feature_view\nname: theirs\nentity: user\nsource: rows\nonline: {kind: feast}\n\
         features: [{name: n, type: int64}]\n",
    );
    plumb.write("rows.csv", "user_id,at,n\n8,2024-01-01,1\n");
    let key = entity_key("shop", &[("user_id", Dtype::Int64, Value::Int(7))]).unwrap();
    let time = encode_time(Timestamp::parse("2024-01-01T00:00:00Z").unwrap());
    let value = encode_value(&Value::Int(5), Dtype::Int64).unwrap();
    let (at, of) = (time_field("theirs"), field("theirs", "n"));
    redis.server().ask_bytes(&[b"HSET", &key, at.as_bytes(), &time, &of, &value]);
    plumb.run("apply --yes").ok();
    assert_eq!(statuses(&plumb, "theirs:n", "user_id=7"), json!(["PRESENT"]));
    let told = plumb.run("erase --entity user_id=7 --yes --output json");
    let json = told.json();
    assert_eq!((told.code, places(&json)), (1, vec![("online".to_owned(), 1, Some(1))]), "{json}");
    let text = json.to_string();
    assert!(text.contains("theirs@v1 in Feast's Redis") && text.contains("its rows are Feast's to remove"), "{text}");
    redis.server().ask_bytes(&[b"DEL", &key]);
    plumb.run("erase --entity user_id=7 --yes").ok();
}
