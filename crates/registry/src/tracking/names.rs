//! Ids and names that nobody gave.

use super::TrackingError;

const HOW: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "crisp", "eager", "early", "fair", "fine", "fond", "glad", "grand",
    "keen", "kind", "late", "light", "lucky", "mild", "neat", "plain", "proud", "quick", "quiet", "rare", "sharp",
    "sleek", "smart", "steady", "swift", "warm", "wise",
];
const WHO: [&str; 32] = [
    "badger", "beetle", "bison", "crane", "crow", "deer", "dove", "eel", "falcon", "finch", "fox", "gull", "hare",
    "hawk", "heron", "ibis", "jay", "kite", "lark", "lynx", "mole", "newt", "otter", "owl", "pike", "quail", "raven",
    "robin", "seal", "stork", "swan", "wren",
];

/// 32 hexadecimal digits that nobody has.
pub(super) fn id() -> Result<String, TrackingError> {
    Ok(random()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Something that can be said: `quiet-otter-518`. Others may have it.
pub(super) fn sayable() -> Result<String, TrackingError> {
    let [a, b, c, d, ..] = random()?;
    let number = u16::from_be_bytes([c, d]) % 1000;
    Ok(format!("{}-{}-{number}", HOW[usize::from(a) % HOW.len()], WHO[usize::from(b) % WHO.len()]))
}

fn random() -> Result<[u8; 16], TrackingError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|why| TrackingError::Internal { doing: "asking the system for random numbers", source: why.into() })?;
    Ok(bytes)
}
