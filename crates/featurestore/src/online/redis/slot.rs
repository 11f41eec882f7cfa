//! Which of a cluster's 16,384 slots a key is in.
//!
//! The server hashes the whole key, or the part between the first `{` and the next `}` if there is something in it. An
//! entity key is any bytes, so a brace in a user's string would decide its slot. Every key of ours therefore begins with
//! `plumb:{}:`: an empty pair of braces, after which the server looks for no other, and the keys spread evenly.

/// Slots of a cluster.
pub(super) const N_SLOTS: usize = 16_384;

/// The slot of a key, by the server's rule.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let length = key[open + 1..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open + 1..open + 1 + length])
    });
    crc16(tag.unwrap_or(key)) % 16_384
}

/// CRC-16/XMODEM: polynomial 0x1021, starting from zero.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let [high, _] = crc.to_be_bytes();
        (crc << 8) ^ TABLE[usize::from(high ^ byte)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    let mut top: u16 = 0;
    while index < 256 {
        let mut crc = top;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
        top = top.wrapping_add(0x100);
    }
    table
};
