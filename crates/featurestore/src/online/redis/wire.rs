//! One connection: a socket, encrypted or not, and the client's multiplexer on it.
//!
//! The sockets are opened here and not by the client: it would build a new TLS configuration for every connection, from
//! the process's default provider, and leaves Nagle's algorithm on.

use std::future::Future;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::tls;

/// Requests that may wait to be written to a socket; when it is full, callers wait within their deadline.
const QUEUE_MAX: usize = 1024;

/// How to log in, to any server of a kind.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) settings: RedisConnectionInfo,
    /// `None` for connections in the clear.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A connection that many callers share. It closes with its last clone, whether or not the server answers.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) connection: MultiplexedConnection,
    /// Reads and writes the socket; ends when dropped.
    _driver: Arc<JoinSet<()>>,
}

impl Door {
    /// Connects and logs in. There is no limit of time here: the caller has one.
    pub(super) async fn connect(&self, address: &Address) -> Result<Wire, RedisError> {
        match (address, &self.tls) {
            (Address::Tcp(host, port), None) => self.greet(dial(host, *port).await?).await,
            (Address::Tcp(host, port), Some(config)) => {
                let name = tls::server_name(host).map_err(std::io::Error::other)?;
                let connector = TlsConnector::from(Arc::clone(config));
                self.greet(connector.connect(name, dial(host, *port).await?).await?).await
            }
            (Address::Unix(path), None) => self.greet(UnixStream::connect(path).await?).await,
            (Address::Unix(_), Some(_)) => {
                Err(std::io::Error::other("a socket in the file system is not encrypted").into())
            }
        }
    }

    async fn greet<S>(&self, stream: S) -> Result<Wire, RedisError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // The deadline of the call is the only one.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE_MAX);
        let opened = MultiplexedConnection::new_with_config(&self.settings, stream, config).await?;
        Ok(Wire::driven(opened))
    }
}

impl Wire {
    fn driven((connection, driver): (MultiplexedConnection, impl Future<Output = ()> + Send + 'static)) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        Self { connection, _driver: Arc::new(tasks) }
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, RedisError> {
    let stream = TcpStream::connect((host, port)).await?;
    // Or the last packet of a request waits for the server's acknowledgement.
    stream.set_nodelay(true)?;
    Ok(stream)
}
