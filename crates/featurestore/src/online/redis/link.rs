//! One multiplexed connection, made again when it breaks, and every call under a deadline.
//!
//! The client's own manager keeps a connection that times out, so a server that vanished without closing (a failover,
//! a lost route) would be asked in vain until TCP gives up. Here a connection that failed or kept silent is let go,
//! and the next call makes a new one; calls that share it are not disturbed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, ServerError, ServerErrorKind, Value};
use schema::BoxError;

/// Requests that may wait to be written to the socket; when it is full, callers wait within their deadline.
const QUEUE_MAX: usize = 1024;

/// The way to one server.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    live: Mutex<Live>,
    /// Held while connecting, so that callers who find no connection make one together.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Live {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a failure lets go of the one it happened on.
    number: u64,
}

/// Why there are no replies.
pub(super) enum Failed {
    /// None came within the limit.
    Slow { limit: Duration },
    /// No connection, or not what was asked for.
    Refused(BoxError),
}

impl Link {
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        // The deadline of the call is the only one.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE_MAX);
        Self { client, config, timeout, live: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Host and port, without credentials.
    pub(super) fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// One round trip: the reply to each command, errors of single commands among them.
    ///
    /// A connection that turns out to be broken is replaced and the commands sent again, once: idle connections are
    /// cut by servers and routers, and all that is asked here may be done twice.
    pub(super) async fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>, Failed> {
        let mut number = 0;
        let attempts = async {
            let mut again = true;
            loop {
                let mut connection = self.connection(&mut number).await?;
                match connection.send_packed_commands(commands, 0, commands.len()).await {
                    Err(error) if error.is_unrecoverable_error() && again => self.let_go(number),
                    other => return other,
                }
                again = false;
            }
        };
        let answer = tokio::time::timeout(self.timeout, attempts).await;
        let keep = match &answer {
            Ok(Ok(replies)) => !replies.iter().any(is_read_only),
            Ok(Err(error)) => !error.is_unrecoverable_error(),
            Err(_) => false,
        };
        if !keep {
            self.let_go(number);
        }
        match answer {
            Ok(replies) => replies.map_err(Failed::from),
            Err(_) => Err(Failed::Slow { limit: self.timeout }),
        }
    }

    async fn connection(&self, number: &mut u64) -> Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = self.current(number) {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = self.current(number) {
            return Ok(connection);
        }
        let fresh = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.number += 1;
        live.connection = Some(fresh.clone());
        *number = live.number;
        Ok(fresh)
    }

    fn current(&self, number: &mut u64) -> Option<MultiplexedConnection> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        *number = live.number;
        live.connection.clone()
    }

    fn let_go(&self, number: u64) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.number == number {
            live.connection = None;
        }
    }
}

/// A server that was demoted stays up and refuses writes: the name must be looked up again.
fn is_read_only(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ReadOnly))
}

impl From<RedisError> for Failed {
    fn from(error: RedisError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ServerError> for Failed {
    fn from(error: ServerError) -> Self {
        Self::Refused(error.into())
    }
}
