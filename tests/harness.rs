//! A project in a temporary folder, the `plumb` binary on it, and a server that ends with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A library to be put before the C library of a process (`LD_PRELOAD`), made of a file of `tests/`; `None` where there is no
/// C compiler.
#[expect(clippy::print_stdout, reason = "who reads the test's output learns that it tested nothing")]
pub(crate) fn preloaded(folder: &Path, source: &str) -> Option<PathBuf> {
    let made = folder.join("preloaded.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(root().join("tests").join(source)).arg("-ldl");
    match cc.output() {
        Ok(done) if done.status.success() => Some(made),
        Ok(done) => panic!("{}", String::from_utf8_lossy(&done.stderr)),
        Err(why) => {
            println!("not tested: there is no C compiler: {why}");
            None
        }
    }
}

pub(crate) struct Plumb {
    folder: TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why} in {self:?}"))
    }

    /// Asserts the exit code and that the error says all of `words`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Plumb {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The demo's definitions and data, nothing applied.
    pub(crate) fn demo() -> Self {
        let plumb = Self::empty();
        copy(&root().join("examples/repeat_purchase"), plumb.path());
        plumb
    }

    /// The demo, applied and materialized.
    pub(crate) fn demo_online() -> Self {
        let plumb = Self::demo();
        plumb.run("apply --yes").ok();
        plumb.run("materialize").ok();
        plumb
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    /// Replaces a text that must be there.
    #[track_caller]
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "`{from}` is not in {file}");
        self.write(file, &text.replacen(from, to, 1));
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
        command.args(words(line)).args(["--project", self.path().to_str().unwrap()]).stdin(Stdio::null());
        command
    }

    /// Runs `plumb <line> --project <folder>`.
    pub(crate) fn run(&self, line: &str) -> Answer {
        self.command(line).output().unwrap().into()
    }

    /// As [`Self::run`] with `--output json`; the answer as JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Json {
        self.run(&format!("{line} --output json")).ok().json()
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        root().join("models").join(name)
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(self.command("serve --http 127.0.0.1:0"))
    }
}

/// Splits at spaces; a part in single quotes stays whole.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let of = |(i, part): (usize, &str)| -> Vec<String> {
        if i % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
    };
    parts.flat_map(of).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

pub(crate) struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a server that logs into a file.
    pub(crate) fn start_logging(command: Command, log: &Path) -> Self {
        Self::start_with(command, std::fs::File::create(log).unwrap().into())
    }

    fn start_with(mut command: Command, log: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let start = line.find("http://").unwrap_or_else(|| panic!("the server said: {line}"));
        let url = line[start..].split_whitespace().next().unwrap().to_owned();
        Self { child, url }
    }

    /// Starts the server of a printed command line `plumb serve ... &`, on a free port.
    pub(crate) fn in_folder(folder: &Path, line: &str) -> Self {
        let line = line.trim_end_matches('&').trim().trim_start_matches("plumb ");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
        command.args(words(&line.replace(":8080", ":0"))).current_dir(folder).stdin(Stdio::null());
        Self::start(command)
    }

    /// Status and body of a POST.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Json) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response =
            agent.post(format!("{}{path}", self.url)).content_type("application/json").send(body).unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_json().unwrap())
    }

    /// The status of a POST whose answer is empty.
    pub(crate) fn post_status(&self, path: &str, body: &str) -> u16 {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let sent = agent.post(format!("{}{path}", self.url)).content_type("application/json").send(body);
        sent.unwrap().status().as_u16()
    }

    /// Status and body of a PUT of a file.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> (u16, Json) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.put(format!("{}{path}", self.url)).send(bytes).unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_json().unwrap())
    }

    /// As [`Self::post`] of a server that may die meanwhile.
    pub(crate) fn try_post(url: &str, path: &str, body: &str) -> Result<(u16, Json), ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.post(format!("{url}{path}")).content_type("application/json").send(body)?;
        Ok((response.status().as_u16(), response.body_mut().read_json()?))
    }

    /// Ends the server with -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The memory that it has, in KB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.get(format!("{}{path}", self.url)).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    pub(crate) fn predict(&self, model: &str, users: &[i64]) -> (u16, Json) {
        let body = json!({ "entities": { "user_id": users } });
        self.post(&format!("/v1/models/{model}/predict"), &body.to_string())
    }

    /// Ends the server as a supervisor would, so that it writes its log.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        // The shell's own `kill`: the program of that name is not on every machine.
        Command::new("bash").args(["-c", "kill -TERM \"$0\"", &pid]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended after `stop`; else the test failed, and the server must not outlive it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
