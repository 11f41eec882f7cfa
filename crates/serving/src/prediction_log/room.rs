//! How much the log may hold in memory: bytes, for a request may have one row or ten thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use metrics::counter;

/// A number of bytes, of which parts are taken and given back.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: usize,
    taken: AtomicUsize,
    lost: AtomicU64,
}

/// Some of the room, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    pub bytes: usize,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, taken: AtomicUsize::new(0), lost: AtomicU64::new(0) })
    }

    /// Counts rows that are not in the log and should be.
    pub(super) fn lose(&self, rows: u64) {
        counter!("plumb_prediction_log_dropped_total").increment(rows);
        self.lost.fetch_add(rows, Ordering::Relaxed);
    }

    /// How many were.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes so many bytes, if they are there. What alone is more than all of them is taken where nothing else is: it
    /// would never be logged otherwise.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let fits = |taken: usize| {
            let sum = taken.saturating_add(bytes);
            (taken == 0 || sum <= self.bytes_max).then_some(sum)
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Taken { room: Arc::clone(self), bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_refused_until_some_is_given_back() {
        let room = Room::new(100);
        let first = room.take(60).unwrap();
        assert!(room.take(41).is_none());
        let second = room.take(40).unwrap();
        assert!(room.take(1).is_none());
        drop(first);
        assert!(room.take(61).is_none());
        drop((room.take(60).unwrap(), second));
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_larger_than_all_of_it_is_taken_alone() {
        let room = Room::new(100);
        let small = room.take(1).unwrap();
        assert!(room.take(101).is_none());
        drop(small);
        let large = room.take(101).unwrap();
        assert!(room.take(1).is_none());
        drop(large);
        assert!(room.take(1).is_some());
    }
}
