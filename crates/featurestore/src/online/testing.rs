//! Redis servers for tests: of their own, and they die with them.

mod cluster;
mod in_front;
mod sentinels;
mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use schema::Clock;

pub use cluster::TestCluster;
pub use in_front::InFront;
pub use sentinels::TestSentinels;
pub use server::TestServer;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis server, and a project name in it that nobody else uses.
#[derive(Debug)]
pub struct TestRedis {
    url: String,
    project: String,
    /// `None` when the server is not ours.
    server: Option<TestServer>,
}

impl TestRedis {
    /// The server that `PLUMB_TEST_REDIS` names (a URL), or a new one.
    ///
    /// # Panics
    /// If there is no `redis-server` to start.
    #[expect(clippy::disallowed_methods, reason = "tests have no config: this is how CI names its server")]
    pub fn start() -> Self {
        match std::env::var("PLUMB_TEST_REDIS") {
            Ok(url) => Self { url, project: unique_project(), server: None },
            Err(_) => Self::spawn(),
        }
    }

    /// A new server, which the test may stop.
    ///
    /// # Panics
    /// If there is no `redis-server` to start.
    pub fn spawn() -> Self {
        Self::with(&[])
    }

    /// A new server with more arguments, such as `["--maxmemory", "3mb"]`.
    ///
    /// # Panics
    /// If there is no `redis-server` to start.
    pub fn with(arguments: &[&str]) -> Self {
        let server = TestServer::start(arguments);
        Self { url: format!("redis://127.0.0.1:{}/0", server.port()), project: unique_project(), server: Some(server) }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A project name for this test alone.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The port of its own server.
    pub fn port(&self) -> u16 {
        self.server().port()
    }

    /// Stops the server where it stands: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.server().pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.server().resume();
    }

    /// Kills the server; what it held is gone.
    ///
    /// # Panics
    /// If the server is not the test's own.
    pub fn kill(&mut self) {
        self.server.as_mut().expect("a server of `spawn`").kill();
    }

    /// Starts a killed server again, empty, on the same port.
    ///
    /// # Panics
    /// If the port was taken meanwhile.
    pub fn restart(&mut self) {
        self.server.as_mut().expect("a server of `spawn`").restart();
    }

    /// The server of its own.
    ///
    /// # Panics
    /// If the server is not the test's own.
    pub fn server(&self) -> &TestServer {
        self.server.as_ref().expect("a server of `spawn`")
    }
}

/// A project name that no other test has.
pub fn unique_project() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test_{}_{}_{count}", std::process::id(), Clock::wall().as_nanos())
}

/// Asks until the answer is yes. What is waited for takes as long as the machine is busy, so nothing here is timed.
///
/// # Panics
/// If it never is.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
