//! A PostgreSQL of our own: free port, fresh directory.
//!
//! PostgreSQL refuses to run as root, so for root it runs as `nobody`, in a directory that is given to it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::keeper::{Keeper, attempts, place};
use crate::failure::Failure;
use crate::{apt, process};

const NAME: &str = "PostgreSQL";
/// How long a server may take to answer; here it takes less than a second.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// `nobody` and its group on every Linux.
const NOBODY: u32 = 65_534;

/// The tests' own: the server listens on this machine alone, and is gone with the run.
const PASSWORD: &str = "s3cret-of-tests";

/// A running server. Dropping it ends exactly this server.
#[derive(Debug)]
pub(crate) struct Postgres(Keeper);

impl Postgres {
    /// Starts a server and waits until it lets clients in. Installs PostgreSQL first where it is missing and we may.
    pub(crate) fn start() -> Result<Self, Failure> {
        if program("postgres").is_none() || program("initdb").is_none() {
            apt::install("PostgreSQL", &["postgresql"])?;
        }
        let missing = || Failure::environment("PostgreSQL is in no folder of `PATH` nor in /usr/lib/postgresql");
        let (server, init) = program("postgres").zip(program("initdb")).ok_or_else(missing)?;
        attempts(NAME, || attempt(&server, &init)).map(Self)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://plumb:{PASSWORD}@127.0.0.1:{}/postgres", self.0.port)
    }
}

/// `None` if the port was taken.
fn attempt(server: &Path, init: &Path) -> Result<Option<Keeper>, Failure> {
    let failed = |doing: &str, why: &std::io::Error| Failure::environment(format!("{doing} for PostgreSQL: {why}"));
    let (port, scratch) = place(NAME, &std::env::temp_dir(), "plumb-postgres")?;
    let (folder, secret) = (scratch.path(), scratch.path().join("password"));
    fs::write(&secret, PASSWORD).map_err(|why| failed("writing a password", &why))?;
    for path in [folder, &secret] {
        give_away(path).map_err(|why| failed("giving a directory away", &why))?;
    }
    let mut making = as_nobody(init);
    making.args(["-U", "plumb", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--pwfile"]);
    process::read(making.arg(&secret).arg("-D").arg(folder.join("data")).current_dir(folder))?;
    let mut serving = as_nobody(server);
    serving.arg("-D").arg(folder.join("data"));
    serving.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    serving.args(["-c", "max_connections=200", "-c", "lc_messages=C"]);
    // At once, whoever is connected.
    let keeper = Keeper::start(NAME, &serving, "QUIT", port, scratch)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    keeper.ready(READY_WITHIN, |keeper| {
        keeper.log().contains("ready to accept connections") && TcpStream::connect(address).is_ok()
    })
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
    use crate::scratch::Scratch;

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
