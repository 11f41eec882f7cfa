//! CRC-32 as in zip, PNG and Ethernet: what finds bytes that a disk, a memory or a network changed.
//!
//! Whatever changes within 32 bits is found for certain, so every flipped byte is; of anything else all but one in four
//! billion. Eight bytes a step.

const POLYNOMIAL: u32 = 0xedb8_8320;
/// What each byte, with so many zeros behind it, does to a sum.
static TABLES: [[u32; 256]; 8] = tables();

/// A sum over bytes that come in parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) fn new() -> Self {
        Self(!0)
    }

    #[must_use]
    pub(crate) fn and(self, bytes: &[u8]) -> Self {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut sum = self.0;
        for eight in eights {
            let [a, b, c, d] = sum.to_le_bytes();
            let [e, f, g, h, i, j, k, l] = *eight;
            let at = |table: usize, byte: u8| TABLES[table][byte as usize];
            sum = at(7, a ^ e) ^ at(6, b ^ f) ^ at(5, c ^ g) ^ at(4, d ^ h);
            sum ^= at(3, i) ^ at(2, j) ^ at(1, k) ^ at(0, l);
        }
        for byte in rest {
            let [low, ..] = sum.to_le_bytes();
            sum = TABLES[0][(low ^ byte) as usize] ^ (sum >> 8);
        }
        Self(sum)
    }

    pub(crate) fn sum(self) -> u32 {
        !self.0
    }
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte as usize] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut i = 0;
        while i < 256 {
            let before: u32 = tables[table - 1][i];
            tables[table][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_others_compute() {
        assert_eq!(Crc32::new().and(b"123456789").sum(), 0xcbf4_3926);
        assert_eq!(Crc32::new().sum(), 0);
        // As Python's `zlib.crc32` has it.
        assert_eq!(Crc32::new().and(b"The quick brown fox jumps over the lazy dog").sum(), 0x414fa339);
        let bytes: Vec<u8> = (0..=255).collect();
        for cut in 0..bytes.len() {
            let parts = Crc32::new().and(&bytes[..cut]).and(&bytes[cut..]);
            assert_eq!(parts.sum(), 0x29058c73, "cut at {cut}");
        }
    }
}
