//! How often a request is sent again, and how long it waits in between.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use super::failed::Deadline;

/// Times that a request follows a redirection. Each is progress, unless nodes send it round, as they may until all have
/// heard where a slot is: on a busy machine that takes a second, and the deadline ends it first where it is shorter.
const REDIRECTIONS_MAX: u32 = 16;
/// Times that a request is sent again to servers that are in trouble. A failover takes seconds, longer than a request
/// should wait: these bridge a connection that broke and a map that was old.
const TROUBLES_MAX: u32 = 3;
/// The first wait; each is up to twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(4);

/// The patience of one request.
#[derive(Debug, Default)]
pub(super) struct Patience {
    redirections: u32,
    troubles: u32,
}

impl Patience {
    /// After being redirected: whether to go on. The first time at once.
    pub(super) async fn redirected(&mut self, deadline: Deadline) -> bool {
        self.redirections += 1;
        self.redirections <= REDIRECTIONS_MAX && wait(self.redirections.saturating_sub(2), deadline).await
    }

    /// After trouble: whether to go on.
    pub(super) async fn troubled(&mut self, deadline: Deadline) -> bool {
        self.troubles += 1;
        self.troubles <= TROUBLES_MAX && wait(self.troubles + 1, deadline).await
    }
}

/// Waits up to `FIRST_WAIT * 2^doublings`, anything between: many clients must not come back together. `false`, at
/// once, if the deadline would pass meanwhile.
async fn wait(doublings: u32, deadline: Deadline) -> bool {
    if doublings == 0 {
        return true;
    }
    let longest = FIRST_WAIT * (1 << doublings.min(6));
    // The standard library's own seed; nothing depends on its quality.
    let random = RandomState::new().build_hasher().finish() % 1024;
    let wait = longest * u32::try_from(random).unwrap_or(0) / 1024;
    if wait >= deadline.left() {
        return false;
    }
    tokio::time::sleep(wait).await;
    true
}
