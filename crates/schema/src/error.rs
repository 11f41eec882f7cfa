//! The small set of kinds that callers match on; each area has its own error enum with the details.

/// An error of a library below us, kept as the source of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a caller can do about a failure. The top floor maps it to exit codes and HTTP status codes, in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong; the same request will never succeed.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The state changed, or the action is not allowed in the present state.
    Conflict,
    /// Whoever asks may not, or others must agree first.
    Denied,
    /// A check was made and failed: skew found, promotion refused.
    CheckFailed,
    /// A queue is full; try again later.
    Overloaded,
    /// The deadline passed before the answer was ready.
    Timeout,
    /// A dependency is away: store, runtime library, network.
    Unavailable,
    /// A bug or a broken disk: nothing the caller did.
    Internal,
}

/// Formats an error with its chain of causes: "reading features: reading 2 keys: connection reset".
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        // Some libraries print their cause themselves; do not say it twice.
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = inner.source();
    }
    text
}
