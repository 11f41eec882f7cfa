//! The word that a hook and its receiver share, and what is signed with it. It is shown nowhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// A shared word. Neither `Debug` nor anything else of it says what it is; only [`super::WebhookStore`]s keep it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret in a text; none in an empty one.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text| !text.is_empty()).map(Self)
    }

    /// For the row of a store, and for nothing else.
    pub(super) fn stored(&self) -> &str {
        &self.0
    }

    /// MLflow's signature of a request: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    pub fn sign(&self, delivery: &str, timestamp_s: i64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let signed = hmac::sign(&key, format!("{delivery}.{timestamp_s}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(signed))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are Python's: `base64.b64encode(hmac.new(key, text, "sha256").digest())`.
    #[test]
    fn signatures_are_those_of_python() {
        let check = |secret: &str, id: &str, at: i64, body: &str, want: &str| {
            assert_eq!(Secret::new(secret).unwrap().sign(id, at, body), format!("v1,{want}"));
        };
        check(
            "whsec",
            "5f0c1e5e-0000-4000-8000-000000000001",
            1_700_000_000,
            "{\"a\":1}",
            "uLziOgdewBSKy0Nzf71rn1kz+W1d+1f0batTBI0V06Q=",
        );
        check("schlüssel", "id", 0, "größe", "LT+7uadau71phTz7ZDngHvSoQj2UHAROVHX+jq2FCDk=");
    }

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new("canary").unwrap();
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("canary"));
        assert!(Secret::new("").is_none());
    }
}
