//! A registry as text.

use expect_test::expect;

use super::super::messages::core::*;
use super::*;

fn column(name: &str, value_type: ValueType) -> FeatureSpec {
    FeatureSpec { name: name.to_owned(), value_type: value_type.number(), ..FeatureSpec::default() }
}

fn entity(name: &str, join_key: &str) -> Entity {
    let (name, join_key, project) = (name.to_owned(), join_key.to_owned(), "p".to_owned());
    Entity { spec: Some(EntitySpec { name, join_key, project, ..EntitySpec::default() }), meta: None }
}

fn view(name: &str, entities: &[&str], source: SourceType) -> FeatureView {
    let batch_source = DataSource {
        r#type: source.into(),
        name: "data/rides.parquet".to_owned(),
        timestamp_field: "at".to_owned(),
        file_options: Some(FileOptions { uri: "data/rides.parquet".to_owned(), ..FileOptions::default() }),
        ..DataSource::default()
    };
    let spec = FeatureViewSpec {
        name: name.to_owned(),
        project: "p".to_owned(),
        entities: entities.iter().map(|&entity| entity.to_owned()).collect(),
        features: vec![column("trips", ValueType::Int64), column("yes", ValueType::Float)],
        entity_columns: vec![column("driver_id", ValueType::Int32), column("city_id", ValueType::String)],
        ttl: Some(Duration { seconds: 129_600, nanos: 0 }),
        batch_source: Some(batch_source),
        tags: [("tier".to_owned(), "gold: \"yes\"".to_owned())].into(),
        ..FeatureViewSpec::default()
    };
    FeatureView { spec: Some(spec), meta: None }
}

