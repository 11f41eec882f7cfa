//! Clients that hang up, and what they are told when they come back.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::Semaphore;
use tonic::codegen::Service;

use super::*;

/// A server that counts what it makes, and makes it when it is let.
struct Maker {
    made: Arc<AtomicUsize>,
    let_go: Arc<Semaphore>,
    router: Router,
}

impl Maker {
    fn new() -> Self {
        let (made, let_go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, gate) = (Arc::clone(&made), Arc::clone(&let_go));
        let make = async move |body: String| {
            let n = counted.fetch_add(1, Ordering::SeqCst) + 1;
            gate.acquire().await.unwrap().forget();
            match body.as_str() {
                "bad" => (StatusCode::BAD_REQUEST, n.to_string()),
                "boom" => panic!("a bug"),
                "lost" => return lost().into_response(),
                _ => (StatusCode::OK, n.to_string()),
            }
            .into_response()
        };
        let router = Router::new()
            .route("/runs/create", post(make.clone()))
            .route("/runs/update", post(make))
            .layer(axum::middleware::from_fn_with_state(Arc::new(Once::default()), once));
        Self { made, let_go, router }
    }

    fn ask(&self, path: &str, body: &'static str) -> futures::future::BoxFuture<'static, Response> {
        let mut router = self.router.clone();
        let request = Request::builder().method("POST").uri(path).body(Body::from(body)).unwrap();
        async move { router.call(request).await.unwrap() }.boxed()
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Asks, and hangs up when it is being made.
    async fn ask_and_hang_up(&self, body: &'static str) {
        let before = self.made();
        let mut asked = self.ask("/runs/create", body);
        while self.made() == before {
            assert!(futures::poll!(&mut asked).is_pending());
            tokio::task::yield_now().await;
        }
    }
}

/// What is said where a store went away while it wrote and did not come back.
fn lost() -> Refusal {
    let (location, source) = ("postgres://there/db".to_owned(), "connection reset".into());
    registry::tracking::TrackingError::Unknown { location, source }.into()
}

/// Nobody knows whether it was made: a client that tries by itself would make it twice. What may be repeated is.
#[tokio::test]
async fn what_may_have_been_made_is_not_asked_for_again_by_the_client() {
    let maker = Maker::new();
    maker.let_go.add_permits(9);
    let answer = said(maker.ask("/runs/create", "lost").await).await;
    assert!(answer.starts_with("409 ") && answer.contains("look for it before you ask again"), "{answer}");
    let answer = said(maker.ask("/runs/update", "lost").await).await;
    assert!(answer.starts_with("503 ") && answer.contains("connection reset"), "{answer}");
}

async fn said(response: Response) -> String {
    let status = response.status().as_u16();
    format!("{status} {}", String::from_utf8_lossy(&to_bytes(response.into_body(), usize::MAX).await.unwrap()))
}

#[tokio::test]
async fn who_hung_up_and_asks_again_is_told_what_was_made() {
    let maker = Maker::new();
    maker.ask_and_hang_up("a").await;
    // Again while it is being made, and hung up once more.
    let mut again = maker.ask("/runs/create", "a");
    for _ in 0..20 {
        assert!(futures::poll!(&mut again).is_pending());
        tokio::task::yield_now().await;
    }
    drop(again);
    maker.let_go.add_permits(9);
    assert_eq!(said(maker.ask("/runs/create", "a").await).await, "200 1");
    assert_eq!(maker.made(), 1);
    // It was told: the next one is another.
    assert_eq!(said(maker.ask("/runs/create", "a").await).await, "200 2");
}

#[tokio::test]
async fn an_answer_that_nobody_took_is_given_to_the_next() {
    let maker = Maker::new();
    maker.let_go.add_permits(9);
    drop(maker.ask("/runs/create", "a").await);
    drop(maker.ask("/runs/create", "a").await);
    assert_eq!(said(maker.ask("/runs/create", "a").await).await, "200 1");
    assert_eq!(said(maker.ask("/runs/create", "a").await).await, "200 2");
}

#[tokio::test]
async fn two_alike_at_once_are_two() {
    let maker = Maker::new();
    maker.let_go.add_permits(9);
    let (one, other) = tokio::join!(maker.ask("/runs/create", "a"), maker.ask("/runs/create", "a"));
    let mut both = [said(one).await, said(other).await];
    both.sort();
    assert_eq!(both, ["200 1", "200 2"]);
}

#[tokio::test]
async fn another_body_another_route_and_what_failed_are_done_anew() {
    let maker = Maker::new();
    maker.let_go.add_permits(99);
    drop(maker.ask("/runs/create", "a").await);
    assert_eq!(said(maker.ask("/runs/create", "b").await).await, "200 2");
    drop(maker.ask("/runs/create", "bad").await);
    assert_eq!(said(maker.ask("/runs/create", "bad").await).await, "400 4");
    drop(maker.ask("/runs/update", "a").await);
    assert_eq!(said(maker.ask("/runs/update", "a").await).await, "200 6", "what may be repeated is");
    assert_eq!(said(maker.ask("/runs/create", "a").await).await, "200 1");
}

#[tokio::test]
async fn a_panic_is_a_panic_of_the_request() {
    let maker = Maker::new();
    maker.let_go.add_permits(9);
    let panicked = AssertUnwindSafe(maker.ask("/runs/create", "boom")).catch_unwind().await;
    assert!(panicked.is_err());
}

#[test]
fn no_more_answers_are_kept_than_may_be() {
    let once = Once::default();
    for n in 0..KEPT_MAX + 10 {
        once.keep(Fingerprint::of_bytes(&n.to_be_bytes()), oneshot::channel().1);
    }
    assert_eq!(once.lost().len(), KEPT_MAX);
    assert!(once.take(Fingerprint::of_bytes(&0_usize.to_be_bytes())).is_none(), "the oldest went");
    assert!(once.take(Fingerprint::of_bytes(&(KEPT_MAX + 9).to_be_bytes())).is_some());
}

#[test]
fn an_answer_that_is_older_than_a_clients_last_try_is_given_to_nobody() {
    let once = Once::default();
    let key = |n: u8| Fingerprint::of_bytes(&[n]);
    for (n, age) in [(0, Duration::ZERO), (1, KEPT_FOR / 2), (2, KEPT_FOR)] {
        once.keep(key(n), oneshot::channel().1);
        once.lost().get_mut(&key(n)).unwrap().since -= age;
    }
    assert_eq!([0, 1, 2].map(|n| once.take(key(n)).is_some()), [true, true, false]);
    // It is not only hidden: it goes when the next one comes.
    once.keep(key(3), oneshot::channel().1);
    once.lost().get_mut(&key(3)).unwrap().since -= KEPT_FOR;
    once.keep(key(4), oneshot::channel().1);
    assert_eq!(once.lost().len(), 1);
}

#[tokio::test]
async fn what_one_caller_lost_another_is_not_given() {
    let maker = Maker::new();
    maker.let_go.add_permits(9);
    let ask = |who: &'static str| {
        let mut router = maker.router.clone();
        let request = Request::builder().method("POST").uri("/runs/create").header(AUTHORIZATION, who);
        let request = request.body(Body::from("a")).unwrap();
        async move { router.call(request).await.unwrap() }
    };
    drop(ask("Basic a").await);
    assert_eq!(said(ask("Basic b").await).await, "200 2");
    assert_eq!(said(maker.ask("/runs/create", "a").await).await, "200 3", "nor is who says nothing");
    assert_eq!(said(ask("Basic a").await).await, "200 1");
}
