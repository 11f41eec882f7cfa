//! One connection to the server, and the door through which it is made.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

use super::tls::Tls;
use super::url::PostgresUrl;

/// How connections are made.
#[derive(Debug)]
pub(super) struct Door {
    config: Config,
    tls: Option<Tls>,
    timeout: Duration,
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) session: Session,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

/// The server's side of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// The number of its process.
    pub(super) pid: i32,
    /// When that process began, in microseconds of the server's clock.
    pub(super) began_us: i64,
}

impl Door {
    /// # Errors
    /// A sentence: the file of authorities cannot be read.
    pub(super) fn new(url: &PostgresUrl, timeout: Duration) -> Result<Self, String> {
        let mut config = url.server.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(timeout);
        }
        config.tcp_user_timeout(timeout);
        let tls = url.encrypted.then(|| Tls::new(url.ca.as_deref())).transpose()?;
        Ok(Self { config, tls, timeout })
    }

    pub(super) async fn connect(&self) -> Result<Link, tokio_postgres::Error> {
        let mut driver = JoinSet::new();
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                driver.spawn(driven(connection));
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                driver.spawn(driven(connection));
                client
            }
        };
        // What we gave up, the server gives up too: a session must not hold a place of the log for ever.
        let limit = self.timeout.as_millis();
        client.batch_execute(&format!("SET statement_timeout = {limit}")).await?;
        let row = client
            .query_one(
                "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity
                 WHERE pid = pg_backend_pid()",
                &[],
            )
            .await?;
        let session = Session { pid: row.get(0), began_us: row.get(1) };
        Ok(Link { client, session, _driver: driver })
    }
}

async fn driven(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    // Whoever asks is told that the connection broke; here nobody waits for it.
    if let Err(why) = connection.await {
        tracing::debug!("the connection to the registry ended: {}", schema::error::chain(&why));
    }
}
