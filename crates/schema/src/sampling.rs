//! Which rows stand for all, which quantiles of them reports tell, and which value one is.

/// The quantiles that are told, by name.
pub const QUANTILES: [(&str, f64); 7] =
    [("p01", 0.01), ("p05", 0.05), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p95", 0.95), ("p99", 0.99)];

/// The place of a quantile among `n` values in order, `n` at least 1: the least value with at least that share at or below it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sample is small, and a share is between zero and one"
)]
pub fn rank(share: f64, n: usize) -> usize {
    ((share * n as f64).ceil() as usize).clamp(1, n) - 1
}

/// Spreads the bits of a number (the finalizer of splitmix64): rows whose numbers have a small hash are a uniform sample, the
/// same each time, whatever they hold.
#[inline]
pub fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
