//! Goal: what definitions mark as personal is in the data and in answers to clients, and nowhere else. Method: an
//! unmistakable value goes every way there is, and everything that commands print is searched for it.

use serde_json::json;

use crate::harness::{Answer, Plumb};

const CANARY: &str = "CANARY";
/// A key that no other number has in it.
const KEY: &str = "77001122";

fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: personal\nclock: {now: \"2024-02-01T00:00:00Z\"}\n");
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\npii: true\n---\n\
         kind: source\nname: people\npath: tables/people\nformat: delta\nevent_time: at\n\
         columns: [{name: user_id, type: int64}, {name: at, type: timestamp}, {name: tel, type: string}, {name: age, type: int64}]\n\
         field_mapping: {tel: phone}\n---\n\
         kind: feature_view\nname: profile\nentity: user\nsource: people\nknown: event\n\
         features: [{name: phone, type: string, pii: true}, {name: age, type: int64, pii: true}]\n\
         computed: [{name: area, type: string, expr: 'substr(phone, 1, 6)', pii: true}, {name: letters, type: int64, expr: 'character_length(phone)'}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['profile:*']\n",
    );
    plumb.write(
        "people.csv",
        &format!("user_id,at,tel,age\n{KEY},2024-01-01T00:00:00Z,{CANARY}-1,880011773\n{KEY},2024-01-09T00:00:00Z,{CANARY}-2,880011774\n5,2024-01-01T00:00:00Z,,\n"),
    );
    plumb
}

#[track_caller]
fn silent(answer: Answer) -> Answer {
    for (name, text) in [("stdout", &answer.stdout), ("stderr", &answer.stderr)] {
        for secret in [CANARY, "880011773", "880011774"] {
            assert!(!text.contains(secret), "`{secret}` is in {name}: {text}");
        }
    }
    answer
}

#[test]
fn what_is_marked_is_answered_and_not_shown() {
    let plumb = project();
    silent(plumb.run("apply --yes").ok());
    plumb.write("bad.csv", &format!("user_id,at,tel,age\n{KEY},2024-01-02T00:00:00Z,x,{CANARY}\n,2024-01-02T00:00:00Z,x,1\n6,2024-01-02T00:00:00Z,x,1\n"));
    for output in ["", " --output json"] {
        silent(plumb.run(&format!("ingest people people.csv{output}")).ok());
        let told = silent(plumb.run(&format!("ingest people bad.csv --max-bad 0{output}")));
        let said = told.stdout + &told.stderr;
        assert!(told.code == 1 && said.contains("column `age`") && said.contains("it is null"), "{said}");
    }
    silent(plumb.run("ingest people bad.csv").ok());
    silent(plumb.run("materialize").ok());

    // What a client asks for is answered.
    let server = plumb.serve();
    let ask = json!({ "service": "s", "entities": { "user_id": [KEY.parse::<i64>().unwrap(), 5] } });
    let (_, answer) = server.post("/v1/features", &ask.to_string());
    assert_eq!(answer["features"]["phone"]["values"], json!([format!("{CANARY}-2"), null]), "{answer}");
    server.stop();

    // What a person looks at is masked, unless they say that they may see it.
    let get = format!("features get --service s --entity user_id={KEY},5");
    assert!(silent(plumb.run(&get).ok()).stdout.contains("***"));
    let masked = silent(plumb.run(&format!("{get} --output json")).ok()).json();
    assert_eq!(masked["features"]["phone"]["values"], json!(["***", null]));
    assert_eq!(masked["features"]["age"]["values"], json!(["***", null]));
    assert_eq!(masked["features"]["area"]["values"], json!(["***", null]));
    assert_eq!(masked["features"]["letters"]["values"], json!([8, null]));
    assert_eq!(plumb.json(&format!("{get} --show-pii"))["features"], answer["features"]);
    assert!(plumb.run(&format!("{get} --show-pii")).ok().stdout.contains("CANARY-2"));
    silent(plumb.run(&format!("features explain profile --entity user_id={KEY}")).ok());

    // A token says what was answered by digest; what history says is masked as well.
    let token = answer["replay_token"].as_str().unwrap();
    for output in ["", " --output json"] {
        let told = silent(plumb.run(&format!("replay {token}{output}")).ok());
        assert!(told.stdout.contains("***"), "{told:?}");
    }
    assert!(plumb.run(&format!("replay {token} --show-pii")).ok().stdout.contains("CANARY-2"));

    // A row that was not known in time is a leak; whose value it is stays untold.
    plumb.write("spine.csv", &format!("user_id,event_time,label\n{KEY},2024-01-05T00:00:00Z,1\n{KEY},2024-01-20T00:00:00Z,0\n5,2024-01-20T00:00:00Z,0\n"));
    let spine = plumb.path().join("spine.csv").display().to_string();
    let out = plumb.path().join("train.parquet").display().to_string();
    for output in ["", " --output json"] {
        let told =
            silent(plumb.run(&format!("training-set build --service s --spine {spine} --out {out}{output}")).ok());
        assert!(!told.stdout.contains(KEY), "{told:?}");
        silent(plumb.run(&format!("training-set show {out}{output}")).ok());
    }
    let shown = plumb.json(&format!("training-set show {out}"));
    let columns = shown["report"]["profile"].as_array().or_else(|| shown["profile"].as_array()).unwrap().clone();
    let of = |name: &str| columns.iter().find(|column| column["column"] == name).unwrap();
    assert_eq!(
        (&of("phone")["masked"], &of("phone")["min"], &of("phone")["nulls"]),
        (&json!(true), &json!(null), &json!(1))
    );
    assert_eq!((&of("user_id")["masked"], &of("user_id")["max"]), (&json!(true), &json!(null)));
    assert_eq!((&of("letters")["masked"], &of("letters")["max"]), (&json!(null), &json!("8")));

    silent(plumb.run("doctor"));
    silent(plumb.run("plan"));
}

