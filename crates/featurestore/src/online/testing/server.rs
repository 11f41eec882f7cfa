//! One server process. A shell stands between us and it, so that it ends with us, however we end.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use redis::Value;

/// A `redis-server` of the test's own, on a free port, with nothing on disk but in a folder that goes with it.
pub struct TestServer {
    process: Process,
    port: u16,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
    /// Kept, for a test that asks in a loop would use up the ports of the machine with connections of one question each.
    asking: Mutex<Option<Box<redis::Connection>>>,
}

#[derive(Debug)]
struct Process {
    /// A shell that waits for its input to close, which it does with this process, and then kills the server.
    shell: Child,
    pid: u32,
}

impl TestServer {
    /// Starts one with more arguments; `PORT` in one stands for a further free port, `DIR` for its folder.
    ///
    /// # Panics
    /// If there is no `redis-server` to start.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Somebody else may take a free port before the server does.
        let started = (0..5).find_map(|_| {
            let port = free_port();
            let arguments: Vec<String> = arguments
                .iter()
                .map(|word| {
                    word.replace("PORT", &free_port().to_string()).replace("DIR", &folder.path().to_string_lossy())
                })
                .collect();
            Process::start(port, &folder, &arguments).map(|process| (process, port, arguments))
        });
        let (process, port, arguments) =
            started.expect("`redis-server` starts; apt-get install redis-server, or set PLUMB_TEST_REDIS");
        Self { process, port, arguments, folder, asking: Mutex::default() }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The argument after `name`.
    ///
    /// # Panics
    /// If it was not started with it.
    pub fn argument(&self, name: &str) -> &str {
        let at = self.arguments.iter().position(|word| word == name).expect("an argument it was started with");
        &self.arguments[at + 1]
    }

    /// What it replies to a command, over a connection that no client of the test has.
    ///
    /// # Panics
    /// If it does not reply, or with an error.
    pub fn ask(&self, words: &[&str]) -> Value {
        self.ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// As [`Self::ask`], of words that are no texts.
    ///
    /// # Panics
    /// As [`Self::ask`].
    pub fn ask_bytes(&self, words: &[&[u8]]) -> Value {
        self.try_ask_bytes(words).unwrap_or_else(|why| {
            let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
            panic!("asking {} for {words:?}: {why}", self.address())
        })
    }

    /// As [`Self::ask`], but errors come back.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub fn try_ask(&self, words: &[&str]) -> redis::RedisResult<Value> {
        self.try_ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    fn try_ask_bytes(&self, words: &[&[u8]]) -> redis::RedisResult<Value> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match asking.take() {
            Some(connection) => connection,
            None => Box::new(redis::Client::open(format!("redis://{}", self.address()))?.get_connection()?),
        };
        let reply = redis::Cmd::new().arg(words).query(connection.as_mut());
        // One that was cut says so once, and is made anew for the next question.
        if !matches!(&reply, Err(why) if why.is_io_error() || why.is_connection_dropped()) {
            *asking = Some(connection);
        }
        reply
    }

    /// A text reply to a command.
    ///
    /// # Panics
    /// As [`Self::ask`], and if it is no text.
    pub fn ask_text(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.ask(words)).expect("a text")
    }

    /// Stops it where it stands: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Kills it, as `kill -9` does; what it held is gone.
    pub fn kill(&mut self) {
        *self.asking.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        self.process.kill();
    }

    /// Starts it again on its port, empty, with the arguments and the folder that it had.
    ///
    /// # Panics
    /// If the port was taken meanwhile.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// As [`Self::restart`], with more arguments for this time.
    ///
    /// # Panics
    /// If the port was taken meanwhile.
    pub fn restart_with(&mut self, more: &[&str]) {
        self.kill();
        let arguments = [self.arguments.clone(), more.iter().map(|&word| word.to_owned()).collect()].concat();
        self.process = Process::start(self.port, &self.folder, &arguments).expect("the port is still free");
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("process", &self.process).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Process {
    /// `None` if it did not start listening.
    fn start(port: u16, folder: &tempfile::TempDir, arguments: &[String]) -> Option<Self> {
        const SCRIPT: &str = "redis-server \"$@\" & pid=$!
             trap \"kill -9 $pid; wait $pid\" EXIT; trap 'exit 1' INT TERM HUP
             echo $pid; exec >/dev/null 2>&1; cat";
        let port = port.to_string();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]);
        // A sentinel's first argument is its file.
        let file = arguments.first().filter(|word| !word.starts_with("--"));
        command.args(file);
        command.args(["--bind", "127.0.0.1", "--port", &port, "--dir"]).arg(folder.path());
        if file.is_none() {
            command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
        }
        command.args(&arguments[usize::from(file.is_some())..]);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell starts");
        let output = shell.stdout.take().expect("it is piped");
        // The shell says the number, the server that it listens; the output ends when the server does.
        let (mut pid, mut listens) = (None, false);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            pid = pid.or_else(|| line.trim().parse().ok());
            listens |= line.contains("Ready to accept connections") || line.contains("Sentinel ID is");
            if let (Some(pid), true) = (pid, listens) {
                return Some(Self { shell, pid });
            }
        }
        Self { shell, pid: 0 }.kill();
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

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the machine has a loopback");
    listener.local_addr().expect("it is bound").port()
}
