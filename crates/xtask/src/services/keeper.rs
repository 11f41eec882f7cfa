//! What keeps a server of ours, and ends it when we end.
//!
//! A server must not outlive us, even if we are killed. So its parent is a small shell that waits for the end of its standard
//! input, whose other end only we hold: whichever way we end, the pipe closes, and the shell ends the server and removes its
//! directory.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::failure::Failure;
use crate::process;
use crate::scratch::Scratch;

/// How often a port may turn out to be taken between choosing and binding it.
const ATTEMPTS: usize = 3;

/// Arguments: the signal that ends the server, its directory, then the server and its arguments.
const SHELL: &str = r#"
signal=$1; dir=$2; shift 2
"$@" >"$dir/log" 2>&1 &
pid=$!
trap 'kill -"$signal" "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cat >/dev/null
"#;

/// A running server. Dropping it ends exactly this server.
#[derive(Debug)]
pub(super) struct Keeper {
    shell: Child,
    pub(super) port: u16,
    // Dropped after the shell has ended: see `Drop`.
    pub(super) scratch: Scratch,
    name: &'static str,
}

impl Keeper {
    /// Starts a server on `port` with `scratch` for itself; `signal` ends it. (The shell lets it ignore QUIT and INT: whoever is
    /// ended by one of these must ask for it, as PostgreSQL does.)
    pub(super) fn start(
        name: &'static str,
        server: &Command,
        signal: &str,
        port: u16,
        scratch: Scratch,
    ) -> Result<Self, Failure> {
        let failed = |why: io::Error| Failure::environment(format!("starting a shell for {name}: {why}"));
        let shell = Command::new("sh")
            .args(["-c", SHELL, "sh", signal])
            .arg(scratch.path())
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(scratch.path())
            .stdin(Stdio::piped())
            // Its own group: a Ctrl-C for us must leave the shell alive to clean up.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { shell, port, scratch, name })
    }

    /// Waits until `answers` says that it is there; nothing if its port was taken.
    pub(super) fn ready(self, within: Duration, answers: impl Fn(&Self) -> bool) -> Result<Option<Self>, Failure> {
        let began = Instant::now();
        while began.elapsed() < within {
            if answers(&self) {
                return Ok(Some(self));
            }
            if self.log().contains("Address already in use") {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let log = process::indented(&self.log());
        Err(Failure::environment(format!("{} does not answer after {within:?}{log}", self.name)))
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // End of input is the shell's sign to end the server; waiting makes the port free and the directory unused.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Asks for a server until it has a port of its own.
pub(super) fn attempts(
    name: &'static str,
    attempt: impl Fn() -> Result<Option<Keeper>, Failure>,
) -> Result<Keeper, Failure> {
    for _ in 0..ATTEMPTS {
        if let Some(started) = attempt()? {
            return Ok(started);
        }
    }
    Err(Failure::environment(format!("{name} found its port taken {ATTEMPTS} times in a row")))
}

/// A port and a directory for a server.
pub(super) fn place(name: &'static str, folder: &Path, prefix: &str) -> Result<(u16, Scratch), Failure> {
    let port = super::free_port().map_err(|why| Failure::environment(format!("choosing a port for {name}: {why}")))?;
    Ok((port, Scratch::new(folder, prefix)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_keeper_ends_its_server_and_removes_the_directory() {
        // The stand-in says that it runs, and would do so for ten minutes.
        let bin = Scratch::new(&std::env::temp_dir(), "xtask-bin").expect("the temporary directory is writable");
        let program = bin.path().join("server");
        fs::write(&program, "#!/bin/sh\necho $$ >pid\nexec sleep 600\n").expect("the directory is ours");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("the file is ours");
        let (port, scratch) = place("a server", &std::env::temp_dir(), "xtask-keeper").expect("there is room");
        let (folder, says) = (scratch.path().to_owned(), scratch.path().join("pid"));
        let keeper = Keeper::start("a server", &Command::new(&program), "TERM", port, scratch);
        let pid = || fs::read_to_string(&says).unwrap_or_default();
        let ready = keeper.and_then(|keeper| keeper.ready(Duration::from_secs(10), |_| pid().ends_with('\n')));
        let keeper = ready.expect("it runs").expect("it has no port");
        let process = Path::new("/proc").join(pid().trim_end());
        assert!(process.exists());
        drop(keeper);
        assert!(!process.exists());
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_whose_port_was_taken_is_tried_again() {
        let taken = || {
            let mut server = Command::new("sh");
            server.args(["-c", "echo Address already in use; exec sleep 600"]);
            let (port, scratch) = place("a server", &std::env::temp_dir(), "xtask-keeper")?;
            Keeper::start("a server", &server, "TERM", port, scratch)?.ready(Duration::from_secs(10), |_| false)
        };
        let why = attempts("a server", taken).expect_err("no port is free");
        assert!(why.to_string().contains("3 times in a row"), "{why}");
    }
}
