//! A network that misbehaves, between a client and a server.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How bytes pass between the client and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Fine,
    /// Each piece of a reply waits for so long.
    Slow(Duration),
    /// So many bytes of replies pass on each connection, which then closes.
    Cut(usize),
    /// So many bytes of requests pass on each connection from now on, which then closes.
    CutRequest(usize),
    /// Connections are taken and stay open; nothing passes either way.
    BlackHole,
}

/// A proxy; it ends when dropped.
pub(super) struct Proxy {
    pub(super) port: u16,
    weather: watch::Sender<Weather>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, seen) = watch::channel(Weather::Fine);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let (client_reads, client_writes) = client.into_split();
                let (server_reads, server_writes) = server.into_split();
                let (there, back) = (seen.clone(), seen.clone());
                pairs.spawn(async move {
                    // Either way's end is the end of both.
                    tokio::select! {
                        () = forth(client_reads, server_writes, there) => {}
                        () = reply(server_reads, client_writes, back) => {}
                    }
                });
            }
        });
        Self { port, weather, _tasks: tasks }
    }

    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; 1 << 16];
    let mut n_passed = 0;
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return };
        if weather.has_changed().is_ok_and(|changed| changed) {
            n_passed = 0;
        }
        let passes = weather.wait_for(|weather| *weather != Weather::BlackHole).await.map(|now| *now);
        weather.mark_unchanged();
        let Ok(now) = passes else { return };
        let n_pass = match now {
            Weather::CutRequest(after) => n.min(after.saturating_sub(n_passed)),
            _ => n,
        };
        if to.write_all(&buffer[..n_pass]).await.is_err() || n_pass < n {
            return;
        }
        n_passed += n;
    }
}

async fn reply(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; 1 << 16];
    let mut n_passed = 0;
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = weather.wait_for(|weather| *weather != Weather::BlackHole).await.map(|now| *now) else { return };
        let mut n_pass = n;
        match now {
            Weather::Slow(wait) => tokio::time::sleep(wait).await,
            Weather::Cut(after) => n_pass = n.min(after.saturating_sub(n_passed)),
            Weather::Fine | Weather::CutRequest(_) | Weather::BlackHole => {}
        }
        if to.write_all(&buffer[..n_pass]).await.is_err() || n_pass < n {
            return;
        }
        n_passed += n;
    }
}
