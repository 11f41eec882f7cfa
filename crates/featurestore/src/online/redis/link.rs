//! The way to one server: one multiplexed connection a runtime, made again when it breaks, and every call under a deadline.
//!
//! The client's own manager keeps a connection that times out, so a server that vanished without closing (a failover,
//! a lost route) would be asked in vain until TCP gives up. Here a connection that failed or kept silent is let go,
//! and the next call makes a new one; calls that share it are not disturbed.

use std::sync::Arc;

use redis::{Pipeline, RedisError, Value};

use super::address::Address;
use super::failed::{Deadline, Failed};
use super::per_runtime::PerRuntime;
use super::wire::{Door, Wire};

/// The way to one server.
pub(super) struct Link {
    address: Address,
    door: Arc<Door>,
    live: PerRuntime<Live>,
}

#[derive(Default)]
struct Live {
    wire: Option<Wire>,
    /// Counts connections, so that a failure lets go of the one it happened on.
    number: u64,
    /// Held while connecting, so that callers of one runtime who find no connection make one together. Those of another do not
    /// wait for a runtime that is held up.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl Link {
    pub(super) fn new(address: Address, door: Arc<Door>) -> Self {
        Self { address, door, live: PerRuntime::default() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// One round trip: the reply to each command, errors of single commands among them.
    ///
    /// A connection that turns out to be broken is replaced and the commands sent again, once: idle connections are
    /// cut by servers and routers, and all that is asked here may be done twice.
    pub(super) async fn ask(&self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Failed> {
        let mut number = 0;
        let attempts = async {
            let mut again = true;
            loop {
                let mut wire = self.wire(&mut number).await?;
                match wire.connection.send_packed_commands(commands, 0, commands.len()).await {
                    Err(error) if error.is_unrecoverable_error() && again => self.let_go(number),
                    other => return other,
                }
                again = false;
            }
        };
        match tokio::time::timeout_at(deadline.at, attempts).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() {
                    self.let_go(number);
                }
                Err(Failed::of(&self.address, error))
            }
            Err(_) => {
                self.let_go(number);
                Err(deadline.missed(&self.address))
            }
        }
    }

    /// One command, and what the server replied to it.
    pub(super) async fn ask_one(&self, words: &[&str], deadline: Deadline) -> Result<Value, Failed> {
        let mut command = Pipeline::with_capacity(1);
        if let Some((name, arguments)) = words.split_first() {
            command.cmd(name).arg(arguments);
        }
        match self.ask(&command, deadline).await?.pop() {
            Some(Value::ServerError(error)) => Err(Failed::said(&self.address, &error)),
            reply => Ok(reply.unwrap_or_default()),
        }
    }

    async fn wire(&self, number: &mut u64) -> Result<Wire, RedisError> {
        if let Some(wire) = self.current(number) {
            return Ok(wire);
        }
        let connecting = self.live.with(|live| Arc::clone(&live.connecting));
        let _turn = connecting.lock().await;
        if let Some(wire) = self.current(number) {
            return Ok(wire);
        }
        let fresh = self.door.connect(&self.address).await?;
        self.live.with(|live| {
            live.number += 1;
            live.wire = Some(fresh.clone());
            *number = live.number;
        });
        Ok(fresh)
    }

    fn current(&self, number: &mut u64) -> Option<Wire> {
        self.live.with(|live| {
            *number = live.number;
            live.wire.clone()
        })
    }

    /// Lets go of whatever connection there is.
    pub(super) fn renew(&self) {
        self.live.each(|live| live.wire = None);
    }

    fn let_go(&self, number: u64) {
        self.live.with(|live| {
            if live.number == number {
                live.wire = None;
            }
        });
    }
}
