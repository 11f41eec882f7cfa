//! Buckets for tests: in memory, and on a real S3 server, with a network before it that misbehaves.

mod weather;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use crate::{Bucket, Patience, Place, Scheme, StorageConfig};
pub use weather::{Sky, Weather};

/// Stand in settings, and must never stand in what is printed.
pub const SECRET: &str = "s3cret-of-the-tests-bucket";

/// The folder `models` of a bucket that nobody else uses.
#[derive(Debug)]
pub struct TestBucket {
    /// As its users have it.
    pub bucket: Bucket,
    /// The S3 server that it is on.
    server: Option<String>,
}

impl TestBucket {
    /// One that ends with the test.
    ///
    /// # Panics
    /// If no thread can be started.
    pub fn in_memory() -> Self {
        let place = Place::plain("s3://memory/models").expect("it is a URL");
        let bucket = Bucket::over(Arc::new(InMemory::new()), &place, Patience::default(), Vec::new());
        Self { bucket: bucket.expect("a thread can be started"), server: None }
    }

    /// One on the server that `PLUMB_TEST_S3` names; none without.
    ///
    /// # Panics
    /// If the server makes no bucket.
    pub fn on_s3() -> Option<Self> {
        static BUCKETS: AtomicU64 = AtomicU64::new(0);
        let server = s3_server()?;
        let name = format!("t-{}-{}", std::process::id(), BUCKETS.fetch_add(1, Ordering::Relaxed));
        let (status, said) = ask(&server, "PUT", &format!("/{name}"));
        assert_eq!(status, 200, "{said}");
        let place = Place::plain(&format!("s3://{name}/models")).expect("it is a URL");
        let bucket = Bucket::open(&config(&server), &place).expect("the settings fit");
        Some(Self { bucket, server: Some(server) })
    }

    /// The same folder, as clients see it who ask another server: a [`Weather`] before this one.
    ///
    /// # Panics
    /// If the settings do not fit, which they do.
    pub fn through(&self, url: &str) -> Bucket {
        Bucket::open(&config(url), self.bucket.place()).expect("the settings fit")
    }

    /// The S3 server that it is on.
    ///
    /// # Panics
    /// If it is in memory.
    pub fn server(&self) -> &str {
        self.server.as_deref().expect("a bucket on a server")
    }

    /// The URL of the folder.
    pub fn url(&self) -> String {
        self.bucket.place().to_string()
    }

    /// Puts an object there, whatever was there.
    ///
    /// # Panics
    /// If it cannot.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.bucket.write(path, &mut &bytes[..], bytes.len() as u64).expect("it is written");
    }

    /// The bytes of an object.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = self.bucket.read(path).expect("the store answers").expect("there is an object");
        reader.read_to_end(&mut bytes).expect("it can be read");
        bytes
    }

    /// Removes an object.
    ///
    /// # Panics
    /// If it cannot.
    pub fn remove(&self, path: &str) {
        let (store, key) = (Arc::clone(&self.bucket.store), self.bucket.key("removing", path).expect("it is a path"));
        self.bucket.wait(async move { store.delete(&key).await }).expect("it ends").expect("it is removed");
    }

    /// Paths of all objects, in order.
    ///
    /// # Panics
    /// If they cannot be listed.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.bucket.list(100_000).expect("the store answers").into_iter().map(|listed| listed.path).collect();
        names.sort();
        names
    }

    /// What the server says of uploads that were begun, and neither ended nor given up; nothing if there are none.
    pub fn unfinished(&self) -> Option<String> {
        let server = self.server.as_deref()?;
        let (_, said) = ask(server, "GET", &format!("/{}?uploads", self.bucket.place().authority));
        said.contains("<Upload>").then_some(said)
    }
}

/// The S3 server of the tests, if there is one.
#[expect(clippy::disallowed_methods, reason = "tests have no config: this is how the suite names its server")]
#[expect(clippy::print_stdout, reason = "who reads the test's output learns that it tested nothing")]
pub fn s3_server() -> Option<String> {
    let server = std::env::var("PLUMB_TEST_S3").ok();
    if server.is_none() {
        println!("not tested: no S3 server is named in PLUMB_TEST_S3; `cargo xtask test` starts one");
    }
    server
}

/// As a project says them.
pub fn settings(server: &str) -> String {
    format!(
        "storage: {{s3: {{endpoint: '{server}', region: us-east-1, allow_http: true, access_key_id: tests, \
         secret_access_key: {SECRET}}}, request_timeout: 5s, listing_timeout: 5s, retries: 2}}\n"
    )
}

pub(crate) fn config(server: &str) -> StorageConfig {
    let mut config = StorageConfig::default();
    for (name, value) in [
        ("endpoint", server),
        ("region", "us-east-1"),
        ("allow_http", "true"),
        ("access_key_id", "tests"),
        ("secret_access_key", SECRET),
    ] {
        config.settings_mut(Scheme::S3).set(Scheme::S3, name, value);
    }
    config.patience = Patience { listing: Duration::from_secs(5), request: Duration::from_secs(5), retries: 2 };
    config
}

/// Status and body of a request that the library has no words for.
fn ask(server: &str, method: &str, path: &str) -> (u16, String) {
    // The server looks at who signed, not at the signature.
    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=tests/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, \
                          Signature=0";
    let host = server.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("the server is there");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {SIGNED}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in text");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
    (status, body)
}
