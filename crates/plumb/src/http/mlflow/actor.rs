//! Who asks, as the log has it: a record, no proof.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::one_line;

/// What all have in common, so that nobody who comes this way has the name of somebody who approves.
const CLIENT: &str = "mlflow client";

tokio::task_local! {
    static CURRENT: String;
}

/// Whoever sent the request that is being answered here.
pub(super) fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_else(|_| CLIENT.to_owned())
}

/// Answers a request as whoever it says that it is from.
pub(super) async fn named(request: Request, next: Next) -> Response {
    let actor = match user(request.headers()) {
        Some(user) => format!("{user} ({CLIENT})"),
        None => CLIENT.to_owned(),
    };
    CURRENT.scope(actor, next.run(request)).await
}

/// The user that the client was told to log in as (`MLFLOW_TRACKING_USERNAME`), if any.
fn user(headers: &HeaderMap) -> Option<String> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (user, _password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(one_line(user)).filter(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_user_is_who_logs_in() {
        let said = |value: &str| user(&[(AUTHORIZATION, HeaderValue::from_str(value).unwrap())].into_iter().collect());
        let basic = |text: &str| said(&format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(basic("ann:s3cret").as_deref(), Some("ann"));
        assert_eq!(basic("ann:with:colons").as_deref(), Some("ann"));
        assert_eq!(said(&format!("basic {}", STANDARD.encode("jürgen:"))).as_deref(), Some("jürgen"));
        // A second line of a log.
        assert_eq!(basic("ann\nbob:x").as_deref(), Some("ann\u{fffd}bob"));
        for none in ["Bearer abc", "Basic", "Basic !", "Basic ", &format!("Basic {}", STANDARD.encode(":secret"))] {
            assert_eq!(said(none), None, "{none}");
        }
        assert_eq!(user(&HeaderMap::new()), None);
        assert_eq!(current(), CLIENT);
    }
}
