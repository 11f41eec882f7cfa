//! Sends spans to a collector: OTLP over HTTP, as binary protobuf.
//!
//! What cannot be sent is counted and forgotten, with one line in the log a minute at most: a collector that is away or slow is
//! no reason to keep anything.

use std::time::{Duration, Instant};

use metrics::counter;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use schema::error::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;
use tracing::warn;

use super::Finished;
use super::messages::{self, Response};

/// Where spans go.
#[derive(Clone)]
pub struct Collector {
    /// The URL of its traces.
    pub url: Url,
    /// What is sent with each message, as a token is.
    pub headers: HeaderMap,
    /// What this server is called.
    pub service: String,
    /// The project, which is the namespace of the service.
    pub project: String,
}

/// Requests that one message has at most.
const BATCH: usize = 512;
/// How long one waits for others.
const WAIT: Duration = Duration::from_secs(1);
/// How long a collector may take for a message.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may ask to be left alone.
const REST_MAX: Duration = Duration::from_secs(5);
/// How much of an answer is read, and how much of its words is told.
const BODY_MAX: usize = 64 << 10;
const SHOWN_MAX: usize = 300;
/// How long nothing is said of it again.
const QUIET: Duration = Duration::from_secs(60);

impl std::fmt::Debug for Collector {
    /// Without the headers, which are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "collector at {}", self.url.host_str().unwrap_or_default())
    }
}

impl Collector {
    /// Sends what comes, until it is told to end or nothing does any more; what came before that is sent.
    pub async fn run(self, mut finished: mpsc::Receiver<Finished>, mut ends: oneshot::Receiver<()>) {
        let client = match Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build() {
            Ok(client) => client,
            Err(why) => return warn!("traces are not sent: {}", chain(&why)),
        };
        let mut told: Option<Instant> = None;
        let mut batch = Vec::new();
        while next(&mut finished, &mut batch, &mut ends).await {
            if let Err(why) = self.send(&client, &batch).await {
                let n = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                counter!("plumb_spans_lost_total", "reason" => "collector").increment(n);
                if told.is_none_or(|told| told.elapsed() > QUIET) {
                    warn!("sending traces to {}: {why}", self.url.host_str().unwrap_or_default());
                    told = Some(Instant::now());
                }
            }
            batch.clear();
        }
    }

    async fn send(&self, client: &Client, batch: &[Finished]) -> Result<(), String> {
        let body = messages::message(&self.service, &self.project, batch).encode_to_vec();
        match self.post(client, &body).await {
            // It is there, and asks for a while.
            Err(Failed::Later(rest)) => {
                tokio::time::sleep(rest.min(REST_MAX)).await;
                self.post(client, &body).await
            }
            done => done,
        }
        .map_err(|failed| match failed {
            Failed::Later(_) => "it has too much to do".to_owned(),
            Failed::Not(why) => why,
        })
    }

    async fn post(&self, client: &Client, body: &[u8]) -> Result<(), Failed> {
        let request = client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body.to_vec());
        let mut answer = request.send().await.map_err(|why| Failed::Not(chain(&why.without_url())))?;
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(Failed::Later(Duration::from_secs(seconds.unwrap_or(1))));
        }
        if !status.is_success() {
            return Err(Failed::Not(format!("it answered {status}")));
        }
        let mut read = Vec::new();
        while read.len() < BODY_MAX
            && let Ok(Some(piece)) = answer.chunk().await
        {
            read.extend_from_slice(&piece);
        }
        let said = Response::decode(read.as_slice()).ok().and_then(|said| said.partial_success);
        match said.filter(|part| part.rejected_spans > 0) {
            Some(part) => {
                let why: String = part.error_message.chars().take(SHOWN_MAX).collect();
                Err(Failed::Not(format!("it refused {} spans: {}", part.rejected_spans, why.escape_debug())))
            }
            None => Ok(()),
        }
    }
}

enum Failed {
    Later(Duration),
    Not(String),
}

