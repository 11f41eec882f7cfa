//! Lanes: threads that answer quick requests from socket to socket.
//!
//! A quick request computes for microseconds and waits for one round trip. Handing it from thread to thread costs as much as
//! answering it (docs/decisions/0089), so a connection belongs to one lane: a thread with a runtime of its own, and with
//! its own connections to the stores that the runtime's tasks ask. What may take longer is answered on the runtime that all
//! share, [`elsewhere`], and holds up no lane.

mod connection;
mod elsewhere;

use std::cell::OnceCell;
use std::io;

use axum::Router;
use axum::http::Method;
use axum::response::Response;
use axum::serve::Listener;
use futures::future::select_ok;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};

use connection::{Handed, Incoming, Open};
pub(super) use elsewhere::elsewhere;
use elsewhere::is_quick;

use crate::failure::Failure;

/// Connections that may wait for a lane to take them.
const WAITING_MAX: usize = 32;

thread_local! {
    /// Of a lane: the runtime that all share.
    static SHARED: OnceCell<Handle> = const { OnceCell::new() };
}

/// The runtime that takes a request in place of this lane; `None` where it is answered here.
pub(super) fn instead(route: &str, method: &Method, body: Option<usize>) -> Option<Handle> {
    SHARED.with(|shared| shared.get().filter(|_| !is_quick(route, method, body)).cloned())
}

/// The part of a quick request that may take long after all: answered here only where this is no lane.
///
/// # Errors
/// The runtime that all share is stopping.
pub(super) async fn aside(answering: impl Future<Output = Response> + Send + 'static) -> Result<Response, Failure> {
    match SHARED.with(|shared| shared.get().cloned()) {
        Some(shared) => elsewhere(&shared, answering).await,
        None => Ok(answering.await),
    }
}

/// One lane, as whoever hands it connections sees it.
struct Lane {
    connections: mpsc::Sender<Incoming>,
    /// Connections that it has, or is handed.
    open: Open,
    /// Told when it has answered all that it had.
    ended: oneshot::Receiver<()>,
}

/// Starts `n` lanes. What answers is `router`; lanes end when nobody hands them connections any more and what they had is
/// answered.
///
/// # Errors
/// A thread or a runtime cannot be started.
pub fn start(n: usize, router: &Router) -> io::Result<Lanes> {
    let shared = Handle::current();
    let lanes = (0..n.max(1)).map(|i| Lane::start(i, shared.clone(), router.clone()));
    Ok(Lanes(lanes.collect::<io::Result<_>>()?))
}

/// The lanes of a server.
pub struct Lanes(Vec<Lane>);

impl Lanes {
    /// Hands on the connections that come, until told to stop, or no lane is left to take one; ends when all lanes have.
    pub async fn answer(self, mut listener: TcpListener, mut stopped: watch::Receiver<bool>) {
        loop {
            let socket = tokio::select! {
                biased;
                // Whoever would tell is gone: that is to stop as well.
                _ = stopped.wait_for(|stopped| *stopped) => break,
                (socket, _) = Listener::accept(&mut listener) => socket,
            };
            if let Err(why) = self.hand(socket).await {
                tracing::warn!("a connection was not taken: {why}");
            }
            if self.0.iter().all(|lane| lane.connections.is_closed()) {
                break;
            }
        }
        drop(listener);
        // All are told before one is waited for.
        let ended: Vec<_> = self.0.into_iter().map(|lane| lane.ended).collect();
        for ended in ended {
            // A lane that panicked has ended too.
            let _ = ended.await;
        }
    }

    /// To the lane that has the fewest and has room, or else to the first that has: one that is held up holds up no other.
    async fn hand(&self, socket: TcpStream) -> io::Result<()> {
        // An answer must not wait for the acknowledgement of the one before.
        socket.set_nodelay(true)?;
        let socket = socket.into_std()?;
        let mut lanes: Vec<&Lane> = self.0.iter().collect();
        lanes.sort_by_cached_key(|lane| lane.open.now());
        let (room, _) = select_ok(lanes.into_iter().map(|lane| Box::pin(lane.room()))).await?;
        room.take(socket);
        Ok(())
    }
}

impl Lane {
    fn start(i: usize, shared: Handle, router: Router) -> io::Result<Self> {
        let (connections, handed) = mpsc::channel(WAITING_MAX);
        let (end, ended) = oneshot::channel();
        let (listener, all_taken) = Handed::new(handed);
        let open = Open::default();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let until = async move { drop(all_taken.await) };
        let run = move || {
            // A thread is one lane, once.
            let _ = SHARED.with(|of_lane| of_lane.set(shared));
            runtime.block_on(async move {
                if let Err(why) = axum::serve(listener, router).with_graceful_shutdown(until).await {
                    tracing::error!("a lane ended: {why}");
                }
            });
            // What drives its connections to stores ends before it is said to have ended.
            drop(runtime);
            // Nobody waits where the server was dropped.
            let _ = end.send(());
        };
        std::thread::Builder::new().name(format!("lane-{i}")).spawn(run)?;
        Ok(Self { connections, open, ended })
    }

    /// Waits until one more connection may wait for it.
    async fn room(&self) -> io::Result<Room<'_>> {
        match self.connections.reserve().await {
            Ok(permit) => Ok(Room { permit, open: &self.open }),
            Err(_gone) => Err(io::Error::other("all lanes have ended")),
        }
    }
}

/// A place in a lane's queue.
struct Room<'a> {
    permit: mpsc::Permit<'a, Incoming>,
    open: &'a Open,
}

impl Room<'_> {
    fn take(self, socket: std::net::TcpStream) {
        self.permit.send(self.open.one(socket));
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lanes", self.0.len())
    }
}

#[cfg(test)]
mod tests;
