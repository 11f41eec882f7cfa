//! Names of hosts, and their addresses.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;

/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who knows the addresses of names.
pub trait Names: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name. Asked twice, the answers may differ.
    fn addresses<'n>(&'n self, host: &'n str) -> BoxFuture<'n, io::Result<Vec<IpAddr>>>;
}

/// The machine's own way.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Names for SystemNames {
    fn addresses<'n>(&'n self, host: &'n str) -> BoxFuture<'n, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let asking = tokio::net::lookup_host((host, 0));
            let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "nobody told its address in time");
            let found = tokio::time::timeout(PATIENCE, asking).await.map_err(late)??;
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|socket| socket.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        })
    }
}
