//! Snapshots: the catalog as of some event, kept so that a long log need not be folded from its start.
//!
//! A snapshot is never needed. It counts only where the log has the event that it states, by place and hash; one that is
//! damaged, of another format or of another log is passed over, said once, and the log is read from its start. What it
//! does not tell is whether an event before it was edited since: [`crate::Registry::check_past`] looks for that
//! (docs/decisions/0078).
//!
//! ```text
//! "plumb registry snapshot\n" | format, u32 LE | catalog (see `catalog/stored.rs`) | SHA-256 of all before
//! ```

use schema::Fingerprint;
use schema::error::chain;

use crate::catalog::Catalog;
use crate::seq::Seq;
use crate::store::RegistryStore;

/// The format that is written and read. A snapshot of another one is passed over: the log says the same.
pub const FORMAT: u32 = 3;

/// What is kept in place of a snapshot where an event before it is not what was written.
pub(crate) const GIVEN_UP: &[u8] = b"";

const MAGIC: &[u8] = b"plumb registry snapshot\n";
const HEADER: usize = MAGIC.len() + 4;
const CHECKSUM: usize = 32;

/// The fewest events that a snapshot is worth: fewer are folded in a tenth of a second.
const EVENTS_MIN: u64 = 4_096;
/// After a snapshot comes another once the log has grown by one part in so many: what is written in all stays a small
/// multiple of the log, and what is folded at a start a small part of it.
const GROWTH: u64 = 32;

/// Whether a snapshot as of `now` is worth writing where the last one is as of `last`, or there is none ([`Seq::START`]).
pub fn is_due(last: Seq, now: Seq) -> bool {
    now.0.saturating_sub(last.0) >= EVENTS_MIN.max(last.0 / GROWTH)
}

/// The bytes of a snapshot.
///
/// # Errors
/// The encoder's, in words.
pub fn write(catalog: &Catalog) -> Result<Vec<u8>, String> {
    let catalog = catalog.to_stored()?;
    let mut bytes = Vec::with_capacity(HEADER + catalog.len() + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&catalog);
    let sum = Fingerprint::of_bytes(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    Ok(bytes)
}

/// The catalog of a snapshot.
///
/// # Errors
/// Why it counts for nothing, in words.
pub fn read(bytes: &[u8]) -> Result<Catalog, String> {
    if bytes == GIVEN_UP {
        return Err("it was given up, for an event before it is not what was written".to_owned());
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no snapshot")?;
    let (format, _) = rest.split_first_chunk::<4>().ok_or("it is cut off")?;
    let format = u32::from_le_bytes(*format);
    if format != FORMAT {
        return Err(format!("it has format {format}, this program reads format {FORMAT}"));
    }
    let (covered, sum) =
        bytes.split_last_chunk::<CHECKSUM>().filter(|(all, _)| all.len() > HEADER).ok_or("it is cut off")?;
    if Fingerprint::of_bytes(covered).as_bytes() != sum {
        return Err("it is damaged: its checksum is another one".to_owned());
    }
    Catalog::from_stored(&covered[HEADER..])
}

/// The catalog of the snapshot that is kept beside a log, if the log goes with it.
pub(crate) async fn restore(log: &dyn RegistryStore) -> Option<Catalog> {
    let passed_over = |why: &str| {
        tracing::warn!(
            "a snapshot of the registry `{}` is passed over: {why}; its log is read from the start",
            log.location()
        );
    };
    let bytes = match log.read_snapshot().await {
        Ok(bytes) => bytes?,
        Err(why) => {
            passed_over(&chain(&why));
            return None;
        }
    };
    let catalog = match read(&bytes) {
        Ok(catalog) => catalog,
        Err(why) => {
            passed_over(&why);
            return None;
        }
    };
    match is_of(log, &catalog).await {
        Ok(()) => Some(catalog),
        Err(why) => {
            passed_over(&why);
            None
        }
    }
}

/// That the log has the catalog's last event.
async fn is_of(log: &dyn RegistryStore, catalog: &Catalog) -> Result<(), String> {
    let seq = catalog.seq();
    let page = log.read_page(Seq(seq.0.saturating_sub(1)), 1).await.map_err(|why| chain(&why))?;
    let Some(stored) = page.first().filter(|stored| stored.seq == seq) else {
        return Err(format!("it is as of event {seq}, which the log does not have"));
    };
    let event = stored.event().map_err(|why| chain(&why))?;
    match event.hash == catalog.head() {
        true => Ok(()),
        false => Err(format!("event {seq} of the log is another one than the snapshot's")),
    }
}

#[cfg(test)]
mod tests;
