//! A Redis server for tests: one of their own, which dies with them.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use schema::Clock;

/// A Redis server, and a project name in it that nobody else uses.
#[derive(Debug)]
pub struct TestRedis {
    url: String,
    project: String,
    /// `None` when the server is not ours.
    server: Option<Server>,
}

#[derive(Debug)]
struct Server {
    /// A shell that waits for its input to close, which it does with this process, and then kills the server.
    shell: Child,
    pid: u32,
    port: u16,
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
        // Somebody else may take a free port before the server does.
        let server = (0..5).find_map(|_| Server::start(free_port()));
        let server = server.expect("`redis-server` starts; apt-get install redis-server, or set PLUMB_TEST_REDIS");
        Self { url: format!("redis://127.0.0.1:{}/0", server.port), project: unique_project(), server: Some(server) }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A project name for this test alone.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Stops the server where it stands: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.server().signal("STOP");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.server().signal("CONT");
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
        let port = self.server().port;
        self.server = Some(Server::start(port).expect("the port is still free"));
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of `spawn`")
    }
}

impl Server {
    /// `None` if it did not start listening.
    fn start(port: u16) -> Option<Self> {
        let script = format!(
            "redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no & pid=$!
             trap \"kill -9 $pid; wait $pid\" EXIT; trap 'exit 1' INT TERM HUP
             echo $pid; exec >/dev/null 2>&1; cat"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().expect("a shell starts");
        let output = shell.stdout.take().expect("it is piped");
        // The shell says the number, the server that it listens; the output ends when the server does.
        let (mut pid, mut listens) = (None, false);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            pid = pid.or_else(|| line.trim().parse().ok());
            listens |= line.contains("Ready to accept connections");
            if let (Some(pid), true) = (pid, listens) {
                return Some(Self { shell, pid, port });
            }
        }
        Self { shell, pid: 0, port }.kill();
        None
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "signalling the test's own server");
    }

    fn kill(&mut self) {
        drop(self.shell.stdin.take());
        // Waited for, so that its port is free again.
        let _ = self.shell.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the machine has a loopback");
    listener.local_addr().expect("it is bound").port()
}

fn unique_project() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test_{}_{}_{count}", std::process::id(), Clock::wall().as_nanos())
}
