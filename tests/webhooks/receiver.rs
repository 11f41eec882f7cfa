//! A receiver of webhooks: real HTTP on a loopback port, which answers as a test says and remembers what it got.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Long enough for a busy machine, and for a lease that ends by itself.
const PATIENCE: Duration = Duration::from_secs(90);

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Got {
    headers: BTreeMap<String, String>,
    pub text: String,
    pub body: Json,
}

impl Got {
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.headers))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    #[track_caller]
    pub(super) fn delivery(&self) -> &str {
        self.header("x-mlflow-delivery-id")
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// With a status, headers and a body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// The connection stays open and nothing comes.
    Never,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self::Says(status, Vec::new(), String::new())
    }
}

type Answer = dyn Fn(usize, &Got) -> Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    got: Mutex<Vec<Got>>,
    more: Condvar,
}

pub(super) struct Receiver {
    port: u16,
    seen: Arc<Seen>,
}

/// A port that nobody answers at, yet.
pub(super) struct Away {
    listener: TcpListener,
}

impl Away {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.listener.local_addr().unwrap().port())
    }

    /// Waits until somebody tried, and hangs up.
    pub(super) fn wait_for_refused(&self) {
        drop(self.listener.accept().unwrap());
    }

    /// Answers from here on.
    pub(super) fn open(self, answer: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::on(self.listener, Arc::new(answer))
    }
}

impl Receiver {
    /// The answer is told how many requests came before.
    pub(super) fn start(answer: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        Self::reserve().open(answer)
    }

    pub(super) fn reserve() -> Away {
        Away { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn on(listener: TcpListener, answer: Arc<Answer>) -> Self {
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Seen::default()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream.unwrap(), &*answer, &seen));
            }
        });
        Self { port, seen }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.seen.got.lock().unwrap().clone()
    }

    /// What it got, when there are so many.
    #[track_caller]
    pub(super) fn wait(&self, n: usize) -> Vec<Got> {
        self.wait_until(|got| got.len() >= n)
    }

    /// What it got, when that is enough.
    #[track_caller]
    pub(super) fn wait_until(&self, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let began = Instant::now();
        let mut got = self.seen.got.lock().unwrap();
        while !enough(&got) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            assert!(!left.is_zero(), "{} came: {got:?}", got.len());
            got = self.seen.more.wait_timeout(got, left).unwrap().0;
        }
        got.clone()
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, seen: &Seen) {
    let Some(got) = read(&stream) else { return };
    let reply = {
        let mut all = seen.got.lock().unwrap();
        let n = all.len();
        all.push(got.clone());
        n
    };
    let reply = answer(reply, &got);
    seen.more.notify_all();
    match reply {
        Reply::Says(status, headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
            drop(stream.write_all(text.as_bytes()));
        }
        // Until the sender hangs up.
        Reply::Never => drop(stream.read(&mut [0; 1])),
    }
}

fn read(stream: &TcpStream) -> Option<Got> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    assert!(line.starts_with("POST /hook "), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let text = String::from_utf8(body).ok()?;
    let body = serde_json::from_str(&text).unwrap();
    Some(Got { headers, text, body })
}
