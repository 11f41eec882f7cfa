//! A redis-server of our own: free port, fresh directory, nothing on disk.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::keeper::{Keeper, attempts, place};
use crate::failure::Failure;
use crate::{apt, process};

const NAME: &str = "redis-server";
/// How long a server may take to answer; here it takes some milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends exactly this server.
#[derive(Debug)]
pub(crate) struct Redis(Keeper);

impl Redis {
    /// Starts a server and waits until it answers. Installs redis-server first where it is missing and we may.
    pub(crate) fn start() -> Result<Self, Failure> {
        let program = match process::on_path(NAME) {
            Some(program) => program,
            None => {
                apt::install(NAME, &[NAME])?;
                process::on_path(NAME).ok_or_else(|| {
                    Failure::environment(
                        "redis-server was installed but is in no folder of `PATH`; add its folder, often /usr/bin",
                    )
                })?
            }
        };
        attempts(NAME, || attempt(&program)).map(Self)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.0.port)
    }
}

fn attempt(program: &Path) -> Result<Option<Keeper>, Failure> {
    // Canonical, because the server is recognised by the path it reports.
    let parent = std::env::temp_dir().canonicalize();
    let parent = parent.map_err(|why| Failure::environment(format!("finding a temporary directory: {why}")))?;
    let (port, scratch) = place(NAME, &parent, "plumb-redis")?;
    let mut server = Command::new(program);
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(scratch.path());
    server.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    let keeper = Keeper::start(NAME, &server, "TERM", port, scratch)?;
    keeper.ready(READY_WITHIN, |keeper| answers(keeper.port, keeper.scratch.path()).is_ok_and(|ours| ours))
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
    use super::super::free_port;
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
}