/// Waits for a request, and for a while for more. Whether there is one.
async fn next(
    finished: &mut mpsc::Receiver<Finished>,
    batch: &mut Vec<Finished>,
    ends: &mut oneshot::Receiver<()>,
) -> bool {
    let gathered = async {
        let Some(first) = finished.recv().await else { return };
        batch.push(first);
        let until = Instant::now() + WAIT;
        while batch.len() < BATCH
            && let Ok(Some(one)) = timeout_at(until.into(), finished.recv()).await
        {
            batch.push(one);
        }
    };
    tokio::select! {
        () = gathered => {}
        // Told once, or never: whoever tells is gone then.
        _ = &mut *ends, if !ends.is_terminated() => {
            finished.close();
            while batch.len() < BATCH
                && let Ok(one) = finished.try_recv()
            {
                batch.push(one);
            }
        }
    }
    !batch.is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::response::{IntoResponse, Response as Answer};
    use axum::routing::post;
    use tokio::task::JoinSet;

    use super::super::messages::Request;
    use super::*;
    use crate::trace::Tracer;

    /// What a collector got, and what it answers, one after another.
    #[derive(Debug, Default)]
    struct Got {
        messages: Vec<(Option<String>, Request)>,
        answers: Vec<u16>,
    }

    async fn takes(State(got): State<Arc<Mutex<Got>>>, headers: HeaderMap, body: Bytes) -> Answer {
        let mut got = got.lock().unwrap();
        let token = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        got.messages.push((token, Request::decode(body).unwrap()));
        let status = if got.answers.is_empty() { 200 } else { got.answers.remove(0) };
        (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")]).into_response()
    }

    /// A collector that answers so, what sends to it, and what serves it.
    async fn collector(answers: &[u16]) -> (Arc<Mutex<Got>>, Collector, JoinSet<()>) {
        let got = Arc::new(Mutex::new(Got { answers: answers.to_vec(), ..Got::default() }));
        let routes = Router::new().route("/v1/traces", post(takes)).with_state(Arc::clone(&got));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap()).parse().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async { axum::serve(listener, routes).await.unwrap() });
        let headers = [(reqwest::header::AUTHORIZATION, "Bearer canary".parse().unwrap())].into_iter().collect();
        (got, Collector { url, headers, service: "shop-1".to_owned(), project: "shop".to_owned() }, serving)
    }

    /// Answers so many requests and ends: nothing that came before is left behind.
    async fn traced(collector: Collector, n: usize) {
        let (tracer, finished) = Tracer::new(1.0);
        for _ in 0..n {
            let span = tracer.begin(&HeaderMap::new()).unwrap();
            tracer.end(&span, || "GET /x".to_owned(), vec![("http.route", "/x".into())], true);
        }
        let (end, ends) = oneshot::channel();
        end.send(()).unwrap();
        collector.run(finished, ends).await;
    }

    fn names(got: &Got) -> Vec<usize> {
        let spans = |message: &Request| message.resource_spans[0].scope_spans[0].spans.len();
        got.messages.iter().map(|(_, message)| spans(message)).collect()
    }

    #[tokio::test]
    async fn what_was_answered_arrives_as_spans() {
        let (got, collector, _serving) = collector(&[]).await;
        assert_eq!(format!("{collector:?}"), "collector at 127.0.0.1");
        traced(collector, 3).await;
        let got = got.lock().unwrap();
        assert_eq!(names(&got), [3]);
        let (token, message) = &got.messages[0];
        assert_eq!(token.as_deref(), Some("Bearer canary"));
        let span = &message.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), span.trace_id.len(), span.span_id.len()), ("GET /x", 16, 8));
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.parent_span_id.is_empty());
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(2));
    }

    #[tokio::test]
    async fn many_go_in_several_messages() {
        let (got, collector, _serving) = collector(&[]).await;
        traced(collector, BATCH + 1).await;
        assert_eq!(names(&got.lock().unwrap()), [BATCH, 1]);
    }

    #[tokio::test]
    async fn a_collector_that_asks_for_a_while_is_asked_once_more() {
        let (got, collector, _serving) = collector(&[503, 200]).await;
        traced(collector, 1).await;
        assert_eq!(names(&got.lock().unwrap()), [1, 1]);
    }

    #[tokio::test]
    async fn a_message_that_is_refused_is_not_sent_again() {
        let (got, collector, _serving) = collector(&[400]).await;
        traced(collector, 1).await;
        assert_eq!(names(&got.lock().unwrap()), [1]);
    }

    #[tokio::test]
    async fn a_collector_that_is_away_costs_what_was_to_be_sent() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _counting = metrics::set_default_local_recorder(&recorder);
        let (_, mut collector, _serving) = collector(&[]).await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        collector.url = format!("http://{free}/v1/traces").parse().unwrap();
        traced(collector, 2).await;
        let lost = handle.render();
        assert!(lost.contains("plumb_spans_lost_total{reason=\"collector\"} 2"), "{lost}");
    }
}
