//! A proxy before an HTTP server, which answers for it, cuts its answers short or keeps silent.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sky {
    /// It is not handed on, and answered with this status.
    Status(u16),
    /// It is answered by half of what the server says.
    Cut,
    /// It is not answered.
    Silent,
}

/// The proxy. It ends with the process.
#[derive(Debug)]
pub struct Weather {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    sky: Option<(Sky, &'static str)>,
    times: usize,
    asked: Vec<String>,
}

impl Weather {
    /// Before the server at this address, `http://127.0.0.1:9000`.
    ///
    /// # Panics
    /// If there is no port to listen on.
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (state, host) = (Arc::<Mutex<State>>::default(), server.trim_start_matches("http://").to_owned());
        let seen = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, host) = (Arc::clone(&seen), host.clone());
                // Whoever hangs up in the middle has had enough.
                std::thread::spawn(move || drop(answer(stream, &host, &state)));
            }
        });
        Self { url, state }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on the first `times` requests whose first line holds `what` meet this; all others are handed on.
    pub fn turns(&self, sky: Sky, what: &'static str, times: usize) {
        let mut state = lock(&self.state);
        (state.sky, state.times) = (Some((sky, what)), times);
    }

    /// From now on all is handed on.
    pub fn clears(&self) {
        lock(&self.state).sky = None;
    }

    /// The first lines of all requests since the last call of this.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).asked)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(mut client: TcpStream, host: &str, state: &Mutex<State>) -> io::Result<()> {
    let mut from = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let small = line.to_ascii_lowercase();
        if let Some(said) = small.strip_prefix("content-length:") {
            length = said.trim().parse().unwrap_or_default();
        }
        if line == "\r\n" {
            break;
        }
        if !small.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let first = head.lines().next().unwrap_or_default().to_owned();
    let sky = {
        let mut state = lock(state);
        let meets = state.sky.filter(|(_, what)| state.times > 0 && first.contains(what));
        state.times -= usize::from(meets.is_some());
        state.asked.push(first.clone());
        meets.map(|(sky, _)| sky)
    };
    match sky {
        Some(Sky::Status(code)) => {
            let name = match code {
                403 => "AccessDenied",
                503 => "SlowDown",
                _ => "InternalError",
            };
            let text = format!("<Error><Code>{name}</Code><Message>by the weather</Message></Error>");
            let body = if first.starts_with("HEAD") { "" } else { &text };
            write!(
                client,
                "HTTP/1.1 {code} {name}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        // The client gives up some time, and that is when this ends.
        Some(Sky::Silent) => from.read_to_end(&mut Vec::new()).map(drop),
        Some(Sky::Cut) => {
            let answer = handed_on(host, &head, &body)?;
            let ends = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
            client.write_all(&answer[..ends + (answer.len() - ends) / 2])
        }
        None => client.write_all(&handed_on(host, &head, &body)?),
    }
}

/// All that the server answers.
fn handed_on(host: &str, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(host)?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    server.write_all(body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}
