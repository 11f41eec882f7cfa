//! Bugs that ended in a panic: of the one request whose they are, told, counted and logged.

use std::any::Any;

use metrics::counter;
use schema::ErrorKind;

use super::Failure;

/// Its code.
pub(super) const PANICKED: &str = "panicked";

/// Counts a panic and logs it, under the request that is current; what its client is told, which is not what went wrong
/// inside.
pub fn panicked(protocol: &'static str, panic: Box<dyn Any + Send>) -> Failure {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    counter!("plumb_panics_total", "protocol" => protocol).increment(1);
    tracing::error!("a bug: the server panicked at a request, which has failed: {}", said.unwrap_or("without a text"));
    Failure::new(ErrorKind::Internal, "the server failed at this request: it is a bug, not the request")
        .code(PANICKED)
        .hint("report it with the request's id and the server's log; other requests are answered as before")
}
