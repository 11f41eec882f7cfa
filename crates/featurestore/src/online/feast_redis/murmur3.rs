//! `MurmurHash3_x86_32` with seed 0 (Austin Appleby, public domain).

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;

/// The hash of some bytes.
pub(super) fn x86_32(bytes: &[u8]) -> u32 {
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= scrambled(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash ^= scrambled(u32::from_le_bytes(last));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the algorithm takes the length modulo 2^32")]
    let length = bytes.len() as u32;
    hash ^= length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn scrambled(block: u32) -> u32 {
    block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_tail_hashes_as_elsewhere() {
        for (text, want) in
            [("", "00000000"), ("a", "b269253c"), ("ab", "5fd7bf9b"), ("abc", "fa93ddb3"), ("abcd", "6a67ed43")]
        {
            assert_eq!(hex::encode(x86_32(text.as_bytes()).to_le_bytes()), want, "{text}");
        }
    }
}
