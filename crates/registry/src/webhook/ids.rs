//! Ids: of hooks, which nobody has, and of deliveries, which come again when a delivery does.

use schema::Fingerprint;

use super::WebhookError;
use super::topic::Topic;
use crate::seq::Seq;

/// An id that nobody has: a random UUID.
///
/// # Errors
/// The system has no random numbers.
pub fn random() -> Result<String, WebhookError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|why| WebhookError::Internal { doing: "asking the system for random numbers", source: why.into() })?;
    Ok(uuid(bytes, 4))
}

/// The id of what is sent to a hook of one event. Sent again it is the same, so a receiver can tell.
pub fn of_delivery(hook: &str, seq: Seq, topic: Topic) -> String {
    let digest = Fingerprint::of_bytes(format!("{hook} {seq} {topic}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid(bytes, 8)
}

/// A UUID of bytes (RFC 9562): version 4 is random, version 8 is the maker's own.
fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_known_again_and_told_from_others() {
        let one = of_delivery("h", Seq(7), Topic::VersionCreated);
        assert_eq!(one, of_delivery("h", Seq(7), Topic::VersionCreated));
        for other in [
            of_delivery("i", Seq(7), Topic::VersionCreated),
            of_delivery("h", Seq(8), Topic::VersionCreated),
            of_delivery("h", Seq(7), Topic::ModelCreated),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!((one.len(), &one[14..15]), (36, "8"));
    }

    #[test]
    fn hooks_are_told_from_each_other() {
        let (a, b) = (random().unwrap(), random().unwrap());
        assert_ne!(a, b);
        assert_eq!((a.len(), &a[14..15]), (36, "4"));
    }
}
