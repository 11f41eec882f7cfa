//! The connections of a lane: handed to it, and counted while they are open.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// What a lane listens to.
#[derive(Debug)]
pub(super) struct Handed {
    connections: mpsc::Receiver<Incoming>,
    /// Told when none comes any more, and all that came were taken.
    all_taken: Option<oneshot::Sender<()>>,
}

impl Handed {
    pub(super) fn new(connections: mpsc::Receiver<Incoming>) -> (Self, oneshot::Receiver<()>) {
        let (tell, told) = oneshot::channel();
        (Self { connections, all_taken: Some(tell) }, told)
    }
}

/// A connection on its way to a lane, which counts it already.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) socket: std::net::TcpStream,
    counted: Counted,
}

/// How many connections a lane has.
#[derive(Debug, Default)]
pub(super) struct Open(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Open {
    pub(super) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn one(&self, socket: std::net::TcpStream) -> Incoming {
        self.0.fetch_add(1, Ordering::Relaxed);
        Incoming { socket, counted: Counted(Arc::clone(&self.0)) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener for Handed {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Some(Incoming { socket, counted }) = self.connections.recv().await else {
                // The lane ends by this, and not by an error of the listener.
                drop(self.all_taken.take());
                return pending().await;
            };
            let opened = socket.peer_addr().and_then(|peer| Ok((TcpStream::from_std(socket)?, peer)));
            match opened {
                Ok((socket, peer)) => return (Connection { socket, _counted: counted }, peer),
                // Its client is gone already.
                Err(why) => tracing::debug!("a connection was gone: {why}"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::other("a lane has no address of its own"))
    }
}

/// A connection of a lane.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    _counted: Counted,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
