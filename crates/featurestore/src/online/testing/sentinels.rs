//! A master, a replica and three sentinels for tests.

use super::server::TestServer;
use super::until;

/// The name of the master at the sentinels.
const NAME: &str = "plumb-test";

/// A master with one replica, watched by three sentinels that ask for a password.
#[derive(Debug)]
pub struct TestSentinels {
    /// The first master, and its replica.
    pub servers: [TestServer; 2],
    /// The sentinels.
    pub sentinels: Vec<TestServer>,
    /// Where the sentinels keep what they learn.
    _folder: tempfile::TempDir,
}

impl TestSentinels {
    /// The sentinels' own user and password.
    pub const LOGIN: (&str, &str) = ("watcher", "sentinels-own");

    /// A master is held for dead after `down_after_ms`.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or they do not find each other.
    pub fn start(down_after_ms: u32) -> Self {
        let master = TestServer::start(&[]);
        let port = master.port().to_string();
        let replica = TestServer::start(&["--replicaof", "127.0.0.1", &port]);
        until("the replica follows", || master.ask_text(&["INFO", "replication"]).contains("state=online"));
        let (user, password) = Self::LOGIN;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sentinels = (0..3).map(|i| {
            let file = folder.path().join(format!("{i}.conf"));
            let text = format!(
                "sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} {down_after_ms}\n\
                 sentinel failover-timeout {NAME} 3000\n\
                 sentinel sentinel-user {user}\n\
                 sentinel sentinel-pass {password}\n\
                 user {user} on >{password} allchannels +@all\n"
            );
            std::fs::write(&file, text).expect("the folder is ours");
            TestServer::start(&[&file.to_string_lossy(), "--sentinel"])
        });
        let sentinels: Vec<TestServer> = sentinels.collect();
        for sentinel in &sentinels {
            until("the sentinels know each other and the replica", || {
                let facts: std::collections::HashMap<String, String> =
                    redis::from_redis_value(sentinel.ask(&["SENTINEL", "MASTER", NAME])).expect("facts");
                facts["num-other-sentinels"] == "2" && facts["num-slaves"] == "1"
            });
            // From here on only those who know its password are told.
            sentinel.ask(&["ACL", "SETUSER", "default", "off"]);
        }
        Self { servers: [master, replica], sentinels, _folder: folder }
    }

    /// The name of the master.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The sentinels' URLs, without their login.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(|sentinel| format!("redis://{}", sentinel.address())).collect()
    }
}
