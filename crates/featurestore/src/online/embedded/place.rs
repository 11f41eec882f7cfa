//! Where a cell is: the key that LMDB has it under.

use schema::{EntityKey, Fingerprint};

use crate::online::OnlineTable;

/// Bytes of the online table's digest in a key.
pub(super) const TABLE_BYTES: usize = 16;
/// Longest entity key stored as it is: LMDB keys have at most 511 bytes.
pub(super) const KEY_MAX: usize = 480;
/// First byte of an entity key stored as its digest. No entity key starts with it: that byte is their format.
pub(super) const DIGESTED: u8 = 0xff;

/// What the keys of a table start with.
pub(super) fn prefix(table: &OnlineTable) -> [u8; TABLE_BYTES] {
    let mut prefix = [0; TABLE_BYTES];
    prefix.copy_from_slice(&Fingerprint::of_bytes(table.name().as_bytes()).as_bytes()[..TABLE_BYTES]);
    prefix
}

/// Makes `place` the key of an entity. A key that LMDB cannot hold is replaced by its SHA-256: nobody can make two keys
/// that share one, and no short key looks like one, for what starts with [`DIGESTED`] is digested too.
pub(super) fn put_place(place: &mut Vec<u8>, prefix: &[u8], key: &EntityKey) {
    let key = key.as_bytes();
    place.clear();
    place.extend(prefix);
    if key.len() > KEY_MAX || key.first() == Some(&DIGESTED) {
        place.push(DIGESTED);
        place.extend(Fingerprint::of_bytes(key).as_bytes());
    } else {
        place.extend(key);
    }
}
