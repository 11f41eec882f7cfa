//! A PostgreSQL for tests: a real one, of their own, and it dies with them.
//!
//! PostgreSQL refuses to run as root, so for root it runs as the user `nobody`, in a folder that is given to it.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// `nobody` and its group on every Linux.
const NOBODY: u32 = 65_534;
const USER: &str = "plumb";
/// Stands in addresses, and must never stand in what is printed.
pub const PASSWORD: &str = "s3cret-of-tests";

/// A server, and the name of a schema in it that nobody else uses.
#[derive(Debug)]
pub struct TestPostgres {
    /// Without the schema.
    url: String,
    schema: String,
    /// `None` when the server is shared.
    server: Option<Server>,
}

struct Server {
    /// A shell that waits for its input to close, which it does with this process, and then ends the server.
    shell: Child,
    pid: u32,
    port: u16,
    folder: Option<tempfile::TempDir>,
}

impl TestPostgres {
    /// The server that `PLUMB_TEST_POSTGRES` names (a URL of a database), or one for all tests of this process.
    ///
    /// # Panics
    /// If there is no PostgreSQL to start.
    #[expect(clippy::disallowed_methods, reason = "tests have no config: this is how CI names its server")]
    pub fn start() -> Self {
        static SHARED: LazyLock<String> = LazyLock::new(|| {
            let mut server = Server::start(tempfile::tempdir().expect("a temporary folder"), true);
            let url = url_of(server.port);
            // The shell removes it, for nothing is dropped when a process ends.
            drop(server.folder.take().map(tempfile::TempDir::keep));
            std::mem::forget(server);
            url
        });
        let url = std::env::var("PLUMB_TEST_POSTGRES").unwrap_or_else(|_none| SHARED.clone());
        Self { url, schema: unique_schema(), server: None }
    }

    /// A new server, which the test may kill.
    ///
    /// # Panics
    /// If there is no PostgreSQL to start.
    pub fn spawn() -> Self {
        let server = Server::start(tempfile::tempdir().expect("a temporary folder"), false);
        Self { url: url_of(server.port), schema: unique_schema(), server: Some(server) }
    }

    /// The address of a log that is this test's alone.
    pub fn url(&self) -> String {
        format!("{}?schema={}", self.url, self.schema)
    }

    /// The address of the database.
    pub fn database(&self) -> &str {
        &self.url
    }

    /// The schema of the test.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The port of its own server.
    ///
    /// # Panics
    /// If the server is shared.
    pub fn port(&self) -> u16 {
        self.server.as_ref().expect("a server of the test's own").port
    }

    /// Runs statements over a connection of its own.
    ///
    /// # Panics
    /// If the server does not do them.
    pub fn sql(&self, statements: &str) {
        self.on_its_own(async |client| client.batch_execute(statements).await.unwrap_or_else(|why| panic!("{why:?}")));
    }

    /// The number that a query gives.
    ///
    /// # Panics
    /// If the server does not answer with one.
    pub fn number(&self, query: &str) -> i64 {
        let ask = async |client: tokio_postgres::Client| {
            let row = client.query_one(query, &[]).await;
            row.unwrap_or_else(|why| panic!("{why:?}")).get(0)
        };
        self.on_its_own(ask)
    }

    fn on_its_own<T: Send>(&self, work: impl AsyncFnOnce(tokio_postgres::Client) -> T + Send) -> T {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (client, connection) =
                    tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.expect("the server lets us in");
                let mut driver = tokio::task::JoinSet::new();
                driver.spawn(connection);
                work(client).await
            })
        };
        // A runtime of ours cannot start inside that of a test.
        std::thread::scope(|scope| scope.spawn(run).join().expect("the statements are done"))
    }

    /// Kills the server, as `kill -9` does.
    ///
    /// # Panics
    /// If the server is shared.
    pub fn kill(&mut self) {
        self.server.as_mut().expect("a server of the test's own").kill();
    }

    /// Stops it where it stands: connections stay open, nothing answers.
    ///
    /// # Panics
    /// If the server is shared.
    pub fn pause(&self) {
        let server = self.server.as_ref().expect("a server of the test's own");
        server.family().iter().for_each(|pid| signal(*pid, "STOP"));
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If the server is shared.
    pub fn resume(&self) {
        let server = self.server.as_ref().expect("a server of the test's own");
        server.family().iter().for_each(|pid| signal(*pid, "CONT"));
    }

    /// Starts a killed server again, on its port and on what it had on disk.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&mut self) {
        self.server.as_mut().expect("a server of the test's own").restart();
    }
}

