//! The store's own keys in a cluster: one copy on every node.
//!
//! Marks vouch for rows on all nodes, and each node loses its memory alone: it comes back empty, or its replica
//! takes over without the last writes. So marks are written to a key in every 256th of the slots, and read as the oldest
//! of them, or as missing where one is. A node keeps a prefix of what it was written, rows before marks, so what the
//! oldest copy vouches for is there. (A node that serves no such stretch of slots whole may hold no copy.)

use schema::{EntityKey, Timestamp};

use super::slot::{N_SLOTS, slot_of};
use crate::online::{At, Cell};

const N_COPIES: usize = 256;

/// Whether a key is the store's own: those of entities start with their format byte, which is never zero.
pub(super) fn is_own(key: &EntityKey) -> bool {
    key.as_bytes().first() == Some(&0)
}

/// The key's copies, one in every 256th of the slots, whatever comes before them in the server's key.
pub(super) fn copies(prefix: &[u8], key: &EntityKey) -> Vec<EntityKey> {
    let mut copies = vec![None; N_COPIES];
    let mut n_left = N_COPIES;
    // About 1,500 numbers are tried.
    for number in 0_u32.. {
        let copy = [key.as_bytes(), &number.to_be_bytes()].concat();
        let slot = slot_of(&[prefix, &copy].concat());
        let stretch = &mut copies[usize::from(slot) * N_COPIES / N_SLOTS];
        if stretch.is_none() {
            *stretch = Some(EntityKey::from_bytes(&copy));
            n_left -= 1;
        }
        if n_left == 0 {
            break;
        }
    }
    copies.into_iter().flatten().collect()
}

/// What all copies vouch for.
pub(super) fn oldest<'a>(cells: impl IntoIterator<Item = Option<&'a Cell>>) -> Option<Cell> {
    let order = |cell: &Cell| match cell.at(Timestamp::MAX) {
        At::Row(step) => Some(step.order()),
        At::Nothing | At::TooOld { .. } => None,
    };
    let cells: Option<Vec<&Cell>> = cells.into_iter().collect();
    cells?.into_iter().min_by_key(|cell| order(cell)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_copy_in_every_stretch_of_slots() {
        for project in ["shop", "other"] {
            let (prefix, key) = (format!("plumb:{{}}:{project}:"), EntityKey::from_bytes(b"\0marks"));
            let copies = copies(prefix.as_bytes(), &key);
            let stretch = |copy: &EntityKey| slot_of(&[prefix.as_bytes(), copy.as_bytes()].concat()) / 64;
            assert!(copies.iter().map(stretch).eq(0..256), "project {project}");
            assert!(copies.iter().all(is_own));
        }
    }
}
