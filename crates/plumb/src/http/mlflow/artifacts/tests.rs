//! Files over HTTP, and what is left of those that do not come whole.

use axum::body::{Body, Bytes};
use serde_json::{Value, json};

use crate::http::mlflow::tests::Served;

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

fn drafts(served: &Served) -> usize {
    std::fs::read_dir(served.folder.path().join("runs/drafts")).unwrap().count()
}

#[tokio::test]
async fn a_file_is_kept_listed_fetched_and_removed() {
    let served = Served::new().await;
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let pieces = bytes.chunks(70_000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
    let body = Body::from_stream(futures::stream::iter(pieces.collect::<Vec<_>>()));
    assert_eq!(served.send("PUT", &format!("{FILES}/0/r/a%20b"), body).await, (200, b"{}".to_vec()));
    assert_eq!(served.send("GET", &format!("{FILES}/0/r/a%20b"), "").await, (200, bytes));
    let listed = served.ask("GET", &format!("{FILES}?path=0/r"), Value::Null).await;
    assert_eq!(listed, (200, json!({ "files": [{ "path": "a b", "is_dir": false, "file_size": 2_500_000 }] })));
    let listed = served.ask("GET", &format!("{FILES}?path=0"), Value::Null).await;
    assert_eq!(listed, (200, json!({ "files": [{ "path": "r", "is_dir": true }] })));
    for path in ["0/r/a%20b", "1"] {
        assert_eq!(served.ask("GET", &format!("{FILES}?path={path}"), Value::Null).await, (200, json!({})));
    }
    for _ in 0..2 {
        assert_eq!(served.ask("DELETE", &format!("{FILES}/0/r"), json!({})).await, (200, json!({})));
    }
    let (status, said) = served.ask("GET", &format!("{FILES}/0/r/a%20b"), Value::Null).await;
    assert_eq!((status, &said["error_code"]), (404, &"RESOURCE_DOES_NOT_EXIST".into()));
}

#[tokio::test]
async fn a_file_that_breaks_off_was_never_there() {
    let served = Served::new().await;
    let path = format!("{FILES}/0/f");
    assert_eq!(served.send("PUT", &path, "before").await.0, 200);
    let pieces = [Ok(Bytes::from(vec![1; 1_500_000])), Err(std::io::Error::other("the client is gone"))];
    let (status, _) = served.send("PUT", &path, Body::from_stream(futures::stream::iter(pieces))).await;
    assert_eq!(status, 400);
    assert_eq!(served.send("GET", &path, "").await, (200, b"before".to_vec()));
    assert_eq!(drafts(&served), 0);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let served = Served::new().await;
    let path = format!("{FILES}/0/f");
    let piece = || Ok::<_, std::io::Error>(Bytes::from(vec![1; 1_000_000]));
    for n in [3, 4] {
        let body = Body::from_stream(futures::stream::iter((0..n).map(|_| piece()).collect::<Vec<_>>()));
        let (status, body) = served.send("PUT", &path, body).await;
        assert_eq!(status, if n == 3 { 200 } else { 400 }, "{}", String::from_utf8_lossy(&body));
    }
    assert_eq!(served.send("PUT", &path, vec![0; 3_000_001]).await.0, 400);
    assert_eq!(served.send("GET", &path, "").await.1.len(), 3_000_000);
    assert_eq!(drafts(&served), 0);
}

#[tokio::test]
async fn files_of_a_run_are_listed_below_its_root() {
    let served = Served::new().await;
    let (_, made) = served.ask("POST", "/api/2.0/mlflow/runs/create", json!({})).await;
    let id = made["run"]["info"]["run_id"].as_str().unwrap();
    served.send("PUT", &format!("{FILES}/0/{id}/artifacts/out/deep/f"), "x").await;
    let listed = async |path: &str| {
        let path = format!("/api/2.0/mlflow/artifacts/list?run_id={id}&path={path}");
        served.ask("GET", &path, Value::Null).await.1["files"].to_string()
    };
    assert_eq!(listed("").await, r#"[{"path":"out","is_dir":true}]"#);
    assert_eq!(listed("out").await, r#"[{"path":"out/deep","is_dir":true}]"#);
    assert_eq!(listed("out/deep/").await, r#"[{"path":"out/deep/f","is_dir":false,"file_size":1}]"#);
    assert_eq!(listed("none").await, "null");
}