/// A value that does not fit is told by its place, by whatever command meets it.
#[test]
fn what_does_not_fit_is_not_shown() {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: personal\n");
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\npii: true\n---\n\
         kind: source\nname: people\npath: people.csv\nformat: csv\nevent_time: at\n\
         columns: [{name: uid, type: int64}, {name: yrs, type: int64}, {name: n, type: int64}]\n\
         field_mapping: {uid: user_id, yrs: age}\n---\n\
         kind: feature_view\nname: profile\nentity: user\nsource: people\n\
         features: [{name: age, type: int64, pii: true}, {name: n, type: int64}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['profile:*']\n",
    );
    let people = |row: &str| plumb.write("people.csv", &format!("uid,at,yrs,n\n1,2024-01-01T00:00:00Z,1,1\n{row}\n"));
    people("2,2024-01-01T00:00:00Z,2,2");
    plumb.run("apply --yes").ok();
    for (row, column) in [("CANARY,2024-01-01T00:00:00Z,2,2", "uid"), ("2,2024-01-01T00:00:00Z,CANARY,2", "yrs")] {
        people(row);
        silent(plumb.run("doctor"));
        for command in ["plan", "materialize", "features explain profile --entity user_id=1"] {
            let told = silent(plumb.run(command));
            let (said, wanted) = (told.stdout.clone() + &told.stderr, format!("column `{column}`"));
            assert!(
                said.contains("line 3: its value does not fit, and is not shown") && said.contains(&wanted),
                "{said}"
            );
        }
    }
    people("2,2024-01-01T00:00:00Z,2,x");
    plumb.run("plan").fails(2, &["`x` is no int64, column `n`"]);
    people("2,2024-01-01T00:00:00Z,2,2");
    plumb.write("spine.csv", "user_id,event_time,y\nCANARY,2024-06-01T00:00:00Z,1\n");
    let (spine, out) = (plumb.path().join("spine.csv"), plumb.path().join("out.parquet"));
    let build = format!("training-set build --service s --spine {} --out {}", spine.display(), out.display());
    silent(plumb.run(&build)).fails(2, &["line 2: its value does not fit, and is not shown, column `user_id`"]);
}
