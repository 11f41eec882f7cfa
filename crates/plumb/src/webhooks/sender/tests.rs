//! The real client on real sockets: only who knows the names is ours, so that it can lie.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use futures::future::BoxFuture;
use registry::Seq;
use registry::webhook::{Secret, Status, Subscription};

use super::*;

/// Answers each question with the next of these, the last one from then on.
#[derive(Debug)]
struct Liar {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Liar {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|list| list.iter().map(|one| one.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Names for Liar {
    fn addresses<'n>(&'n self, _host: &'n str) -> BoxFuture<'n, std::io::Result<Vec<IpAddr>>> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[n.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn rules(networks: &[&str]) -> AddressRules {
    AddressRules { allow_private: networks.iter().map(|one| one.parse().unwrap()).collect(), allow_http: true }
}

fn hook(url: &str) -> Webhook {
    Webhook {
        id: "h".to_owned(),
        name: "h".to_owned(),
        url: url.to_owned(),
        topics: vec![Subscription { topic: Topic::VersionCreated, since: Seq(0) }],
        description: None,
        status: Status::Active,
        secret: Secret::new("s3cret"),
        created_ms: 0,
        updated_ms: 0,
        cursor: Seq(0),
        attempts: 0,
        next_attempt_ms: 0,
        lease: None,
    }
}

fn parcel() -> Parcel {
    Parcel { id: "id".to_owned(), topic: Topic::VersionCreated, body: "{}".to_owned() }
}

/// A server that gives one answer to everybody and tells who came.
fn listen(answer: &'static str) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, coming) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut read = [0; 4096];
            let n = stream.read(&mut read).unwrap_or(0);
            let _ = came.send(String::from_utf8_lossy(&read[..n]).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, coming)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_name_that_points_inside_is_not_connected_to() {
    let (port, came) = listen(OK);
    for inside in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::1"] {
        let sender = Sender::new(rules(&[]), Liar::new(&[&[inside]]));
        let why = sender.send(&hook(&format!("http://inside.example:{port}/")), &parcel()).await.unwrap_err();
        assert!(why.contains("not a public address"), "{why}");
    }
    // In numbers nobody is asked.
    let numbers = Sender::new(rules(&[]), Liar::new(&[&["8.8.8.8"]]));
    let why = numbers.send(&hook(&format!("http://2130706433:{port}/")), &parcel()).await.unwrap_err();
    assert!(why.contains("not a public address"), "{why}");
    assert!(came.try_recv().is_err(), "nobody came");
}

#[tokio::test]
async fn a_name_that_is_public_when_it_is_checked_and_private_when_it_is_used_is_not_connected_to() {
    let (port, came) = listen(OK);
    let liar = Liar::new(&[&["93.184.215.14"], &["127.0.0.1"]]);
    let names: Arc<dyn Names> = Arc::<Liar>::clone(&liar);
    let sender = Sender::new(rules(&[]), names);
    let url = format!("http://rebinding.example:{port}/");
    sender.check(&url).await.expect("it is public, this time");
    let why = sender.send(&hook(&url), &parcel()).await.unwrap_err();
    assert!(why.contains("127.0.0.1 is not a public address"), "{why}");
    assert_eq!(liar.asked.load(Ordering::SeqCst), 2, "each attempt asks once");
    assert!(came.try_recv().is_err(), "nobody came");
}

#[tokio::test]
async fn the_connection_is_made_to_the_address_that_was_checked() {
    let (port, came) = listen(OK);
    // Whoever asked twice would be sent elsewhere: a port of that address where nobody listens.
    let liar = Liar::new(&[&["127.0.0.1"], &["127.0.0.99"]]);
    let names: Arc<dyn Names> = Arc::<Liar>::clone(&liar);
    let sender = Sender::new(rules(&["127.0.0.1"]), names);
    let answer = sender.send(&hook(&format!("http://once.example:{port}/")), &parcel()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(liar.asked.load(Ordering::SeqCst), 1);
    let request = came.recv().unwrap().to_ascii_lowercase();
    assert!(request.contains(&format!("host: once.example:{port}")), "it is asked by its name: {request}");
    // The connection is not kept: the next one is checked anew.
    let why = sender.send(&hook(&format!("http://once.example:{port}/")), &parcel()).await.unwrap_err();
    assert!(why.contains("127.0.0.99 is not a public address"), "{why}");
}

#[tokio::test]
async fn one_address_inside_refuses_those_outside_too() {
    let sender = Sender::new(rules(&[]), Liar::new(&[&["93.184.215.14", "10.0.0.7"]]));
    for url in ["http://both.example/", "https://both.example/"] {
        let why = sender.check(url).await.unwrap_err().to_string();
        assert!(why.contains("10.0.0.7"), "{why}");
        let why = sender.send(&hook(url), &parcel()).await.unwrap_err();
        assert!(why.contains("10.0.0.7"), "{why}");
    }
    let nobody = Sender::new(rules(&[]), Liar::new(&[&[]]));
    let why = nobody.check("https://nobody.example/").await.unwrap_err().to_string();
    assert!(why.contains("has no address"), "{why}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (inside, came_inside) = listen(OK);
    let answer = format!("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:{inside}/\r\ncontent-length: 0\r\n\r\n");
    let (port, came) = listen(Box::leak(answer.into_boxed_str()));
    let sender = Sender::new(rules(&["127.0.0.1"]), Liar::new(&[&["127.0.0.1"]]));
    let answer = sender.send(&hook(&format!("http://redirects.example:{port}/")), &parcel()).await.unwrap();
    assert_eq!((answer.status, answer.refusal().as_str()), (307, "it answered 307, and redirects are not followed"));
    came.recv().unwrap();
    assert!(came_inside.try_recv().is_err(), "nobody followed");
}

#[tokio::test]
async fn plain_http_is_not_spoken_unless_it_is_allowed() {
    let sender = Sender::new(AddressRules { allow_http: false, ..rules(&["127.0.0.1"]) }, Liar::new(&[&["127.0.0.1"]]));
    let why = sender.send(&hook("http://plain.example/"), &parcel()).await.unwrap_err();
    assert!(why.contains("only https"), "{why}");
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_the_address_of_the_hook() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let sender = Sender::new(rules(&["127.0.0.1"]), Liar::new(&[&["127.0.0.1"]]));
    let why =
        sender.send(&hook(&format!("http://away.example:{port}/canary?token=canary")), &parcel()).await.unwrap_err();
    assert!(!why.contains("canary") && why.contains("refused"), "{why}");
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_read() {
    let long = format!("HTTP/1.1 500 X\r\ncontent-length: 2000000\r\n\r\n{}", "x".repeat(100_000));
    let (port, _came) = listen(Box::leak(long.into_boxed_str()));
    let sender = Sender::new(rules(&["127.0.0.1"]), Liar::new(&[&["127.0.0.1"]]));
    let answer = sender.send(&hook(&format!("http://long.example:{port}/")), &parcel()).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (500, BODY_MAX));
    assert!(answer.refusal().len() < 400);
}

#[test]
fn a_receiver_asks_in_seconds_or_by_the_calendar() {
    let asked = |said: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, said.parse().unwrap());
        retry_after(&headers).map(|wait| wait.as_secs())
    };
    assert_eq!(asked("7"), Some(7));
    assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0), "it is over");
    assert_eq!(calendar("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert!(asked("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|wait| wait > 1_000_000));
    for none in ["", "soon", "-1", "1.5", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"] {
        assert_eq!(asked(none), None, "{none}");
    }
}
