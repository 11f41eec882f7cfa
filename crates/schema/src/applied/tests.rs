use expect_test::expect;

use super::*;
use crate::definitions::File;

/// Fingerprints are stored and pinned by models: what a definition means must keep its digest for ever.
#[test]
fn definitions_of_the_first_dtypes_keep_their_fingerprints() {
    let features = [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "string",
        "bytes",
        "date",
        "timestamp",
    ];
    let lines: String = features.iter().map(|dtype| format!("- {{name: f_{dtype}, type: {dtype}}}\n")).collect();
    let text = format!(
        "kind: entity\nname: user\njoin_keys: [{{name: user_id, type: int64}}, {{name: region, type: string}}]\n---\n\
         kind: source\nname: orders\npath: orders.parquet\nevent_time: at\ncreated_time: known_at\n\
         timezone: Europe/Berlin\n---\n\
         kind: feature_view\nname: user_features\nentity: user\nsource: orders\nttl: 365d\nfeatures:\n{lines}\
         computed:\n- {{name: twice, type: float64, expr: f_float64 * 2.0}}\n---\n\
         kind: feature_service\nname: s\nfeatures: ['user_features:f_int64', 'user_features:f_timestamp', 'user_features:twice']\n\
         fill: {{f_int64: 7, f_timestamp: '2024-01-01', twice: 0.5}}\n"
    );
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text }]).unwrap();
    let applied = AppliedDefinitions::default().after(&declared);
    let view = applied.current_view("user_features").unwrap().fingerprint;
    let service = applied.current_service("s").unwrap().fingerprint;
    expect![[r#"
        51a884ae8d4ced3fd2c7037942c41e36a44a6430ce4d1a7186ca0b990b8fa391
        fd339ebb3745014582f5241f7eba9834d80e61ed2c5a7318d3cdc7ee1e5787c8
    "#]]
    .assert_eq(&format!("{view}\n{service}\n"));
}
