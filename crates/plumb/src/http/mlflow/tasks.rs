//! Work that goes on whether or not somebody waits for it, and ends with the server.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;

use crate::request_id::RequestId;

/// Tasks of a server. All of them end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Starts work, as a part of the request that is being answered, if one is.
    pub(super) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        match RequestId::current() {
            Some(id) => running.spawn(id.scope(work)),
            None => running.spawn(work),
        };
    }
}
