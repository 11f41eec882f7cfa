//! What a query may not do, and how much it may take.

use arrow::array::Int64Array;
use futures::TryStreamExt;

use super::*;

/// One table, `rows`, of one column and so many rows of one value: next to nothing on a disk.
fn context_of(n_rows: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    let context = SessionContext::new_with_config(config);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7; n_rows]));
    context.register_batch("rows", RecordBatch::try_from_iter([("v", column)]).unwrap()).unwrap();
    context
}

/// FT T14, in every place that a query may stand in.
#[tokio::test]
async fn a_query_only_reads_its_source() {
    let context = context_of(3);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let csv = folder.path().join("in.csv");
    std::fs::write(&csv, "v\n1\n").unwrap();
    let (out_name, csv_name) = (out.display(), csv.display());
    let check = async |sql: &str, want: &str| {
        let why = plan_view(&context, sql).await.map(drop).expect_err(sql);
        let said = expr::plain(&why);
        assert!(said.contains(want), "{sql}: {said}");
    };
    for (sql, want) in [
        (format!("COPY rows TO '{out_name}' STORED AS CSV"), "DML not supported: COPY"),
        ("INSERT INTO rows VALUES (1)".to_owned(), "DML not supported: Insert"),
        ("CREATE TABLE t AS SELECT * FROM rows".to_owned(), "DDL not supported"),
        (format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{csv_name}'"), "DDL not supported"),
        ("CREATE VIEW w AS SELECT * FROM rows".to_owned(), "DDL not supported"),
        ("DROP TABLE rows".to_owned(), "DDL not supported"),
        ("SET datafusion.execution.batch_size = 1".to_owned(), "Statement not supported"),
        ("SELECT * FROM rows; DROP TABLE rows".to_owned(), "single SQL statement"),
        (format!("EXPLAIN ANALYZE COPY rows TO '{out_name}'"), "not supported"),
        ("SELECT v FROM rows TABLESAMPLE BERNOULLI (10)".to_owned(), "TABLESAMPLE, which is not known here"),
        ("SELECT v FROM rows AS r tablesample (10 ROWS)".to_owned(), "TABLESAMPLE, which is not known here"),
    ] {
        check(&sql, want).await;
    }
    for table in [&csv_name.to_string(), "/etc/passwd", "file:///etc/passwd", "information_schema.tables"] {
        check(&format!("SELECT * FROM \"{table}\""), "not found").await;
        check(&format!("SELECT v FROM rows WHERE v IN (SELECT v FROM \"{table}\")"), "not found").await;
    }
    for call in ["random()", "now()", "uuid()", "current_date()", "current_time()"] {
        let name = call.trim_end_matches("()");
        for sql in [
            format!("SELECT {call} AS x FROM rows"),
            format!("SELECT v FROM rows WHERE v IN (SELECT v FROM rows WHERE {call} IS NOT NULL)"),
            format!("SELECT (SELECT max(CAST({call} AS varchar)) FROM rows) AS x FROM rows"),
            format!("WITH w AS (SELECT v, {call} AS x FROM rows) SELECT v FROM w WHERE x IS NOT NULL"),
            format!("SELECT v FROM rows ORDER BY {call}"),
            format!("SELECT a.v FROM rows a JOIN rows b ON a.v = b.v AND {call} IS NOT NULL"),
        ] {
            let why = plan_view(&context, &sql).await.map(drop).expect_err(&sql);
            let said = expr::plain(&why);
            assert!(said.contains(name) || said.contains("Invalid function"), "{sql}: {said}");
        }
    }
    assert!(!out.exists());
    // The table is as it was, and what is allowed is.
    let frame = plan_view(&context, "SELECT count(*) AS n FROM rows WHERE v IN (SELECT v FROM rows)").await.unwrap();
    assert_eq!(frame.collect().await.unwrap()[0].num_rows(), 1);
}

/// FT T15: it would overflow the stack.
#[tokio::test]
async fn a_query_that_is_too_deep_is_refused() {
    let context = context_of(3);
    for part in [" + 1", " OR v = 1", " UNION ALL SELECT v FROM rows"] {
        let sql = format!("SELECT v FROM rows WHERE v = 1{}", part.repeat(50_000));
        let why = plan_view(&context, &sql).await.map(drop).unwrap_err();
        assert!(expr::plain(&why).contains("chains more than 500 operators"), "{}", expr::plain(&why));
        plan_view(&context, &format!("SELECT v FROM rows WHERE v = 1{}", part.repeat(100))).await.unwrap();
    }
    let sql = format!("SELECT v FROM rows WHERE {}v = 1{}", "(".repeat(50_000), ")".repeat(50_000));
    assert!(plan_view(&context, &sql).await.is_err());
}

/// FT 21: what expands hugely is refused, and names what there was too little of.
#[tokio::test]
async fn a_query_has_a_limit_of_memory() {
    let context = context_of(2_000);
    let many = "SELECT array_agg(a.v) AS list FROM rows a CROSS JOIN rows b";
    let ask = async |sql: &str, memory: usize| {
        let frame = plan_view(&context, sql).await.unwrap();
        run(frame, QueryLimits { memory_bytes: memory, ..QueryLimits::default() }).await?.try_collect::<Vec<_>>().await
    };
    let why = ask(many, 4 << 20).await.map(drop).unwrap_err();
    assert!(matches!(why.find_root(), DataFusionError::ResourcesExhausted(_)), "{why}");
    // In memory that is enough, or with what is laid aside on a disk, it is answered.
    assert_eq!(ask(many, 1 << 30).await.unwrap()[0].num_rows(), 1);
}

/// FT 21: nobody waits for ever. The query would run for longer than a test does.
#[tokio::test]
async fn a_query_has_limits_of_time_and_of_rows() {
    let context = context_of(20_000);
    let ask = async |sql: &str, limits: QueryLimits| {
        let frame = plan_view(&context, sql).await.unwrap();
        run(frame, limits).await?.try_collect::<Vec<_>>().await
    };
    let endless = "SELECT count(*) AS n FROM rows a CROSS JOIN rows b CROSS JOIN rows c WHERE a.v + b.v + c.v = 0";
    let limits = QueryLimits { time: Duration::from_millis(50), ..QueryLimits::default() };
    let why = ask(endless, limits).await.unwrap_err().to_string();
    assert!(why.contains("longer than 0.05 s") && why.contains("`query: {time: ...}` in plumb.yaml"), "{why}");
    let many = "SELECT a.v FROM rows a CROSS JOIN rows b";
    let limits = QueryLimits { rows: 20_000, ..QueryLimits::default() };
    let why = ask(many, limits).await.unwrap_err().to_string();
    assert!(why.contains("more than 20000 rows") && why.contains("`query: {rows: ...}`"), "{why}");
    let just = ask("SELECT v FROM rows", limits).await.unwrap();
    assert_eq!(just.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
}