impl Server {
    fn start(folder: tempfile::TempDir, forgotten: bool) -> Self {
        let path = folder.path();
        give_away(path);
        let secret = path.join("password");
        fs::write(&secret, PASSWORD).expect("the folder is ours");
        give_away(&secret);
        let mut init = Command::new("sh");
        init.args(["-c", "exec \"$@\"", "sh"]).args(as_nobody()).arg(program("initdb"));
        init.args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--pwfile"])
            .arg(&secret);
        let made = init.arg("-D").arg(path.join("data")).current_dir(path).output().expect("a shell starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Somebody else may take a free port before the server does.
        for _ in 0..5 {
            let port = free_port();
            if let Some((shell, pid)) = listen(path, port, forgotten) {
                return Self { shell, pid, port, folder: Some(folder) };
            }
        }
        panic!("PostgreSQL does not start: {}", fs::read_to_string(path.join("log")).unwrap_or_default());
    }

    fn kill(&mut self) {
        signal(self.pid, "KILL");
        drop(self.shell.stdin.take());
        // Waited for, so that its port is free again.
        let _ = self.shell.wait();
    }

    fn restart(&mut self) {
        let folder = self.folder.as_ref().expect("it has a folder of its own").path();
        let began = Instant::now();
        // The sessions of the killed one end when they notice; until then it does not start.
        let (shell, pid) = loop {
            match listen(folder, self.port, false) {
                Some(started) => break started,
                None => assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start again"),
            }
        };
        (self.shell, self.pid) = (shell, pid);
    }

    /// The server's process and those of its sessions.
    fn family(&self) -> Vec<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = fs::read_to_string(children).unwrap_or_default();
        std::iter::once(self.pid).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("pid", &self.pid).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Waited for, so that its folder can go.
        let _ = self.shell.wait();
    }
}

/// Starts the server and waits until it lets clients in; `None` if it ends instead.
fn listen(folder: &Path, port: u16, forgotten: bool) -> Option<(Child, u32)> {
    const SCRIPT: &str = r#"folder=$1 end=$2; shift 2
        "$@" >"$folder/log" 2>&1 & pid=$!
        trap 'kill -CONT $pid; kill -QUIT $pid; wait $pid; [ "$end" = keep ] || rm -rf "$folder"' EXIT
        trap 'exit 1' INT TERM HUP
        echo $pid >"$folder/pid"; exec >/dev/null 2>&1; cat"#;
    drop(fs::remove_file(folder.join("pid")));
    drop(fs::remove_file(folder.join("log")));
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(folder).arg(if forgotten { "remove" } else { "keep" }).args(as_nobody());
    command.arg(program("postgres")).arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_buffers=16MB",
        "max_connections=60",
        "lc_messages=C",
    ] {
        command.args(["-c", setting]);
    }
    // A Ctrl-C for us must leave the shell alive to clean up.
    let mut shell = command.current_dir(folder).process_group(0).stdin(Stdio::piped()).spawn().expect("a shell starts");
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        let pid = fs::read_to_string(folder.join("pid")).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
        if let Some(pid) = pid {
            if log.contains("ready to accept connections") {
                return Some((shell, pid));
            }
            if fs::metadata(format!("/proc/{pid}/exe")).is_err() && !log.is_empty() {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(shell.stdin.take());
    let _ = shell.wait();
    None
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("bash").args(["-c", "kill -\"$0\" \"$1\"", name, &pid.to_string()]).status();
    assert!(done.is_ok_and(|status| status.success()), "signalling the test's own server");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn as_nobody() -> Vec<String> {
    let nobody = NOBODY.to_string();
    let words = ["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"];
    if is_root() { words.map(str::to_owned).to_vec() } else { Vec::new() }
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give away");
    }
}

/// A program of PostgreSQL: in `PATH`, or where Debian has the newest.
#[expect(clippy::disallowed_methods, reason = "tests have no config")]
fn program(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let version = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let debian = || {
        let folders = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        folders.filter(|folder| folder.join("bin").join(name).is_file()).max_by_key(version)
    };
    in_path
        .or_else(|| Some(debian()?.join("bin").join(name)))
        .unwrap_or_else(|| panic!("there is no `{name}`: apt-get install postgresql, or set PLUMB_TEST_POSTGRES"))
}

fn url_of(port: u16) -> String {
    format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres")
}

fn unique_schema() -> String {
    static SCHEMAS: AtomicU64 = AtomicU64::new(0);
    // Processes share a server, and numbers of processes come again.
    let run = Instant::now();
    let salt = schema::Fingerprint::of_bytes(format!("{run:?} {}", std::process::id()).as_bytes());
    format!("test_{}_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed), salt.short())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the machine has a loopback");
    listener.local_addr().expect("it is bound").port()
}
