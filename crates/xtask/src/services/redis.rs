//! A redis-server of our own: free port, fresh directory, nothing on disk.
//!
//! It must not outlive us, even if we are killed. So its parent is a small shell that waits for the end of its standard
//! input, whose other end only we hold: whichever way we end, the pipe closes, and the shell ends the server and
//! removes its directory.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::free_port;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::{apt, process};

/// How long a server may take to answer; here it takes some milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often a port may turn out to be taken between choosing and binding it.
const ATTEMPTS: usize = 3;

/// Arguments: the server, the port, the directory.
const KEEPER: &str = r#"
"$1" --bind 127.0.0.1 --port "$2" --dir "$3" --save "" --appendonly no --daemonize no >"$3/log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$3"' EXIT
trap 'exit 1' HUP INT TERM
cat >/dev/null
"#;

/// A running server. Dropping it ends exactly this server.
#[derive(Debug)]
pub(crate) struct Redis {
    keeper: Child,
    port: u16,
    // Dropped after the keeper has ended: see `Drop`.
    scratch: Scratch,
}

/// Why a server did not come up.
enum NotReady {
    PortTaken,
    Failed(Failure),
}

impl Redis {
    /// Starts a server and waits until it answers. Installs redis-server first where it is missing and we may.
    pub(crate) fn start() -> Result<Self, Failure> {
        let program = match process::on_path("redis-server") {
            Some(program) => program,
            None => {
                apt::install("redis-server", &["redis-server"])?;
                process::on_path("redis-server").ok_or_else(|| {
                    Failure::environment(
                        "redis-server was installed but is in no folder of `PATH`; add its folder, often /usr/bin",
                    )
                })?
            }
        };
        for _ in 0..ATTEMPTS {
            match Self::attempt(&program) {
                Ok(redis) => return Ok(redis),
                Err(NotReady::PortTaken) => {}
                Err(NotReady::Failed(failure)) => return Err(failure),
            }
        }
        Err(Failure::environment(format!("redis-server found its port taken {ATTEMPTS} times in a row")))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn attempt(program: &Path) -> Result<Self, NotReady> {
        let environment = |doing: &str, source: &io::Error| {
            NotReady::Failed(Failure::environment(format!("{doing} for redis-server: {source}")))
        };
        let port = free_port().map_err(|source| environment("choosing a port", &source))?;
        // Canonical, because the server is recognised by the path it reports.
        let parent = std::env::temp_dir().canonicalize();
        let parent = parent.map_err(|source| environment("finding a temporary directory", &source))?;
        let scratch = Scratch::new(&parent, "plumb-redis").map_err(NotReady::Failed)?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program)
            .arg(port.to_string())
            .arg(scratch.path())
            .stdin(Stdio::piped())
            // Its own group: a Ctrl-C for us must leave the shell alive to clean up.
            .process_group(0)
            .spawn()
            .map_err(|source| environment("starting a shell", &source))?;
        // From here on a failure drops `redis`, which ends the server.
        let redis = Self { keeper, port, scratch };
        redis.wait_until_ready()?;
        Ok(redis)
    }

    fn wait_until_ready(&self) -> Result<(), NotReady> {
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if answers(self.port, self.scratch.path()).is_ok_and(|ours| ours) {
                return Ok(());
            }
            if self.log().contains("Address already in use") {
                return Err(NotReady::PortTaken);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let log = process::indented(&self.log());
        Err(NotReady::Failed(Failure::environment(format!("redis-server does not answer after {READY_WITHIN:?}{log}"))))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // End of input is the keeper's sign to end the server; waiting makes the port free and the directory unused.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Whether the server on `port` answers PING and is the one that runs in `dir`, not a stranger that took the port
/// first.
fn answers(port: u16, dir: &Path) -> io::Result<bool> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"PING\r\nCONFIG GET dir\r\nQUIT\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(is_ours(&reply, dir))
}

fn is_ours(reply: &str, dir: &Path) -> bool {
    let mut lines = reply.split("\r\n");
    lines.next() == Some("+PONG") && lines.any(|line| Path::new(line) == dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const OURS: &str = "+PONG\r\n*2\r\n$3\r\ndir\r\n$8\r\n/tmp/one\r\n+OK\r\n";

    #[test]
    fn a_server_is_recognised_by_its_directory() {
        assert!(is_ours(OURS, Path::new("/tmp/one")));
        assert!(!is_ours(OURS, Path::new("/tmp/two")));
        assert!(!is_ours("-LOADING\r\n", Path::new("/tmp/one")));
        assert!(!is_ours("", Path::new("")));
    }

    #[test]
    fn nobody_answers_on_a_free_port() {
        let port = free_port().expect("the loopback interface has free ports");
        assert!(answers(port, Path::new("/tmp/one")).is_err());
    }

    #[test]
    fn the_keeper_ends_its_server_and_removes_the_directory() {
        // The stand-in says that it runs, and would do so for ten minutes.
        let bin = Scratch::new(&std::env::temp_dir(), "xtask-bin").expect("the temporary directory is writable");
        let program = bin.path().join("server");
        fs::write(&program, "#!/bin/sh\necho $$ >\"$6/pid\"\nexec sleep 600\n").expect("the directory is ours");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("the file is ours");
        let scratch = Scratch::new(&std::env::temp_dir(), "xtask-keeper").expect("the temporary directory is writable");
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&program)
            .arg("0")
            .arg(scratch.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");

        let started = Instant::now();
        let pid = loop {
            let pid = fs::read_to_string(scratch.path().join("pid")).unwrap_or_default();
            if pid.ends_with('\n') {
                break pid.trim_end().to_owned();
            }
            assert!(started.elapsed() < READY_WITHIN, "the stand-in did not start");
            thread::sleep(Duration::from_millis(5));
        };
        let process = Path::new("/proc").join(pid);
        assert!(process.exists());

        drop(keeper.stdin.take());
        keeper.wait().expect("it is our child");
        assert!(!process.exists());
        assert!(!scratch.path().exists());
    }
}
