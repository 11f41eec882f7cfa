use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use futures::StreamExt as _;

use super::elsewhere::is_quick;
use super::*;
use crate::config::Hosts;
use crate::http::attended;

/// Until an answer that does not come is called missing.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which thread answers.
fn here() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

struct Served {
    url: String,
    stop: watch::Sender<bool>,
    lanes: tokio::task::JoinSet<()>,
}

impl Served {
    async fn new(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let lanes_of = start(2, &attended(routes, Hosts::default(), crate::trace::Tracer::default())).unwrap();
        let mut lanes = tokio::task::JoinSet::new();
        lanes.spawn(lanes_of.answer(listener, stopped));
        Self { url, stop, lanes }
    }

    /// The status and the body of an answer, of a client that blocks.
    async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
        let (url, method) = (format!("{}{path}", self.url), method.to_owned());
        let ask = move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
            let agent = ureq::Agent::new_with_config(config.build());
            let mut answer = match method.as_str() {
                "GET" => agent.get(&url).call(),
                _ => agent.post(&url).send(&body[..]),
            }
            .unwrap();
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
        };
        #[expect(clippy::disallowed_methods, reason = "the client blocks")]
        tokio::task::spawn_blocking(ask).await.unwrap()
    }
}

async fn blocks() -> String {
    // Only on the runtime that has other threads.
    tokio::task::block_in_place(here)
}

/// Quick, but for what it finds to do.
async fn takes_long_after_all() -> Response {
    let quick = here();
    let long = async { Response::new(Body::from(tokio::task::block_in_place(here))) };
    let long = aside(long).await.unwrap().into_body();
    let long = axum::body::to_bytes(long, 100).await.unwrap();
    Response::new(Body::from(format!("{quick} {}", String::from_utf8_lossy(&long))))
}

async fn streams() -> Response {
    let pieces = futures::stream::iter(0..3).map(|n| {
        let text = format!("{n} {}\n", tokio::task::block_in_place(here));
        Ok::<_, std::convert::Infallible>(text)
    });
    Response::new(Body::from_stream(pieces))
}

/// A bug after the first piece.
async fn breaks() -> Response {
    let pieces = futures::stream::iter(0..2).map(|n| {
        assert_eq!(n, 0, "a bug");
        Ok::<_, std::convert::Infallible>("a piece\n")
    });
    Response::new(Body::from_stream(pieces))
}

