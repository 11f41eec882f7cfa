//! One connection to the server, and the door through which it is made.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::tls::Tls;
use super::url::PostgresUrl;

/// Between two looks at a server that is not back yet.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// How connections are made.
#[derive(Debug)]
pub(crate) struct Door {
    config: Config,
    tls: Option<Tls>,
    timeout: Duration,
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) session: Session,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

/// The server's side of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// The number of its process.
    pub(crate) pid: i32,
    /// When that process began, in microseconds of the server's clock.
    pub(crate) began_us: i64,
}

impl Door {
    /// # Errors
    /// A sentence: the file of authorities cannot be read.
    pub(crate) fn new(url: &PostgresUrl, timeout: Duration) -> Result<Self, String> {
        let mut config = url.server.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(timeout);
        }
        config.tcp_user_timeout(timeout);
        let tls = url.encrypted.then(|| Tls::new(url.ca.as_deref())).transpose()?;
        Ok(Self { config, tls, timeout })
    }

    /// A connection. A server that is just starting is waited for.
    pub(crate) async fn connect_patiently(&self) -> Result<Link, tokio_postgres::Error> {
        loop {
            match self.connect().await {
                Err(why) if why.code() == Some(&SqlState::CANNOT_CONNECT_NOW) => sleep(PAUSE).await,
                connected => return connected,
            }
        }
    }

    pub(crate) async fn connect(&self) -> Result<Link, tokio_postgres::Error> {
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
        // What we gave up, the server gives up too: a session must not hold a place of the log, or a run, for ever.
        let limit = self.timeout.as_millis();
        let limits = format!("SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}");
        client.batch_execute(&limits).await?;
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

/// Ends the session that a lost connection had, and returns when it is gone: nothing can come of it any more. A process of the
/// server is told from a later one with the same number by when it began.
pub(crate) async fn end(client: &Client, lost: Session) -> Result<(), tokio_postgres::Error> {
    const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2";
    while !client.query(END, &[&lost.pid, &lost.began_us]).await?.is_empty() {
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn driven(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    // Whoever asks is told that the connection broke; here nobody waits for it.
    if let Err(why) = connection.await {
        tracing::debug!("the connection to the registry ended: {}", schema::error::chain(&why));
    }
}
