//! What is shown of personal data: reports, evidence and what commands print. What is asked for by a client is answered.

use std::borrow::Cow;

/// Stands for a value that is marked `pii: true`.
pub const MASKED: &str = "***";

/// A value as it is shown; null says nothing of anybody.
pub fn shown(value: String, personal: bool) -> Cow<'static, str> {
    if personal && value != "null" { Cow::Borrowed(MASKED) } else { Cow::Owned(value) }
}
