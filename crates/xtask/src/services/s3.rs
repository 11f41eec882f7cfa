//! An S3 server of our own, as moto's makers ship it: free port, nothing kept.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::keeper::{Keeper, attempts, place};
use crate::failure::Failure;
use crate::venv;
use crate::workspace::Workspace;

const NAME: &str = "the S3 server";
/// How long a server may take to answer; it is written in Python, and a busy machine takes its time to load that.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running server. Dropping it ends exactly this server.
#[derive(Debug)]
pub(crate) struct S3(Keeper);

impl S3 {
    /// Starts a server and waits until it answers. Installs it first where it is missing.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self, Failure> {
        let python = venv::ready(workspace, "s3", Path::new("tests/interop/requirements-s3.txt"))?;
        let program = python.with_file_name("moto_server");
        attempts(NAME, || attempt(&program)).map(Self)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }
}

fn attempt(program: &Path) -> Result<Option<Keeper>, Failure> {
    let (port, scratch) = place(NAME, &std::env::temp_dir(), "plumb-s3")?;
    let mut server = Command::new(program);
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let keeper = Keeper::start(NAME, &server, "TERM", port, scratch)?;
    // It says so when the port is its own: what answers there otherwise is somebody else's.
    let listens = |keeper: &Keeper| keeper.log().contains("Running on http");
    keeper.ready(READY_WITHIN, |keeper| listens(keeper) && answers(keeper.port).is_ok_and(|answers| answers))
}

fn answers(port: u16) -> io::Result<bool> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"GET /moto-api/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

#[cfg(test)]
mod tests {
    use super::super::free_port;
    use super::*;

    #[test]
    fn nobody_answers_on_a_free_port() {
        assert!(answers(free_port().expect("the loopback interface has free ports")).is_err());
    }
}