fn routes() -> Router {
    Router::new()
        .route("/v1/features", post(async |body: String| format!("{} {}", here(), body.len())))
        .route("/v1/training-sets", get(blocks))
        .route("/readyz", get(takes_long_after_all))
        .route("/streams", get(streams))
        .route("/breaks", get(breaks))
        .route("/panics", get(async || panic!("a bug") as ()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_quick_is_answered_on_lanes_and_the_rest_elsewhere() {
    let served = Served::new(routes()).await;
    let (status, said) = served.ask("POST", "/v1/features", b"{}".to_vec()).await;
    assert_eq!(status, 200);
    assert!(said.starts_with("lane-") && said.ends_with(" 2"), "{said}");
    let (_, said) = served.ask("POST", "/v1/features", vec![b'x'; 20_000]).await;
    assert!(!said.starts_with("lane-") && said.ends_with(" 20000"), "{said}");
    let (status, said) = served.ask("GET", "/readyz", Vec::new()).await;
    let (quick, long) = said.split_once(' ').unwrap();
    assert!(status == 200 && quick.starts_with("lane-") && !long.starts_with("lane-"), "{said}");
    let (status, said) = served.ask("GET", "/v1/training-sets", Vec::new()).await;
    assert!(status == 200 && !said.starts_with("lane-"), "{said}");
    let (_, said) = served.ask("GET", "/streams", Vec::new()).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| !line.contains("lane-")), "{said}");
    // What breaks off does not look whole.
    let url = format!("{}/breaks", served.url);
    let broken = std::thread::spawn(move || ureq::get(&url).call().unwrap().body_mut().read_to_string());
    #[expect(clippy::disallowed_methods, reason = "the client blocks")]
    let broken = tokio::task::spawn_blocking(|| broken.join().unwrap()).await.unwrap();
    assert!(broken.is_err(), "{broken:?}");
    // A bug fails one request.
    let (status, said) = served.ask("GET", "/panics", Vec::new()).await;
    assert!(status == 500 && said.contains("panicked"), "{said}");
    assert_eq!(served.ask("POST", "/v1/features", b"{}".to_vec()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_spread_and_what_was_asked_is_answered_when_lanes_end() {
    let (begun, mut seen) = mpsc::channel(8);
    let slow = move || {
        let begun = begun.clone();
        async move {
            begun.send(here()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            "done"
        }
    };
    let mut served = Served::new(Router::new().route("/readyz", get(slow))).await;
    let url = format!("{}/readyz", served.url);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap())
        })
        .collect();
    let mut lanes = Vec::new();
    for _ in 0..4 {
        lanes.push(seen.recv().await.unwrap());
    }
    lanes.sort();
    assert_eq!(lanes, ["lane-0", "lane-0", "lane-1", "lane-1"]);
    served.stop.send(true).unwrap();
    served.lanes.join_next().await.unwrap().unwrap();
    for client in clients {
        assert_eq!(client.join().unwrap(), "done");
    }
}

const BIG: usize = 20_000;

/// Lets go what is held, at the latest when a test fails.
struct LetGo(Arc<AtomicBool>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_held_up_holds_up_no_other() {
    // It computes until it is told to stop, which no quick route may.
    let (begun, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let hold = {
        let (begun, held) = (Arc::clone(&begun), Arc::clone(&held));
        async move || {
            begun.store(true, Ordering::SeqCst);
            while held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            "let go"
        }
    };
    let let_go = LetGo(held);
    let routes = Router::new().route("/readyz", get(hold)).route("/livez", get(async || here()));
    let served = Served::new(routes).await;
    let url = served.url.clone();
    let waits = std::thread::spawn(move || {
        ureq::get(format!("{url}/readyz")).call().unwrap().body_mut().read_to_string().unwrap()
    });
    while !begun.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // As many as may wait for it, as many for the other, and more.
    let port = served.url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let idle: Vec<_> =
        (0..8 * WAITING_MAX).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let (status, lane) = served.ask("GET", "/livez", Vec::new()).await;
    assert!(status == 200 && lane.starts_with("lane-"), "{lane}");
    drop(idle);
    drop(let_go);
    assert_eq!(waits.join().unwrap(), "let go");
}

#[test]
fn what_may_take_long_is_not_quick() {
    let quick = |route: &str, method: Method, body| is_quick(route, &method, body);
    assert!(quick("/v1/features", Method::POST, Some(100)));
    assert!(!quick("/v1/features", Method::POST, Some(BIG)));
    assert!(!quick("/v1/features", Method::POST, None));
    assert!(!quick("/v1/models/{model}/predict", Method::POST, Some(2_000)));
    assert!(quick("/v1/models/{model}/predict", Method::POST, Some(100)));
    assert!(!quick("/v1/training-sets", Method::POST, Some(100)));
    assert!(quick("/api/2.0/mlflow/registered-models/get", Method::GET, Some(0)));
    assert!(quick("/ajax-api/2.0/mlflow/registered-models/alias", Method::GET, Some(0)));
    // It moves the alias, which may run a model's checks.
    assert!(!quick("/api/2.0/mlflow/registered-models/alias", Method::POST, Some(100)));
    // A search that was not made before goes on elsewhere by itself.
    assert!(quick("/api/2.0/mlflow/registered-models/search", Method::GET, Some(0)));
    assert!(!quick("/api/2.0/mlflow/runs/search", Method::GET, Some(0)));
    assert!(!quick("none", Method::GET, Some(0)));
}

#[tokio::test]
async fn who_has_no_lane_left_ends() {
    let (connections, handed) = mpsc::channel(1);
    let (_, ended) = oneshot::channel();
    let lanes = Lanes(vec![Lane { connections, open: Open::default(), ended }]);
    drop(handed);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (_stop, stopped) = watch::channel(false);
    let answering = tokio::time::timeout(PATIENCE, lanes.answer(listener, stopped));
    let (client, ended) = tokio::join!(client, answering);
    assert!(client.is_ok() && ended.is_ok());
}
