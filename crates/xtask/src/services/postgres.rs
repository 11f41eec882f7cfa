//! A PostgreSQL of our own: free port, fresh directory. It ends with us as redis-server does: see `redis.rs`.
//!
//! PostgreSQL refuses to run as root, so for root it runs as `nobody`, in a directory that is given to it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::free_port;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::{apt, process};

/// How long a server may take to answer; here it takes less than a second.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often a port may turn out to be taken between choosing and binding it.
const ATTEMPTS: usize = 3;

/// `nobody` and its group on every Linux.
const NOBODY: u32 = 65_534;

/// The tests' own: the server listens on this machine alone, and is gone with the run.
const PASSWORD: &str = "s3cret-of-tests";

/// Arguments: the directory, then the server and its arguments.
const KEEPER: &str = r#"
dir=$1; shift
"$@" >"$dir/log" 2>&1 &
pid=$!
trap 'kill -QUIT "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cat >/dev/null
"#;

/// A running server. Dropping it ends exactly this server.
#[derive(Debug)]
pub(crate) struct Postgres {
    keeper: Child,
    port: u16,
    // Dropped after the keeper has ended: see `Drop`.
    scratch: Scratch,
}

impl Postgres {
    /// Starts a server and waits until it lets clients in. Installs PostgreSQL first where it is missing and we may.
    pub(crate) fn start() -> Result<Self, Failure> {
        if program("postgres").is_none() || program("initdb").is_none() {
            apt::install("PostgreSQL", &["postgresql"])?;
        }
        let missing = || Failure::environment("PostgreSQL is in no folder of `PATH` nor in /usr/lib/postgresql");
        let (server, init) = program("postgres").zip(program("initdb")).ok_or_else(missing)?;
        for _ in 0..ATTEMPTS {
            if let Some(started) = Self::attempt(&server, &init)? {
                return Ok(started);
            }
        }
        Err(Failure::environment(format!("PostgreSQL found its port taken {ATTEMPTS} times in a row")))
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://plumb:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// `None` if the port was taken.
    fn attempt(server: &Path, init: &Path) -> Result<Option<Self>, Failure> {
        let failed = |doing: &str, why: &std::io::Error| Failure::environment(format!("{doing} for PostgreSQL: {why}"));
        let port = free_port().map_err(|why| failed("choosing a port", &why))?;
        let scratch = Scratch::new(&std::env::temp_dir(), "plumb-postgres")?;
        let (folder, secret) = (scratch.path(), scratch.path().join("password"));
        fs::write(&secret, PASSWORD).map_err(|why| failed("writing a password", &why))?;
        for path in [folder, &secret] {
            give_away(path).map_err(|why| failed("giving a directory away", &why))?;
        }
        let mut making = as_nobody(init);
        making.args(["-U", "plumb", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--pwfile"]);
        process::read(making.arg(&secret).arg("-D").arg(folder.join("data")).current_dir(folder))?;
        let serving = as_nobody(server);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(folder)
            .arg(serving.get_program())
            .args(serving.get_args())
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "max_connections=200", "-c", "lc_messages=C"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            // Its own group: a Ctrl-C for us must leave the shell alive to clean up.
            .process_group(0)
            .spawn()
            .map_err(|why| failed("starting a shell", &why))?;
        // From here on a failure drops it, which ends the server.
        let started = Self { keeper, port, scratch };
        Ok(if started.is_ready()? { Some(started) } else { None })
    }

    /// `false` if the port was taken.
    fn is_ready(&self) -> Result<bool, Failure> {
        let began = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while began.elapsed() < READY_WITHIN {
            let log = self.log();
            if log.contains("ready to accept connections") && TcpStream::connect(address).is_ok() {
                return Ok(true);
            }
            if log.contains("Address already in use") {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let log = process::indented(&self.log());
        Err(Failure::environment(format!("PostgreSQL does not answer after {READY_WITHIN:?}{log}")))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // End of input is the keeper's sign to end the server; waiting makes the port free and the directory unused.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn give_away(path: &Path) -> std::io::Result<()> {
    if is_root() { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
}

fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let nobody = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]).arg(program);
    command
}

/// A program of PostgreSQL: in `PATH`, or where Debian has the newest.
fn program(name: &str) -> Option<PathBuf> {
    process::on_path(name).or_else(|| newest(Path::new("/usr/lib/postgresql"), name))
}

fn newest(folder: &Path, name: &str) -> Option<PathBuf> {
    let version = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let folders = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = folders.filter(|folder| folder.join("bin").join(name).is_file()).max_by_key(version)?;
    Some(newest.join("bin").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_greatest_number() {
        let scratch = Scratch::new(&std::env::temp_dir(), "xtask-postgres").expect("the directory is writable");
        for version in ["9", "15", "16"] {
            let bin = scratch.path().join(version).join("bin");
            fs::create_dir_all(&bin).expect("the directory is ours");
            if version != "16" {
                fs::write(bin.join("postgres"), "").expect("the directory is ours");
            }
        }
        let found = newest(scratch.path(), "postgres").expect("two have it");
        assert_eq!(found, scratch.path().join("15/bin/postgres"));
        assert_eq!(newest(scratch.path(), "nothing"), None);
    }
}
