//! A training set says what it was made of: it is made again byte for byte, or what changed is named; plans name it, and
//! leaks end a build where that is asked for.

use crate::harness::Plumb;

const BUILD: &str = "training-set build --service repeat_purchase_v1 --spine spine.sql";

#[test]
fn the_same_training_set_is_made_again_until_something_changes() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    for name in ["train.parquet", "train.arrow"] {
        let file = plumb.path().join(name);
        let shown = file.display();
        let built = plumb.json(&format!("{BUILD} --out {shown}"));
        assert_eq!(built["n_rows"], 282_840);
        let columns = built["profile"].as_array().unwrap();
        assert_eq!((columns.len(), &columns[2]["role"]), (6, &serde_json::json!("label")), "{columns:?}");
        let bytes = std::fs::read(&file).unwrap();

        // In blocks, and to another place.
        let other = plumb.path().join(format!("again-{name}"));
        plumb.run(&format!("training-set rebuild {shown} --out {} --memory 100MB", other.display())).ok();
        assert!(std::fs::read(&other).unwrap() == bytes, "{name}");
        plumb.run(&format!("training-set rebuild {shown}")).ok();
        let told = plumb.run(&format!("training-set show {shown}")).ok().stdout;
        assert!(told.contains("282840 rows for service `repeat_purchase_v1` version 1"), "{told}");
        assert!(told.contains("user_features@v1 data"), "{told}");

        // The report beside the file is enough.
        std::fs::remove_file(&file).unwrap();
        plumb.run(&format!("training-set rebuild {shown}")).ok();
        assert!(std::fs::read(&file).unwrap() == bytes, "{name}");
    }
    let listed = plumb.json("training-set list");
    assert_eq!(listed["training_sets"].as_array().unwrap().len(), 4, "{listed}");
    assert_eq!(listed["training_sets"][0]["keys"][0]["columns"][0][1], "user_id");

    plumb.edit("features/user_features.yaml", "ttl: 365d", "ttl: 100d");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("training set ") && plan.contains("train.parquet"), "{plan}");

    let file = plumb.path().join("train.parquet");
    let orders = plumb.path().join("data/orders.parquet");
    let touched = std::fs::read(&orders).unwrap();
    std::fs::write(&orders, touched).unwrap();
    let refused = plumb.run(&format!("training-set rebuild {}", file.display()));
    refused.fails(1, &["cannot be made again", "file `data/orders.parquet` changed", "source `orders`"]);
}

#[test]
fn a_feature_that_is_the_label_ends_the_build_where_asked_for() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    // The label counts the very orders that a feature counts.
    plumb.write(
        "leak.sql",
        "SELECT user_id, TIMESTAMP '1997-12-01' AT TIME ZONE 'UTC' AS event_time, count(*) AS n_orders FROM orders \
         WHERE ordered_at <= TIMESTAMP '1997-12-01' AT TIME ZONE 'UTC' GROUP BY user_id ORDER BY user_id",
    );
    let out = plumb.path().join("leak.parquet");
    let build = |spine: &str, more: &str| {
        let out = out.display();
        plumb.run(&format!("training-set build --service repeat_purchase_v1 --spine {spine} --out {out} {more}"))
    };
    let told = build("leak.sql", "").ok().stdout;
    assert!(told.contains("LEAK feature `total_orders` equals `n_orders` in all"), "{told}");
    assert_eq!(build("leak.sql", "--fail-on-leakage").code, 1);
    build("spine.sql", "--fail-on-leakage").ok();
    build("spine.sql", "--memory 12XB").fails(2, &["is no unit"]);
    build("spine.sql", "--label-time nope").fails(2, &["has no column `nope`"]);
    let orders = plumb.path().join("data/orders.parquet");
    plumb.run(&format!("training-set show {}", orders.display())).fails(2, &["does not say what it was made of"]);
}
