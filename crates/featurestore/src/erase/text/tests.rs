use schema::definitions::File as Yaml;
use schema::{AppliedDefinitions, Definitions};

use super::*;

/// A source of texts, and two views whose key `user_id` is an `int64`, and of the other a text.
fn definitions(source: &str, key: &str) -> AppliedDefinitions {
    let text = format!(
        "kind: entity\nname: user\njoin_key: user_id\ntype: {key}\n---\n\
         kind: source\nname: rows\nevent_time: at\n{source}\n---\n\
         kind: feature_view\nname: v\nentity: user\nsource: rows\nfeatures: [{{name: n, type: int64}}]\n"
    );
    let file = Yaml { path: "all.yaml".to_owned(), text };
    AppliedDefinitions::default().after(&Definitions::read(&[file]).unwrap())
}

#[track_caller]
fn check_as(source: &str, key: &str, value: &str, text: &str, kept: &str) -> Found {
    let applied = definitions(source, key);
    let view = applied.current_view("v").unwrap();
    let subject = Subject::new(vec![("user_id".to_owned(), value.to_owned())]);
    let wanted = Wanted::new(&subject, &[view], &view.source).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    std::fs::write(&path, text).unwrap();
    let lists = [vec!["user_id".to_owned()], vec!["customer".to_owned()]];
    let counted = count(&path, &wanted, &lists).unwrap().unwrap_or_default();
    assert_eq!(rewrite(&path, &wanted, &lists).unwrap(), counted);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
    counted
}

#[track_caller]
fn check(source: &str, text: &str, n_found: u64, kept: &str) {
    assert_eq!(check_as(source, "int64", "42", text, kept).rows.n_found, n_found);
}

#[test]
fn lines_of_the_subject_go_and_others_keep_their_bytes() {
    let csv = "path: rows.csv";
    let text = "user_id,note\r\n42,\"a, \"\"b\"\"\nand 43\"\r\n43,\"42\"\n\n\"42\",x\n142,y";
    check(csv, text, 2, "user_id,note\r\n43,\"42\"\n\n142,y");
    check(csv, "note,customer\n42,7\n7,42\n", 1, "note,customer\n42,7\n");
    check(csv, "a,b\n42,42\n", 0, "a,b\n42,42\n");
    check(csv, "\u{feff}user_id\n42\n43\n", 1, "\u{feff}user_id\n43\n");
    let json = "{\"user_id\": 42}\n{\"user_id\":\"42\", \"x\": 1}\n\n{\"user_id\": 421}\nnot json\n";
    check("path: rows.jsonl", json, 2, "\n{\"user_id\": 421}\nnot json\n");
}

/// A quote in a field without quotes ends at its line, as it does where the file is a source: the rows behind it are others'.
#[test]
fn rows_behind_one_that_is_none_stay() {
    let text = "user_id,note\n42,5\" pipe\n43,x\n44,6\" y\n45,z\n";
    let found = check_as("path: rows.csv\nbad_rows: reject", "int64", "42", text, text);
    assert_eq!((found.rows.n_found, found.unclear), (0, vec![2]), "the line that names it is told, and stays");
    let found = check_as("path: rows.csv\nbad_rows: reject", "int64", "43", text, &text.replace("43,x\n", ""));
    assert_eq!((found.rows.n_found, found.unclear), (1, vec![]));
    let long = "user_id,note\n43,x,42\n42,1\n";
    let found = check_as("path: rows.csv\nbad_rows: reject", "int64", "42", long, "user_id,note\n43,x,42\n");
    assert_eq!((found.rows.n_found, found.unclear), (1, vec![2]));
}

#[test]
fn a_value_is_one_in_every_spelling_that_history_reads() {
    for spelling in ["42", "042", "+42", "\"42\""] {
        check("path: rows.csv", &format!("user_id,n\n{spelling},1\n"), 1, "user_id,n\n");
    }
    let same = |key: &str, value: &str, spelling: &str, n_found: u64| {
        let text = format!("user_id,n\n{spelling},1\n");
        let kept = if n_found == 1 { "user_id,n\n" } else { text.as_str() };
        assert_eq!(check_as("path: rows.csv", key, value, &text, kept).rows.n_found, n_found, "{key} {spelling}");
    };
    same("string", "42", "042", 0);
    same("bool", "true", "T", 1);
    same("date", "2026-01-02", "2026-01-02", 1);
    same("int64", "-7", "-007", 1);
    check("path: rows.jsonl", "{\"user_id\": 42 }\n{\"user_id\": 42.0}\n", 1, "{\"user_id\": 42.0}\n");
}

#[test]
fn the_source_says_what_separates() {
    check("path: rows.csv\ndelimiter: ';'", "user_id;note\n42;a,b\n43;42\n", 1, "user_id;note\n43;42\n");
}

#[test]
fn a_text_that_has_no_end_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let text = "user_id,note\n42,x\n43,\"never ends\n42,y\n";
    std::fs::write(&path, text).unwrap();
    let applied = definitions("path: rows.csv", "int64");
    let view = applied.current_view("v").unwrap();
    let subject = Subject::new(vec![("user_id".to_owned(), "42".to_owned())]);
    let wanted = Wanted::new(&subject, &[view], &view.source).unwrap();
    let why = rewrite(&path, &wanted, &[vec!["user_id".to_owned()]]).unwrap_err();
    assert!(schema::error::chain(&why).contains("line 3: a quote that has no end"), "{}", schema::error::chain(&why));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