#[test]
fn a_registry_reads_as_definitions() {
    let projection = |view: &str| FeatureViewProjection {
        feature_view_name: view.to_owned(),
        feature_columns: vec![column("trips", ValueType::Int64)],
        ..FeatureViewProjection::default()
    };
    let service = |name: &str, views: &[&str]| {
        let features = views.iter().map(|view| projection(view)).collect();
        let (name, project) = (name.to_owned(), "p".to_owned());
        FeatureService { spec: Some(FeatureServiceSpec { name, project, features, ..Default::default() }), meta: None }
    };
    let registry = Registry {
        entities: vec![entity("driver", "driver_id"), entity("city", "city_id")],
        feature_views: vec![
            view("stats", &["driver"], SourceType::BatchFile),
            view("pairs", &["driver", "city"], SourceType::BatchFile),
            view("lake", &["driver"], SourceType::BatchSnowflake),
            view("global", &["__dummy"], SourceType::BatchFile),
        ],
        feature_services: vec![service("both", &["stats", "pairs"]), service("cold", &["lake"])],
        ..Registry::default()
    };
    let Imported { yaml, left_out } = import(&registry, "p");
    expect![[r#"
        kind: entity
        name: driver
        join_key: driver_id
        type: int32
        ---
        kind: entity
        name: driver_city
        join_keys:
          - {name: driver_id, type: int32}
          - {name: city_id, type: string}
        ---
        kind: entity
        name: everything
        description: "What views without an entity are about."
        join_key: "__dummy_id"
        type: string
        ---
        kind: source
        name: global_source
        path: data/rides.parquet
        event_time: at
        ---
        kind: source
        name: pairs_source
        path: data/rides.parquet
        event_time: at
        ---
        kind: source
        name: stats_source
        path: data/rides.parquet
        event_time: at
        ---
        kind: feature_view
        name: global
        tags: {tier: "gold: \"yes\""}
        entity: everything
        source: global_source
        sql: "SELECT '' AS __dummy_id, \"at\", \"trips\", \"yes\" FROM \"global_source\""
        event_time: at
        ttl: "1d12h"
        features:
          - {name: trips, type: int64}
          - {name: "yes", type: float32}
        ---
        kind: feature_view
        name: pairs
        tags: {tier: "gold: \"yes\""}
        entity: driver_city
        source: pairs_source
        ttl: "1d12h"
        features:
          - {name: trips, type: int64}
          - {name: "yes", type: float32}
        ---
        kind: feature_view
        name: stats
        tags: {tier: "gold: \"yes\""}
        entity: driver
        source: stats_source
        ttl: "1d12h"
        features:
          - {name: trips, type: int64}
          - {name: "yes", type: float32}
        ---
        kind: feature_service
        name: both
        features:
          - {feature: stats:trips, as: stats__trips}
          - {feature: pairs:trips, as: pairs__trips}
    "#]]
    .assert_eq(&yaml);
    expect![[r#"
        feature view `lake`: its source `data/rides.parquet` is BatchSnowflake, not a file
        feature service `cold`: its view `lake` was left out"#]]
    .assert_eq(&left_out.join("\n"));
    let file = schema::definitions::File { path: "f.yaml".to_owned(), text: yaml };
    schema::Definitions::read(&[file]).unwrap();
    assert_eq!(import(&registry, "another"), Imported { yaml: String::new(), left_out: Vec::new() });
}

/// A type that is not here costs its feature, not the view.
#[test]
fn what_cannot_come_over_is_left_out_feature_by_feature() {
    let mut of_all = view("of_all", &["driver"], SourceType::BatchFile);
    let spec = of_all.spec.as_mut().unwrap();
    let number = |name: &str, number: i32| FeatureSpec { value_type: number, ..column_of(name) };
    spec.features = vec![column_of("trips"), number("profile", 34), number("attributes", 20), number("seen_by", 25)];
    let mut of_sets = view("of_sets", &["driver"], SourceType::BatchFile);
    of_sets.spec.as_mut().unwrap().features = vec![number("seen_by", 25)];
    let registry = Registry {
        entities: vec![entity("driver", "driver_id")],
        feature_views: vec![of_all, of_sets],
        ..Registry::default()
    };
    let Imported { yaml, left_out } = import(&registry, "p");
    let features = yaml.split("---\n").find(|document| document.starts_with("kind: feature_view")).unwrap();
    let features = features.split_once("features:\n").unwrap().1.replace("  - ", "- ");
    expect![[r#"
          - {name: trips, type: int64}
          - {name: profile, type: json}
          - {name: attributes, type: json}
    "#]]
    .assert_eq(&features);
    expect![[r#"
        feature `of_all:seen_by`: it has Feast's type INT64_SET, for which there is none here
        feature `of_sets:seen_by`: it has Feast's type INT64_SET, for which there is none here
        feature view `of_sets`: it has no features that can be had here"#]]
    .assert_eq(&left_out.join("\n"));
}

/// Every type of Feast that is no plain value: it has a type here, or its feature is left out by the type's name.
#[test]
fn every_type_of_feast_maps_or_is_named() {
    let mut found = Vec::new();
    for number in 20..=49 {
        let mut one = view("one", &["driver"], SourceType::BatchFile);
        let feature = FeatureSpec { value_type: number, ..column_of("x") };
        one.spec.as_mut().unwrap().features = vec![column_of("trips"), feature];
        let registry =
            Registry { entities: vec![entity("driver", "driver_id")], feature_views: vec![one], ..Registry::default() };
        let Imported { yaml, left_out } = import(&registry, "p");
        // What is here reads as definitions.
        let file = schema::definitions::File { path: "f.yaml".to_owned(), text: yaml.clone() };
        schema::Definitions::read(&[file]).unwrap();
        let here = yaml.lines().find_map(|line| line.trim().strip_prefix("- {name: x, type: ")?.strip_suffix('}'));
        let told = match (here, left_out.as_slice()) {
            (Some(dtype), []) => dtype.to_owned(),
            (None, [why]) => why.strip_prefix("feature `one:x`: it ").unwrap().to_owned(),
            other => panic!("{number}: {other:?}"),
        };
        found.push(format!("{number} {told}"));
    }
    expect![[r#"
        20 json
        21 json
        22 has Feast's type BYTES_SET, for which there is none here
        23 has Feast's type STRING_SET, for which there is none here
        24 has Feast's type INT32_SET, for which there is none here
        25 has Feast's type INT64_SET, for which there is none here
        26 has Feast's type DOUBLE_SET, for which there is none here
        27 has Feast's type FLOAT_SET, for which there is none here
        28 has Feast's type BOOL_SET, for which there is none here
        29 has Feast's type UNIX_TIMESTAMP_SET, for which there is none here
        30 has a type of Feast, number 30, that is not known here
        31 has a type of Feast, number 31, that is not known here
        32 json
        33 list<json>
        34 json
        35 json
        36 has Feast's type UUID, for which there is none here
        37 has Feast's type TIME_UUID, for which there is none here
        38 has Feast's type UUID_LIST, for which there is none here
        39 has Feast's type TIME_UUID_LIST, for which there is none here
        40 has Feast's type UUID_SET, for which there is none here
        41 has Feast's type TIME_UUID_SET, for which there is none here
        42 json
        43 has Feast's type VALUE_SET, for which there is none here
        44 "decimal(38,9)"
        45 "list<decimal(38,9)>"
        46 has Feast's type DECIMAL_SET, for which there is none here
        47 has Feast's type SCALAR_MAP, for which there is none here
        48 has Feast's type ZONED_TIMESTAMP, for which there is none here
        49 has a type of Feast, number 49, that is not known here"#]]
    .assert_eq(&found.join("\n"));
}

/// One view by two keys, tables, and objects: they are here too.
#[test]
fn what_is_here_too_comes_over() {
    let with = |name: &str, uri: &str, format: FileFormat, endpoint: &str| {
        let mut view = view(name, &["driver"], SourceType::BatchFile);
        let source = view.spec.as_mut().unwrap().batch_source.as_mut().unwrap();
        source.name = format!("{name}_rows");
        source.owner = "data@example.com".to_owned();
        source.tags = [("layer".to_owned(), "raw".to_owned())].into();
        source.file_options = Some(FileOptions {
            file_format: Some(format),
            uri: uri.to_owned(),
            s3_endpoint_override: endpoint.to_owned(),
        });
        view
    };
    let parquet = FileFormat { parquet_format: Some(Empty {}), delta_format: None };
    let delta = FileFormat { parquet_format: None, delta_format: Some(Empty {}) };
    let ends = |alias: &str, key: &str, column: &str| FeatureViewProjection {
        feature_view_name: "odd".to_owned(),
        feature_columns: vec![column_of("trips")],
        feature_view_name_alias: alias.to_owned(),
        join_key_map: [(key.to_owned(), column.to_owned())].into(),
        ..FeatureViewProjection::default()
    };
    let service = |name: &str, features: Vec<FeatureViewProjection>| FeatureService {
        spec: Some(FeatureServiceSpec {
            name: name.to_owned(),
            project: "p".to_owned(),
            features,
            ..Default::default()
        }),
        meta: None,
    };
    let mut driver = entity("driver", "driver_id");
    driver.spec.as_mut().unwrap().owner = "fleet@example.com".to_owned();
    let registry = Registry {
        entities: vec![driver],
        feature_views: vec![
            with("lake", "s3://bucket/lake", delta, "http://127.0.0.1:9000"),
            with("odd", "gs://bucket/rows.json", parquet, ""),
            with("far", "hdfs://name/rows.parquet", parquet, ""),
        ],
        feature_services: vec![
            service("swap", vec![ends("giver", "driver_id", "from_id"), ends("taker", "driver_id", "to_id")]),
            service("renamed", vec![ends("", "driver_id", "who")]),
            service("twice", vec![ends("", "driver_id", "who"), ends("", "driver_id", "driver_id")]),
            service("wrong", vec![ends("x", "rider_id", "who")]),
        ],
        ..Registry::default()
    };
    let Imported { yaml, left_out } = import(&registry, "p");
    let of = |what: &str| {
        yaml.split("---\n")
            .filter(|document| document.starts_with(what))
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .concat()
    };
    expect![[r#"
        kind: source
        # plumb.yaml: storage: {s3: {endpoint: "http://127.0.0.1:9000"}}
        name: lake_rows
        owner: "data@example.com"
        tags: {layer: raw}
        path: "s3://bucket/lake"
        format: delta
        event_time: at
        kind: source
        name: odd_rows
        owner: "data@example.com"
        tags: {layer: raw}
        path: "gs://bucket/rows.json"
        format: parquet
        event_time: at
    "#]]
    .assert_eq(&of("kind: source"));
    expect![[r#"
        kind: feature_service
        name: swap
        views:
          - {view: odd, as: giver, join_keys: {driver_id: from_id}}
          - {view: odd, as: taker, join_keys: {driver_id: to_id}}
        features:
          - {feature: giver:trips, as: giver__trips}
          - {feature: taker:trips, as: taker__trips}
        kind: feature_service
        name: renamed
        views:
          - {view: odd, join_keys: {driver_id: who}}
        features:
          - odd:trips
    "#]]
    .assert_eq(&of("kind: feature_service"));
    assert!(of("kind: entity").contains("owner: \"fleet@example.com\""), "{yaml}");
    expect![[r#"
        feature view `far`: its source `far_rows` is in no store that is read here: hdfs://name/rows.parquet
        feature service `twice`: it means two things by `odd`; give one an alias
        feature service `wrong`: it renames `rider_id`, which is no join key of view `odd`"#]]
    .assert_eq(&left_out.join("\n"));
    // It reads as definitions.
    let file = schema::definitions::File { path: "f.yaml".to_owned(), text: yaml };
    schema::Definitions::read(&[file]).unwrap();
}

fn column_of(name: &str) -> FeatureSpec {
    column(name, ValueType::Int64)
}
